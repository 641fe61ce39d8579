//! `keystow webhook --find-uninjected` on a real API server, with a token of the account that is shipped and the rights
//! that are shipped, and no others.
//!
//! Each test has an installation of its own (see `support::installation`), and namespaces that begin with its name.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod found;
mod leaders;
mod many;
mod outage;

use std::net::TcpListener;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::installation::Installation;
use crate::support::metrics;
use crate::support::wait::until;
use crate::support::webhook::{TEST_LABEL, Webhook, apply_configuration};

/// The binary under test.
const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
const CONFIGURATION: &str =
    "injection: {image: 'keystow:test'}\nstores: {default: local, local: {local: {}}}\n";
/// How long anything may take: a leader is found within seconds, a dead one is followed within 17, a watch is begun again
/// within 30.
const WITHIN: Duration = Duration::from_secs(120);
/// The label that opts a namespace in.
const OPT_IN: (&str, &str) = ("inject.bsycorp.com/enabled", "true");

/// An API server and an installation on it, without what certificates need: they are files here.
struct Cluster {
    plane: &'static ControlPlane,
    client: Client,
    installation: Installation<'static>,
    test: &'static str,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Cluster {
    /// On the control plane that all tests share; `None` where there is none. `test` is a DNS label.
    async fn start(test: &'static str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        Some(Self::on(plane, test, None).await)
    }

    /// On a control plane that no other test uses meanwhile.
    async fn alone(test: &'static str) -> Option<Self> {
        static ALONE: OnceCell<ControlPlane> = OnceCell::const_new();
        static TURN: Mutex<()> = Mutex::const_new(());
        // Says that the test is skipped, or fails, where there is no control plane.
        shared_or_skip(test).await?;
        let turn = TURN.lock().await;
        let plane = ALONE.get_or_init(async || ControlPlane::start().await.unwrap()).await;
        Some(Self::on(plane, test, Some(turn)).await)
    }

    async fn on(
        plane: &'static ControlPlane,
        test: &'static str,
        alone: Option<MutexGuard<'static, ()>>,
    ) -> Self {
        let installation = Installation::new(plane, test, KEYSTOW, CONFIGURATION).await;
        let of_certificates = format!("{test}-webhook-certificates");
        for kind in ["clusterrole", "clusterrolebinding"] {
            plane.kubectl(&["delete", kind, &of_certificates], "").await.unwrap();
        }
        let delete = ["delete", "role,rolebinding", "keystow-webhook-certificates", "-n", test];
        plane.kubectl(&delete, "").await.unwrap();
        Self { plane, client: plane.client().await.unwrap(), installation, test, _alone: alone }
    }

    /// A ready replica of this name.
    async fn replica(&self, name: &str) -> Webhook {
        let directory = self.installation.files().path("tls");
        let directory = directory.to_str().unwrap();
        let certificate = ["--self-signed-name", "127.0.0.1", "--self-signed", directory];
        let flags = [&certificate[..], &["--find-uninjected"]].concat();
        let replica = self.installation.replica(name, &flags).await;
        replica.becomes_ready().await;
        replica
    }

    /// The full name of a namespace of the test.
    fn named(&self, namespace: &str) -> String {
        format!("{}-{namespace}", self.test)
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(arguments, "").await.unwrap()
    }

    /// Applies the shipped configuration, which sends pods to `webhook`.
    async fn send_pods_to(&self, webhook: &Webhook) {
        let suffix = format!("-{}", self.test);
        apply_configuration(self.plane, &suffix, self.test, webhook.address(), Some(&webhook.ca_pem())).await;
        self.namespace("canary", &[OPT_IN]).await;
        let is_injecting = async || {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let created = self.pods("canary").create(&dry, &asking("canary")).await.ok()?;
            created.spec?.init_containers.map(drop)
        };
        until(WITHIN, is_injecting).await.expect("a configuration in effect");
    }

    /// Applies the shipped configuration with an address where nobody answers, and `failurePolicy: Ignore`.
    async fn send_pods_nowhere(&self) {
        // It was free a moment ago; should somebody else listen there soon, then not with a certificate of this CA.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let suffix = format!("-{}", self.test);
        apply_configuration(self.plane, &suffix, self.test, nobody, Some(self.plane.ca_pem())).await;
        self.patch_configuration(&json!([
            {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"},
            {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 1},
        ]))
        .await;
    }

    /// Applies a JSON patch to the configuration.
    async fn patch_configuration(&self, patch: &Value) {
        let (name, patch) = (self.installation.configuration(), patch.to_string());
        self.kubectl(&["patch", "mutatingwebhookconfiguration", &name, "--type=json", "-p", &patch]).await;
    }

    async fn delete_configuration(&self) {
        self.kubectl(&["delete", "mutatingwebhookconfiguration", &self.installation.configuration()]).await;
    }

    /// Makes a namespace that belongs to the test.
    async fn namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let labels = [labels, &[(TEST_LABEL, self.test)]].concat();
        self.plane.namespace(&self.named(name), &labels, &[]).await.unwrap();
    }

