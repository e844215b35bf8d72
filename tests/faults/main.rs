//! The fault suite: a load on the built binary, a fault in the middle, and an account of every log at the end.
//!
//! Without arguments the quick part runs; with `FAULTS=all` everything (`tests/faults.sh`), each loop at its full length
//! and with bounds on times; with `FAULTS=name,name` those whose names contain one of the words. Words as arguments
//! choose too, at the length of the quick part. `--list` shows the names. Scenarios on servers need the programs that
//! `tests/servers.sh` fetches; without them only the embedded ones run, unless `REQUIRE_SERVICES=1`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a broken set-up has to fail the scenario, and the table goes to whoever runs the suite"
)]

mod account;
mod families;
mod http;
mod kafka;
mod load;
mod process;
mod proxy;
mod rig;
mod runner;
mod scenario;
mod servers;
mod store;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long a condition may take to come true; only how long a failing scenario takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn eventually(what: &str, condition: impl FnMut() -> bool) {
    patience(PATIENCE, what, condition);
}

fn patience(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain, within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the suite says what to run")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn main() -> ExitCode {
    runner::main()
}
