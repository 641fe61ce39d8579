//! Where a path lies: the object below the mount, and the key in it.
//!
//! ```text
//! /veza/db_password  ─▶ the key `password` of veza/db
//! /veza/token        ─▶ the key `value` of veza/token       (and so is what a lease is held by)
//! ```
//!
//! Invariant: no two objects' paths become one, and none leads elsewhere: a segment that Vault, or a server before it,
//! would take for another one is refused before it is sent.

use super::wire::Trouble;
use crate::domain::{SecretValue, StoragePath};
use crate::handover;
use crate::store::{Address, Entry};

/// Where a value lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Below the mount, without a `/` at its beginning.
    pub(super) object: String,
    pub(super) key: String,
}

impl Place {
    pub(super) fn of(address: &Address) -> Result<Self, Trouble> {
        let handover::Place { object: path, key } = match address.entry {
            Entry::Value => handover::Place::in_vault(&address.path),
            Entry::Lease => handover::Place::of_lease(&address.path),
        };
        let object = object(&path).map_err(|reason| Trouble::Invalid(reason.to_owned()))?;
        Ok(Self { object: object.to_owned(), key: key.to_owned() })
    }

    /// The object that a group lies in, and the key of each of its values.
    pub(super) fn of_group(group: &[(Address, SecretValue)]) -> Result<(String, Vec<String>), Trouble> {
        let mut objects = Vec::new();
        let mut keys = Vec::new();
        for (address, _) in group {
            let Self { object, key } = Self::of(address)?;
            objects.push(object);
            keys.push(key);
        }
        objects.dedup();
        let is_twice = keys.iter().enumerate().any(|(at, key)| keys[..at].contains(key));
        match <[String; 1]>::try_from(objects) {
            Ok([object]) if !is_twice => Ok((object, keys)),
            _ => Err(Trouble::Invalid(
                "values that belong together are stored in one object here, so their paths must be alike up to the last \
                 `_`; give them storageKeys such as db_private and db_public"
                    .to_owned(),
            )),
        }
    }
}

/// The path of an object below the mount.
pub(super) fn object(path: &StoragePath) -> Result<&str, &'static str> {
    let below = path.as_str().strip_prefix('/').ok_or("a path in Vault begins with `/`")?;
    if below.split('/').all(is_segment) { Ok(below) } else { Err(RULE) }
}

const RULE: &str = "no segment of a path in Vault is empty, begins or ends with a blank, or has `..` in it";

/// Whether Vault keeps a segment as it is.
pub(super) fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text != "." && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &str) -> Address {
        Address::value(StoragePath::read(path).unwrap())
    }

    #[test]
    fn a_field_is_a_key_of_the_object_and_a_lease_is_not() {
        let place = |address: &Address| {
            let place = Place::of(address).unwrap();
            format!("{} {}", place.object, place.key)
        };
        assert_eq!(place(&address("/veza/db_password")), "veza/db password");
        assert_eq!(place(&address("/veza/db")), "veza/db value");
        assert_eq!(place(&Address::lease(StoragePath::read("/l/snow_flake").unwrap())), "l/snow_flake value");
    }

    #[test]
    fn what_would_be_another_path_is_refused() {
        for path in ["db", "//db", "/a//b", "/a /b", "/ a/b", "/a/b ", "/a..b", "/a/\u{a0}b"] {
            let refused = Place::of(&address(path));
            assert!(matches!(refused, Err(Trouble::Invalid(_))), "{path}: {refused:?}");
        }
        for path in ["/a b", "/a.b", "/a%2Fb", "/*", "/a\\b", "/-"] {
            Place::of(&address(path)).unwrap();
        }
    }

    #[test]
    fn a_group_is_one_object() {
        let group = |paths: &[&str]| {
            let value = SecretValue::new(b"1".to_vec());
            let group: Vec<_> = paths.iter().map(|path| (address(path), value.clone())).collect();
            Place::of_group(&group)
        };
        let keys = |keys: [&str; 2]| keys.map(String::from).to_vec();
        assert_eq!(group(&["/a/k_private", "/a/k_public"]), Ok(("a/k".into(), keys(["private", "public"]))));
        assert_eq!(group(&["/a/k", "/a/k_public"]), Ok(("a/k".into(), keys(["value", "public"]))));
        for apart in [&["/a/k_private", "/a/l_public"][..], &["/a/k", "/a/k_value"], &[]] {
            assert!(group(apart).is_err(), "{apart:?}");
        }
    }
}
