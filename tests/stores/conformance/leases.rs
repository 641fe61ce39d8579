//! Leases as keystow's creator keeps them, over any [`Subject`] that can hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, stream};
use keystow::controller::create::leases::{LeaseError, Leases, Pod, Wanted};
use keystow::domain::{LeaseRecord, LeaseSeries};
use keystow::store::{Address, Created, Deleted, StoreError};

use super::cases::{BOUND, until_created};
use super::{Asker, Subject, get, path, sorted, value};
use crate::support::wait::until;

const CREATORS: usize = 4;
const PODS: usize = 12;

/// Keystow's leases: the holder in full form, and the claims beside it.
pub(crate) async fn only_the_very_holder_is_released(subject: &impl Subject) {
    if !subject.limits().holds_leases {
        return;
    }
    let store = subject.open(Asker::Allowed).await;
    let at = Address::lease(path("holder", "leases/snow_flake.7"));
    let holders = [
        "veza/web-0/0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42/here",
        "veza/web-0/5f0c1f5e-6b0e-4f4b-9a43-0d8a0c3f7b11/here",
        "other/web-0/0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42/here",
        "web-0",
    ];
    for holder in holders {
        let taken = until_created(&store, &[(at.clone(), value(holder))]).await;
        assert_eq!(taken, Created::Ours, "{holder}");
        assert_eq!(get(&store, &at).await, Ok(value(holder)), "whole");
        for other in holders.into_iter().filter(|other| *other != holder) {
            let late = store.create(&[(at.clone(), value(other))]).await;
            assert_eq!(late, Ok(Created::Theirs(vec![value(holder)])), "{other}");
            assert_eq!(store.delete(&at, &value(other)).await, Ok(Deleted::Changed), "{other}");
        }
        assert_eq!(get(&store, &at).await, Ok(value(holder)), "untouched");
        assert_eq!(store.delete(&at, &value(holder)).await, Ok(Deleted::Gone), "{holder}");
        assert_eq!(store.delete(&at, &value(holder)).await, Ok(Deleted::Gone), "{holder}");
    }
    let claim = Address::lease(path("holder", "leases/snow_flake.of-0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42"));
    assert_eq!(store.create(&[(claim.clone(), value("7"))]).await, Ok(Created::Ours));
    let late = store.create(&[(claim.clone(), value("8"))]).await;
    assert_eq!(late, Ok(Created::Theirs(vec![value("7")])));
    let listed = store.list(path("holder", "leases/").as_str()).await.unwrap();
    assert!(sorted(&listed).contains(claim.path.as_str()), "{listed:?}");
    assert_eq!(store.delete(&claim, &value("8")).await, Ok(Deleted::Changed));
    assert_eq!(store.delete(&claim, &value("7")).await, Ok(Deleted::Gone));
}

fn series() -> LeaseSeries {
    match LeaseRecord::read(&path("assigned", "leases/db.0")) {
        Some(LeaseRecord::Index(series, 0)) => series,
        other => panic!("{other:?}"),
    }
}

fn pod(number: usize) -> Pod {
    let uid = format!("00000000-0000-4000-8000-{number:012x}");
    Pod { namespace: "veza".to_owned(), name: format!("web-{number}"), uid }
}

/// Several creators, each with a store of its own, at once for every pod.
pub(crate) async fn creators_give_each_pod_an_index_and_take_it_back(subject: &impl Subject) {
    if !subject.limits().holds_leases {
        return;
    }
    let scope = || vec![path("assigned", "").to_string()];
    let mut creators = Vec::new();
    for _ in 0..CREATORS {
        creators.push(Arc::new(Leases::new(subject.open(Asker::Allowed).await, scope(), "here".to_owned())));
    }
    let wanted = Wanted { series: series(), range: 0..=15, is_of_stateful_set: false };
    let all = (0..PODS).flat_map(|number| creators.iter().map(move |creator| (number, Arc::clone(creator))));
    let assigned = stream::iter(all).map(|(number, creator)| {
        let wanted = &wanted;
        async move {
            let index = until(BOUND, || async {
                match creator.assign(&pod(number), wanted, Instant::now()).await {
                    Err(LeaseError::Store(StoreError::Unavailable { .. })) => None,
                    assigned => Some(assigned.unwrap().index),
                }
            });
            (number, index.await.expect("an index before the bound"))
        }
    });
    let mut indices: BTreeMap<usize, BTreeSet<i32>> = BTreeMap::new();
    for (number, index) in assigned.buffer_unordered(16).collect::<Vec<_>>().await {
        indices.entry(number).or_default().insert(index);
    }
    assert!(indices.values().all(|indices| indices.len() == 1), "{indices:?}");
    assert_eq!(indices.values().flatten().collect::<BTreeSet<_>>().len(), PODS, "{indices:?}");
    let fresh = Leases::new(subject.open(Asker::Allowed).await, scope(), "here".to_owned());
    let survey = fresh.survey().await.unwrap();
    assert_eq!(survey.holders, (0..PODS).map(pod).collect());
    assert!(survey.claimants.is_empty() && survey.unreadable.is_empty(), "{survey:?}");
    for number in 0..PODS {
        let index = *indices[&number].first().expect("one");
        assert_eq!(fresh.held_by(&pod(number).uid), [(series(), index)]);
        assert_eq!(fresh.release(&pod(number).uid, Instant::now()).await.error, None);
    }
    let survey = fresh.survey().await.unwrap();
    assert!(survey.holders.is_empty() && survey.claimants.is_empty(), "{survey:?}");
    let claim = Address::lease(series().claim(&pod(0).uid));
    assert!(matches!(
        get(&subject.open(Asker::Allowed).await, &claim).await,
        Err(StoreError::NotFound { .. })
    ));
}
