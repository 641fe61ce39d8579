//! The census beside a model that keeps the whole cluster.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The one webhook.
fn all() -> Webhooks {
    [true].into_iter().collect()
}

fn candidate(namespace: &str) -> Candidate {
    Candidate {
        namespace: namespace.into(),
        name: "app".into(),
        owner: Some("ReplicaSet app-1".into()),
        is_refused: false,
        webhooks: all(),
    }
}

/// One that opted in, and these pods in it.
fn census(pods: &[&str], now: Instant) -> Census {
    let mut census = Census::default();
    census.begin_namespaces();
    census.namespace("shop", all());
    census.end_namespaces();
    list(&mut census, pods, now);
    census
}

fn list(census: &mut Census, pods: &[&str], now: Instant) {
    census.begin_pods();
    for uid in pods {
        census.pod(uid, Some(candidate("shop")), now);
    }
    census.end_pods();
}

fn due(census: &Census, now: Instant) -> BTreeSet<String> {
    census.due(now).map(|due| due.uid.into()).collect()
}

#[test]
fn nothing_is_counted_before_both_lists_were_had() {
    let now = Instant::now();
    let mut census = Census::default();
    assert_eq!(census.count(), None);
    census.begin_pods();
    census.pod("1", Some(candidate("shop")), now);
    census.end_pods();
    assert_eq!(census.count(), None);
    census.begin_namespaces();
    census.namespace("shop", all());
    assert_eq!(census.count(), None);
    census.end_namespaces();
    assert_eq!(census.count(), Some(1));
}

#[test]
fn a_label_that_comes_late_or_goes_counts_for_the_pods_that_are_there() {
    let now = Instant::now();
    let mut census = census(&["1", "2"], now);
    census.namespace("shop", Webhooks::default());
    assert_eq!(census.count(), Some(0));
    assert!(due(&census, now + SETTLE).is_empty());
    census.namespace("shop", all());
    assert_eq!((census.count(), due(&census, now + SETTLE).len()), (Some(2), 2));
}

#[test]
fn a_pod_is_told_of_once_and_after_a_while() {
    let now = Instant::now();
    let mut census = census(&["1"], now);
    assert!(due(&census, now + SETTLE / 2).is_empty());
    let told = census.due(now + SETTLE).next().unwrap();
    assert_eq!((&*told.uid, told.pod), ("1", candidate("shop")));
    census.told("1");
    // Seen again, listed again: told all the same.
    census.pod("1", Some(candidate("shop")), now + SETTLE);
    list(&mut census, &["1"], now + SETTLE);
    census.rescope();
    assert_eq!(census.count(), None);
    census.begin_namespaces();
    census.namespace("shop", all());
    census.end_namespaces();
    list(&mut census, &["1"], now + SETTLE);
    assert_eq!((census.count(), due(&census, now + 9 * SETTLE).len()), (Some(1), 0));
    // One of the same name is another.
    census.pod_is_gone("1");
    census.pod("2", Some(candidate("shop")), now);
    assert_eq!(due(&census, now + SETTLE), ["2".to_owned()].into());
}

#[test]
fn a_pod_nobody_could_be_told_of_has_its_turn_later() {
    let now = Instant::now();
    let mut census = census(&["1", "2"], now);
    census.tell_later("1", now + SETTLE);
    assert_eq!(due(&census, now + SETTLE + AGAIN), ["2".to_owned()].into());
    assert_eq!(due(&census, now + 2 * SETTLE + AGAIN).len(), 2);
}

#[test]
fn a_list_that_was_begun_again_leaves_no_ghost_and_does_not_flap() {
    let now = Instant::now();
    let mut census = census(&["1", "2"], now);
    census.begin_pods();
    assert_eq!(census.count(), Some(2));
    census.pod("2", Some(candidate("shop")), now);
    // Broken off, and begun once more.
    census.begin_pods();
    census.pod("3", Some(candidate("shop")), now);
    assert_eq!(census.count(), Some(3));
    census.end_pods();
    assert_eq!((census.count(), due(&census, now + SETTLE)), (Some(1), ["3".to_owned()].into()));
    census.begin_namespaces();
    assert_eq!(census.count(), Some(1));
    census.end_namespaces();
    assert_eq!(census.count(), Some(0));
}

#[test]
fn of_what_was_not_missed_nothing_is_kept() {
    let now = Instant::now();
    let mut census = census(&["1"], now);
    for number in 0..1000 {
        census.pod(&number.to_string(), None, now);
        census.namespace(&format!("n{number}"), Webhooks::default());
    }
    assert_eq!((census.pods.iter().count(), census.namespaces.iter().count()), (0, 1));
}

/// What happens in a cluster, and to its watches.
#[derive(Debug, Clone)]
enum Step {
    Label(u8, bool),
    Pod(u8, u8, bool),
    Delete(u8),
    /// Events that the watch missed: a new list follows.
    Unseen(Vec<(u8, u8, bool)>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..3, any::<bool>()).prop_map(|(namespace, opted_in)| Step::Label(namespace, opted_in)),
        (0u8..12, 0u8..3, any::<bool>())
            .prop_map(|(uid, namespace, missed)| Step::Pod(uid, namespace, missed)),
        (0u8..12).prop_map(Step::Delete),
        proptest::collection::vec((0u8..12, 0u8..3, any::<bool>()), 0..8).prop_map(Step::Unseen),
    ]
}

proptest! {
    #[test]
    fn the_count_is_that_of_the_whole_cluster(steps in proptest::collection::vec(step(), 0..80)) {
        let now = Instant::now();
        let seen = |missed: bool, namespace: u8| missed.then(|| candidate(&namespace.to_string()));
        let mut census = Census::default();
        census.begin_namespaces();
        census.end_namespaces();
        census.begin_pods();
        census.end_pods();
        let (mut namespaces, mut pods) = (BTreeSet::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Label(namespace, opted_in) => {
                    census.namespace(&namespace.to_string(), if opted_in { all() } else { Webhooks::default() });
                    if opted_in { namespaces.insert(namespace) } else { namespaces.remove(&namespace) };
                }
                Step::Pod(uid, namespace, missed) => {
                    census.pod(&uid.to_string(), seen(missed, namespace), now);
                    pods.insert(uid, (namespace, missed));
                }
                Step::Delete(uid) => {
                    census.pod_is_gone(&uid.to_string());
                    pods.remove(&uid);
                }
                Step::Unseen(listed) => {
                    pods = listed.into_iter().map(|(uid, namespace, missed)| (uid, (namespace, missed))).collect();
                    census.begin_pods();
                    for (uid, (namespace, missed)) in &pods {
                        census.pod(&uid.to_string(), seen(*missed, *namespace), now);
                    }
                    census.end_pods();
                }
            }
            let expected: BTreeSet<String> = pods
                .iter()
                .filter(|(_, (namespace, missed))| *missed && namespaces.contains(namespace))
                .map(|(uid, _)| uid.to_string())
                .collect();
            prop_assert_eq!(census.count(), Some(expected.len()));
            prop_assert_eq!(due(&census, now + SETTLE), expected);
        }
    }
}
