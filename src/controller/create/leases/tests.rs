//! Leases on a store in memory: one creator at a time. Many at once are in `interleaved`, surveys in `surveys`.

mod interleaved;
mod kees;
mod surveys;

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};

use super::former::{KEPT_FOR, MOST};
use super::*;
use crate::domain::{LeaseRecord, StoragePath};
use crate::store::memory::Memory;

/// What is counted under this path.
fn series(path: &str) -> LeaseSeries {
    match LeaseRecord::read(&StoragePath::read(&format!("{path}.0")).unwrap()) {
        Some(LeaseRecord::Index(series, 0)) => series,
        other => panic!("{path}: {other:?}"),
    }
}

const CLUSTER: &str = "here";

fn db() -> LeaseSeries {
    series("/env/leases/db")
}

fn uid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn pod(number: usize) -> Pod {
    Pod { namespace: "veza".to_owned(), name: format!("web-{number}"), uid: uid(number) }
}

fn text(pod: &Pod) -> String {
    format!("{}/{}/{}/{CLUSTER}", pod.namespace, pod.name, pod.uid)
}

fn wanted(series: LeaseSeries, range: RangeInclusive<i32>) -> Wanted {
    Wanted { series, range, is_of_stateful_set: false }
}

fn leases(store: &Arc<Memory>) -> Leases {
    Leases::new(Arc::clone(store) as Arc<dyn Store>, vec![String::new()], CLUSTER.to_owned())
}

/// The index of a pod in `db`.
async fn assign(leases: &Leases, pod: &Pod, range: RangeInclusive<i32>) -> Result<i32, LeaseError> {
    let assigned = leases.assign(pod, &wanted(db(), range), Instant::now()).await;
    assigned.map(|assigned| assigned.index)
}

async fn release(leases: &Leases, pod: &Pod) -> BTreeSet<LeaseSeries> {
    let released = leases.release(&pod.uid, Instant::now()).await;
    assert_eq!(released.error, None);
    released.series
}

fn unavailable(path: String) -> StoreError {
    StoreError::unavailable(path, "throttled")
}

#[tokio::test]
async fn a_pod_gets_the_lowest_free_index_and_keeps_it() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    for number in 0..3 {
        let assigned = leases.assign(&pod(number), &wanted(db(), 5..=9), Instant::now()).await.unwrap();
        assert_eq!(assigned, Assigned { index: 5 + i32::try_from(number).unwrap(), is_new: true });
    }
    let before = store.requests();
    let again = leases.assign(&pod(1), &wanted(db(), 5..=9), Instant::now()).await.unwrap();
    assert_eq!((again, store.requests() - before), (Assigned { index: 6, is_new: false }, 0));
    let texts = store.texts();
    assert_eq!(texts["/env/leases/db.6"], text(&pod(1)));
    assert_eq!(texts[&format!("/env/leases/db.of-{}", uid(1))], "6@here");
    assert_eq!(texts.len(), 6);
    assert_eq!(leases.held_by(&uid(1)), [(db(), 6)]);
    assert_eq!(leases.uses(), [(db(), Use { held: 3, reserved: 0 })]);
    assert_eq!(release(&leases, &pod(1)).await, BTreeSet::from([db()]));
    assert_eq!(release(&leases, &pod(1)).await, BTreeSet::new());
    assert_eq!(store.texts().len(), 4);
    assert_eq!(assign(&leases, &pod(7), 5..=9).await, Ok(6));
}

#[tokio::test]
async fn two_creators_give_a_pod_one_index() {
    let store = Arc::<Memory>::default();
    let (one, other) = (leases(&store), leases(&store));
    assert_eq!(assign(&one, &pod(0), 0..=9).await, Ok(0));
    assert_eq!(assign(&other, &pod(1), 0..=9).await, Ok(1));
    assert_eq!(assign(&other, &pod(0), 0..=9).await, Ok(0));
    assert_eq!(store.texts().len(), 4);
}

#[tokio::test]
async fn what_a_killed_creator_claimed_is_taken_by_the_next() {
    let store = Arc::<Memory>::default();
    store.put(&format!("/env/leases/db.of-{}", uid(0)), b"4@here");
    assert_eq!(assign(&leases(&store), &pod(0), 0..=9).await, Ok(4));
    // Another pod has what it claimed.
    store.put(&format!("/env/leases/db.of-{}", uid(1)), b"4@here");
    assert_eq!(assign(&leases(&store), &pod(1), 0..=9).await, Ok(0));
    assert_eq!(store.texts()[&format!("/env/leases/db.of-{}", uid(1))], "0@here");
}

