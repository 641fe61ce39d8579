//! Key pairs, with the `openssl` of the system.

use std::path::Path;
use std::process::Command;

use super::{succeed, write};

/// Tries a pair in DER or PEM, whose kind `openssl` calls `title`: it reads both, takes them for one, signs with one and
/// verifies with the other.
#[track_caller]
pub(crate) fn assert_pair(title: &str, public: &[u8], private: &[u8], is_digested: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    write(path("private").as_ref(), private);
    write(path("public").as_ref(), public);
    write(path("message").as_ref(), b"a message");
    let private = path("private");
    succeed(&mut openssl(&["pkey", "-check", "-noout", "-in", &private]));
    let public = path("public");
    assert_halves(title, public.as_ref(), private.as_ref());
    let text = succeed(&mut openssl(&["pkey", "-text", "-noout", "-pubin", "-in", &public])).stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(title), "{title}: {text}");

    let (message, signature) = (path("message"), path("signature"));
    let digest: &[&str] = if is_digested { &["-digest", "sha256"] } else { &[] };
    let raw = [&["-rawin", "-in", &message], digest].concat();
    let sign = ["pkeyutl", "-sign", "-inkey", &private, "-out", &signature];
    succeed(&mut openssl(&[&sign[..], &raw[..]].concat()));
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-sigfile", &signature];
    let verify = [&verify[..], &raw[..]].concat();
    succeed(&mut openssl(&verify));
    write(message.as_ref(), b"another message");
    assert!(
        !openssl(&verify).output().expect("a started openssl").status.success(),
        "{title}: another message was not signed"
    );
}

/// Both files are halves of one key.
#[track_caller]
fn assert_halves(title: &str, public: &Path, private: &Path) {
    let der = ["pkey", "-pubout", "-outform", "DER", "-in"];
    let half = succeed(openssl(&der).arg(private)).stdout;
    let other = succeed(openssl(&["pkey", "-pubin"]).args(&der[1..]).arg(public)).stdout;
    assert_eq!(half, other, "{title}: the halves are of one key");
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments);
    command
}
