//! Where keys lie in a Secret's data.
//!
//! | | key pairs | a value under `NAME` |
//! |---|---|---|
//! | signs | `new.key` | `NAME` |
//! | will sign | `next.key` | `NAME.next` |
//! | signed | `old.key`, `old-2.key`, … | `NAME.old`, `NAME.old-2`, … |
//!
//! Names are of roles, not of keys: a variable of a container is of one key of a Secret, and must follow the key that
//! signs. Who reads several keys finds them together, since a Secret changes as a whole.

use std::collections::BTreeMap;

use crate::domain::SecretValue;

/// What the data of a Secret can hold of former keys.
pub(super) const MOST_FORMER: usize = 64;

/// The names of the keys of one Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names(String);

/// The key that signs, of key pairs.
const NEW: &str = "new.key";

impl Names {
    /// Those of key pairs.
    pub(super) fn of_pairs() -> Self {
        Self(NEW.to_owned())
    }

    /// Those around a key of the data.
    pub(super) fn around(signing: &str) -> Self {
        Self(signing.to_owned())
    }

    /// The one that signs.
    pub(super) fn signing(&self) -> &str {
        &self.0
    }

    /// The one that will.
    pub(super) fn next(&self) -> String {
        self.with("next")
    }

    /// The one that signed, `place` keys ago, from 0 on.
    pub(super) fn former(&self, place: usize) -> String {
        match place {
            0 => self.with("old"),
            _ => self.with(&format!("old-{}", place + 1)),
        }
    }

    /// Whether a key of the data has a role by these names.
    pub(super) fn have(&self, name: &str) -> bool {
        name == self.signing()
            || name == self.next()
            || (0..MOST_FORMER).any(|place| name == self.former(place))
    }

    /// Where nothing of the data has a role: another name that it seems to lie around.
    pub(super) fn others_in<'d>(&self, data: &'d BTreeMap<String, SecretValue>) -> Option<&'d str> {
        let is_around = |name: &&String| {
            let theirs = Self::around(name);
            data.len() == 1 || data.keys().any(|other| other != *name && theirs.have(other))
        };
        let is_ours = data.keys().any(|name| self.have(name));
        data.keys().find(is_around).filter(|_| !is_ours).map(String::as_str)
    }

    fn with(&self, role: &str) -> String {
        if self.0 == NEW { format!("{role}.key") } else { format!("{}.{role}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_around_another_name_is_found() {
        let names = Names::around("other");
        let found = |keys: &[&str]| {
            let data = keys.iter().map(|key| ((*key).to_owned(), SecretValue::new(vec![1]))).collect();
            names.others_in(&data).map(str::to_owned)
        };
        assert_eq!(found(&["token"]).as_deref(), Some("token"));
        assert_eq!(found(&["token", "token.next", "user"]).as_deref(), Some("token"));
        for keys in [&["other", "token", "token.next"][..], &["other.old", "token"], &["user", "token"], &[]]
        {
            assert_eq!(found(keys), None, "{keys:?}");
        }
    }

    #[test]
    fn names_are_of_roles() {
        let pairs = Names::of_pairs();
        let all = [pairs.signing().to_owned(), pairs.next(), pairs.former(0), pairs.former(1)];
        assert_eq!(all, ["new.key", "next.key", "old.key", "old-2.key"]);
        let value = Names::around("jwt-secret");
        let all = [value.signing().to_owned(), value.next(), value.former(0), value.former(1)];
        assert_eq!(all, ["jwt-secret", "jwt-secret.next", "jwt-secret.old", "jwt-secret.old-2"]);
    }
}
