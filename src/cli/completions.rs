//! `keystow completions`

use super::{Failure, write_result};

/// Print shell completions.
///
/// For bash: source <(keystow completions bash)
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(super) fn run(arguments: &Arguments, command: &mut clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "keystow", &mut script);
    write_result(&String::from_utf8_lossy(&script))
}
