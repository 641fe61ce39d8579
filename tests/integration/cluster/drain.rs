//! SIGTERM while pods are being created, with a second instance behind the same address: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Cluster, IN_EFFECT_WITHIN, kees_pod, pod};
use crate::support::balancer::Balancer;
use crate::support::wait::until;
use crate::support::webhook::Webhook;

const PODS: usize = 1000;
/// No more than this are created, however slow the drain.
const AT_MOST: usize = 20_000;
const CLIENTS: usize = 4;
/// Several times the balancer's lag.
const DRAIN: &[&str] = &["--drain-delay", "1s", "--grace", "20s"];

/// What the clients have done.
#[derive(Default)]
struct Progress {
    next: AtomicUsize,
    created: AtomicUsize,
    /// The drained process has ended, and so the clients may stop.
    may_stop: AtomicBool,
}

/// Creates pods until there are enough; returns why some were not created.
async fn create(pods: Api<Pod>, progress: Arc<Progress>) -> Vec<String> {
    let mut failures = Vec::new();
    loop {
        let index = progress.next.fetch_add(1, Ordering::Relaxed);
        if index >= AT_MOST || (index >= PODS && progress.may_stop.load(Ordering::Relaxed)) {
            return failures;
        }
        let pod = pod(&kees_pod(&format!("pod-{index}")));
        match pods.create(&PostParams::default(), &pod).await {
            Ok(_) => drop(progress.created.fetch_add(1, Ordering::Relaxed)),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
}

/// How many reviews the log of a process tells of.
fn served(log: &[Value]) -> usize {
    log.iter().filter(|line| line["message"] == "reviewed").count()
}

/// Waits until `count` pods have been created.
async fn reached(progress: &Progress, count: usize) {
    let enough = async || (progress.created.load(Ordering::Relaxed) >= count).then_some(());
    until(Duration::from_secs(120), enough).await.expect("pods were not created in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_the_middle_of_a_thousand_creations_loses_none() {
    let Some(mut cluster) = Cluster::alone("drain", DRAIN).await else { return };
    cluster.opted_in("drain").await;
    let mut twin = cluster.webhook.twin(DRAIN).await;
    let endpoint = |webhook: &Webhook| (webhook.address(), webhook.admin());
    let balancer = Balancer::start(&[endpoint(&cluster.webhook), endpoint(&twin)]).await;
    cluster.send_pods_to(balancer.address()).await;
    let through = async || {
        let injecting = cluster.is_injecting().await;
        (injecting && balancer.connections().iter().sum::<usize>() > 0).then_some(())
    };
    until(IN_EFFECT_WITHIN, through).await.expect("the balancer was not called in time");

    let progress = Arc::new(Progress::default());
    let pods = cluster.pods("drain");
    let clients: JoinSet<_> = (0..CLIENTS).map(|_| create(pods.clone(), Arc::clone(&progress))).collect();
    reached(&progress, PODS / 4).await;
    // The one that has the API server's connection.
    let is_first = balancer.connections()[0] > 0;
    let (drained, other) =
        if is_first { (&mut cluster.webhook, &mut twin) } else { (&mut twin, &mut cluster.webhook) };
    drained.terminate().await;
    assert_eq!(drained.exit_code().await, Some(0), "{:?}", drained.log().last());
    let at_end = progress.created.load(Ordering::Relaxed);
    // Some more without it.
    reached(&progress, at_end + 100).await;
    progress.may_stop.store(true, Ordering::Relaxed);
    let failures: Vec<String> = clients.join_all().await.concat();
    let created = progress.created.load(Ordering::Relaxed);
    let (before, after) = (served(&drained.log()), served(&other.log()));
    println!("{created} created, {} lost; served {before} and {after}; drained at {at_end}", failures.len());

    assert_eq!(failures, Vec::<String>::new());
    assert!(created >= PODS, "{created}");
    let last = drained.log().pop().unwrap_or_default();
    assert_eq!(last["message"], "drained; every request was answered", "{last}");
    assert!(before >= PODS / 4 && after >= 100, "{before} and {after}");
    let stored = pods.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(stored.len(), created);
    let injected = |pod: &&Pod| {
        let containers = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
        containers
            .is_some_and(|containers| containers.iter().filter(|c| c.name == "keystow-init").count() == 1)
    };
    assert_eq!(stored.iter().filter(injected).count(), created);
}
