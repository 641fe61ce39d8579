//! Leases: each pod that asks for an index of a series gets one that no other live pod holds.
//!
//! ```text
//! assign   ledger ─▶ it holds one: done
//!             └─ choose: claimed before ▸ former (StatefulSet) ▸ lowest free ─▶ create the claim `of-UID` = i
//!                    ┌─ the claim says j already: go on with j ──────────────────┘
//!                    └▶ create the record `.i` = holder ─▶ ours, or the pod's own already: done
//!                            └─ another pod's: note it, delete the claim if it still says i, choose again
//! release  delete the records while they are the pod's ─▶ delete its claim        (the pod is gone for certain)
//! survey   list ─▶ get what can be a record ─▶ the ledger, and whom to ask the API server about
//! ```
//!
//! Safe with any number of creators at once, each of which can be killed between any two steps: a record of an index is
//! created only where there is none, and a claim makes all creators choose one index for a pod. What a killed one left
//! is a claim without a record, and the next one goes on from there.
//!
//! Invariants: an index has one holder. An index of a pod that lives is never released, whatever else is odd, since its
//! init container may have read it. Nothing is deleted but a record in full form of a pod that is gone, its claim, and,
//! only where a series is asked for, a record with the name of a pod that lives nowhere; all of them only while they are
//! still what was looked at. Other values at such paths are somebody's secrets: they are taken for taken.
//!
//! A pod can have two indices: a creator that slept between the two steps of an assignment, while others found the
//! index taken, chose another one, and saw the first one released. Both are the pod's own until it ends, and init
//! takes the one that the claim names.
//!
//! A record in kees' form has the name of a pod without its namespace: the first pod of that name that asks has it, as
//! it is, and a namesake gets an index of its own.
//!
//! The caller does not release a pod while an assignment of it is on its way here; what such a race leaves (as between
//! two creators, of which one has not seen that the pod is gone) is found by the next survey.
//!
//! Deliberately absent: watching pods, waiting for a free index, Events, clocks. The caller has them.

mod former;
mod ledger;
mod release;
mod runs;
mod series;
mod survey;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::ledger::Ledger;
pub use self::release::Released;
pub use self::series::Use;
use self::series::{Choice, Occupant};
pub use self::survey::Survey;
use crate::domain::{LeaseClaim, LeaseHolder, LeaseSeries, SecretValue};
use crate::store::{Address, Created, Store, StoreError};

/// How often one assignment may find that others were faster. Each time it learns of an index that is taken.
const ATTEMPTS: usize = 1000;

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
}

/// What a pod asks for. Two annotations of one series share one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What is counted.
    pub series: LeaseSeries,
    /// Both ends included.
    pub range: RangeInclusive<i32>,
    /// Whether a StatefulSet owns the pod, which then gets its former index again where that is free.
    pub is_of_stateful_set: bool,
}

/// The index of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// It lies within the range.
    pub index: i32,
    /// Whether this call wrote the record. Of several creators at most one is told so.
    pub is_new: bool,
}

/// Why a pod has no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Every index of the range is taken. One that is released ends it: see [`Released::series`], and ask again after
    /// each survey.
    #[error(
        "no index from {} to {} of {series} is free: {held} are recorded as held, and the others are on their way to a pod or kept for one \
         of a StatefulSet; widen rangeStart and rangeEnd, or let pods end",
        range.start(), range.end()
    )]
    Exhausted {
        /// What is counted.
        series: LeaseSeries,
        /// Both ends included.
        range: RangeInclusive<i32>,
        /// Indices of the range that have a holder; others are claimed, or kept for a pod that may be back.
        held: usize,
    },
    /// The pod has an index of the series already, and it is not in the range: the annotation was changed, or two
    /// annotations with one series have ranges without a common index. Nothing was changed.
    #[error(
        "the pod has index {index} of {series} already, which is not within {} to {}; its init container may have read it: let it keep the range, or make the pod anew",
        range.start(), range.end()
    )]
    Outside {
        /// What is counted.
        series: LeaseSeries,
        /// What the pod has, or is to have.
        index: i32,
        /// Both ends included.
        range: RangeInclusive<i32>,
    },
    /// Somebody deleted the record of a pod that lives, and another pod has the index now. Nothing was changed.
    #[error(
        "index {index} of {series} was this pod's, its record was deleted by somebody, and {holder} has it now; delete one of the two pods"
    )]
    Lost {
        /// What is counted.
        series: LeaseSeries,
        /// The index.
        index: i32,
        /// Who has it.
        holder: String,
    },
    /// Others were faster, again and again.
    #[error("other creators took every index of {series} that was tried; ask again")]
    Overtaken {
        /// What is counted.
        series: LeaseSeries,
    },
    /// The store did not do it. Asking again goes on where this ended.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The leases of one store. Cheap to ask from many tasks at once; whoever holds the ledger's lock does no I/O.
