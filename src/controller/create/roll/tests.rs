//! What is known of pods that come, change, wait and go.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;

use super::*;

const RANDOM: (&str, &str) = ("secret.bsycorp.com/db_password", "kind=DYNAMIC,type=PASSWORD,size=128");
const LEASE: (&str, &str) = ("lease.bsycorp.com/snowflake", "kind=INDEX,rangeStart=0,rangeEnd=9");

fn settings() -> Settings {
    crate::config::read("").unwrap().offline()
}

fn pod(uid: &str, annotations: &[(&str, &str)]) -> ObjectMeta {
    let annotations: BTreeMap<String, String> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ObjectMeta {
        uid: Some(uid.to_owned()),
        namespace: Some("shop".to_owned()),
        name: Some(format!("pod-{uid}")),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

fn wait(reason: Reason, note: &str) -> Wait {
    Wait::new(reason, note.to_owned())
}

#[test]
fn a_pod_has_a_turn_when_it_comes_and_when_its_annotations_change() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    assert_eq!(roll.see(&settings, &pod("1", &[RANDOM]), now).as_deref(), Some("1"));
    assert_eq!(roll.see(&settings, &pod("1", &[RANDOM]), now), None, "only its status changed");
    assert_eq!(roll.see(&settings, &pod("1", &[RANDOM, LEASE]), now).as_deref(), Some("1"));
    assert_eq!(roll.turn("1").unwrap().1.leases.len(), 1);
    assert_eq!(roll.see(&settings, &pod("1", &[]), now), None);
    assert_eq!((roll.len(), roll.turn("1")), (0, None));
}

#[test]
fn nothing_is_kept_of_pods_that_ask_for_nothing() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    assert_eq!(roll.see(&settings, &pod("1", &[("other/a", "b")]), now), None);
    assert_eq!((roll.len(), roll.gone("1")), (0, None));
}

#[test]
fn what_goes_starts_nothing_and_holds_what_it_has_until_it_is_gone() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    let going = |uid: &str| ObjectMeta {
        deletion_timestamp: Some(Time(Timestamp::UNIX_EPOCH)),
        ..pod(uid, &[RANDOM, LEASE])
    };
    roll.see(&settings, &pod("1", &[RANDOM, LEASE]), now);
    assert_eq!(roll.see(&settings, &going("1"), now), None);
    assert!(roll.living().uids.contains("1"));
    assert_eq!(roll.see(&settings, &going("2"), now), None);
    assert_eq!(roll.gone("1"), Some(Gone { uid: "1".into(), may_hold: true }));
    assert_eq!(roll.gone("2"), None);
}

#[test]
fn what_a_list_does_not_hold_is_gone() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    roll.begin();
    roll.see(&settings, &pod("1", &[LEASE]), now);
    roll.see(&settings, &pod("2", &[RANDOM]), now);
    roll.see(&settings, &pod("3", &[LEASE]), now);
    assert!(roll.end().is_empty() && roll.is_complete());
    roll.begin();
    assert_eq!(roll.see(&settings, &pod("3", &[LEASE]), now), None);
    let mut gone = roll.end();
    gone.sort_by(|a, b| a.uid.cmp(&b.uid));
    assert_eq!(gone, [Gone { uid: "1".into(), may_hold: true }, Gone { uid: "2".into(), may_hold: false }]);
}

#[test]
fn a_pod_that_returns_is_one_of_a_stateful_set() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    let owner = OwnerReference { kind: "StatefulSet".to_owned(), ..OwnerReference::default() };
    let owned = ObjectMeta { owner_references: Some(vec![owner]), ..pod("1", &[LEASE]) };
    roll.see(&settings, &owned, now);
    roll.see(&settings, &pod("2", &[LEASE]), now);
    assert!(roll.turn("1").unwrap().0.returns && !roll.turn("2").unwrap().0.returns);
}

#[test]
fn somebody_is_told_once_of_each_reason_and_again_after_a_while() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    roll.see(&settings, &pod("1", &[RANDOM, LEASE]), now);
    let away = [
        wait(Reason::StoreUnavailable, "a"),
        wait(Reason::StoreUnavailable, "b"),
        wait(Reason::StoreUnavailable, "a"),
    ];
    assert_eq!(roll.settle("1", &away, now), [(Reason::StoreUnavailable, "a; b".to_owned())]);
    assert_eq!(roll.settle("1", &away, now), []);
    let both = [wait(Reason::StoreUnavailable, "a"), wait(Reason::LeaseConflict, "c")];
    assert_eq!(roll.settle("1", &both, now), [(Reason::LeaseConflict, "c".to_owned())]);
    assert_eq!(roll.waiting().iter().sum::<i64>(), 2);
    assert_eq!(roll.settle("1", &both, now + TELL_AGAIN).len(), 2);
    assert_eq!(roll.settle("1", &[], now), []);
    assert_eq!(roll.waiting().iter().sum::<i64>(), 0);
    assert_eq!(roll.settle("1", &away, now).len(), 1, "it is news again");
}

#[test]
fn a_pod_that_has_its_values_is_remembered_for_its_leases_alone() {
    let (mut roll, settings, now) = (Roll::default(), settings(), Instant::now());
    roll.see(&settings, &pod("1", &[RANDOM, LEASE]), now);
    roll.settle("1", &[wait(Reason::LeaseExhausted, "a")], now);
    assert_eq!(roll.turn("1").unwrap().1.generations.len(), 1, "it waits, and all of it is looked at again");
    roll.settle("1", &[], now);
    roll.has_values("1");
    let (_, wish) = roll.turn("1").unwrap();
    assert_eq!((wish.generations.len(), wish.leases.len()), (0, 1));
    assert_eq!(roll.with_leases().count(), 1);
}

#[test]
fn as_many_as_indices_were_released_are_woken_those_that_wait_longest_first() {
    let (mut roll, settings, start) = (Roll::default(), settings(), Instant::now());
    let mut series = None;
    for (n, uid) in ["1", "2", "3"].iter().enumerate() {
        let now = start + Duration::from_secs(n as u64);
        roll.see(&settings, &pod(uid, &[LEASE]), now);
        let wanted = roll.turn(uid).unwrap().1.leases[0].series.clone();
        let exhausted = Wait { series: Some(wanted.clone()), ..wait(Reason::LeaseExhausted, "full") };
        roll.settle(uid, &[exhausted], now);
        series = Some(wanted);
    }
    let series = series.unwrap();
    let woken = |released: usize| {
        let uids = roll.waiting_for(&vec![series.clone(); released]);
        uids.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(woken(0), [""; 0]);
    assert_eq!(woken(2), ["1", "2"]);
    assert_eq!(woken(5), ["1", "2", "3"]);
}
