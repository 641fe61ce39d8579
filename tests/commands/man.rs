//! Manual pages: one a command, with every flag.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

fn keystow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keystow")).args(arguments).env_clear().output().unwrap()
}

/// The commands and flags that a help names.
fn help(arguments: &[&str]) -> String {
    let output = keystow(&[arguments, &["--help"]].concat());
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// A page without the escapes of roff.
fn plain(page: &str) -> String {
    page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
}

#[test]
fn every_command_has_a_page_with_all_its_flags() {
    let directory = TempDir::new().unwrap();
    let output = keystow(&["man", "--directory", directory.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let commands: [&[&str]; 14] = [
        &[],
        &["inject"],
        &["init"],
        &["create"],
        &["webhook"],
        &["check"],
        &["export"],
        &["export", "terraform"],
        &["export", "vault-policy"],
        &["export", "rbac"],
        &["export", "external-secrets"],
        &["export", "encryption-config"],
        &["export", "mutating-admission-policy"],
        &["completions"],
    ];
    for command in commands {
        let name = [&["keystow"], command].concat().join("-");
        let page = plain(&fs::read_to_string(directory.path().join(format!("{name}.1"))).unwrap());
        assert!(page.contains(".TH") && page.contains("NAME"), "{name}");
        let help = help(command);
        let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        for flag in words.filter(|word| word.starts_with("--") && word.len() > 4) {
            assert!(page.contains(flag), "{name} has no {flag}");
        }
    }
}

#[test]
fn a_page_is_printed_and_an_unknown_command_is_told() {
    let output = keystow(&["man", "export", "terraform"]);
    let page = plain(&String::from_utf8(output.stdout).unwrap());
    assert!(page.contains("--module") && page.contains("keystow-export-terraform"), "{page}");
    let output = keystow(&["man", "exprt"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(64) && told.contains("there are: ") && told.contains("export"),
        "{told}"
    );
}
