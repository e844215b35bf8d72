//! What the process tells of itself: log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::LogFormat;

/// Whether a `LOG_LEVEL` can be read.
///
/// # Errors
/// What is wrong with it.
pub fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::try_new(level).map(drop).map_err(|_| "must be a level or a filter such as info,eyego=debug".to_owned())
}

/// Sends log lines to standard error. To be called once.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (in a test) leaves the first subscriber in place.
    let _ = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
            registry.with(lines).try_init()
        }
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).with_current_span(false))
            .try_init(),
    };
}
