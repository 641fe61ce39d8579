//! Giving indices back: those of a pod that is gone, and those of kees' records whose pods are.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Leases;
use super::ledger::Holding;
use super::series::Occupant;
use crate::domain::{LeaseClaim, LeaseHolder, LeaseSeries};
use crate::store::{Address, Deleted, StoreError};

/// How often a claim may change while it is being deleted.
const ATTEMPTS: usize = 8;

/// What was given back.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Released {
    /// Where an index is free that was not: who waits for one of these may ask again.
    pub series: BTreeSet<LeaseSeries>,
    /// Why not all was given back, if so: the first reason. What is left is still known, and is tried by the next call.
    pub error: Option<StoreError>,
}

impl Leases {
    /// Gives back all that a pod has, in every series. The pod is gone for certain, or has ended for good: the caller
    /// knows it from the API server. A second call does nothing, or what the first one could not.
    pub async fn release(&self, uid: &str, now: Instant) -> Released {
        let mut released = Released::default();
        let held = self.ledger().of(uid);
        for holding in held {
            let Holding { series, records, claim } = holding;
            let mut is_done = true;
            for (index, holder) in records {
                let address = Address::lease(series.index(index));
                match self.store.delete(&address, &holder.to_value()).await {
                    Ok(Deleted::Gone) => {
                        self.ledger().is_released(&series, uid, index, now);
                        released.series.insert(series.clone());
                    }
                    // It is not this pod's any more. The next survey tells whose.
                    Ok(Deleted::Changed) => {
                        self.ledger().is_not_as_known(&series, index);
                    }
                    Err(error) => {
                        is_done = false;
                        released.error.get_or_insert(error);
                    }
                }
            }
            if !is_done {
                continue;
            }
            let deleted = match claim {
                Some(claim) => self.delete_claim(&series, uid, claim).await,
                None => Ok(()),
            };
            match deleted {
                Ok(()) => {
                    self.ledger().is_gone(&series, uid);
                    released.series.insert(series);
                }
                Err(error) => drop(released.error.get_or_insert(error)),
            }
        }
        released
    }

    /// Deletes the claim of a pod that is gone, whatever index it says.
    async fn delete_claim(&self, series: &LeaseSeries, uid: &str, claim: i32) -> Result<(), StoreError> {
        let address = Address::lease(series.claim(uid));
        let mut claim = claim;
        for _ in 0..ATTEMPTS {
            if self.store.delete(&address, &self.claim_of(claim)).await? == Deleted::Gone {
                return Ok(());
            }
            match self.get(&address).await {
                Err(StoreError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
                Ok(value) => match LeaseClaim::read(&value) {
                    Some(other) => claim = other.index,
                    // It is no claim any more, and so not ours to delete.
                    None => return Ok(()),
                },
            }
        }
        Err(StoreError::unavailable(&address.path, "others keep writing it"))
    }

    /// Gives back what kees' records hold of pods that live nowhere. `series` are those that a live pod's annotation
    /// asks for, since elsewhere such a record may be anything; `is_live` says whether a pod of this name lives in any
    /// namespace, by a list of pods that is younger than the survey that found the records.
    pub async fn release_named(
        &self,
        series: impl IntoIterator<Item = &LeaseSeries>,
        is_live: impl Fn(&str) -> bool,
    ) -> Released {
        let mut released = Released::default();
        for series in series {
            let named = self.ledger().named(series);
            for (index, name) in named.into_iter().filter(|(_, name)| !is_live(name)) {
                let address = Address::lease(series.index(index));
                match self.store.delete(&address, &LeaseHolder::Named(name).to_value()).await {
                    Ok(Deleted::Gone) => {
                        self.ledger().is_free(series, index);
                        released.series.insert(series.clone());
                    }
                    Ok(Deleted::Changed) => self.ledger().is_not_as_known(series, index),
                    Err(error) => drop(released.error.get_or_insert(error)),
                }
            }
        }
        released
    }
}

impl super::Ledger {
    /// Something else lies at the index than what was thought.
    fn is_not_as_known(&mut self, series: &LeaseSeries, index: i32) {
        self.is_taken(series, index, Occupant::Unknown);
    }
}
