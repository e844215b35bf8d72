//! The binary: parse, check, run, and an exit code (0 ended well, 1 failed, 64 bad configuration).

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(eyego::commands::run(std::env::args_os()))
}
