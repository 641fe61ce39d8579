//! Indices of a few pods: ranges that are full, pods that end, series whose names begin alike, creators that take turns.

use std::collections::BTreeMap;
use std::time::Instant;

use super::fixture::{Cluster, SECRETS, WITHIN, holders, leads};
#[cfg(feature = "dynamodb")]
use super::table::{CREDENTIALS, Table};
use crate::support::measured::measured;
#[cfg(feature = "dynamodb")]
use crate::support::servers::Moto;
use crate::support::wait::until;

const PREFIX: (&str, &str) = ("init/storage-prefix", "/a");

/// Waits until a series has these holders.
async fn hold(cluster: &Cluster, namespace: &str, series: &str, expected: &[(i32, &String)]) {
    let expected: BTreeMap<i32, String> =
        expected.iter().map(|(index, uid)| (*index, (*uid).clone())).collect();
    let held = async || holders(&cluster.secrets(namespace).await, &format!("/a/leases/{series}"));
    let hold = until(WITHIN, async || (held().await == expected).then_some(())).await;
    if hold.is_none() {
        panic!("{series}: {:?}, not {expected:?}", held().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_the_range_full_is_told_and_gets_what_is_released() {
    let Some(cluster) = Cluster::start("full", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    // It is not the comparison that finds out.
    let creator = cluster.leader("a", &["--resync=1h"], &[]).await;
    let pod =
        |name: &str| cluster.pod(name, &[PREFIX, ("lease/shard", "kind=INDEX,rangeStart=7,rangeEnd=8")]);
    let first = cluster.create(&namespace, &pod("first")).await;
    hold(&cluster, &namespace, "shard", &[(7, &first)]).await;
    let second = cluster.create(&namespace, &pod("second")).await;
    hold(&cluster, &namespace, "shard", &[(7, &first), (8, &second)]).await;
    let third = cluster.create(&namespace, &pod("third")).await;
    let note = cluster.is_told(&namespace, "third", "LeaseExhausted").await;
    assert!(note.contains("7 to 8") && note.contains("/a/leases/shard"), "{note}");
    let waits = async || creator.counted("waiting", &[("reason", "lease_exhausted")]).await > 0.5;
    until(WITHIN, async || waits().await.then_some(())).await.expect("the metric of those that wait");
    assert!(creator.counted("lease_use_ratio", &[("store", "cluster")]).await > 0.99);

    let began = Instant::now();
    cluster.delete(&namespace, "first").await;
    hold(&cluster, &namespace, "shard", &[(7, &third), (8, &second)]).await;
    measured(format_args!(
        "creator: a released index has its next pod after {:.2} s",
        began.elapsed().as_secs_f64()
    ));
    // A pod that has done its work holds nothing, and one that was evicted neither.
    let fourth = cluster.create(&namespace, &pod("fourth")).await;
    cluster.is_told(&namespace, "fourth", "LeaseExhausted").await;
    cluster.end(&namespace, "second", "Succeeded").await;
    hold(&cluster, &namespace, "shard", &[(7, &third), (8, &fourth)]).await;
    cluster.end(&namespace, "fourth", "Failed").await;
    hold(&cluster, &namespace, "shard", &[(7, &third)]).await;
    // And neither pod is given one again, though both are still there.
    let fifth = cluster.create(&namespace, &pod("fifth")).await;
    hold(&cluster, &namespace, "shard", &[(7, &third), (8, &fifth)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_whose_names_begin_alike_never_mix() {
    let Some(cluster) = Cluster::start("alike", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    let _creator = cluster.leader("a", &["--resync=1s"], &[]).await;
    let names = ["snowflake", "snowflake2", "snowflake.7"];
    let pod = |name: &str| {
        let keys = names.map(|name| format!("lease/{name}"));
        let range = "kind=INDEX,rangeStart=0,rangeEnd=30";
        let leases: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), range)).collect();
        cluster.pod(name, &[&[PREFIX], &leases[..]].concat())
    };
    let first = cluster.create(&namespace, &pod("first")).await;
    for series in names {
        hold(&cluster, &namespace, series, &[(0, &first)]).await;
    }
    let second = cluster.create(&namespace, &pod("second")).await;
    for series in names {
        hold(&cluster, &namespace, series, &[(0, &first), (1, &second)]).await;
    }
    cluster.delete(&namespace, "first").await;
    for series in names {
        hold(&cluster, &namespace, series, &[(1, &second)]).await;
    }
    // The claim of who is gone goes after its record.
    let secrets = async || cluster.secrets(&namespace).await.len();
    let are_left = until(WITHIN, async || (secrets().await == 6).then_some(())).await;
    assert!(are_left.is_some(), "an index and a claim each, not {} Secrets", secrets().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_replica_goes_on_at_once_when_one_is_ended() {
    let Some(cluster) = Cluster::start("turns", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    let mut first = cluster.leader("first", &[], &[]).await;
    let second = cluster.creators.replica("second", &[], &[]).await;
    let pod =
        |name: &str| cluster.pod(name, &[PREFIX, ("lease/shard", "kind=INDEX,rangeStart=0,rangeEnd=9")]);
    let before = cluster.create(&namespace, &pod("before")).await;
    hold(&cluster, &namespace, "shard", &[(0, &before)]).await;
    assert!(!second.leads().await, "one acts");
    let began = Instant::now();
    first.terminate().await;
    let between = cluster.create(&namespace, &pod("between")).await;
    assert_eq!(first.exit_code().await, Some(0), "{}", first.log_text());
    leads(&second).await;
    hold(&cluster, &namespace, "shard", &[(0, &before), (1, &between)]).await;
    let took = began.elapsed();
    measured(format_args!(
        "creator: {:.1} s from SIGTERM to an index by the other replica",
        took.as_secs_f64()
    ));
    assert!(took.as_secs() < 12, "sooner than the Lease would have expired: {took:?}");
}

/// Kees' creator wrote the name of a pod and no more.
#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn what_kees_assigned_stays_for_as_long_as_its_pod_lives() {
    let test = "from-kees";
    let Some(moto) = Moto::start(test).await else { return };
    let table = Table::new(&moto, "from-kees").await;
    let Some(cluster) = Cluster::start(test, &table.configuration(&moto.address())).await else { return };
    let namespace = cluster.namespace("pods").await;
    table.put("/a/leases/shard.4", "veteran").await;
    table.put("/a/leases/shard.0", "gone").await;
    table.put("/a/db_password", "a2Vlcw==").await;
    let range = ("lease/shard", "kind=INDEX,rangeStart=0,rangeEnd=9");
    let asks = [PREFIX, range, ("secret/db_password", "kind=DYNAMIC,type=PASSWORD,size=128")];
    cluster.create(&namespace, &cluster.pod("veteran", &asks)).await;
    let creator = cluster.leader("a", &["--resync=1s"], CREDENTIALS).await;
    let index = async |index: i32| {
        let path = format!("/a/leases/shard.{index}");
        table.items().await.into_iter().find(|item| item["secretName"] == path)
    };
    let released = until(WITHIN, async || index(0).await.is_none().then_some(())).await;
    released.unwrap_or_else(|| panic!("of a pod that lives nowhere: {}", creator.log_text()));
    let uid = cluster.create(&namespace, &cluster.pod("rookie", &asks)).await;
    let assigned = until(WITHIN, async || index(0).await).await.expect("an index for the next pod");
    // What kees reads, and what keystow goes by.
    assert_eq!((&*assigned["secretValue"], &assigned["uid"]), ("rookie", &uid));
    let old = index(4).await.expect("the index of a pod that lives");
    assert_eq!((&*old["secretValue"], old.get("uid")), ("veteran", None), "as it was");
    let password = table.kept().await.remove("/a/db_password");
    assert_eq!(password.as_deref(), Some(&b"kees"[..]));
    cluster.delete(&namespace, "veteran").await;
    let released = until(WITHIN, async || index(4).await.is_none().then_some(())).await;
    released.unwrap_or_else(|| panic!("of a pod that is gone: {}", creator.log_text()));
}
