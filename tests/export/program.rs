//! The program under test, and files that it is given.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file of `tests/data/export/`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/export").join(name)
}

/// Runs `keystow export` with these arguments.
pub(crate) fn export(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keystow"))
        .arg("export")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What it prints, and what it says about it.
#[track_caller]
pub(crate) fn exported(arguments: &[&str]) -> (String, String) {
    let output = export(arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
    (out, err)
}

/// Why it prints nothing: the exit code and what it says.
#[track_caller]
pub(crate) fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = export(arguments);
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
