//! Asking a store, again and again until the deadline.
//!
//! Each round asks for all that is still missing in one call, and for leases beside it. A round that meets
//! something hopeless is the last one: the pod will not start, so its author learns of it now.
//!
//! ```text
//! lease ─▶ the claim `of-UID` (keystow's creator) ─▶ the record of that index is ours ─▶ the index: two requests
//!             │                                         └ there is none yet ─▶ it is waited for
//!             └ no claim, no right to it, no UID ─▶ every index of the range, for one that has our name
//! ```

use std::time::Duration;

use crate::domain::{LeaseClaim, LeaseHolder, LeaseRequest, Requests, SecretValue};
use crate::store::{Address, Store, StoreError};

use super::{Got, Outcome, Pod, Reason, Want};
use crate::init::wait::Waiting;

/// Indices that are looked at first, and then at once: the lowest free one is assigned, so most are among the first.
const FIRST_INDICES: usize = 100;
const MORE_INDICES: usize = 1000;

/// One fetch from one store.
struct Asking<'a> {
    requests: &'a Requests,
    wants: &'a [Want<'a>],
    store: &'a dyn Store,
    pod: Option<&'a Pod>,
}

/// The outcome of each want. With `absent_is_final` what the store does not have is `Ok(None)` at once, and is not
/// waited for.
pub(super) async fn ask(
    requests: &Requests,
    wants: &[Want<'_>],
    store: &dyn Store,
    pod: Option<&Pod>,
    absent_is_final: bool,
    mut waiting: Waiting,
) -> Vec<Outcome> {
    let asking = Asking { requests, wants, store, pod };
    let mut outcomes: Vec<Outcome> = vec![Ok(None); wants.len()];
    let mut missing: Vec<usize> = (0..wants.len()).collect();
    while !missing.is_empty() {
        let round = tokio::time::timeout_at(waiting.deadline(), asking.round(&missing)).await;
        let Ok(round) = round else {
            for index in missing {
                outcomes[index] = Err(asking.late(index, &outcomes[index]));
            }
            break;
        };
        for (index, outcome) in missing.iter().zip(round) {
            outcomes[*index] = match outcome {
                Err(reason) if absent_is_final && reason.is_absence() => Ok(None),
                outcome => outcome.map(Some),
            };
        }
        missing.retain(|index| outcomes[*index].is_err());
        let hopeless = |index: &usize| matches!(&outcomes[*index], Err(r) if !r.is_worth_waiting_for());
        if missing.iter().any(hopeless) {
            break;
        }
        let at_least = missing.iter().filter_map(|index| retry_after(&outcomes[*index])).max();
        if !missing.is_empty() && !waiting.pause(at_least).await {
            break;
        }
    }
    outcomes
}

fn retry_after(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Err(Reason::Store(StoreError::Unavailable { retry_after, .. })) => *retry_after,
        _ => None,
    }
}

