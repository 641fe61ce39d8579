//! OpenPGP keys, with the `gpg` of the system: one who has the public half, and one who has both.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{succeed, write};
use crate::support::programs;

/// A GnuPG of its own. Its directory has a short path: sockets are in it, and 108 bytes are all that a socket's may have.
pub(crate) struct Gpg(TempDir);

impl Gpg {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("kg").rand_bytes(4).tempdir_in("/tmp").expect("a directory"))
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.home().join(name);
        write(&path, content);
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", self.home()).env_remove("GPG_TTY").env("LC_ALL", "C");
        command.args(["--batch", "--no-tty", "--trust-model", "always", "--pinentry-mode", "loopback"]);
        command.args(arguments);
        command
    }

    /// What it prints.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        succeed(&mut self.command(arguments)).stdout
    }

    /// Records of `--with-colons` of these kinds.
    fn records(&self, list: &str, kinds: &[&str]) -> Vec<Vec<String>> {
        let out = String::from_utf8_lossy(&self.run(&["--with-colons", list])).into_owned();
        let records = out.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        records.filter(|record| kinds.contains(&record[0].as_str())).collect()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // Its agent.
        drop(Command::new("gpgconf").arg("--homedir").arg(self.home()).args(["--kill", "all"]).output());
    }
}

/// A key that is tried.
pub(crate) struct Key<'k> {
    pub(crate) public: &'k [u8],
    pub(crate) private: &'k [u8],
    pub(crate) password: &'k [u8],
}

/// Tries an RSA key of so many bits that belongs to `user`: who has the public half encrypts and verifies, who has the
/// private one and the password decrypts and signs. Yields when it was made, in seconds.
#[track_caller]
pub(crate) fn assert_key(key: &Key<'_>, bits: &str, user: &str) -> u64 {
    let Key { public, private, password } = key;
    let (sender, owner) = (Gpg::new(), Gpg::new());
    let text = |path: &PathBuf| path.display().to_string();
    sender.run(&["--import", &text(&sender.file("public", public))]);
    owner.run(&["--import", &text(&owner.file("private", private))]);

    let listed = sender.records("--list-keys", &["pub", "sub", "uid", "fpr"]);
    let kinds: Vec<&str> = listed.iter().map(|record| record[0].as_str()).collect();
    assert_eq!(kinds, ["pub", "fpr", "uid"], "one key, without a subkey");
    let (key, fingerprint, owned_by) = (&listed[0], &listed[1][9], &listed[2]);
    // Size, algorithm (RSA), no expiry.
    assert_eq!((&*key[2], &*key[3], &*key[6]), (bits, "1", ""));
    assert!("esc".chars().all(|can| key[11].contains(can)), "encrypts, signs, certifies: {key:?}");
    assert_eq!(owned_by[9], user);
    let secret = owner.records("--list-secret-keys", &["sec", "ssb", "fpr"]);
    assert_eq!(secret.iter().map(|record| record[0].as_str()).collect::<Vec<_>>(), ["sec", "fpr"]);
    assert_eq!(&secret[1][9], fingerprint, "both halves are of one key");

    let message = sender.file("message", b"for the owner's eyes");
    let sealed = text(&sender.home().join("sealed"));
    sender.run(&["--output", &sealed, "--recipient", fingerprint, "--encrypt", &text(&message)]);
    let file = text(&owner.file("wrong", b"another password"));
    let wrong =
        owner.command(&["--passphrase-file", &file, "--decrypt", &sealed]).output().expect("a started gpg");
    assert!(!wrong.status.success() && wrong.stdout.is_empty(), "the password is asked for");
    let file = text(&owner.file("password", password));
    assert_eq!(owner.run(&["--passphrase-file", &file, "--decrypt", &sealed]), b"for the owner's eyes");

    let signed = text(&owner.file("signed", b"by the owner"));
    let signature = text(&owner.home().join("signature"));
    owner.run(&["--passphrase-file", &file, "--output", &signature, "--detach-sign", &signed]);
    let verdict = sender.run(&["--status-fd", "1", "--verify", &signature, &signed]);
    let verdict = String::from_utf8_lossy(&verdict);
    assert!(verdict.contains("GOODSIG") && verdict.contains(fingerprint.as_str()), "{verdict}");
    owner.file("signed", b"by somebody else");
    assert!(
        !sender.command(&["--verify", &signature, &signed]).output().expect("a started gpg").status.success()
    );
    key[5].parse().expect("seconds")
}

/// Whether the system has it; says where not that `test` is skipped.
pub(crate) fn is_there(test: &str) -> bool {
    ["gpg", "gpgconf", "gpg-agent"].iter().all(|program| programs::has(test, program, "gnupg"))
}
