//! The subcommands: what each prints, and the exit code it ends with.

mod bench;
mod check_config;
mod export;
mod healthcheck;
mod import;
mod packing;
mod serve;
mod verify;

use std::{ffi::OsString, io::Write};

use crate::config::{Command, Layers, Settings, parse_command_line};

const OK: u8 = 0;
const FAILED: u8 = 1;
/// `verify` or `bench` could not read everything: nothing is said about what is there.
const UNVERIFIED: u8 = 2;
/// EX_USAGE of sysexits(3): the configuration is wrong, starting again will not help.
const BAD_CONFIGURATION: u8 = 64;

/// Runs what the command line asks for and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let invocation = match parse_command_line(arguments) {
        Ok(invocation) => invocation,
        Err(message) => {
            let _ = message.print();
            return if message.use_stderr() { BAD_CONFIGURATION } else { OK };
        }
    };
    let layers = match Layers::of_process(invocation.flags) {
        Ok(layers) => layers,
        Err(message) => {
            complain(&[message]);
            return BAD_CONFIGURATION;
        }
    };
    let settings = Settings::read(&layers, crate::bootstrap::check_value)
        .and_then(|settings| crate::bootstrap::check(&settings).map(|()| settings))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>());
    match (invocation.command, settings) {
        (Command::CheckConfig, settings) => check_config::run(&layers, settings.err().unwrap_or_default().as_slice()),
        (Command::Bench(options), settings) => bench::run(&options, &layers, settings),
        (_, Err(problems)) => {
            complain(&problems);
            BAD_CONFIGURATION
        }
        (Command::Healthcheck, Ok(settings)) => healthcheck::run(&settings.http),
        (Command::Serve, Ok(settings)) => serve::run(settings),
        (Command::Verify, Ok(settings)) => verify::run(&settings),
        (Command::Export(options), Ok(settings)) => export::run(&options, &settings),
        (Command::Import(options), Ok(settings)) => import::run(&options, &settings),
    }
}

/// One line on standard output; nobody reading is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(problems: &[String]) {
    for problem in problems {
        let _ = writeln!(std::io::stderr(), "eyego: {problem}");
    }
}
