//! The fault suite: a load on the built binary, a fault in the middle, and an account of every log at the end.
//!
//! Without arguments the quick part runs; with `FAULTS=all` everything (`tests/faults.sh`), each loop at its full length
//! and with bounds on times; with `FAULTS=name,name` those whose names contain one of the words. Words as arguments
//! choose too, at the length of the quick part. `--list` shows the names. Where nobody asks for servers (`KAFKA_BROKERS`,
//! `FAULTS`, a name, `REQUIRE_SERVICES=1`), or their programs are not there (`tests/servers.sh` fetches them), only the
//! embedded scenarios run; with `REQUIRE_SERVICES=1` the latter is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a broken set-up has to fail the scenario, and the table goes to whoever runs the suite"
)]

mod account;
mod batch;
mod crowd;
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