#[tokio::test]
async fn an_index_outside_the_range_is_told_and_stays() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    assert_eq!(assign(&leases, &pod(0), 0..=9).await, Ok(0));
    let texts = store.texts();
    for creator in [&leases, &super::tests::leases(&store)] {
        let error = assign(creator, &pod(0), 10..=19).await.unwrap_err();
        assert_eq!(error, wanted(db(), 10..=19).outside(0), "{error}");
        assert_eq!(store.texts(), texts);
    }
    // Ranges that have it in common share it.
    assert_eq!(assign(&leases, &pod(0), -5..=0).await, Ok(0));
}

#[tokio::test]
async fn series_that_begin_alike_are_apart() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    let names = ["db", "db2", "db.7", "db.of-x", "a/db"];
    for name in names {
        let series = series(&format!("/env/leases/{name}"));
        for number in 0..2 {
            let assigned = leases.assign(&pod(number), &wanted(series.clone(), 7..=8), Instant::now()).await;
            assert_eq!(assigned.unwrap().index, 7 + i32::try_from(number).unwrap(), "{name}");
        }
    }
    let fresh = super::tests::leases(&store);
    let survey = fresh.survey().await.unwrap();
    assert_eq!(survey.holders, BTreeSet::from([pod(0), pod(1)]));
    assert_eq!(fresh.uses().len(), names.len());
    assert_eq!(fresh.held_by(&uid(1)).len(), names.len());
    assert_eq!(release(&fresh, &pod(0)).await.len(), names.len());
    assert!(store.texts().values().all(|value| *value == text(&pod(1)) || value == "8@here"));
}

#[tokio::test]
async fn exhaustion_is_told_and_ends_with_a_release() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    for number in 0..3 {
        assign(&leases, &pod(number), 1..=3).await.unwrap();
    }
    let full = LeaseError::Exhausted { series: db(), range: 1..=3, held: 3 };
    assert_eq!(assign(&leases, &pod(3), 1..=3).await, Err(full.clone()));
    assert!(full.to_string().contains("1 to 3 of /env/leases/db"), "{full}");
    assert_eq!(store.texts().len(), 6);
    assert_eq!(release(&leases, &pod(1)).await, BTreeSet::from([db()]));
    assert_eq!(assign(&leases, &pod(3), 1..=3).await, Ok(2));
    // Where another creator found room, that is the pod's.
    let other = super::tests::leases(&store);
    release(&other, &pod(0)).await;
    other.survey().await.unwrap();
    release(&other, &pod(0)).await;
    assert_eq!(assign(&other, &pod(4), 1..=3).await, Ok(1));
    assert_eq!(assign(&leases, &pod(4), 1..=3).await, Ok(1));
}

#[tokio::test]
async fn a_secret_at_such_a_path_is_taken_for_taken_and_left_alone() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.0", b"postgres/app/secret");
    store.put("/env/leases/db.1", b"hunter2!");
    store.put("/env/leases/db.of-token", b"1234");
    let fresh = leases(&store);
    let survey = fresh.survey().await.unwrap();
    assert_eq!(survey, Survey::default());
    assert_eq!(assign(&fresh, &pod(0), 0..=9).await, Ok(2));
    assert_eq!(assign(&leases(&store), &pod(1), 0..=9).await, Ok(3));
    let named = fresh.release_named(&[db()], |_| false).await;
    assert_eq!(named, Released::default());
    for uid in ["secret", "token"] {
        assert_eq!(fresh.release(uid, Instant::now()).await, Released::default());
    }
    assert_eq!(store.texts().len(), 3 + 4);
    // One where the claim should be stops the assignment.
    store.put(&format!("/env/leases/db.of-{}", uid(9)), b"hunter2");
    let error = assign(&leases(&store), &pod(9), 0..=9).await.unwrap_err();
    assert!(matches!(&error, LeaseError::Store(StoreError::Invalid { .. })), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn what_fails_is_tried_again() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    for path in [format!("/env/leases/db.of-{}", uid(0)), "/env/leases/db.0".to_owned()] {
        store.fail(&path, unavailable);
        let error = assign(&leases, &pod(0), 0..=9).await.unwrap_err();
        assert!(matches!(error, LeaseError::Store(StoreError::Unavailable { .. })));
    }
    assert_eq!(leases.uses(), [(db(), Use { held: 0, reserved: 1 })]);
    assert_eq!(assign(&leases, &pod(0), 0..=9).await, Ok(0));
    for path in [format!("/env/leases/db.of-{}", uid(0)), "/env/leases/db.0".to_owned()].iter().rev() {
        store.fail(path, unavailable);
        let released = leases.release(&uid(0), Instant::now()).await;
        assert!(matches!(released.error, Some(StoreError::Unavailable { .. })));
    }
    assert_eq!(release(&leases, &pod(0)).await, BTreeSet::from([db()]));
    assert!(store.texts().is_empty() && leases.uses().is_empty());
}

