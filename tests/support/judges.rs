//! Programs that others read keys with: what they accept is a key, and what they take for one pair is one.
//!
//! Values come as bytes, as a store or an application has them, and never on a command line.

pub(crate) mod gnupg;
pub(crate) mod openssl;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// A file that the owner alone reads, with a secret in it: command lines are seen by everybody.
fn write(path: &Path, value: &[u8]) {
    fs::write(path, value).expect("a written file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// What a command says that succeeds.
#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let output = command.env("LC_ALL", "C").output().expect("a started program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
