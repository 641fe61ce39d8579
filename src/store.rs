//! Where secrets are kept: one trait, and the stores behind it.
//!
//! ```text
//! StoreSettings ─▶ open ─▶ dyn Store ─▶ get (init) · create, delete, list (creator)
//! ```
//!
//! Invariants: an answer has an outcome for every address asked for; a group is created as a whole or not at
//! all; an error names its path and reason and never a value. `NotFound` is said only where the store itself
//! said so: whoever falls back to local values relies on it. Retrying is the caller's business, batching and
//! paging are the store's.
//!
//! Deliberately absent: every store but `local`. [`open`] refuses the others by name in this version.

mod local;
#[cfg(test)]
pub(crate) mod memory;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{SecretValue, StoragePath};
use crate::handover::StoreSettings;

/// What a store's method gives back. Boxed, so that stores can be chosen at run time: a call to a store takes
/// milliseconds, an allocation takes nanoseconds.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What kind of thing lies at an address. Kees' table keeps secrets and resources in base64, and leases plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// The bytes of a secret or resource.
    Value,
    /// The name of the pod that holds an index.
    Lease,
}

/// A place in a store, and how what lies there is to be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Where.
    pub path: StoragePath,
    /// What.
    pub entry: Entry,
}

/// What [`Store::create`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// Every value of the group is now stored.
    Ours,
    /// Somebody was faster: these are the values that are stored, in the order of the group.
    Theirs(Vec<SecretValue>),
}

/// What [`Store::delete`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone now, or was already.
    Gone,
    /// Another value than the expected one lies there, and was left alone.
    Changed,
}

/// A store of secrets. The `Debug` form of a store shows neither values nor credentials.
pub trait Store: fmt::Debug + Send + Sync {
    /// Gets many values, in as few calls to the store as it allows. Every address has an outcome.
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes>;

    /// Stores a group of values if none of them is there yet: all of them or none, whatever happens.
    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>>;

    /// Deletes a value if it is still the expected one.
    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>>;

    /// Lists what lies below a prefix, to the last page.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>>;
}

/// What became of each address of a [`Store::get`].
pub type Outcomes = HashMap<Address, Result<SecretValue, StoreError>>;

/// Why a store did not do what it was asked. Never carries a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store says that there is nothing. It may come: the creator may still be at work.
    #[error("{path} is not in the store; create it, or check storage-prefix and storageKey")]
    NotFound {
        /// What was looked for.
        path: StoragePath,
    },
    /// The store knows who asks and refuses. Asking again does not help.
    #[error("access to {path} is denied ({reason}); grant it to the pod's service account")]
    Denied {
        /// What was asked for.
        path: String,
        /// The store's words.
        reason: String,
    },
    /// The store is throttling or away. Asking again helps.
    #[error("the store did not answer for {path} ({reason}); it was asked again until the deadline")]
    Unavailable {
        /// What was asked for.
        path: String,
        /// The store's words.
        reason: String,
        /// How long the store wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// What was asked for cannot be, or what lies there is not of the form it must have. Asking again does not
    /// help.
    #[error("{path} cannot be used: {reason}")]
    Invalid {
        /// What was asked for.
        path: String,
        /// What is wrong, never showing the value.
        reason: String,
    },
}

/// Why a store could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store's kind is known, but nothing in this version speaks to it.
    #[error(
        "the store kind `{kind}` is not in this build of keystow, which carries only `local`; have the operator configure a store that it carries"
    )]
    NotCarried {
        /// The kind's word.
        kind: &'static str,
    },
}

impl Address {
    /// Where a secret or resource lies.
    pub fn value(path: StoragePath) -> Self {
        Self { path, entry: Entry::Value }
    }

    /// Where the holder of an index lies.
    pub fn lease(path: StoragePath) -> Self {
        Self { path, entry: Entry::Lease }
    }
}

impl StoreError {
    /// Whether waiting and asking again can help.
    pub fn is_worth_waiting_for(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Unavailable { .. })
    }
}

/// Opens the store that the operator configured. Nothing is contacted yet.
///
/// `local` opens too, as a store that refuses everything with an explanation: its values come from requests, not
/// from paths, so [`crate::generate::deterministic`] serves them, and the init container asks that instead.
pub fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, OpenError> {
    match settings {
        StoreSettings::Local(_) => Ok(Arc::new(local::Local)),
        StoreSettings::Kubernetes(_)
        | StoreSettings::DynamoDb(_)
        | StoreSettings::SecretsManager(_)
        | StoreSettings::Ssm(_)
        | StoreSettings::Vault(_)
        | StoreSettings::Gcp(_)
        | StoreSettings::Azure(_) => Err(OpenError::NotCarried { kind: settings.kind() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_carried_is_named() {
        let settings: StoreSettings = serde_json::from_str(r#"{"gcp":{"project":"p"}}"#).unwrap();
        let error = open(&settings).unwrap_err();
        assert_eq!(error, OpenError::NotCarried { kind: "gcp" });
        assert!(error.to_string().contains("`gcp` is not in this build"), "{error}");
    }

    #[test]
    fn waiting_helps_only_where_something_may_change() {
        let path = || "/a".to_owned();
        let reason = || "r".to_owned();
        for (error, worth) in [
            (StoreError::Unavailable { path: path(), reason: reason(), retry_after: None }, true),
            (StoreError::Denied { path: path(), reason: reason() }, false),
            (StoreError::Invalid { path: path(), reason: reason() }, false),
        ] {
            assert_eq!(error.is_worth_waiting_for(), worth, "{error}");
        }
    }
}
