//! `eyego verify`: holds everything that was acknowledged against what is stored, and names what is missing.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{FAILED, OK, UNVERIFIED, complain, say};
use crate::{
    bootstrap,
    config::Settings,
    domain::ports::{ErrorChain, VerificationProgress, VerificationReporter, VerificationSummary},
    telemetry,
};

pub(super) fn run(settings: &Settings) -> u8 {
    // The report is what counts here; the adapters' usual lines would stand in its way.
    telemetry::start("warn", settings.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&[format!("the runtime could not be started: {error}")]);
            return UNVERIFIED;
        }
    };
    let mut printer = Printer::new();
    let verified = runtime.block_on(bootstrap::verify(settings, &mut printer));
    // Native clients may block a thread a little longer.
    runtime.shutdown_background();
    printer.bar.finish_and_clear();
    match verified {
        Ok(summary) => {
            tell(&summary);
            if summary.is_clean() { OK } else { FAILED }
        }
        Err(error) => {
            complain(&[ErrorChain(&error).to_string()]);
            UNVERIFIED
        }
    }
}

/// Faults go to standard output, one a line; the bar goes to standard error, and only to a terminal.
struct Printer {
    bar: ProgressBar,
}

impl Printer {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }
}

impl VerificationReporter for Printer {
    fn progress(&mut self, progress: VerificationProgress) {
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
    }

    fn fault(&mut self, fault: &str) {
        self.bar.suspend(|| say(fault));
    }
}

fn tell(summary: &VerificationSummary) {
    let VerificationSummary {
        read,
        looked_up,
        stored,
        duplicates,
        dead_lettered,
        deleted,
        unknown,
        pending,
        not_retained,
        expired,
        missing,
        damaged,
    } = summary;
    say(&format!("{read} events read, {looked_up} looked up"));
    say(&format!(
        "{stored} stored, {duplicates} duplicates, {dead_lettered} dead-lettered, {deleted} deleted, {pending} pending"
    ));
    let remarks = [
        (*not_retained, "are no longer held by the bus and were not looked up"),
        (*expired, "expired unread: the bus removed them before they were stored"),
        (*unknown, "are not stored, but so old that their tombstone may have been forgotten (TOMBSTONE_DAYS)"),
    ];
    for (count, remark) in remarks.into_iter().filter(|(count, _)| *count > 0) {
        say(&format!("{count} {remark}"));
    }
    say(&format!("{missing} missing, {damaged} damaged"));
}
