//! What is noted about the keys of a Secret, in an annotation of it: who they are and since when. No secret is in it.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::set::{Former, Identity, KeySet, Next, Signing};

/// The annotation, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes(pub KeySet);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    signing: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Key>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    id: String,
    issuer: String,
    created: String,
    /// Of the one that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signs: Option<String>,
    /// Of a former one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retires: Option<String>,
}

impl Notes {
    /// Reads the annotation. What cannot be read says nothing: the keys are then taken for new, which keeps them longer.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let Set { signing, next, former } = serde_json::from_str(text).ok()?;
        let since = instant(signing.since.as_deref())?;
        let signing = Signing { key: signing.identity()?, since };
        let next = match next {
            None => None,
            Some(key) => Some(Next { signs: instant(key.signs.as_deref())?, key: key.identity()? }),
        };
        let former = former
            .into_iter()
            .map(|key| Some(Former { retires: instant(key.retires.as_deref())?, key: key.identity()? }));
        Some(Self(KeySet { signing, next, former: former.collect::<Option<_>>()? }))
    }

    /// Writes it.
    #[must_use]
    pub fn write(set: &KeySet) -> String {
        let signing = Key { since: Some(set.signing.since.to_string()), ..Key::of(&set.signing.key) };
        let next = set.next.as_ref();
        let next = next.map(|next| Key { signs: Some(next.signs.to_string()), ..Key::of(&next.key) });
        let former = set.former.iter();
        let former =
            former.map(|former| Key { retires: Some(former.retires.to_string()), ..Key::of(&former.key) });
        let set = Set { signing, next, former: former.collect() };
        // Text in lists cannot fail to be JSON.
        serde_json::to_string(&set).unwrap_or_default()
    }
}

impl Key {
    fn of(key: &Identity) -> Self {
        let Identity { id, issuer, created } = key.clone();
        Self { id, issuer, created: created.to_string(), since: None, signs: None, retires: None }
    }

    fn identity(self) -> Option<Identity> {
        Some(Identity { created: instant(Some(&self.created))?, id: self.id, issuer: self.issuer })
    }
}

fn instant(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let key = |id: &str| Identity { id: id.into(), issuer: format!("i/{id}"), created: at(1) };
        let set = KeySet {
            signing: Signing { key: key("b"), since: at(2) },
            next: Some(Next { key: key("c"), signs: at(3) }),
            former: vec![Former { key: key("a"), retires: at(4) }],
        };
        assert_eq!(Notes::read(&Notes::write(&set)), Some(Notes(set)));
        for text in ["", "{}", "[]", r#"{"signing":{"id":"a","issuer":"b","created":"yesterday"}}"#] {
            assert_eq!(Notes::read(text), None, "{text}");
        }
    }
}
