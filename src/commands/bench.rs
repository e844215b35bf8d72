//! `eyego bench`: loads a service, and says how it did.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{BAD_CONFIGURATION, FAILED, OK, UNVERIFIED, complain, say};
use crate::{
    bench::{self, BenchError, Observer, Report, Verdict},
    config::{BenchOptions, CATALOG, Layer, Layers, Role, Settings},
    domain::ports::ErrorChain,
};

/// `settings` are those of a service that is started for the run; they do not matter where there is a URL.
pub(super) fn run(options: &BenchOptions, layers: &Layers, settings: Result<Settings, Vec<String>>) -> u8 {
    let problems = problems(options, settings);
    if !problems.is_empty() {
        complain(&problems);
        return BAD_CONFIGURATION;
    }
    // One thread: the load must leave the processors to the service.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&[format!("the runtime could not be started: {error}")]);
            return UNVERIFIED;
        }
    };
    let mut progress = Progress::new(options);
    let ended = runtime.block_on(interruptible(options, &given(layers), &mut progress));
    progress.bar.finish_and_clear();
    match ended {
        Ok(Some(report)) => tell(&report, options.json),
        Ok(None) => {
            complain(&["interrupted: nothing is judged".to_owned()]);
            UNVERIFIED
        }
        Err(error) => {
            complain(&[ErrorChain(&error).to_string()]);
            UNVERIFIED
        }
    }
}

fn problems(options: &BenchOptions, settings: Result<Settings, Vec<String>>) -> Vec<String> {
    let mut problems = match (&options.target, settings) {
        (None, Ok(settings)) if settings.role == Role::Worker => vec!["ROLE=worker takes no logs".to_owned()],
        (None, Err(problems)) => problems,
        (None, Ok(_)) | (Some(_), _) => Vec::new(),
    };
    if options.check && options.logs.is_some_and(|logs| logs > bench::MOST_JUDGED) {
        problems.push(format!("--logs must be at most {} unless --no-check is given", bench::MOST_JUDGED));
    }
    problems
}

/// What was set, by name, for a service that is to run with the same settings.
fn given(layers: &Layers) -> Vec<(String, String)> {
    let mut given = vec![("LOG_LEVEL".to_owned(), "warn".to_owned())];
    for setting in CATALOG {
        let (value, layer) = layers.get(setting);
        if layer != Layer::Default {
            given.push((setting.name.to_owned(), value.to_owned()));
        }
    }
    given
}

/// The first Ctrl-C ends the load, the second everything, and so does SIGTERM; `None` then.
async fn interruptible(
    options: &BenchOptions,
    settings: &[(String, String)],
    progress: &mut Progress,
) -> Result<Option<Report>, BenchError> {
    let stop = CancellationToken::new();
    let listen = |kind| signal(kind).map_err(BenchError::Signals);
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut run = std::pin::pin!(bench::run(options, settings, &stop, progress));
    loop {
        tokio::select! {
            report = &mut run => return report.map(Some),
            _ = interrupt.recv() => {
                if stop.is_cancelled() {
                    return Ok(None);
                }
                stop.cancel();
            }
            _ = terminate.recv() => return Ok(None),
        }
    }
}

fn tell(report: &Report, json: bool) -> u8 {
    say(&if json { report.to_json().to_string() } else { report.to_text() });
    for failure in &report.failures {
        complain(&[ErrorChain(failure).to_string()]);
    }
    match report.verdict() {
        Verdict::Well => OK,
        Verdict::Broken => FAILED,
        Verdict::Unjudged => UNVERIFIED,
    }
}

/// A line on standard error, and only on a terminal.
struct Progress {
    bar: ProgressBar,
    aim: String,
}

impl Progress {
    fn new(options: &BenchOptions) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let aims = [
            options.logs.map(|logs| format!("{logs} logs")),
            options.duration.map(|duration| format!("{} s", duration.as_secs_f64())),
        ];
        Self { bar, aim: aims.into_iter().flatten().collect::<Vec<_>>().join(" or ") }
    }
}

impl Observer for Progress {
    fn loading(&mut self, acknowledged: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let rate = (acknowledged as f64 / seconds.max(0.001)) as u64;
        self.bar
            .set_message(format!("{acknowledged} logs acknowledged in {seconds:.1} s, {rate}/s; until {}", self.aim));
    }

    fn draining(&mut self, left: u64) {
        self.bar.set_message(format!("{left} logs still to be stored"));
    }

    fn judging(&mut self, users: u64, of: u64) {
        self.bar.set_message(format!("read back the logs of {users} of {of} users"));
    }
}
