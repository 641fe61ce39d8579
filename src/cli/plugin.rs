//! The program under other names: as a plugin of kubectl, and as what kubectl asks to complete it.
//!
//! | called as | it is |
//! |---|---|
//! | `kubectl-keystow` | `kubectl keystow …`, and says so in help, usage and errors |
//! | `kubectl_complete-keystow` | the completion of `kubectl keystow …`: a candidate a line, and then how to take them |
//!
//! kubectl finds both on the PATH (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>).

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Command;

use super::write_result;

const PLUGIN: &str = "kubectl-keystow";
const COMPLETER: &str = "kubectl_complete-keystow";
/// Cobra's directives: files may be completed too; no files.
const DEFAULT: u8 = 0;
const NO_FILES: u8 = 4;

/// What the program is called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Itself,
    Plugin,
    Completer,
}

impl Role {
    /// By the name that it was started under.
    pub(super) fn of(program: Option<&OsString>) -> Self {
        match program.and_then(|program| Path::new(program).file_name()).and_then(OsStr::to_str) {
            Some(PLUGIN) => Self::Plugin,
            Some(COMPLETER) => Self::Completer,
            _ => Self::Itself,
        }
    }

    /// The command line as somebody of this role writes it.
    pub(super) fn command(self, command: Command) -> Command {
        match self {
            Self::Itself | Self::Completer => command,
            Self::Plugin => command.bin_name("kubectl keystow").display_name("kubectl keystow"),
        }
    }
}

/// Answers with what may stand in the place of the last of these words, which may be empty.
pub(super) fn complete(mut command: Command, words: &[OsString]) -> bool {
    let mut arguments: Vec<OsString> = vec!["keystow".into()];
    arguments.extend(words.iter().skip(1).cloned());
    if arguments.len() == 1 {
        arguments.push(OsString::new());
    }
    let last = arguments.len() - 1;
    let candidates = clap_complete::engine::complete(&mut command, arguments, last, None).unwrap_or_default();
    let mut text = String::new();
    for candidate in &candidates {
        text.push_str(&candidate.get_value().to_string_lossy());
        if let Some(help) = candidate.get_help() {
            let help = help.to_string();
            text.push('\t');
            text.push_str(help.lines().next().unwrap_or_default());
        }
        text.push('\n');
    }
    let directive = if candidates.is_empty() { DEFAULT } else { NO_FILES };
    text.push_str(&format!(":{directive}\n"));
    write_result(&text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_it_is() {
        for (name, role) in [
            ("keystow", Role::Itself),
            ("/usr/local/bin/kubectl-keystow", Role::Plugin),
            ("kubectl_complete-keystow", Role::Completer),
            ("/opt/keystow-2", Role::Itself),
        ] {
            assert_eq!(Role::of(Some(&name.into())), role, "{name}");
        }
        assert_eq!(Role::of(None), Role::Itself);
    }
}
