//! The `keystow` binary.

use std::process::ExitCode;

/// For the webhook: see `benches/RESULTS.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keystow::cli::main(std::env::args_os())
}
