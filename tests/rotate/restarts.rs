//! What reads a Secret by its environment starts anew when it changes, whoever changed it; nothing else does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use keystow::domain::SecretValue;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fixture::{Cluster, WITHIN};
use crate::support::process::Process;
use crate::support::wait::until;

const BY_KEY: &str = "by-key";
const BY_ALL: &str = "by-all";
const BY_ANNOTATION: &str = "by-annotation";
const BY_FILES: &str = "by-files";
const OPTED_OUT: &str = "opted-out";
const OF_ANOTHER_KEY: &str = "of-another-key";
const STATEFUL: &str = "stateful";
/// What a workload has read is noted under it.
pub(crate) const SEEN: &str = "rotate.bsycorp.com/seen";

/// A Deployment, or what else has this spec, of a container with these fields.
pub(crate) fn workload(
    name: &str,
    annotations: &Value,
    template_annotations: &Value,
    mut container: Value,
) -> Value {
    let labels = json!({"app": name});
    container["name"] = "app".into();
    container["image"] = "registry.example/app:1".into();
    let volumes = json!([{"name": "keys", "secret": {"secretName": "jwt"}}]);
    json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "selector": {"matchLabels": labels},
            "serviceName": name,
            "template": {
                "metadata": {"labels": labels, "annotations": template_annotations},
                "spec": {"containers": [container], "volumes": volumes},
            },
        },
    })
}

pub(crate) fn by_key(key: &str) -> Value {
    json!({"env": [{"name": "JWT", "valueFrom": {"secretKeyRef": {"name": "jwt", "key": key}}}]})
}

struct Scene {
    cluster: Cluster,
    deployments: Api<Deployment>,
    stateful: Api<StatefulSet>,
    /// Every version of each workload's template, in order.
    templates: Arc<Mutex<BTreeMap<String, Vec<PodTemplateSpec>>>>,
    _watches: JoinSet<()>,
}

impl Scene {
    async fn start(test: &'static str) -> Option<Self> {
        let cluster = Cluster::start(test).await?;
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), test);
        let stateful: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), test);
        let value = |text: &str| SecretValue::new(text.as_bytes().to_vec());
        cluster.create("jwt", &[], &[("token", &value("first")), ("other", &value("one"))]).await;
        let annotation = json!({"secret.bsycorp.com/jwt": "kind=KUBERNETES,secret=jwt,key=token,env=JWT"});
        let all = json!({"envFrom": [{"secretRef": {"name": "jwt"}}]});
        let opted = json!({"rotate.bsycorp.com/restart": "false"});
        let mounts = json!({"volumeMounts": [{"name": "keys", "mountPath": "/keys"}]});
        let made = [
            (BY_KEY, json!({}), json!({}), by_key("token")),
            (BY_ALL, json!({}), json!({}), all),
            (BY_ANNOTATION, json!({}), annotation, json!({})),
            (BY_FILES, json!({}), json!({}), mounts),
            (OPTED_OUT, opted, json!({}), by_key("token")),
            (OF_ANOTHER_KEY, json!({}), json!({}), by_key("other")),
        ];
        for (name, annotations, template, container) in made {
            let object = serde_json::from_value(workload(name, &annotations, &template, container)).unwrap();
            deployments.create(&PostParams::default(), &object).await.unwrap();
        }
        let object = workload(STATEFUL, &json!({}), &json!({}), by_key("token"));
        let object = serde_json::from_value(object).unwrap();
        stateful.create(&PostParams::default(), &object).await.unwrap();
        let (templates, mut watches) = (Arc::default(), JoinSet::new());
        watches.spawn(record(deployments.clone(), Arc::clone(&templates), |object: Deployment| {
            (object.metadata.name.unwrap(), object.spec.unwrap().template)
        }));
        watches.spawn(record(stateful.clone(), Arc::clone(&templates), |object: StatefulSet| {
            (object.metadata.name.unwrap(), object.spec.unwrap().template)
        }));
        Some(Self { cluster, deployments, stateful, templates, _watches: watches })
    }

    /// A controller that has noted what everybody reads.
    async fn controller(&self, name: &str) -> Process {
        let controller = self.cluster.controller(name);
        let noted = until(WITHIN, async || {
            let all = self.deployments.list(&kube::api::ListParams::default()).await.unwrap();
            let noted = |object: &&Deployment| {
                let annotations = object.metadata.annotations.as_ref();
                annotations.is_some_and(|all| all.contains_key(SEEN))
            };
            let stateful =
                self.stateful.get(STATEFUL).await.unwrap().metadata.annotations.unwrap_or_default();
            let is_noted = stateful.contains_key(SEEN) && all.items.iter().filter(noted).count() == 5;
            is_noted.then_some(())
        });
        assert!(noted.await.is_some(), "{}", controller.log_text());
        controller
    }

    /// How often each workload's template has changed.
    fn changes(&self) -> BTreeMap<String, usize> {
        let templates = self.templates.lock().unwrap();
        templates.iter().map(|(name, versions)| (name.clone(), versions.len() - 1)).collect()
    }

    async fn change(&self, key: &str, value: &str) {
        let patch = Patch::Merge(json!({"stringData": {key: value}}));
        self.cluster.secrets().patch("jwt", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until these have been restarted so often in all, and nobody else has.
    async fn restarted(&self, expected: &[(&str, usize)]) {
        let is_so = |all: &BTreeMap<String, usize>| {
            all.len() == 7
                && all.iter().all(|(name, changes)| {
                    let times = expected.iter().find(|(known, _)| known == name);
                    *changes == times.map_or(0, |(_, times)| *times)
                })
        };
        if until(WITHIN, async || is_so(&self.changes()).then_some(())).await.is_none() {
            panic!("expected {expected:?}, found {:?}", self.changes());
        }
    }
}

/// Watches a kind, and keeps every version of a template: a watch leaves none out.
async fn record<K>(
    api: Api<K>,
    templates: Arc<Mutex<BTreeMap<String, Vec<PodTemplateSpec>>>>,
    of: impl Fn(K) -> (String, PodTemplateSpec),
) where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut sights = watcher(api, watcher::Config::default()).applied_objects().boxed();
    while let Some(sight) = sights.next().await {
        let (name, template) = of(sight.unwrap());
        let mut templates = templates.lock().unwrap();
        let versions = templates.entry(name).or_default();
        if versions.last() != Some(&template) {
            versions.push(template);
        }
    }
}

