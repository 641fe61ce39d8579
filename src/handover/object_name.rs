//! What a storage path is called in a store whose names cannot hold it: Secret objects, Secret Manager, Key Vault.
//!
//! ```text
//! /veza/production/db-main   ─▶ veza--production--db-main            readable and reversible
//! /veza/Production/db..main  ─▶ veza-production-db-main---0f3c…      readable, and told apart by a digest of the path
//! ```
//!
//! Invariant: two paths never have one name. A name of the first form holds no `---`, since a joint stands between
//! letters only; one of the second form ends in 80 bits of the path's SHA-256, so that nobody who may choose a prefix
//! finds one whose secrets are called like another's.
//!
//! The rule lasts: what is stored is found by it. The way back ([`path_of`]) is for names of the first form; of others
//! stores keep the path beside the value.

use aws_lc_rs::digest::{SHA256, digest};

use crate::domain::{StoragePath, hex};

/// What a store takes in a name.
#[derive(Debug, Clone, Copy)]
pub struct Alphabet {
    /// Letters and digits that it tells apart.
    pub is_letter: fn(u8) -> bool,
    /// What may stand between two of them, one at a time. `-` must be one of these.
    pub joints: &'static [u8],
    /// In bytes.
    pub longest: usize,
}

/// `metadata.name` of Secret objects: a DNS subdomain (RFC 1123).
pub const KUBERNETES: Alphabet =
    Alphabet { is_letter: |b| b.is_ascii_lowercase() || b.is_ascii_digit(), joints: b"-.", longest: 253 };

/// Secret ids of Google Cloud Secret Manager.
pub const GCP: Alphabet = Alphabet { is_letter: |b| b.is_ascii_alphanumeric(), joints: b"-_", longest: 255 };

/// Names of Azure Key Vault, which does not tell capitals from small letters.
pub const AZURE: Alphabet =
    Alphabet { is_letter: |b| b.is_ascii_lowercase() || b.is_ascii_digit(), joints: b"-", longest: 127 };

/// Bytes of the digest that are in a name.
const DIGEST: usize = 10;

/// The name of a path.
pub fn object_name(path: &str, alphabet: Alphabet) -> String {
    plain(path, alphabet).unwrap_or_else(|| digested(path, alphabet))
}

/// The path of a name: the one that is kept beside the value, if it has that name, or else the one that can be read back.
pub fn path_of(name: &str, kept: Option<String>, alphabet: Alphabet) -> Option<StoragePath> {
    let is_its = |path: &String| object_name(path, alphabet) == name;
    let readable = || format!("/{}", name.replace("--", "/"));
    let path = kept.filter(is_its).or_else(|| Some(readable()).filter(is_its))?;
    StoragePath::read(&path)
}

/// The name, where it can be read back.
fn plain(path: &str, alphabet: Alphabet) -> Option<String> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let is_plain = |segment: &&str| {
        segment
            .as_bytes()
            .split(|byte| alphabet.joints.contains(byte))
            .all(|word| !word.is_empty() && word.iter().all(|byte| (alphabet.is_letter)(*byte)))
    };
    let name = segments.iter().all(is_plain).then(|| segments.join("--"))?;
    (name.len() <= alphabet.longest).then_some(name)
}

fn digested(path: &str, alphabet: Alphabet) -> String {
    let mut readable = String::new();
    let room = alphabet.longest - 3 - 2 * DIGEST;
    for char in path.chars().map(|char| char.to_ascii_lowercase()) {
        let is_letter = u8::try_from(char).is_ok_and(alphabet.is_letter);
        if is_letter && readable.len() < room {
            readable.push(char);
        } else if !is_letter && !readable.is_empty() && !readable.ends_with('-') && readable.len() < room {
            readable.push('-');
        }
    }
    let readable = match readable.trim_end_matches('-') {
        "" => "secret",
        some => some,
    };
    let digest = digest(&SHA256, path.as_bytes());
    format!("{readable}---{}", hex(&digest.as_ref()[..DIGEST]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_paths_keep_their_words() {
        for (path, kubernetes, gcp, azure) in [
            ("/db", "db", "db", "db"),
            (
                "/veza/production/db-main",
                "veza--production--db-main",
                "veza--production--db-main",
                "veza--production--db-main",
            ),
            ("/app.db", "app.db", "app-db---b48ce8a956b850280e25", "app-db---b48ce8a956b850280e25"),
            ("/app_db", "app-db---09ea51662dce542ec7a2", "app_db", "app-db---09ea51662dce542ec7a2"),
            ("/Db", "db---61c1054ed35fcadd0114", "Db", "db---61c1054ed35fcadd0114"),
        ] {
            for (alphabet, name) in [(KUBERNETES, kubernetes), (GCP, gcp), (AZURE, azure)] {
                assert_eq!(object_name(path, alphabet), name, "{path}");
            }
        }
    }

    #[test]
    fn paths_that_look_alike_have_names_of_their_own() {
        let paths = [
            "/a/b", "a/b", "/a-b", "/a--b", "/a.b", "/a_b", "/A/b", "/a//b", "/a/b/", "/-a/b", "/a b", "/ä/b",
        ];
        for alphabet in [KUBERNETES, GCP, AZURE] {
            let names: HashMap<String, &str> =
                paths.iter().map(|path| (object_name(path, alphabet), *path)).collect();
            assert_eq!(names.len(), paths.len(), "{names:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_the_store_takes(path in "/?[a-zA-Z0-9/._ é-]{0,300}") {
            for alphabet in [KUBERNETES, GCP, AZURE] {
                let name = object_name(&path, alphabet);
                prop_assert!(!name.is_empty() && name.len() <= alphabet.longest, "{name}");
                let bytes = name.as_bytes();
                let is_inner = |byte: &u8| (alphabet.is_letter)(*byte) || alphabet.joints.contains(byte);
                prop_assert!(bytes.iter().all(is_inner), "{name}");
                prop_assert!((alphabet.is_letter)(bytes[0]) && (alphabet.is_letter)(bytes[bytes.len() - 1]), "{name}");
            }
        }

        #[test]
        fn a_path_that_ends_like_a_digest_is_no_forgery(digest in "[0-9a-f]{20}") {
            let forged = format!("/db---{digest}");
            prop_assert!(object_name(&forged, KUBERNETES) != forged[1..]);
        }
    }
}
