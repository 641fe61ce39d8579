//! Many pods: what is asked of the API server, what is remembered, and how fast Events come.

use std::time::Instant;

use futures::{StreamExt as _, stream};

use super::*;
use crate::support::measured::measured;

const PODS: usize = 2000;
/// One of so many was missed.
const ONE_IN: usize = 20;
/// Of each pod, so that all of them together are more than may be remembered.
const WEIGHT: usize = 16 << 10;
/// What seeing them may take, in KiB. Together they have 32 MiB.
const MEMORY: u64 = 8 << 10;

/// The API server's requests for a resource, of the whole cluster.
async fn requests(cluster: &Cluster, metric: &str, verb: &str, resource: &str) -> f64 {
    let page = cluster.plane.metrics().await.unwrap();
    let labels = [("verb", verb), ("resource", resource), ("scope", "cluster")];
    metrics::sum(&page, &format!("apiserver_{metric}"), &labels)
}

#[tokio::test]
async fn memory_requests_and_events_stay_bounded() {
    let Some(cluster) = Cluster::alone("uninjected-many").await else { return };
    cluster.namespace("shop", &[OPT_IN]).await;
    let idle = cluster.replica("idle").await;
    becomes_leader(&idle, true).await;
    cluster.send_pods_nowhere().await;
    cluster.create("shop", &asking("first")).await;
    counts(&idle, 1.0).await;
    let base = idle.peak();
    drop(idle);
    // Bears the webhook's note, as if it had been injected; one in some does not.
    let heavy = |number: usize| {
        let mut annotations =
            json!({"secret.bsycorp.com/x": "kind=REFERENCE,type=PASSWORD", "w": "x".repeat(WEIGHT)});
        if !number.is_multiple_of(ONE_IN) {
            annotations["inject.bsycorp.com/status"] = json!("{}");
        }
        pod(&format!("pod-{number}"), &annotations)
    };
    // Not asked of the webhook that is not there.
    cluster.delete_configuration().await;
    let pods = cluster.pods("shop");
    let created = stream::iter(0..PODS)
        .map(|number| {
            let (pods, pod) = (&pods, heavy(number));
            async move { pods.create(&PostParams::default(), &pod).await.map(drop) }
        })
        .buffer_unordered(16);
    created.for_each(|created| async { created.unwrap() }).await;
    cluster.send_pods_nowhere().await;

    let lists = |resource| requests(&cluster, "request_total", "LIST", resource);
    let watches = |resource| requests(&cluster, "longrunning_requests", "WATCH", resource);
    let before =
        (lists("pods").await, lists("namespaces").await, watches("pods").await, watches("namespaces").await);
    let began = Instant::now();
    let replica = cluster.replica("a").await;
    counts(&replica, 1.0 + (PODS / ONE_IN) as f64).await;
    let after =
        (lists("pods").await, lists("namespaces").await, watches("pods").await, watches("namespaces").await);
    // What is there is the beginning of the one watch of each kind.
    assert_eq!(
        (after.0 - before.0, after.1 - before.1, after.2 - before.2, after.3 - before.3),
        (0.0, 0.0, 1.0, 1.0)
    );
    let peak = replica.peak();
    assert!(peak < base + MEMORY, "{peak} KiB, after {base} KiB");
    measured(format_args!(
        "memory of a replica, KiB: {base} with one pod, at most {peak} with {PODS} that it lists"
    ));

    // A burst, and then one each second.
    let burst = async || Some(cluster.events().await.len()).filter(|told| *told > 25);
    let told = until(WITHIN, burst).await.expect("events of the burst, and another");
    let share = 25 + began.elapsed().as_secs() as usize;
    assert!(told <= share + 1, "{told} events, not {share}");
    assert!(failures(&replica).await < 0.5, "{:#?}", replica.log());
}
