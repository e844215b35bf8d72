//! The binary: parse, check, run, and an exit code (0 ended well, 1 failed, 64 bad configuration).

use std::process::ExitCode;

/// The system's allocator keeps what bodies and batches of a hundred kilobytes leave behind: under a load of those the
/// process held four times as much memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(eyego::commands::run(std::env::args_os()))
}