#[tokio::test]
async fn a_claim_that_changed_meanwhile_goes_with_its_pod() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    assign(&leases, &pod(0), 0..=9).await.unwrap();
    store.put(&format!("/env/leases/db.of-{}", uid(0)), b"7@here");
    store.put("/env/leases/db.0", text(&pod(5)).as_bytes());
    release(&leases, &pod(0)).await;
    assert_eq!(
        store.texts().into_iter().collect::<Vec<_>>(),
        [("/env/leases/db.0".to_owned(), text(&pod(5)))]
    );
    // What another pod has by now is taken.
    assert_eq!(assign(&leases, &pod(1), 0..=9).await, Ok(1));
}

#[tokio::test]
async fn a_pod_of_a_stateful_set_gets_its_former_index_again() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    let wants = |is_of_stateful_set| Wanted { is_of_stateful_set, ..wanted(db(), 0..=3) };
    let start = Instant::now();
    let at = |number: usize, stateful, now| {
        let leases = &leases;
        async move { leases.assign(&pod(number), &wants(stateful), now).await.map(|assigned| assigned.index) }
    };
    let again = |number: usize, life: usize| Pod { uid: uid(1000 * life + number), ..pod(number) };
    for number in 0..3 {
        at(number, true, start).await.unwrap();
    }
    for number in 0..3 {
        let _ = leases.release(&uid(number), start).await;
    }
    assert_eq!(leases.uses(), [(db(), Use { held: 0, reserved: 3 })]);
    // Others leave it free for a while, and the pod finds it whatever the order.
    assert_eq!(at(10, false, start).await, Ok(3));
    for number in [2, 0] {
        let found = leases.assign(&again(number, 1), &wants(true), start).await.unwrap();
        assert_eq!(found.index, i32::try_from(number).unwrap());
    }
    // Unless nothing else is free.
    assert_eq!(at(11, false, start).await, Ok(1));
    let _ = leases.release(&again(2, 1).uid, start).await;
    let _ = leases.release(&uid(10), start).await;
    let late = start + KEPT_FOR;
    assert_eq!(at(12, false, late).await, Ok(2));
    let other = leases.assign(&again(2, 2), &wants(true), late).await.unwrap();
    assert_eq!(other.index, 3, "its former one is taken");
    assert_eq!(leases.uses(), [(db(), Use { held: 4, reserved: 0 })]);
}

#[tokio::test]
async fn of_former_indices_only_so_many_are_remembered() {
    let store = Arc::<Memory>::default();
    let leases = leases(&store);
    let wanted = Wanted { is_of_stateful_set: true, ..wanted(db(), 0..=99_999) };
    let start = Instant::now();
    let many = MOST + 100;
    for number in 0..many {
        leases.assign(&pod(number), &wanted, start).await.unwrap();
    }
    for number in 0..many {
        let _ = leases.release(&uid(number), start).await;
    }
    assert_eq!(leases.ledger().remembered(), MOST);
    let late = start + KEPT_FOR;
    let youngest = Pod { uid: uid(many), ..pod(many - 1) };
    let assigned = leases.assign(&youngest, &wanted, late).await.unwrap();
    assert_eq!(assigned.index, i32::try_from(many - 1).unwrap());
    let oldest = Pod { uid: uid(many + 1), ..pod(1) };
    assert_eq!(leases.assign(&oldest, &wanted, late).await.unwrap().index, 0);
}