impl Asking<'_> {
    /// Asks once for the wants of these indices, and answers in their order.
    async fn round(&self, missing: &[usize]) -> Vec<Result<Got, Reason>> {
        let mut addresses: Vec<Address> = missing.iter().filter_map(|index| self.address(*index)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let values = async {
            if addresses.is_empty() { Default::default() } else { self.store.get(&addresses).await }
        };
        let leases = async {
            let mut found = Vec::new();
            for index in missing {
                if let Want::Lease(request) = self.wants[*index] {
                    found.push(self.index_of(request).await);
                }
            }
            found.into_iter()
        };
        let (values, mut leases) = tokio::join!(values, leases);
        let answer = |index: &usize| match self.address(*index) {
            Some(address) => match values.get(&address) {
                Some(Ok(value)) => Ok(Got::Value(value.clone())),
                Some(Err(error)) => Err(error.clone().into()),
                None => Err(self.silent(*index).into()),
            },
            None => leases.next().unwrap_or_else(|| Err(self.silent(*index).into())).map(Got::Index),
        };
        missing.iter().map(answer).collect()
    }

    fn address(&self, index: usize) -> Option<Address> {
        match self.wants[index] {
            Want::Secret(name, stored) => Some(Address::value(self.requests.secret_path(name, stored))),
            Want::Resource(request) => Some(Address::value(self.requests.resource_path(request))),
            Want::Lease(_) => None,
        }
    }

    /// The index that belongs to our pod.
    async fn index_of(&self, request: &LeaseRequest) -> Result<i32, Reason> {
        let pod = self.pod.ok_or(Reason::NoPodName)?;
        if let Some(uid) = &pod.uid
            && let Some(claimed) = self.claimed(request, uid).await?
        {
            match self.holder(request, claimed).await? {
                Some(holder) if pod.is_holder(&holder) => return Ok(claimed),
                // Another creator may have given it another one.
                Some(_) => {}
                None => return Err(no_index(request, pod)),
            }
        }
        self.looked_for(request, pod).await
    }

    /// The index of the range that the creator has chosen for our pod, if it says so.
    async fn claimed(&self, request: &LeaseRequest, uid: &str) -> Result<Option<i32>, StoreError> {
        let claim = Address::lease(self.requests.lease_series(request).claim(uid));
        match self.get(&claim).await {
            Ok(value) => {
                let index = LeaseClaim::read(&value).map(|claim| claim.index);
                Ok(index.filter(|index| request.range.contains(index)))
            }
            Err(error @ StoreError::Unavailable { .. }) => Err(error),
            // Who may not see the claim may see the indices.
            Err(StoreError::NotFound { .. } | StoreError::Denied { .. } | StoreError::Invalid { .. }) => {
                Ok(None)
            }
        }
    }

    /// What lies at an index, if anything does.
    async fn holder(&self, request: &LeaseRequest, index: i32) -> Result<Option<SecretValue>, StoreError> {
        let address = Address::lease(self.requests.lease_path(request, index));
        match self.get(&address).await {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, address: &Address) -> Result<SecretValue, StoreError> {
        let mut outcomes = self.store.get(std::slice::from_ref(address)).await;
        outcomes.remove(address).unwrap_or_else(|| Err(StoreError::unmentioned(&address.path)))
    }

    /// The index whose holder is our pod, looked for in the whole range.
    async fn looked_for(&self, request: &LeaseRequest, pod: &Pod) -> Result<i32, Reason> {
        let mut indices = request.range.clone();
        let mut first_error = None;
        let mut count = FIRST_INDICES;
        loop {
            let some: Vec<(i32, Address)> = indices
                .by_ref()
                .take(count)
                .map(|index| (index, Address::lease(self.requests.lease_path(request, index))))
                .collect();
            if some.is_empty() {
                break;
            }
            let addresses: Vec<Address> = some.iter().map(|(_, address)| address.clone()).collect();
            let outcomes = self.store.get(&addresses).await;
            for (index, address) in &some {
                match outcomes.get(address) {
                    Some(Ok(value)) if pod.is_holder(value) => return Ok(*index),
                    Some(Ok(_) | Err(StoreError::NotFound { .. })) => {}
                    Some(Err(error)) => first_error = first_error.or_else(|| Some(error.clone())),
                    None => {
                        first_error = first_error.or_else(|| Some(StoreError::unmentioned(&address.path)));
                    }
                }
            }
            count = MORE_INDICES;
        }
        // Where some index could not be looked at, ours may be that one.
        Err(first_error.map_or_else(|| no_index(request, pod), Reason::Store))
    }

    fn silent(&self, index: usize) -> StoreError {
        StoreError::unmentioned(self.path(index))
    }

    fn path(&self, index: usize) -> String {
        self.wants[index].path(self.requests)
    }

    /// Why a want is missing that the deadline cut off: the reason of the round before, where there was one.
    fn late(&self, index: usize, before: &Outcome) -> Reason {
        before.as_ref().err().cloned().unwrap_or_else(|| {
            Reason::Store(StoreError::Unavailable {
                path: self.path(index),
                reason: "no answer before the deadline".to_owned(),
                retry_after: None,
            })
        })
    }
}

fn no_index(request: &LeaseRequest, pod: &Pod) -> Reason {
    Reason::NoIndex { series: request.series().to_owned(), pod: pod.name.clone() }
}

impl Pod {
    fn is_holder(&self, value: &SecretValue) -> bool {
        LeaseHolder::read(value).is_some_and(|holder| holder.is(&self.name, self.uid.as_deref()))
    }
}

impl Reason {
    /// Whether the store itself said that there is nothing.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound { .. }) | Self::NoIndex { .. })
    }
}
