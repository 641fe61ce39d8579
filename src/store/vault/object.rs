//! An object of the engine: keys with what people or we have written there.
//!
//! Invariant: what is kept when a key is added or taken away stays as it was, nested JSON and long numbers too.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::Version;
use crate::domain::{SecretValue, StoragePath};
use crate::store::StoreError;
use crate::store::json::{self, Fields};

/// What is there of an object.
pub(super) enum State {
    /// Nothing.
    Absent,
    /// Its newest version, this one, is deleted.
    Deleted(u64),
    There(Object),
}

/// An object as it was read.
pub(super) struct Object {
    /// The whole answer.
    body: Zeroizing<Vec<u8>>,
    engine: Version,
    /// 0 in version 1 of the engine.
    pub(super) version: u64,
}

#[derive(Deserialize)]
struct One<'b> {
    #[serde(borrow)]
    data: Option<Fields<'b>>,
}

#[derive(Deserialize)]
struct Two<'b> {
    #[serde(borrow)]
    data: Versioned<'b>,
}

#[derive(Deserialize)]
struct Versioned<'b> {
    #[serde(borrow)]
    data: Option<Fields<'b>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

fn read(body: &[u8], engine: Version) -> Option<(Fields<'_>, u64)> {
    Some(match engine {
        Version::One => (serde_json::from_slice::<One<'_>>(body).ok()?.data?, 0),
        Version::Two => {
            let Two { data } = serde_json::from_slice(body).ok()?;
            (data.data?, data.metadata.version)
        }
    })
}

impl Object {
    /// None where the answer has not the engine's form.
    pub(super) fn read(body: Zeroizing<Vec<u8>>, engine: Version) -> Option<Self> {
        let (_, version) = read(&body, engine)?;
        Some(Self { body, engine, version })
    }

    fn fields(&self) -> Fields<'_> {
        // It was read before.
        read(&self.body, self.engine).map(|(fields, _)| fields).unwrap_or_default()
    }

    /// The content with another value under a key.
    pub(super) fn with_other(&self, key: &str, value: &SecretValue) -> SecretValue {
        let mut fields = self.fields();
        fields.remove(key);
        json::write(&fields, &[(key, value)])
    }

    /// What is left without a key, and whether that is nothing.
    pub(super) fn without(&self, key: &str) -> (SecretValue, bool) {
        let mut fields = self.fields();
        fields.remove(key);
        (json::write(&fields, &[]), fields.is_empty())
    }
}

impl State {
    /// What a check-and-set must name.
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Deleted(version) | Self::There(Object { version, .. }) => *version,
        }
    }

    /// The content with these values beside what is there.
    pub(super) fn with(&self, added: &[(&str, &SecretValue)]) -> SecretValue {
        match self {
            Self::Absent | Self::Deleted(_) => json::write(&Fields::new(), added),
            Self::There(object) => json::write(&object.fields(), added),
        }
    }
}

/// The value of a key, where there is the key.
pub(super) fn present(object: &Object, key: &str) -> Option<Result<SecretValue, &'static str>> {
    object.fields().get(key).map(|raw| json::scalar(raw))
}

/// The value that an address means.
pub(super) fn outcome(
    state: &State,
    path: &StoragePath,
    key: &str,
    sought: impl Fn() -> String,
) -> Result<SecretValue, StoreError> {
    let found = match state {
        State::Absent => None,
        State::Deleted(version) => {
            let sought = format!("{}, whose newest version, {version}, is deleted", sought());
            return Err(StoreError::not_found(path, sought));
        }
        State::There(object) => present(object, key),
    };
    match found {
        None => Err(StoreError::not_found(path, sought())),
        Some(Ok(value)) => Ok(value),
        Some(Err(reason)) => Err(StoreError::invalid(path, format!("{}: {reason}", sought()))),
    }
}
