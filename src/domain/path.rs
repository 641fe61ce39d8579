//! Storage paths: `<storage-prefix>/<storageKey or NAME>` (kees `DynamoDBStorageProvider`).

use std::fmt;

use super::name::{InvalidText, field_mark};

/// The value of `init.D/storage-prefix`, without its trailing `/`; empty means the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StoragePrefix(String);

/// The value of a `storageKey`: what stands in the store behind the prefix instead of the annotation's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageKey(String);

/// Where a value lives in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoragePath(String);

/// No segment may walk upwards, and nothing may be invisible: stores that treat paths as paths would end up
/// elsewhere than the operator's prefix rules say.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control) && !text.split('/').any(|part| matches!(part, "." | ".."))
}

impl StoragePrefix {
    /// The prefix of pods that name none.
    pub const ROOT: Self = Self(String::new());

    /// Reads the annotation's value. Quotes are taken off, as kees does.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        let text: String = text.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
        if text.len() > 512 || !is_plain(&text) {
            return Err(InvalidText(
                "a storage prefix such as /veza/production, without `.` and `..` segments",
            ));
        }
        Ok(Self(text.strip_suffix('/').unwrap_or(&text).to_owned()))
    }

    /// The path of `key` below this prefix.
    pub fn join(&self, key: &str) -> StoragePath {
        StoragePath(format!("{}/{key}", self.0))
    }

    /// The prefix as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this prefix is `allowed` or below it, segment by segment: `/veza` and `/veza/` both allow
    /// `/veza/production` and neither allows `/vezandra`.
    pub fn is_within(&self, allowed: &str) -> bool {
        is_within(&self.0, allowed)
    }
}

fn is_within(text: &str, allowed: &str) -> bool {
    let allowed = allowed.strip_suffix('/').unwrap_or(allowed);
    match text.strip_prefix(allowed) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

impl StorageKey {
    /// Checks a `storageKey`.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        if text.is_empty() || text.len() > 512 || !is_plain(text) {
            return Err(InvalidText("a storage key: 1 to 512 characters, without `.` and `..` segments"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Checks the `storageKey` of a secret or resource, which lies where no index can.
    pub fn of_value(text: &str) -> Result<Self, InvalidText> {
        if text.starts_with("leases/") {
            return Err(InvalidText("a storage key of a value: below leases/ are the holders of indices"));
        }
        Self::new(text)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StoragePath {
    /// Reads a path that a store lists; `None` where no annotation could ask for it.
    pub fn read(text: &str) -> Option<Self> {
        let key = text.rsplit('/').next().unwrap_or_default();
        (!key.is_empty() && is_plain(text)).then(|| Self(text.to_owned()))
    }

    /// Whether it is `allowed` or below it, as [`StoragePrefix::is_within`] has it.
    pub fn is_within(&self, allowed: &str) -> bool {
        is_within(&self.0, allowed)
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path, longer by a suffix.
    pub(super) fn with_suffix(&self, suffix: &str) -> Self {
        Self(format!("{}{suffix}", self.0))
    }

    /// The object and the field of it that a path such as `/veza/db_password` names, for stores whose objects have
    /// fields: `/veza/db` and `password`.
    pub fn split_field(&self) -> Option<(Self, &str)> {
        let at = field_mark(&self.0)?;
        let (object, field) = (&self.0[..at], &self.0[at + 1..]);
        let is_named = !object.is_empty() && !object.ends_with('/') && !field.is_empty();
        is_named.then(|| (Self(object.to_owned()), field))
    }
}

impl fmt::Display for StoragePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StoragePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_and_all_quotes_are_removed() {
        for (typed, path) in [
            ("/", "/db"),
            ("", "/db"),
            ("/veza/production", "/veza/production/db"),
            ("\"/env/\"", "/env/db"),
            ("'/env'", "/env/db"),
        ] {
            assert_eq!(StoragePrefix::new(typed).unwrap().join("db").as_str(), path, "{typed}");
        }
    }

    #[test]
    fn a_prefix_does_not_walk_upwards() {
        for wrong in ["/veza/../other", "..", "/a/./b", "/a\u{0}b"] {
            assert!(StoragePrefix::new(wrong).is_err() && StorageKey::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_field_is_what_follows_the_last_underscore_of_the_last_segment() {
        for (path, split) in [
            ("/veza/db_password", Some(("/veza/db", "password"))),
            ("/a_b/c", None),
            ("/a_b", Some(("/a", "b"))),
            ("/a_b_c", Some(("/a_b", "c"))),
            ("/a/_b", None),
            ("/a_", None),
            ("/a_B", None),
            ("/leases/a_b.7", None),
        ] {
            let path = StoragePath::read(path).unwrap();
            let found = path.split_field();
            let found = found.as_ref().map(|(object, field)| (object.as_str(), *field));
            assert_eq!(found, split, "{path}");
        }
    }

    #[test]
    fn what_is_listed_is_a_path_only_where_an_annotation_could_ask_for_it() {
        assert_eq!(StoragePath::read("/a/b").unwrap(), StoragePrefix::new("/a").unwrap().join("b"));
        for other in ["", "/", "/a/", "/a/../b", "/a\u{7}"] {
            assert_eq!(StoragePath::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn prefixes_are_compared_by_segment() {
        let prefix = |text| StoragePrefix::new(text).unwrap();
        assert!(prefix("/veza/production").is_within("/veza/"));
        assert!(prefix("/veza").is_within("/veza/"));
        assert!(prefix("/anything").is_within("/"));
        assert!(!prefix("/vezandra").is_within("/veza"));
        assert!(!prefix("/").is_within("/veza"));
    }
}