pub struct Leases {
    store: Arc<dyn Store>,
    /// What paths begin with that are surveyed.
    scope: Vec<String>,
    /// What stands for the cluster whose pods these are.
    cluster: String,
    ledger: Mutex<Ledger>,
    /// Surveys come one after the other.
    surveying: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("store", &self.store)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Pod {
    fn holder(&self, cluster: &str) -> LeaseHolder {
        let Self { namespace, name, uid } = self.clone();
        LeaseHolder::Pod { namespace, name, uid, cluster: cluster.to_owned() }
    }
}

/// An assignment on its way to an index. Dropped, it is so no longer: also where its caller was.
struct Flight<'l> {
    leases: &'l Leases,
    series: &'l LeaseSeries,
    uid: &'l str,
    index: i32,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.leases.ledger().land(self.series, self.uid, self.index);
    }
}

/// What an attempt came to.
enum Attempt {
    Done(Assigned),
    Again,
}

impl Leases {
    /// Knows nothing yet: survey first. `scope` is what paths begin with that a survey lists: `[""]` for the whole
    /// store, or prefixes where the creator may list no more than those. `cluster` stands for the cluster of all pods
    /// here: records of pods of others are left alone.
    pub fn new(store: Arc<dyn Store>, scope: Vec<String>, cluster: String) -> Self {
        let (ledger, surveying) = Default::default();
        Self { store, scope, cluster, ledger, surveying }
    }