    /// Gives a namespace a label, or takes it away (`KEY-`).
    async fn label(&self, namespace: &str, label: &str) {
        self.kubectl(&["label", "--overwrite", "namespace", &self.named(namespace), label]).await;
    }

    /// Deletes a namespace without pods, as its controller would, and waits until it is gone.
    async fn delete_namespace(&self, name: &str) {
        let name = self.named(name);
        self.kubectl(&["delete", "configmaps,serviceaccounts", "--all", "-n", &name]).await;
        self.kubectl(&["delete", "namespace", &name, "--wait=false"]).await;
        let done = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []},
        });
        let path = format!("/api/v1/namespaces/{name}/finalize");
        self.plane.kubectl(&["replace", "--raw", &path, "-f", "-"], &done.to_string()).await.unwrap();
        let gone = async || {
            let said = self.kubectl(&["get", "namespace", &name, "--ignore-not-found"]).await;
            said.is_empty().then_some(())
        };
        until(WITHIN, gone).await.expect("a namespace that goes");
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.named(namespace))
    }

    /// Creates a pod; returns its UID, and whether it was injected.
    async fn create(&self, namespace: &str, pod: &Pod) -> (String, bool) {
        let created = self.pods(namespace).create(&PostParams::default(), pod).await.unwrap();
        (created.metadata.uid.unwrap(), created.spec.unwrap().init_containers.is_some())
    }

    async fn delete(&self, namespace: &str, name: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods(namespace).delete(name, &now).await.unwrap();
    }

    /// A pod ends, as its kubelet would say.
    async fn end(&self, namespace: &str, name: &str) {
        let status = json!({"status": {"phase": "Succeeded"}});
        let pods = self.pods(namespace);
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// The Events that say of pods that they were not injected, in the order of their pods' names.
    async fn events(&self) -> Vec<Event> {
        let events: Api<Event> = Api::all(self.client.clone());
        let mut events = events.list(&ListParams::default()).await.unwrap().items;
        let ours = self.named("");
        events.retain(|event| {
            let namespace = event.metadata.namespace.as_deref().unwrap();
            event.reason.as_deref() == Some("NotInjected") && namespace.starts_with(&ours)
        });
        events.sort_by_key(|event| event.regarding.as_ref().unwrap().name.clone());
        events
    }

    /// Waits for as many Events, and returns them.
    async fn events_of(&self, count: usize) -> Vec<Event> {
        let events = async || Some(self.events().await).filter(|events| events.len() == count);
        match until(WITHIN, events).await {
            Some(events) => events,
            None => panic!("not {count} events: {:?}", self.events().await),
        }
    }
}

fn pod(name: &str, annotations: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    }))
    .unwrap()
}

/// A pod that asks for a secret.
fn asking(name: &str) -> Pod {
    pod(name, &json!({"secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD"}))
}

/// How many pods a replica says were missed.
async fn missed(replica: &Webhook) -> f64 {
    metrics::sum(&replica.metrics().await, "keystow_uninjected_pods", &[])
}

/// Waits until a replica says that so many pods were missed.
async fn counts(replica: &Webhook, expected: f64) {
    let counts = async || ((missed(replica).await - expected).abs() < 0.5).then_some(());
    if until(WITHIN, counts).await.is_none() {
        panic!("{} pods, not {expected}: {:#?}", missed(replica).await, replica.log());
    }
}

/// How many watches of a replica failed.
async fn failures(replica: &Webhook) -> f64 {
    metrics::sum(&replica.metrics().await, "keystow_uninjected_watch_failures_total", &[])
}

async fn leads(replica: &Webhook) -> bool {
    metrics::sum(&replica.metrics().await, "keystow_leader", &[]) > 0.5
}

/// Waits until a replica leads, or does not.
async fn becomes_leader(replica: &Webhook, expected: bool) {
    let became = async || (leads(replica).await == expected).then_some(());
    until(WITHIN, became).await.expect("a change of the leader");
}
