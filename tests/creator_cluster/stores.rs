//! What a store has already, what it must not get, and what happens while it is away.

use std::time::{Duration, Instant};

use super::fixture::{Cluster, SECRETS, WITHIN};
#[cfg(feature = "dynamodb")]
use super::table::{CREDENTIALS, Table};
#[cfg(feature = "dynamodb")]
use crate::support::faults::Faults;
use crate::support::measured::measured;
#[cfg(feature = "dynamodb")]
use crate::support::servers::Moto;
use crate::support::wait::until;

const PREFIX: (&str, &str) = ("init/storage-prefix", "/a");
const RSA: &str = "kind=DYNAMIC,type=RSA,size=2048";
const PASSWORD: &str = "kind=DYNAMIC,type=PASSWORD,size=128";
/// For how long the store is away: long enough for waits to have grown to their longest, which is 10 s.
#[cfg(feature = "dynamodb")]
const AWAY: Duration = Duration::from_secs(60);

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_waited_for_and_each_pod_says_so() {
    let test = "store-away";
    let Some(moto) = Moto::start(test).await else { return };
    let table = Table::new(&moto, "away").await;
    let line = Faults::before(moto.address().trim_start_matches("http://")).start().await;
    let Some(cluster) = Cluster::start(test, &table.configuration(&line.url())).await else { return };
    let namespace = cluster.namespace("pods").await;
    let mut creator = cluster.leader("a", &["--resync=2s"], CREDENTIALS).await;
    let asked = |number: usize| {
        let key = format!("secret/db-{number}_password");
        cluster.pod(
            &format!("p{number}"),
            &[PREFIX, (key.as_str(), PASSWORD), ("lease/shard", "kind=INDEX,rangeStart=0,rangeEnd=99")],
        )
    };
    cluster.create(&namespace, &asked(0)).await;
    let has = async |count: usize| {
        let has = until(WITHIN, async || (table.items().await.len() == count).then_some(())).await;
        has.unwrap_or_else(|| panic!("not {count} items: {}", creator.log_text()));
    };
    has(3).await;

    line.refuse().await;
    line.forget();
    let went = Instant::now();
    let pods = 6;
    for number in 1..pods {
        cluster.create(&namespace, &asked(number)).await;
    }
    for number in 1..pods {
        let note = cluster.is_told(&namespace, &format!("p{number}"), "SecretsWaiting").await;
        assert!(note.starts_with("waits for store prod (dynamodb): "), "{note}");
    }
    let waiting = async || creator.counted("waiting", &[("reason", "store_unavailable")]).await;
    let all = until(WITHIN, async || (waiting().await > (pods - 1) as f64 - 0.5).then_some(())).await;
    all.expect("a metric that counts those that wait");
    tokio::time::sleep(AWAY.saturating_sub(went.elapsed())).await;
    assert_eq!(table.items().await.len(), 3, "nothing came through");

    line.listen().await;
    let back = Instant::now();
    has(3 * pods).await;
    measured(format_args!(
        "creator: after {:.0} s without its store, {} pods are served {:.1} s after it is back",
        back.duration_since(went).as_secs_f64(),
        pods - 1,
        back.elapsed().as_secs_f64()
    ));
    let none = until(WITHIN, async || (waiting().await < 0.5).then_some(())).await;
    none.expect("nobody waits any more");
    // One Event a pod, however often it was tried.
    for number in 1..pods {
        assert_eq!(cluster.told(&namespace, &format!("p{number}"), "SecretsWaiting").await.len(), 1);
    }
    assert!(creator.is_running(), "it stays up: {}", creator.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_pair_is_told_and_never_completed() {
    let Some(cluster) = Cluster::start("half", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    cluster.put(&namespace, "a--half", &serde_json::json!({"public": "somebody's"})).await;
    let creator = cluster.leader("a", &[], &[]).await;
    cluster
        .create(
            &namespace,
            &cluster.pod("p", &[PREFIX, ("secret/half_private", RSA), ("secret/db_password", PASSWORD)]),
        )
        .await;
    let note = cluster.is_told(&namespace, "p", "SecretIncomplete").await;
    assert!(note.contains("/a/half_private") && note.contains("/a/half_public"), "{note}");
    let counts = async || creator.counted("waiting", &[("reason", "incomplete")]).await > 0.5;
    until(WITHIN, async || counts().await.then_some(())).await.expect("the metric of those that wait");
    // What else it asks for is made. Looked at again, the half is as it was.
    let made = async || cluster.secrets(&namespace).await.contains_key("/a/db_password").then_some(());
    until(WITHIN, made).await.expect("the password");
    let mut again = cluster.creators.once("again", &[], &[]);
    assert_eq!(again.exit_code().await, Some(65), "{}", again.log_text());
    let kept = cluster.secrets(&namespace).await;
    assert_eq!(kept.len(), 2, "{:?}", kept.keys());
    assert_eq!(kept["a--half_public"], b"somebody's");

    // Deleted, so that a whole pair can be made: for the next pod at the latest.
    cluster.plane.kubectl(&["delete", "secret", "a--half", "--namespace", &namespace], "").await.unwrap();
    cluster.create(&namespace, &cluster.pod("next", &[PREFIX, ("secret/half_private", RSA)])).await;
    let whole = async || {
        let kept = cluster.secrets(&namespace).await;
        (kept.contains_key("/a/half_public") && kept.contains_key("/a/half_private")).then_some(())
    };
    until(WITHIN, whole).await.expect("a whole pair");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_never_written_over_and_what_was_deleted_is_made_for_the_next_pod() {
    let Some(cluster) = Cluster::start("there", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    cluster.put(&namespace, "a--db", &serde_json::json!({"password": "of-people", "user": "app"})).await;
    let creator = cluster.leader("a", &["--resync=1s"], &[]).await;
    let made = async |name: &str, what: &str| {
        let made = until(WITHIN, async || {
            let kept = cluster.secrets(&namespace).await;
            kept.contains_key(what).then_some(kept)
        });
        made.await.unwrap_or_else(|| panic!("{name}: no {what}: {}", creator.log_text()))
    };
    let key = ("secret/key_private", RSA);
    let asks = [PREFIX, ("secret/db_password", PASSWORD), key];
    cluster.create(&namespace, &cluster.pod("first", &asks)).await;
    let first = made("first", "/a/key_private").await;
    assert_eq!(
        (&*first["a--db_password"], &*first["a--db_user"], first.len()),
        (&b"of-people"[..], &b"app"[..], 4)
    );
    // Another size in a later annotation changes nothing.
    let asks = [
        PREFIX,
        ("secret/key_private", "kind=DYNAMIC,type=RSA,size=4096"),
        ("secret/second", "kind=DYNAMIC,type=RANDOM,size=8"),
    ];
    cluster.create(&namespace, &cluster.pod("second", &asks)).await;
    let second = made("second", "/a/second").await;
    assert!(first.iter().all(|(path, value)| second[path] == *value), "something has another value");

    // Pods that had it do not bring it back; who comes does, when what is known of it is forgotten.
    cluster.plane.kubectl(&["delete", "secret", "a--key", "--namespace", &namespace], "").await.unwrap();
    let began = Instant::now();
    let looks = creator.counted("resync_timestamp_seconds", &[]).await;
    let resynced =
        async || (creator.counted("resync_timestamp_seconds", &[]).await > looks + 3.0).then_some(());
    until(WITHIN, resynced).await.expect("it compares leases with pods");
    assert!(!cluster.secrets(&namespace).await.contains_key("/a/key_private"));
    let again = until(WITHIN, async || {
        // A pod is served once: another one asks.
        let name = format!("later-{}", began.elapsed().as_millis());
        cluster.create(&namespace, &cluster.pod(&name, &[PREFIX, key])).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.secrets(&namespace).await.remove("/a/key_private")
    });
    let again = again.await.expect("a key for those that come");
    assert_ne!(again, first["/a/key_private"], "a new one");
    measured(format_args!(
        "creator: a secret that was deleted is there for a new pod after {:.0} s",
        began.elapsed().as_secs_f64()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_is_not_allowed_gets_nothing() {
    let rules = format!("{SECRETS}prefixes: [{{namespaces: [prefixes-pods], allow: [/own]}}]\n");
    let Some(cluster) = Cluster::start("prefixes", &rules).await else { return };
    let namespace = cluster.namespace("pods").await;
    let _creator = cluster.leader("a", &[], &[]).await;
    let lease = ("lease/shard", "kind=INDEX,rangeStart=0,rangeEnd=9");
    let asks = |prefix| [("init/storage-prefix", prefix), ("secret/db_password", PASSWORD), lease];
    cluster.create(&namespace, &cluster.pod("greedy", &asks("/other"))).await;
    cluster.create(&namespace, &cluster.pod("sibling", &asks("/owner"))).await;
    for pod in ["greedy", "sibling"] {
        let note = cluster.is_told(&namespace, pod, "SecretsInvalid").await;
        assert!(note.contains("storage-prefix"), "{note}");
    }
    cluster.create(&namespace, &cluster.pod("modest", &asks("/own/db"))).await;
    let served = async || Some(cluster.secrets(&namespace).await).filter(|kept| kept.len() == 3);
    let kept = until(WITHIN, served).await.expect("what is allowed");
    assert!(kept.keys().all(|path| path.starts_with("/own/db/")), "{:?}", kept.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_the_right_is_told_what_to_grant() {
    let Some(cluster) = Cluster::start("denied", SECRETS).await else { return };
    cluster.plane.namespace("denied-closed", &[], &[]).await.unwrap();
    let _creator = cluster.leader("a", &[], &[]).await;
    cluster.create("denied-closed", &cluster.pod("p", &[PREFIX, ("secret/db_password", PASSWORD)])).await;
    let note = cluster.is_told("denied-closed", "p", "SecretsWaiting").await;
    assert!(
        note.contains("denies /a/db_password")
            && note.contains("bind the ClusterRole keystow-creator-secrets"),
        "{note}"
    );
    assert!(cluster.secrets("denied-closed").await.is_empty());
    let mut once = cluster.creators.once("once", &[], &[]);
    assert_eq!(once.exit_code().await, Some(77), "{}", once.log_text());
}