fn template(object: &Deployment) -> &PodTemplateSpec {
    &object.spec.as_ref().unwrap().template
}

#[tokio::test]
async fn only_what_reads_the_environment_is_restarted_and_once_a_change() {
    let Some(scene) = Scene::start("restarts").await else { return };
    let mut controller = scene.controller("first").await;
    scene.restarted(&[]).await;

    // By anybody: here as `kubectl` does.
    scene.change("token", "second").await;
    let of_token = [(BY_KEY, 1), (BY_ALL, 1), (BY_ANNOTATION, 1), (STATEFUL, 1)];
    scene.restarted(&of_token).await;
    let events = scene.cluster.events_of("Deployment", BY_KEY).await;
    assert_eq!(events, ["SecretChanged"]);
    let object = scene.deployments.get(BY_KEY).await.unwrap();
    let annotations = template(&object).metadata.as_ref().unwrap().annotations.as_ref().unwrap();
    assert_eq!(annotations["rotate.bsycorp.com/restarted-for"].len(), 16);

    // Another key, and annotations of the Secret, are nobody's business who reads `token`; and one that was restarted a
    // moment ago is left alone for a while.
    scene.change("other", "two").await;
    let annotate = Patch::Merge(json!({"metadata": {"annotations": {"note": "of no consequence"}}}));
    scene.cluster.secrets().patch("jwt", &PatchParams::default(), &annotate).await.unwrap();
    let with_another = [&of_token[..], &[(OF_ANOTHER_KEY, 1)]].concat();
    scene.restarted(&with_another).await;

    // A controller that comes later does nothing again.
    controller.terminate().await;
    assert_eq!(controller.exit_code().await, Some(0));
    let again = scene.cluster.done(&["--once"]).await;
    assert!(!again.contains("starts anew"), "{again}");
    scene.restarted(&with_another).await;
}

#[tokio::test]
async fn what_changed_while_nobody_looked_is_made_up_for_once() {
    let Some(scene) = Scene::start("made-up-for").await else { return };
    scene.cluster.done(&["--dry-run"]).await;
    assert!(scene.cluster.data("keystow-rotate").await.is_empty(), "not even a salt is written");
    scene.cluster.done(&["--once"]).await;
    scene.change("token", "second").await;
    let dry = scene.cluster.done(&["--dry-run"]).await;
    assert!(
        dry.contains("Deployment made-up-for/by-key starts anew, since made-up-for/jwt changed"),
        "{dry}"
    );
    scene.restarted(&[]).await;
    let told = scene.cluster.done(&["--once", "--format", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let names: Vec<&str> =
        told["restarted"].as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap()).collect();
    assert_eq!(names, [BY_ALL, BY_ANNOTATION, BY_KEY, STATEFUL]);
    // Many at once, after a change: still once each, since the note and the template change together.
    scene.restarted(&[(BY_KEY, 1), (BY_ALL, 1), (BY_ANNOTATION, 1), (STATEFUL, 1)]).await;
}

#[tokio::test]
async fn many_at_once_restart_a_workload_once() {
    let Some(scene) = Scene::start("restart-once").await else { return };
    scene.cluster.done(&["--once"]).await;
    scene.change("token", "second").await;
    let runs = (0..6).map(|_| scene.cluster.run(&["--once"]));
    futures::future::join_all(runs).await;
    scene.cluster.done(&["--once"]).await;
    scene.restarted(&[(BY_KEY, 1), (BY_ALL, 1), (BY_ANNOTATION, 1), (STATEFUL, 1)]).await;
}

#[tokio::test]
async fn a_workload_is_left_alone_for_its_interval_and_then_restarted() {
    let Some(scene) = Scene::start("interval").await else { return };
    let patch = json!({"metadata": {"annotations": {"rotate.bsycorp.com/restart-interval": "4s"}}});
    scene.deployments.patch(BY_KEY, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let controller = scene.controller("patient").await;
    scene.change("token", "second").await;
    let one = [(BY_KEY, 1), (BY_ALL, 1), (BY_ANNOTATION, 1), (STATEFUL, 1)];
    scene.restarted(&one).await;
    let began = tokio::time::Instant::now();
    scene.change("token", "third").await;
    // The others keep to the minute that is usual.
    scene.restarted(&[(BY_KEY, 2), (BY_ALL, 1), (BY_ANNOTATION, 1), (STATEFUL, 1)]).await;
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}: {}", began.elapsed(), controller.log_text());
}
