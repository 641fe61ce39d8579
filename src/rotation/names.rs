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

    fn with(&self, role: &str) -> String {
        if self.0 == NEW { format!("{role}.key") } else { format!("{}.{role}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
