//! Requests to values.
//!
//! ```text
//! local-mode=true             ─▶ derive
//! local-mode=false            ─▶ ask, wait, ask again … until all is there or the deadline has passed
//! local-mode=remote-then-local ─▶ ask; what the store says is absent ─▶ derive
//! ```
//!
//! Invariants: all or nothing; every value that is missing is named with its reason. What is absent or away is
//! waited for, what is denied or wrong is not. A value is derived in its stead only when the store itself said
//! that it is absent, never on an error: throttling must not give a production pod a predictable secret.

mod remote;
mod told;

use std::sync::Arc;

use crate::domain::{
    AnnotationDomain, EnvName, Family, FileMode, LeaseRequest, RequestName, Requests, ResourceRequest,
    SecretType, SecretValue, StoragePrefix, StoredSecret,
};
use crate::generate::deterministic::{self, Deterministic, Underivable};
use crate::store::{Store, StoreError};
use crate::sysexits::{EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE};

use super::wait::Waiting;

/// The pod that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    /// `metadata.name`
    pub(super) name: String,
    /// `metadata.uid`, which tells it from pods of its name in other namespaces. Kees' manifests do not tell it.
    pub(super) uid: Option<String>,
}

/// Where values come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Derived from names.
    Local(Arc<Deterministic>),
    /// A store.
    Remote(Arc<dyn Store>),
    /// A store, and derived from names where it definitely has nothing.
    RemoteThenLocal(Arc<dyn Store>, Arc<Deterministic>),
}

/// Every value that a pod asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) secrets: Vec<Secret>,
    pub(super) resources: Vec<(RequestName, SecretValue)>,
    pub(super) leases: Vec<(RequestName, i32)>,
}

/// A secret and how it is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) name: RequestName,
    pub(super) kind: SecretType,
    pub(super) env: Option<EnvName>,
    pub(super) mode: Option<FileMode>,
    pub(super) value: SecretValue,
}

/// What is missing: every value with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchError {
    /// At least one.
    pub failures: Vec<Failure>,
    /// How many values were asked for.
    pub asked: usize,
}

/// A value that is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{annotation}: {reason}")]
pub struct Failure {
    /// The annotation that asked for it.
    pub annotation: String,
    /// Why there is none.
    pub reason: Reason,
}

/// Why a value is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The store did not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be derived.
    #[error(transparent)]
    Local(#[from] Underivable),
    /// No index is assigned to the pod.
    #[error(
        "no index of {series} belongs to pod {pod} yet; see that the creator runs and that the range is not exhausted"
    )]
    NoIndex {
        /// What is counted.
        series: String,
        /// The pod.
        pod: String,
    },
    /// Nobody told the name of the pod.
    #[error("a lease needs the pod's name; set POD_NAME from metadata.name")]
    NoPodName,
    /// The thread that derived values came to an end.
    #[error("deriving local values was cut short; this is a fault of keystow")]
    CutShort,
}

/// One value to get.
#[derive(Debug, Clone, Copy)]
enum Want<'r> {
    Secret(&'r RequestName, &'r StoredSecret),
    Resource(&'r ResourceRequest),
    Lease(&'r LeaseRequest),
}

/// One value that was got.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Value(SecretValue),
    Index(i32),
}

/// What becomes of one want: got, to be derived, or missing.
type Outcome = Result<Option<Got>, Reason>;

/// All wants in the order of the requests.
fn wants(requests: &Requests) -> Vec<Want<'_>> {
    let secrets = requests.stored().map(|(request, stored)| Want::Secret(&request.name, stored));
    let resources = requests.resources.iter().map(Want::Resource);
    secrets.chain(resources).chain(requests.leases.iter().map(Want::Lease)).collect()
}

/// Gets every value, or says of each one that is missing why.
pub(super) async fn fetch(
    requests: &Arc<Requests>,
    domain: &AnnotationDomain,
    source: &Source,
    pod: Option<&Pod>,
    waiting: Waiting,
) -> Result<Fetched, FetchError> {
    let wants = wants(requests);
    let mut outcomes: Vec<Outcome> = match source {
        Source::Local(_) => vec![Ok(None); wants.len()],
        Source::Remote(store) => remote::ask(requests, &wants, store.as_ref(), pod, false, waiting).await,
        Source::RemoteThenLocal(store, _) => {
            remote::ask(requests, &wants, store.as_ref(), pod, true, waiting).await
        }
    };
    if let Source::Local(local) | Source::RemoteThenLocal(_, local) = source {
        derive_rest(requests, local, pod, &mut outcomes).await;
    }
    collect(&wants, outcomes, domain)
}

/// What is missing where the store could not even be opened in time: everything.
pub(super) fn not_opened(requests: &Requests, domain: &AnnotationDomain) -> FetchError {
    let wants = wants(requests);
    let missing = |want: &Want<'_>| {
        let path = want.path(requests);
        let reason = StoreError::unavailable(path, "it could not be opened before the deadline").into();
        Failure { annotation: want.annotation(domain), reason }
    };
    FetchError { failures: wants.iter().map(missing).collect(), asked: wants.len() }
}

