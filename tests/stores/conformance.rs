//! What every store must do, whatever is behind it.
//!
//! A store takes part by a [`Subject`] and `conformance!(Subject)`, which makes one test of each case, so that a
//! failure names the store and the case. Each test has a prefix of its own, so that tests share a server.
//!
//! Invariant: the cases know nothing of a store but its limits. What a service cannot do is in those limits, and then
//! the case proves that it is refused, or what is left of the guarantee.

pub(crate) mod cases;
pub(crate) mod leases;

use std::collections::BTreeSet;
use std::sync::Arc;

use keystow::domain::{SecretValue, StoragePath, StoragePrefix};
use keystow::store::{Address, Store, StoreError};

/// Who asks, and what is between it and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody who may do everything.
    Allowed,
    /// Somebody who is known and may do nothing.
    Stranger,
    /// Somebody who may do everything, whose first requests, as many as this, are answered as the service does when it
    /// throttles. Logging in does not count.
    Throttled(usize),
}

/// What a service cannot do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The longest value, in bytes.
    pub(crate) longest_value: usize,
    /// Whether of many that create a pair at once exactly one is told that it is the creator. Where not, all are told
    /// the same values in the end.
    pub(crate) has_one_creator: bool,
    /// Whether keystow keeps leases in it.
    pub(crate) holds_leases: bool,
    /// Whether a value can be written over as long as it is the expected one.
    pub(crate) replaces: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { longest_value: 1 << 18, has_one_creator: true, holds_leases: true, replaces: true }
    }
}

/// A store under test, with its server.
pub(crate) trait Subject: Sized + Send + Sync + 'static {
    /// Starts the server, or shares the one that runs; `None` where there is none, which has been told.
    async fn start(test: &str) -> Option<Self>;

    /// Opens the store anew, with connections and sessions of its own.
    async fn open(&self, asker: Asker) -> Arc<dyn Store>;

    /// What the service cannot do.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Puts many values there, by the store itself unless the server has a faster way.
    async fn fill(&self, paths: &[StoragePath]) {
        let store = self.open(Asker::Allowed).await;
        cases::create_all(&store, paths).await;
    }
}

/// One test of each case.
macro_rules! conformance {
    ($subject:ty) => {
        conformance!($subject:
            values_are_read_and_what_is_absent_is_told,
            every_byte_is_kept,
            large_values_are_kept_or_refused,
            hostile_names_are_kept_apart_or_refused,
            fifty_creators_of_a_pair_agree,
            half_a_pair_stays_as_it_is,
            values_of_one_object_come_one_by_one,
            only_what_is_expected_is_deleted,
            only_what_is_expected_is_replaced,
            a_lease_passes_from_pod_to_pod,
            only_the_very_holder_is_released,
            creators_give_each_pod_an_index_and_take_it_back,
            every_page_is_listed,
            a_stranger_is_denied,
            who_is_throttled_is_told_so_and_then_served,
            a_change_is_seen,
        );
    };
    ($subject:ty: $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let test = concat!(module_path!(), "::", stringify!($case));
                if let Some(subject) = <$subject as $crate::conformance::Subject>::start(test).await {
                    $crate::conformance::cases::$case(&subject).await;
                }
            }
        )+
    };
}
pub(crate) use conformance;

/// A path of the test `case`.
pub(crate) fn path(case: &str, key: &str) -> StoragePath {
    StoragePrefix::new(&format!("/suite/{case}")).expect("a prefix").join(key)
}

pub(crate) fn address(case: &str, key: &str) -> Address {
    Address::value(path(case, key))
}

pub(crate) fn value(bytes: impl AsRef<[u8]>) -> SecretValue {
    SecretValue::new(bytes.as_ref().to_vec())
}

/// What the store has at one address.
pub(crate) async fn get(store: &Arc<dyn Store>, address: &Address) -> Result<SecretValue, StoreError> {
    let mut outcomes = store.get(std::slice::from_ref(address)).await;
    outcomes.remove(address).expect("every address has an outcome")
}

/// The paths as text, in order, for comparison.
pub(crate) fn sorted(paths: &[StoragePath]) -> BTreeSet<&str> {
    paths.iter().map(StoragePath::as_str).collect()
}
