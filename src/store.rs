//! Where secrets are kept: one trait, and the stores behind it.
//!
//! ```text
//! StoreSettings, Surroundings ─▶ open ─▶ dyn Store ─▶ get (init) · create, delete, list (creator) · replace (provider)
//! ```
//!
//! | store | what lies at `/veza/db_password` | a group of several values |
//! |---|---|---|
//! | `dynamodb` | the item `/veza/db_password` | one transaction |
//! | `kubernetes`, `vault` | the field `password` of the object `/veza/db` | one object |
//! | `secretsmanager`, `ssm`, `gcp`, `azure` ([`flat`]) | the object of that name, or else the field `password` of the JSON in `/veza/db` | one object with JSON |
//!
//! Invariants: an answer has an outcome for every address asked for; a group is created as a whole or not at
//! all; an error names its path and reason and never a value. `NotFound` is said only where the store itself
//! said so: whoever falls back to local values relies on it. Waiting and asking again is the caller's business,
//! batching and paging are the store's, and so is logging in again when a session has expired.
//!
//! Deliberately absent: caches. A store is asked once by an init container, and once a round by a sidecar.

#[cfg(feature = "_aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "_flat")]
mod flat;
#[cfg(feature = "gcp")]
mod gcp;
#[cfg(any(feature = "azure", feature = "gcp", feature = "vault"))]
mod http;
#[cfg(any(feature = "_flat", feature = "vault"))]
mod json;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod local;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod rest;
#[cfg(feature = "secretsmanager")]
mod secretsmanager;
#[cfg(feature = "ssm")]
mod ssm;
#[cfg(any(feature = "_flat", feature = "vault"))]
mod text;
#[cfg(feature = "vault")]
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
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

/// What [`Store::replace`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The new value is there.
    Done,
    /// What lies there is not what was expected, and was left alone.
    Changed,
    /// This store cannot write over a value only as long as it is the expected one, and so does not at all.
    Unsupported,
}

/// A store of secrets. The `Debug` form of a store shows neither values nor credentials.
pub trait Store: fmt::Debug + Send + Sync {
    /// Gets many values, in as few calls to the store as it allows. Every address has an outcome.
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes>;

    /// Stores a group of values if none of them is there yet: all of them or none, whatever happens.
    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>>;

    /// Deletes a value if it is still the expected one. What shares an object with others is not deleted alone where
    /// the store cannot do that: [`StoreError::Invalid`].
    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>>;

    /// Writes over a value if it is still the expected one. Nothing is ever deleted in between: whoever reads sees the one
    /// or the other. Not every store can do that.
    fn replace<'a>(
        &'a self,
        _address: &'a Address,
        _expected: &'a SecretValue,
        _value: &'a SecretValue,
    ) -> Answer<'a, Result<Replaced, StoreError>> {
        Box::pin(std::future::ready(Ok(Replaced::Unsupported)))
    }

    /// Lists what begins with a prefix, to the last page, in no order. An object with fields is listed once, by its
    /// own path. Values are not read.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>>;
}

/// What became of each address of a [`Store::get`].
pub type Outcomes = HashMap<Address, Result<SecretValue, StoreError>>;

/// Why a store did not do what it was asked. Never carries a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store says that there is nothing. It may come: the creator may still be at work.
    #[error("{path} is not in the store ({sought}); create it, or check storage-prefix and storageKey")]
    NotFound {
        /// What was looked for.
        path: StoragePath,
        /// Where, in the store's own terms, so that a person can put it there: `key password of Secret db`.
        sought: String,
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
        "the store kind `{kind}` is not in this build of keystow; build it with the feature `{kind}`, or have the operator configure another store"
    )]
    NotCarried {
        /// The kind's word.
        kind: &'static str,
    },
    /// The settings, or what surrounds this process, cannot be used.
    #[error("the store `{kind}` cannot be used: {reason}")]
    Unusable {
        /// The kind's word.
        kind: &'static str,
        /// What is wrong, with the next step.
        reason: String,
    },
}

/// What a store needs to know of where this process runs. Everything else is in the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The projected service-account token with the store's audience. The kubelet renews it, so it is read each time.
    pub token_file: Option<PathBuf>,
    /// The namespace whose Secret objects are meant.
    pub namespace: Option<String>,
    /// The pod, by which the store's own log of accesses can name who asked.
    pub pod_name: Option<String>,
    /// Another STS than AWS' own (kees' `AWS_STS_ENDPOINT`): the token file is given to it for the role.
    pub aws_sts_endpoint: Option<String>,
    /// Those of [`VARIABLES`] that are set.
    pub variables: BTreeMap<&'static str, String>,
}

/// Variables by which clouds and their own webhooks tell a process what it needs, for any of their clients.
pub const VARIABLES: [&str; 8] = [
    "AWS_ROLE_ARN",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "GCE_METADATA_HOST",
    "SSL_CERT_FILE",
];

