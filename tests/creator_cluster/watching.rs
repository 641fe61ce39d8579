//! What a creator asks of the API server with many pods, and an API server that goes and comes back.

use std::net::SocketAddr;
use std::time::Instant;

use super::fixture::{Cluster, SECRETS, WITHIN, holders};
use crate::support::gate::Gate;
use crate::support::measured::measured;
use crate::support::metrics;
use crate::support::wait::until;

const PODS: usize = 2000;
/// Pods of one Deployment ask for the same.
const DEPLOYMENTS: usize = 20;
const PREFIX: (&str, &str) = ("init/storage-prefix", "/a");

/// What the API server counted for pods, of the whole cluster.
async fn asked(cluster: &Cluster, metric: &str, verb: &str) -> f64 {
    let page = cluster.plane.metrics().await.unwrap();
    let labels = [("verb", verb), ("resource", "pods"), ("scope", "cluster")];
    metrics::sum(&page, &format!("apiserver_{metric}"), &labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_are_one_watch() {
    let Some(cluster) = Cluster::alone("many", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    let pods = (0..PODS).map(|number| {
        let key = format!("secret/db-{}_password", number % DEPLOYMENTS);
        cluster.pod(&format!("p{number}"), &[PREFIX, (&key, "kind=DYNAMIC,type=PASSWORD,size=128")])
    });
    let mut pods: Vec<_> = pods.collect();
    let last = pods.pop().unwrap();
    cluster.create_all(&namespace, pods).await;
    let before = (
        asked(&cluster, "request_total", "LIST").await,
        asked(&cluster, "longrunning_requests", "WATCH").await,
    );
    let began = Instant::now();
    let creator = cluster.leader("a", &["--resync=2s"], &[]).await;
    let counts = async |name: &str, expected: f64| {
        let counts = async || (creator.counted(name, &[]).await - expected).abs() < 0.5;
        let reached = until(WITHIN, async || counts().await.then_some(())).await;
        reached.unwrap_or_else(|| panic!("{name} is not {expected}: {}", creator.log_text()));
    };
    counts("duration_seconds_count", PODS as f64 - 1.0).await;
    let took = began.elapsed();
    cluster.create(&namespace, &last).await;
    counts("duration_seconds_count", PODS as f64).await;
    counts("pods", PODS as f64).await;
    assert_eq!(cluster.secrets(&namespace).await.len(), DEPLOYMENTS);
    // Through comparisons of leases too. The list is the beginning of the one watch.
    let since = creator.counted("resync_timestamp_seconds", &[]).await;
    let again = async || (creator.counted("resync_timestamp_seconds", &[]).await > since + 3.0).then_some(());
    until(WITHIN, again).await.expect("further comparisons");
    let after = (
        asked(&cluster, "request_total", "LIST").await,
        asked(&cluster, "longrunning_requests", "WATCH").await,
    );
    assert_eq!((after.0 - before.0, after.1 - before.1), (0.0, 1.0), "lists and watches of pods");
    measured(format_args!(
        "creator: {PODS} pods of {DEPLOYMENTS} Deployments are served after {:.1} s, by one watch; at most {} MiB",
        took.as_secs_f64(),
        creator.peak() >> 10
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_while_the_api_server_is_away() {
    let Some(cluster) = Cluster::alone("restart", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    let gate = Gate::shut(SocketAddr::from(([127, 0, 0, 1], cluster.plane.port()))).await;
    gate.set_open(true);
    cluster.creators.find_the_api_server_at(gate.address()).await;
    let mut creator = cluster.leader("a", &["--resync=1h"], &[]).await;
    let pod = |name: &str| {
        let key = format!("secret/{name}_password");
        let range = "kind=INDEX,rangeStart=0,rangeEnd=9";
        cluster.pod(name, &[PREFIX, ("lease/shard", range), (&key, "kind=DYNAMIC,type=PASSWORD,size=128")])
    };
    let held = async || holders(&cluster.secrets(&namespace).await, "/a/leases/shard");
    let holds = async |expected: &[&String]| {
        let mut expected = expected.to_vec();
        expected.sort();
        let are = async || {
            let held = held().await;
            let mut uids: Vec<&String> = held.values().collect();
            uids.sort();
            (uids == expected).then_some(())
        };
        if until(WITHIN, are).await.is_none() {
            panic!("{:?}, not {expected:?}", held().await);
        }
    };
    let (stays, goes) =
        (cluster.create(&namespace, &pod("stays")).await, cluster.create(&namespace, &pod("goes")).await);
    holds(&[&stays, &goes]).await;

    // Cut off, the creator sees neither who comes nor who goes; then the API server itself starts anew.
    gate.set_open(false);
    let comes = cluster.create(&namespace, &pod("comes")).await;
    cluster.delete(&namespace, "goes").await;
    let unseen = cluster.create(&namespace, &pod("unseen")).await;
    cluster.delete(&namespace, "unseen").await;
    cluster.plane.restart_api_server().await.unwrap();
    gate.set_open(true);
    let began = Instant::now();
    holds(&[&stays, &comes]).await;
    measured(format_args!(
        "creator: who came and went meanwhile is served {:.1} s after the API server is back",
        began.elapsed().as_secs_f64()
    ));
    let kept = cluster.secrets(&namespace).await;
    assert!(
        kept.contains_key("/a/comes_password") && !kept.keys().any(|path| path.ends_with(unseen.as_str()))
    );

    // The watch that was begun anew goes on: killed under it, nothing is missed either.
    cluster.plane.restart_api_server().await.unwrap();
    let later = cluster.create(&namespace, &pod("later")).await;
    cluster.delete(&namespace, "comes").await;
    holds(&[&stays, &later]).await;
    assert!(creator.is_running(), "{}", creator.log_text());
}
