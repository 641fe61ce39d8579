//! The `keystow` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    keystow::cli::main(std::env::args_os())
}
