//! The built binary in front of a real API server, by the configuration that is shipped.
//!
//! Each test has a webhook process, a configuration and namespaces of its own (see [`Cluster`]). Tests that read the
//! API server's metrics, which know webhooks only by a name that all of them have, take an API server that no other
//! test uses at the time: [`Cluster::alone`].

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod accounts;
mod calls;
mod defaults;
mod delivery;
mod drain;
mod hostile;
mod outage;
mod recorded;
mod reinvocation;
mod restricted;
mod scope;
#[cfg(all(feature = "dynamodb", feature = "vault"))]
mod stores;

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::metrics;
use crate::support::wait::until;
use crate::support::webhook::{TEST_LABEL, Webhook, apply_configuration};

/// The binary under test.
const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
/// The name of the image that the webhook injects here.
const IMAGE: &str = "keystow:test";
const CONFIGURATION: &str =
    "injection: {image: 'keystow:test'}\nstores: {default: local, local: {local: {}}}\n";
/// How long anything may take that the tests wait for.
#[cfg(all(feature = "dynamodb", feature = "vault"))]
const BOUND: Duration = Duration::from_secs(60);
/// How long the API server may take to see a configuration: its cache is told, and then polls.
const IN_EFFECT_WITHIN: Duration = Duration::from_secs(60);
/// The label that opts a namespace in.
const OPT_IN: (&str, &str) = ("inject.bsycorp.com/enabled", "true");

/// An API server that sends pods to a webhook of the test's own.
struct Cluster {
    plane: &'static ControlPlane,
    client: Client,
    webhook: Webhook,
    test: &'static str,
    alone: Option<MutexGuard<'static, ()>>,
}

impl Cluster {
    /// On the control plane that all tests share; `None` where there is none. `test` is a DNS label.
    async fn start(test: &'static str) -> Option<Self> {
        Self::start_with(test, CONFIGURATION).await
    }

    /// As [`Cluster::start`], with this configuration of the operator's.
    async fn start_with(test: &'static str, configuration: &str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        Some(Self::on(plane, test, configuration, &[], None).await)
    }

    /// On a control plane that no other test uses meanwhile.
    async fn alone(test: &'static str, flags: &[&str]) -> Option<Self> {
        static ALONE: OnceCell<ControlPlane> = OnceCell::const_new();
        static TURN: Mutex<()> = Mutex::const_new(());
        // Says that the test is skipped, or fails, where there is no control plane.
        shared_or_skip(test).await?;
        let turn = TURN.lock().await;
        let plane = ALONE.get_or_init(async || ControlPlane::start().await.unwrap()).await;
        Some(Self::on(plane, test, CONFIGURATION, flags, Some(turn)).await)
    }

    async fn on(
        plane: &'static ControlPlane,
        test: &'static str,
        configuration: &str,
        flags: &[&str],
        alone: Option<MutexGuard<'static, ()>>,
    ) -> Self {
        let webhook = Webhook::start(KEYSTOW, configuration, flags).await;
        let client = plane.client().await.unwrap();
        let cluster = Self { plane, client, webhook, test, alone };
        cluster.opted_in(&cluster.canary()).await;
        cluster.send_pods_to(cluster.webhook.address()).await;
        until(IN_EFFECT_WITHIN, async || cluster.is_injecting().await.then_some(()))
            .await
            .expect("the configuration was not in effect in time");
        cluster
    }

    /// Applies the configuration with this address.
    async fn send_pods_to(&self, address: SocketAddr) {
        let suffix = if self.alone.is_some() { String::new() } else { format!("-{}", self.test) };
        apply_configuration(self.plane, &suffix, self.test, address, Some(&self.webhook.ca_pem())).await;
    }

    /// A namespace for pods that are not stored.
    fn canary(&self) -> String {
        format!("{}-canary", self.test)
    }

    /// Whether a pod comes back injected.
    async fn is_injecting(&self) -> bool {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let created = self.pods(&self.canary()).create(&dry, &pod(&kees_pod("canary"))).await;
        created.is_ok_and(|pod| serde_json::to_value(pod).unwrap()["spec"]["initContainers"].is_array())
    }

    /// Makes a namespace that opted in; its account has the pull secret `default-pull`.
    async fn opted_in(&self, name: &str) {
        self.namespace(name, &[OPT_IN]).await;
    }

    /// Makes a namespace that belongs to the test.
    async fn namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let labels = [labels, &[(TEST_LABEL, self.test)]].concat();
        self.plane.namespace(name, &labels, &["default-pull"]).await.unwrap();
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates a pod, and returns what the API server stored.
    async fn create(&self, namespace: &str, manifest: &Value) -> Result<Value, kube::Error> {
        let pods = self.pods(namespace);
        let created = pods.create(&PostParams::default(), &pod(manifest)).await?;
        let name = created.metadata.name.unwrap();
        Ok(serde_json::to_value(pods.get(&name).await?).unwrap())
    }

    /// Why a pod is not created.
    async fn refusal(&self, namespace: &str, manifest: &Value) -> kube::core::Status {
        match self.create(namespace, manifest).await {
            Err(kube::Error::Api(status)) => *status,
            Err(other) => panic!("not refused: {other}"),
            Ok(pod) => panic!("created: {pod}"),
        }
    }

    async fn delete(&self, namespace: &str, name: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods(namespace).delete(name, &now).await.unwrap();
    }

    /// What the API server counted for the shipped webhook, in one of its metrics of admission webhooks.
    async fn counted(&self, metric: &str) -> f64 {
        let page = self.plane.metrics().await.unwrap();
        metrics::sum(&page, &format!("apiserver_admission_{metric}"), &[("name", "inject.bsycorp.com")])
    }

    /// How often the API server called the webhook.
    async fn calls(&self) -> f64 {
        self.counted("webhook_admission_duration_seconds_count").await
    }
}

fn pod(manifest: &Value) -> Pod {
    serde_json::from_value(manifest.clone()).unwrap()
}

/// A pod of one container `app`.
fn pod_with(name: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    })
}

/// A pod that needs the init container.
fn kees_pod(name: &str) -> Value {
    pod_with(name, &json!({"secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD"}))
}

/// The names of a pod's containers, init containers (`initContainers`), volumes and so on.
fn names<'p>(pod: &'p Value, list: &str) -> Vec<&'p str> {
    elements(pod, list).iter().map(|element| element["name"].as_str().unwrap()).collect()
}

fn elements<'p>(pod: &'p Value, list: &str) -> &'p [Value] {
    pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The element of a list of the pod's spec by its name.
fn element<'p>(pod: &'p Value, list: &str, name: &str) -> &'p Value {
    let found = elements(pod, list).iter().find(|element| element["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} among {list}: {pod}"))
}

/// How a container mounts a volume: the path, and whether read-only.
fn mount<'p>(container: &'p Value, volume: &str) -> Option<(&'p str, bool)> {
    let mounts = container["volumeMounts"].as_array()?;
    let mount = mounts.iter().find(|mount| mount["name"] == volume)?;
    Some((mount["mountPath"].as_str()?, mount["readOnly"] == true))
}

/// The note in the pod's annotations.
fn status(pod: &Value) -> Value {
    let note = pod["metadata"]["annotations"]["inject.bsycorp.com/status"].as_str().unwrap_or_default();
    serde_json::from_str(note).unwrap_or_default()
}
