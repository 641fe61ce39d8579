//! The program as a plugin of the real kubectl, and its completions.

use std::env;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::control_plane::Binaries;
use crate::support::programs::skip;

/// A PATH with the plugin and its completion.
struct Installed {
    directory: TempDir,
    kubectl: std::path::PathBuf,
}

impl Installed {
    fn or_skip(test: &str) -> Option<Self> {
        let binaries = match Binaries::find() {
            Ok(binaries) => binaries,
            Err(missing) => {
                skip(test, "control plane", missing);
                return None;
            }
        };
        let directory = TempDir::new().unwrap();
        for name in ["kubectl-keystow", "kubectl_complete-keystow"] {
            symlink(env!("CARGO_BIN_EXE_keystow"), directory.path().join(name)).unwrap();
        }
        Some(Self { directory, kubectl: binaries.kubectl })
    }

    fn kubectl(&self, arguments: &[&str]) -> Output {
        Command::new(&self.kubectl)
            .args(arguments)
            .env_clear()
            .env("PATH", self.directory.path())
            .env("HOME", self.directory.path())
            .output()
            .unwrap()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn kubectl_runs_it_as_a_command_of_its_own() {
    let Some(installed) = Installed::or_skip("kubectl_runs_it_as_a_command_of_its_own") else { return };
    let listed = text(installed.kubectl(&["plugin", "list"]).stdout);
    assert!(listed.contains("kubectl-keystow"), "{listed}");
    let help = text(installed.kubectl(&["keystow", "--help"]).stdout);
    assert!(help.contains("Usage: kubectl keystow <COMMAND>"), "{help}");
    let help = text(installed.kubectl(&["keystow", "check", "--help"]).stdout);
    assert!(help.contains("Usage: kubectl keystow check"), "{help}");
    let wrong = installed.kubectl(&["keystow", "chek"]);
    let told = text(wrong.stderr);
    assert!(wrong.status.code() == Some(64) && told.contains("kubectl keystow"), "{told}");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/webhook-config/examples/user-rpc.yaml");
    let checked = installed.kubectl(&["keystow", "check", "-f", examples, "--format", "json"]);
    assert!(text(checked.stdout).contains("\"findings\""));
}

#[test]
fn kubectl_completes_it() {
    let Some(installed) = Installed::or_skip("kubectl_completes_it") else { return };
    for (words, candidates) in [
        (&["keystow", "ch"][..], &["check"][..]),
        (&["keystow", ""], &["check", "export", "inject", "webhook"]),
        (&["keystow", "export", "mut"], &["mutating-admission-policy"]),
        (&["keystow", "check", "--for"], &["--format"]),
        (&["keystow", "check", "--format", ""], &["json", "sarif", "text"]),
    ] {
        let output = installed.kubectl(&[&["__complete"], words].concat());
        let found = text(output.stdout);
        for candidate in candidates {
            let is_there = found.lines().any(|line| line.split('\t').next() == Some(candidate));
            assert!(is_there, "{words:?}: {found}");
        }
        assert!(found.lines().any(|line| line.starts_with(':')), "{found}");
    }
}

#[test]
fn shells_take_the_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_keystow")).args(["completions", shell]).output().unwrap();
        let script = text(output.stdout);
        assert!(output.status.success() && script.contains("mutating-admission-policy"), "{shell}");
        if shell == "bash" {
            let directory = TempDir::new().unwrap();
            let file = directory.path().join("completions");
            std::fs::write(&file, script).unwrap();
            assert!(Command::new("bash").arg("-n").arg(&file).status().unwrap().success());
        }
    }
}
