//! What is noted on a consumer, as text in an annotation.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::{INTERVAL, Reference, after};

/// In the place of the hash of what is not there.
const ABSENT: &str = "-";

/// What was seen of each reference: a hash. Written as `NAMESPACE/SECRET/KEY=HASH`, with commas between, `*` for all keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(pub(super) BTreeMap<Reference, String>);

/// What is noted on a consumer. Written `SALT@SECONDS`, and what was seen after a comma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// By which key the hashes are: a hash of it.
    pub salt: String,
    /// When it was noted; written in Unix seconds.
    pub at: Timestamp,
    /// What was seen.
    pub seen: Seen,
}

/// What a note says beside what would be noted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Another installation noted it, under a salt of its own, and only just now: two that note the same consumers do so
    /// once a minute, and not as fast as they can.
    Others {
        /// Until when it is left to that one.
        until: Timestamp,
    },
    /// It was noted under another salt: what was seen then is not known.
    Foreign,
    /// The same.
    Same,
    /// Something else.
    Changed,
}

impl Note {
    /// What is there now of each reference. Of what is not there it stays noted what was, so that it is the same when it
    /// comes back the same.
    pub fn of(
        salt: String,
        at: Timestamp,
        hashes: impl IntoIterator<Item = (Reference, Option<String>)>,
        noted: Option<&Self>,
    ) -> Self {
        let before = noted.filter(|noted| noted.salt == salt).map(|noted| &noted.seen.0);
        let hashes = hashes.into_iter().map(|(reference, hash)| {
            let hash = hash.or_else(|| before?.get(&reference).cloned());
            (reference, hash.unwrap_or_else(|| ABSENT.to_owned()))
        });
        let seen = Seen(hashes.collect());
        Self { salt, at, seen }
    }

    /// How it stands to what would be noted now.
    #[must_use]
    pub fn standing(&self, to_note: &Self) -> Standing {
        let until = after(self.at, INTERVAL);
        if self.salt == to_note.salt {
            if self.seen == to_note.seen { Standing::Same } else { Standing::Changed }
        } else if (self.at..until).contains(&to_note.at) {
            Standing::Others { until }
        } else {
            Standing::Foreign
        }
    }

    /// Reads it; what cannot be read was not noted.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (head, seen) = text.split_once(',').unwrap_or((text, ""));
        let (salt, at) = head.split_once('@').unwrap_or_default();
        let at = at.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_default();
        Self { salt: salt.to_owned(), at, seen: Seen::read(seen) }
    }

    /// Writes it.
    #[must_use]
    pub fn write(&self) -> String {
        format!("{}@{},{}", self.salt, self.at.as_second(), self.seen.write())
    }
}

impl Seen {
    /// Reads the note; what cannot be read was not seen.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let read = |part: &str| {
            let (reference, hash) = part.split_once('=')?;
            let mut parts = reference.splitn(3, '/');
            let (namespace, secret, key) = (parts.next()?, parts.next()?, parts.next()?);
            let key = (key != "*").then(|| key.to_owned());
            Some((Reference { namespace: namespace.into(), secret: secret.into(), key }, hash.to_owned()))
        };
        Self(text.split(',').filter_map(read).collect())
    }

    /// Writes it.
    #[must_use]
    pub fn write(&self) -> String {
        let parts = self.0.iter().map(|(reference, hash)| format!("{reference}={hash}"));
        parts.collect::<Vec<_>>().join(",")
    }
}
