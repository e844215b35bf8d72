//! `eyego import`: stores what `eyego export` wrote.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FAILED, OK, complain, packing, say};
use crate::{
    bootstrap::{self, Counted, ImportInput, ImportOrder, TransferError},
    config::{ImportOptions, Settings},
    domain::ports::{ErrorChain, ImportIds, ImportProgress, ImportReporter, ImportSummary},
    telemetry,
};

pub(super) fn run(options: &ImportOptions, settings: &Settings) -> u8 {
    telemetry::start("warn", settings.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&[format!("the runtime could not be started: {error}")]);
            return FAILED;
        }
    };
    let input = Arc::new(Input { file: options.input.clone(), count: Arc::default() });
    // What cannot be read need not open a store.
    let length = match input.length() {
        Ok(length) => length,
        Err(error) => {
            complain(&[format!("the input could not be read: {error}")]);
            return FAILED;
        }
    };
    let mut printer = Printer::new(length);
    let order = ImportOrder { input, skip_bad: options.skip_bad, stop: CancellationToken::new() };
    let imported = runtime.block_on(interruptible(settings, order, &mut printer));
    // Standard input may block a thread for ever.
    runtime.shutdown_background();
    printer.bar.finish_and_clear();
    let Some((summary, ended)) = imported else {
        complain(&["ended at once; what was stored is kept: run it again".to_owned()]);
        return FAILED;
    };
    tell(&summary);
    match ended {
        Ok(()) if summary.left_out == 0 => OK,
        Ok(()) => FAILED,
        Err(error) => {
            complain(&[ErrorChain(&error).to_string()]);
            complain(&["the rest is not imported; what was is kept: run it again".to_owned()]);
            FAILED
        }
    }
}

/// The first signal ends it after the batch in hand, the second one at once, wherever it waits: `None`.
async fn interruptible(
    settings: &Settings,
    order: ImportOrder,
    printer: &mut Printer,
) -> Option<(ImportSummary, Result<(), TransferError>)> {
    let stop = order.stop.clone();
    let signalled_twice = async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return std::future::pending().await;
        };
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.is_cancelled() {
                return;
            }
            stop.cancel();
        }
    };
    tokio::select! {
        ended = bootstrap::import(settings, order, printer) => Some(ended),
        () = signalled_twice => None,
    }
}

/// A file, or standard input.
struct Input {
    file: Option<PathBuf>,
    count: Arc<AtomicU64>,
}

impl Input {
    /// `None` where there is no telling.
    fn length(&self) -> io::Result<Option<u64>> {
        let Some(file) = &self.file else { return Ok(None) };
        let found = File::open(file)?.metadata()?;
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Some(found.len()).filter(|_| found.is_file()))
    }
}

impl ImportInput for Input {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let plain: Box<dyn Read + Send> = match &self.file {
            Some(file) => Box::new(File::open(file)?),
            None => Box::new(io::stdin()),
        };
        self.count.store(0, Ordering::Relaxed);
        packing::unpack(Counted { input: plain, count: Arc::clone(&self.count) })
    }

    fn can_be_read_twice(&self) -> bool {
        self.length().is_ok_and(|length| length.is_some())
    }

    fn bytes_read(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The bar goes to standard error, and only to a terminal; so do lines that are left out, always.
struct Printer {
    bar: ProgressBar,
}

impl Printer {
    fn new(length: Option<u64>) -> Self {
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = if length.is_some() { "{wide_bar} {msg}, {eta} left" } else { "{spinner} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    fn note(&self, line: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{line}");
        });
    }
}

impl ImportReporter for Printer {
    fn begins(&mut self, ids: ImportIds) {
        self.note(match ids {
            ImportIds::Kept { below } if below.get() == 0 => "the store never held a log: ids are kept",
            ImportIds::Kept { .. } => "an import into this store was broken off: it goes on, ids are kept",
            ImportIds::New => "the store has given out ids already: logs get new ones",
        });
    }

    fn progress(&mut self, progress: ImportProgress) {
        self.bar.set_position(progress.bytes);
        self.bar.set_message(format!("{} lines", HumanCount(progress.lines)));
    }

    fn left_out(&mut self, line: u64, reason: &str) {
        self.note(&format!("line {line}: {reason}"));
    }
}

fn tell(summary: &ImportSummary) {
    let ImportSummary { lines, stored, renumbered, timed, already_stored, deleted, left_out } = *summary;
    say(&format!(
        "{lines} lines read: {stored} stored, {already_stored} stored already, {deleted} deleted before, {left_out} left out"
    ));
    for (count, remark) in [(renumbered, "got a new id"), (timed, "had no timestamp and got the time of receiving")] {
        if count > 0 {
            say(&format!("{count} of those stored {remark}"));
        }
    }
}
