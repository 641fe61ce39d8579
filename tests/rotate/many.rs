//! Many workloads that read one Secret.

use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use keystow::domain::SecretValue;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::fixture::{Cluster, WITHIN};
use super::restarts::{SEEN, by_key, workload};
use crate::support::measured::measured;
use crate::support::wait::until;

const DEPLOYMENTS: usize = 500;
/// The limit of `webhook-config/rotate/deployment.yaml`, in KiB.
const MEMORY: u64 = 128 << 10;

#[tokio::test]
async fn five_hundred_workloads_are_restarted_once_each_within_the_memory_of_the_manifest() {
    let Some(cluster) = Cluster::start("many-workloads").await else { return };
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), "many-workloads");
    cluster.create("jwt", &[], &[("token", &SecretValue::new(b"first".to_vec()))]).await;
    let made = stream::iter(0..DEPLOYMENTS).map(|index| {
        let deployment = workload(&format!("app-{index}"), &json!({}), &json!({}), by_key("token"));
        let (deployment, deployments) = (serde_json::from_value(deployment).unwrap(), deployments.clone());
        async move { deployments.create(&PostParams::default(), &deployment).await }
    });
    made.buffer_unordered(16).try_collect::<Vec<Deployment>>().await.unwrap();
    let all = async || deployments.list(&ListParams::default()).await.unwrap().items;

    let controller = cluster.controller("one");
    let is_noted = |deployment: &Deployment| {
        deployment.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(SEEN))
    };
    let noted = until(WITHIN, async || all().await.iter().all(is_noted).then_some(()));
    assert!(noted.await.is_some(), "all are noted");

    let began = Instant::now();
    let patch = Patch::Merge(json!({"stringData": {"token": "second"}}));
    cluster.secrets().patch("jwt", &PatchParams::default(), &patch).await.unwrap();
    // The API server counts changes of spec and annotations: its creation, what was noted, and the restart with its note.
    let is_restarted = |deployment: &Deployment| deployment.metadata.generation == Some(3);
    let left = async || all().await.into_iter().filter(|deployment| !is_restarted(deployment)).count();
    let restarted = until(WITHIN, async || (left().await == 0).then_some(())).await;
    assert!(restarted.is_some(), "{} are not", left().await);
    let peak = controller.peak();
    measured(format_args!(
        "rotation: {DEPLOYMENTS} workloads are restarted {:.1} s after their Secret has changed; at most {} MiB",
        began.elapsed().as_secs_f64(),
        peak >> 10
    ));
    assert!(peak < MEMORY, "{peak} KiB");
    let again = cluster.done(&["--once"]).await;
    assert!(!again.contains("starts anew"), "{again}");
    assert!(all().await.iter().all(is_restarted), "once each");
}
