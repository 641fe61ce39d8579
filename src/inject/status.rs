//! The status annotation: what keystow did to a pod, in JSON.
//!
//! It is read for one thing only, and only where our parts are really in the pod: which containers there were at
//! the first call, so that those which others add later do not receive the pod's secrets.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::domain::hex;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) version: String,
    /// Of the requests.
    pub(super) hash: String,
    /// Who receives secrets.
    pub(super) containers: Vec<String>,
}

impl Status {
    pub(super) fn new(hash: &str, containers: Vec<String>) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), hash: hash.to_owned(), containers }
    }

    /// What an earlier call noted; nothing where it is not as we write it.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// A digest (SHA-256, the first 16 bytes in hex) of annotations, whatever their order: two pods with the same
/// requests have the same. Values of `localModeValue` could be guessed from it by nobody who does not see the
/// annotations anyway, but are left out all the same.
pub(super) fn hash_of<'p>(annotations: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut sorted: Vec<_> = annotations.collect();
    sorted.sort_unstable();
    let mut context = digest::Context::new(&digest::SHA256);
    for (key, value) in sorted {
        let shown = value.find(crate::domain::LOCAL_MODE_VALUE).unwrap_or(value.len());
        for text in [key, &value[..shown]] {
            context.update(&text.len().to_le_bytes());
            context.update(text.as_bytes());
        }
    }
    hex(&context.finish().as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_order_or_local_values() {
        let one = hash_of([("a", "1"), ("b", "kind=X,localModeValue=eHg=")].into_iter());
        let other = hash_of([("b", "kind=X,localModeValue=eXk="), ("a", "1")].into_iter());
        assert_eq!(one, other);
        assert_ne!(one, hash_of([("a", "2"), ("b", "kind=X")].into_iter()));
        assert_ne!(hash_of([("a", "bc")].into_iter()), hash_of([("ab", "c")].into_iter()));
        assert_eq!(one.len(), 32);
    }

    #[test]
    fn a_status_is_read_as_it_was_written() {
        let status = Status::new("00", vec!["app".to_owned()]);
        assert_eq!(Status::read(&status.to_text()), Some(status));
        assert_eq!(Status::read("injected"), None);
    }
}