    fn claim_of(&self, index: i32) -> SecretValue {
        LeaseClaim { index, cluster: self.cluster.clone() }.to_value()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the pod an index, or tells the one that it has. May be called by many tasks, and dropped at any time.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Store`], [`LeaseError::Overtaken`] and [`LeaseError::Exhausted`] pass; the others need a person.
    pub async fn assign(&self, pod: &Pod, wanted: &Wanted, now: Instant) -> Result<Assigned, LeaseError> {
        let Wanted { series, range, is_of_stateful_set } = wanted;
        for _ in 0..ATTEMPTS {
            let choice = self.ledger().choose(pod, series, range, *is_of_stateful_set, now);
            let index = match choice {
                Choice::Holds(index) => {
                    // A creator that found the index taken may have deleted the claim after another one had succeeded.
                    let is_claimed = self.ledger().claim_of(series, &pod.uid).is_some();
                    if is_claimed || self.claim(pod, series, index).await? == index {
                        return Ok(Assigned { index, is_new: false });
                    }
                    continue;
                }
                Choice::Outside(index) => return Err(wanted.outside(index)),
                Choice::Try(index) => {
                    let _flight = Flight { leases: self, series, uid: &pod.uid, index };
                    self.claim(pod, series, index).await?
                }
                // Another creator may have given it one.
                Choice::Exhausted(held) => match self.claimed(series, &pod.uid).await? {
                    Some(index) => index,
                    None => {
                        return Err(LeaseError::Exhausted {
                            series: series.clone(),
                            range: range.clone(),
                            held,
                        });
                    }
                },
            };
            if !range.contains(&index) {
                return Err(wanted.outside(index));
            }
            match self.take(pod, wanted, index).await? {
                Attempt::Done(assigned) => return Ok(assigned),
                Attempt::Again => {}
            }
        }
        Err(LeaseError::Overtaken { series: series.clone() })
    }

    /// Claims an index for a pod, and tells the one that it claims.
    async fn claim(&self, pod: &Pod, series: &LeaseSeries, index: i32) -> Result<i32, StoreError> {
        let address = Address::lease(series.claim(&pod.uid));
        let claimed = match self.store.create(&[(address.clone(), self.claim_of(index))]).await? {
            Created::Ours => index,
            Created::Theirs(values) => {
                values.first().and_then(LeaseClaim::read).ok_or_else(|| no_claim(&address))?.index
            }
        };
        self.ledger().claims(series, &pod.uid, Some(claimed));
        Ok(claimed)
    }

    /// The index that the store says the pod claims.
    async fn claimed(&self, series: &LeaseSeries, uid: &str) -> Result<Option<i32>, StoreError> {
        let address = Address::lease(series.claim(uid));
        let claimed = match self.get(&address).await {
            Ok(value) => Some(LeaseClaim::read(&value).ok_or_else(|| no_claim(&address))?.index),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        self.ledger().claims(series, uid, claimed);
        Ok(claimed)
    }

    async fn get(&self, address: &Address) -> Result<SecretValue, StoreError> {
        let mut outcomes = self.store.get(std::slice::from_ref(address)).await;
        outcomes.remove(address).unwrap_or_else(|| Err(StoreError::unmentioned(&address.path)))
    }

    /// Makes the pod the holder of the index that it claims.
    async fn take(&self, pod: &Pod, wanted: &Wanted, index: i32) -> Result<Attempt, LeaseError> {
        let Wanted { series, is_of_stateful_set, .. } = wanted;
        let holder = pod.holder(&self.cluster);
        let address = Address::lease(series.index(index));
        let (holder, is_new) = match self.store.create(&[(address.clone(), holder.to_value())]).await? {
            Created::Ours => (holder, true),
            Created::Theirs(values) => {
                let value =
                    values.into_iter().next().ok_or_else(|| StoreError::unmentioned(&address.path))?;
                match LeaseHolder::read(&value) {
                    Some(theirs) if self.is_of(&theirs, pod, series, index) => (theirs, false),
                    _ => return self.give_way(pod, series, index, &value).await,
                }
            }
        };
        self.ledger().holds(series, pod, index, holder, *is_of_stateful_set);
        Ok(Attempt::Done(Assigned { index, is_new }))
    }

    fn is_of(&self, holder: &LeaseHolder, pod: &Pod, series: &LeaseSeries, index: i32) -> bool {
        let is_its = holder.is(&pod.name, Some(&pod.uid));
        is_its
            && (matches!(holder, LeaseHolder::Pod { .. }) || self.ledger().may_adopt(series, index, &pod.uid))
    }

    /// The index that the pod claims is another one's: its claim goes, unless it says something else by now.
    async fn give_way(
        &self,
        pod: &Pod,
        series: &LeaseSeries,
        index: i32,
        value: &SecretValue,
    ) -> Result<Attempt, LeaseError> {
        let occupant = Occupant::read(value, &self.cluster);
        let lost = {
            let mut ledger = self.ledger();
            let lost = ledger.lost_by(series, &pod.uid);
            ledger.is_taken(series, index, occupant.clone());
            lost
        };
        if lost == Some(index) {
            return Err(LeaseError::Lost { series: series.clone(), index, holder: occupant.to_string() });
        }
        let address = Address::lease(series.claim(&pod.uid));
        self.store.delete(&address, &self.claim_of(index)).await?;
        // Where it says something else by now, the next attempt is told what.
        self.ledger().claims(series, &pod.uid, None);
        Ok(Attempt::Again)
    }

    /// The indices that a pod holds, by all that is known here.
    pub fn held_by(&self, uid: &str) -> Vec<(LeaseSeries, i32)> {
        self.ledger().held_by(uid)
    }

    /// How many indices of each series are in use, by all that is known here.
    pub fn uses(&self) -> Vec<(LeaseSeries, Use)> {
        self.ledger().uses()
    }
}

impl Wanted {
    fn outside(&self, index: i32) -> LeaseError {
        LeaseError::Outside { series: self.series.clone(), index, range: self.range.clone() }
    }
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(holder) => write!(f, "pod {holder}"),
            Self::Named { name, .. } => write!(f, "pod {name}"),
            // It may be a secret.
            Self::Unknown => f.write_str("something that is no pod of this cluster"),
        }
    }
}

fn no_claim(address: &Address) -> StoreError {
    let reason = "it is no index of this cluster, so keystow did not write it; delete that record, or let storage-prefix or storageKeyPrefix be another";
    StoreError::invalid(&address.path, reason)
}

#[cfg(test)]
mod tests;