/// Derives what is not got yet. Off the async threads: an RSA key takes a tenth of a second.
async fn derive_rest(
    requests: &Arc<Requests>,
    local: &Arc<Deterministic>,
    pod: Option<&Pod>,
    outcomes: &mut [Outcome],
) {
    let rest: Vec<usize> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| matches!(outcome, Ok(None)))
        .map(|(i, _)| i)
        .collect();
    if rest.is_empty() {
        return;
    }
    let (requests, local, pod) = (Arc::clone(requests), Arc::clone(local), pod.map(|pod| pod.name.clone()));
    let indices = rest.clone();
    let derived = tokio::task::spawn_blocking(move || {
        let wants = wants(&requests);
        indices
            .iter()
            .map(|index| derive(wants[*index], &requests, &local, pod.as_deref()))
            .collect::<Vec<_>>()
    });
    let derived = derived.await.unwrap_or_else(|_| vec![Err(Reason::CutShort); rest.len()]);
    for (index, outcome) in rest.into_iter().zip(derived) {
        outcomes[index] = outcome;
    }
}

fn derive(want: Want<'_>, requests: &Requests, local: &Deterministic, pod: Option<&str>) -> Outcome {
    Ok(Some(match want {
        Want::Secret(name, stored) => Got::Value(local.secret(name, stored)?),
        Want::Resource(request) => Got::Value(deterministic::resource(request)?),
        Want::Lease(_) => {
            let prefix = requests.storage.prefix.clone().unwrap_or(StoragePrefix::ROOT);
            Got::Index(deterministic::lease_index(&prefix, pod.ok_or(Reason::NoPodName)?).into())
        }
    }))
}

fn collect(
    wants: &[Want<'_>],
    outcomes: Vec<Outcome>,
    domain: &AnnotationDomain,
) -> Result<Fetched, FetchError> {
    let mut fetched = Fetched::default();
    let mut failures = Vec::new();
    for (want, outcome) in wants.iter().zip(outcomes) {
        match (want, outcome) {
            (Want::Secret(name, stored), Ok(Some(Got::Value(value)))) => fetched.secrets.push(Secret {
                name: (*name).clone(),
                kind: stored.origin.kind(),
                env: stored.env.clone(),
                mode: stored.mode,
                value,
            }),
            (Want::Resource(request), Ok(Some(Got::Value(value)))) => {
                fetched.resources.push((request.name.clone(), value));
            }
            (Want::Lease(request), Ok(Some(Got::Index(index)))) => {
                fetched.leases.push((request.name.clone(), index));
            }
            (want, outcome) => {
                let reason = outcome.err().unwrap_or(Reason::CutShort);
                failures.push(Failure { annotation: want.annotation(domain), reason });
            }
        }
    }
    if failures.is_empty() { Ok(fetched) } else { Err(FetchError { failures, asked: wants.len() }) }
}

impl Want<'_> {
    /// Where the value is; of a lease, what is counted.
    fn path(&self, requests: &Requests) -> String {
        match self {
            Self::Secret(name, stored) => requests.secret_path(name, stored).to_string(),
            Self::Resource(request) => requests.resource_path(request).to_string(),
            Self::Lease(request) => format!("the indices of {}", request.series()),
        }
    }

    fn annotation(&self, domain: &AnnotationDomain) -> String {
        match self {
            Self::Secret(name, _) => domain.key(Family::Secret, name.as_str()),
            Self::Resource(request) => domain.key(Family::Resource, request.name.as_str()),
            Self::Lease(request) => domain.key(Family::Lease, request.name.as_str()),
        }
    }
}

/// What a failure needs, from what may pass by itself to what needs a person most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Class {
    Unavailable,
    #[default]
    Missing,
    Usage,
    Denied,
}

impl Class {
    /// The exit code of sysexits(3).
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Unavailable => EX_UNAVAILABLE,
            Self::Missing => EX_DATAERR,
            Self::Usage => EX_USAGE,
            Self::Denied => EX_NOPERM,
        }
    }
}

impl Reason {
    /// What this failure needs.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Store(StoreError::Unavailable { .. }) => Class::Unavailable,
            Self::Store(StoreError::NotFound { .. } | StoreError::Invalid { .. })
            | Self::NoIndex { .. }
            | Self::CutShort => Class::Missing,
            Self::Local(_) | Self::NoPodName => Class::Usage,
            Self::Store(StoreError::Denied { .. }) => Class::Denied,
        }
    }

    /// Whether asking again can help.
    fn is_worth_waiting_for(&self) -> bool {
        match self {
            Self::Store(error) => error.is_worth_waiting_for(),
            Self::NoIndex { .. } => true,
            Self::Local(_) | Self::NoPodName | Self::CutShort => false,
        }
    }
}

impl std::error::Error for FetchError {}

#[cfg(test)]
mod tests;