#[allow(dead_code, reason = "which stores need it depends on the build")]
impl Surroundings {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
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

#[allow(
    dead_code,
    clippy::needless_pass_by_value,
    reason = "which of these a build needs depends on its stores; a path is told as a text or as itself"
)]
impl StoreError {
    pub(crate) fn not_found(path: &StoragePath, sought: impl Into<String>) -> Self {
        Self::NotFound { path: path.clone(), sought: sought.into() }
    }

    pub(crate) fn denied(path: impl ToString, reason: impl Into<String>) -> Self {
        Self::Denied { path: path.to_string(), reason: reason.into() }
    }

    pub(crate) fn unavailable(path: impl ToString, reason: impl Into<String>) -> Self {
        Self::Unavailable { path: path.to_string(), reason: reason.into(), retry_after: None }
    }

    /// A store owes an outcome for each address that it was asked for; one that does not give it is no reason to think
    /// the value absent.
    pub(crate) fn unmentioned(path: impl ToString) -> Self {
        Self::unavailable(path, "the answer does not mention it")
    }

    pub(crate) fn invalid(path: impl ToString, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_string(), reason: reason.into() }
    }

    /// The same, told of another path: who asked for a field need not know that the object was looked at.
    fn of(self, path: &StoragePath) -> Self {
        let name = path.to_string();
        match self {
            Self::NotFound { sought, .. } => Self::NotFound { path: path.clone(), sought },
            Self::Denied { path, reason } => Self::Denied { path: name, reason: format!("{path}: {reason}") },
            Self::Unavailable { reason, retry_after, .. } => {
                Self::Unavailable { path: name, reason, retry_after }
            }
            Self::Invalid { reason, .. } => Self::Invalid { path: name, reason },
        }
    }

    /// Whether waiting and asking again can help.
    pub fn is_worth_waiting_for(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Unavailable { .. })
    }
}

/// What lies at the places of a group, in its order: all of its values, or none of them. Where only some are there, it
/// cannot be created: they do not belong together with new ones.
#[allow(dead_code, reason = "which stores need it depends on the build")]
fn whole_group(
    outcomes: impl IntoIterator<Item = Result<SecretValue, StoreError>>,
) -> Result<Option<Vec<SecretValue>>, StoreError> {
    let mut values = Vec::new();
    let mut missing = None;
    for outcome in outcomes {
        match outcome {
            Ok(value) => values.push(value),
            Err(StoreError::NotFound { path, .. }) => missing = Some(path),
            Err(error) => return Err(error),
        }
    }
    match missing {
        None => Ok(Some(values)),
        Some(_) if values.is_empty() => Ok(None),
        Some(path) => {
            let reason = "it is absent where others are there that belong to it; delete those, or put it back: new values would not fit";
            Err(StoreError::invalid(path, reason))
        }
    }
}

/// Opens the store that the operator configured. Nothing is contacted yet.
///
/// `local` opens too, as a store that refuses everything with an explanation: its values come from requests, not
/// from paths, so [`crate::generate::deterministic`] serves them, and the init container asks that instead.
///
/// # Errors
///
/// When the store is not in this build, or something that it needs is not there or cannot be used.
#[allow(unused_variables, clippy::unused_async, reason = "a build without stores opens none")]
pub async fn open(
    settings: &StoreSettings,
    surroundings: &Surroundings,
) -> Result<Arc<dyn Store>, OpenError> {
    #[cfg(any(feature = "azure", feature = "gcp"))]
    let unusable = |reason| OpenError::Unusable { kind: settings.kind(), reason };
    match settings {
        StoreSettings::Local(_) => Ok(Arc::new(local::Local)),
        #[cfg(feature = "dynamodb")]
        StoreSettings::DynamoDb(of) => Ok(Arc::new(dynamodb::DynamoDb::open(of, surroundings).await?)),
        #[cfg(feature = "secretsmanager")]
        StoreSettings::SecretsManager(of) => Ok(Arc::new(secretsmanager::open(of, surroundings).await?)),
        #[cfg(feature = "ssm")]
        StoreSettings::Ssm(of) => Ok(Arc::new(ssm::open(of, surroundings).await?)),
        #[cfg(feature = "vault")]
        StoreSettings::Vault(settings) => vault::open(settings, surroundings),
        #[cfg(feature = "kubernetes")]
        StoreSettings::Kubernetes(_) => kubernetes::open(surroundings).await,
        #[cfg(feature = "gcp")]
        StoreSettings::Gcp(settings) => {
            let service = gcp::SecretManager::open(settings, surroundings).map_err(unusable)?;
            Ok(Arc::new(flat::Flat(service)))
        }
        #[cfg(feature = "azure")]
        StoreSettings::Azure(settings) => {
            let service = azure::KeyVault::open(settings, surroundings).map_err(unusable)?;
            Ok(Arc::new(flat::Flat(service)))
        }
        #[allow(unreachable_patterns, reason = "not in a build that has every store")]
        _ => Err(OpenError::NotCarried { kind: settings.kind() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