#[tokio::test]
async fn a_hundred_thousand_indices_are_nothing() {
    const MANY: usize = 100_000;
    let range = 0..=99_999;
    let store = Arc::<Memory>::default();
    let mut ledger = Ledger::default();
    let (db, start) = (db(), Instant::now());
    for number in 0..MANY {
        let index = i32::try_from(number).unwrap();
        let pod = pod(number);
        assert_eq!(ledger.choose(&pod, &db, &range, false, start), Choice::Try(index));
        ledger.holds(&db, &pod, index, pod.holder(CLUSTER), false);
        ledger.land(&db, &pod.uid, index);
    }
    let all = LeaseError::Exhausted { series: db, range: range.clone(), held: MANY };
    let leases = Leases { ledger: Mutex::new(ledger), ..leases(&store) };
    assert_eq!(assign(&leases, &pod(MANY), range.clone()).await, Err(all));
    for number in [70_000, 30_000] {
        release(&leases, &pod(number)).await;
    }
    for (number, index) in [(MANY, 30_000), (MANY + 1, 70_000)] {
        assert_eq!(assign(&leases, &pod(number), range.clone()).await, Ok(index));
    }
    // A survey takes it all over, or away.
    assert_eq!(leases.survey().await.unwrap().holders.len(), 2);
}

#[tokio::test]
async fn as_many_pods_as_indices_over_restarts_and_back_to_nothing() {
    const MANY: usize = 1000;
    let store = Arc::new(Memory::slow());
    let last = i32::try_from(MANY).unwrap() - 1;
    let mut leases = leases(&store);
    for first in (0..MANY).step_by(250) {
        // A new creator each time, which knows what the store knows.
        leases = super::tests::leases(&store);
        leases.survey().await.unwrap();
        let assigned = stream::iter(first..first + 250).map(|number| {
            let leases = &leases;
            async move { assign(leases, &pod(number), 0..=last).await.unwrap() }
        });
        assert_eq!(assigned.buffer_unordered(16).collect::<BTreeSet<_>>().await.len(), 250);
    }
    let fresh = super::tests::leases(&store);
    assert_eq!(fresh.survey().await.unwrap().holders.len(), MANY);
    let mut indices = BTreeSet::new();
    for number in 0..MANY {
        let index = assign(&leases, &pod(number), 0..=last).await.unwrap();
        assert_eq!(fresh.held_by(&uid(number)), [(db(), index)]);
        indices.insert(index);
    }
    assert_eq!(indices.len(), MANY);
    let gone = stream::iter(0..MANY).map(|number| {
        let fresh = &fresh;
        async move { release(fresh, &pod(number)).await }
    });
    assert_eq!(gone.buffer_unordered(16).collect::<Vec<_>>().await.len(), MANY);
    assert!(store.texts().is_empty() && fresh.uses().is_empty());
}

#[tokio::test]
async fn the_two_annotations_of_one_pod_at_once_share_one_index() {
    let store = Arc::new(Memory::slow());
    let leases = leases(&store);
    let one = pod(0);
    let found = tokio::join!(assign(&leases, &one, 0..=0), assign(&leases, &one, 0..=0));
    assert_eq!(found, (Ok(0), Ok(0)));
}

#[tokio::test]
async fn who_is_dropped_leaves_no_mark() {
    let store = Arc::new(Memory::slow());
    let leases = leases(&store);
    let (one, range) = (pod(0), 0..=9);
    let mut assignment = Box::pin(assign(&leases, &one, range));
    assert!(futures::poll!(&mut assignment).is_pending());
    assert_eq!(leases.uses(), [(db(), Use { held: 0, reserved: 1 })]);
    drop(assignment);
    assert_eq!(leases.uses(), []);
}

#[tokio::test]
async fn two_clusters_that_share_a_store_share_a_series_and_release_their_own() {
    let store = Arc::<Memory>::default();
    let new = |cluster: &str| {
        Leases::new(Arc::clone(&store) as Arc<dyn Store>, vec![String::new()], cluster.to_owned())
    };
    let (blue, green) = (new("blue"), new("green"));
    assert_eq!(assign(&blue, &pod(0), 0..=9).await, Ok(0));
    assert_eq!(assign(&green, &pod(1), 0..=9).await, Ok(1), "an index has one holder, wherever that lives");
    let survey = green.survey().await.unwrap();
    assert_eq!(survey.holders, BTreeSet::from([pod(1)]), "the other cluster's pods are not asked about");
    assert_eq!(survey.claimants, BTreeSet::new());
    release(&green, &pod(0)).await;
    assert_eq!(store.texts()["/env/leases/db.0"], format!("veza/web-0/{}/blue", uid(0)));
    assert_eq!(assign(&blue, &pod(0), 0..=9).await, Ok(0));
    assert_eq!(assign(&green, &pod(2), 0..=1).await.unwrap_err().to_string(), exhausted());
}

/// Told where the other index is one of another cluster, of which no more is known here.
fn exhausted() -> String {
    let series = db();
    LeaseError::Exhausted { series, range: 0..=1, held: 2 }.to_string()
}
