//! `keystow webhook --find-uninjected` on a real API server, with a token of the account that is shipped and the rights
//! that are shipped, and no others.
//!
//! Each test has a control plane of its own: what is found is found in the whole cluster, under the names that the rights
//! are for.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod found;
mod leaders;
mod many;
mod outage;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::metrics;
use crate::support::wait::until;
use crate::support::webhook::{TEST_LABEL, Webhook, apply_configuration};

/// The binary under test.
const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
const CONFIGURATION: &str =
    "injection: {image: 'keystow:test'}\nstores: {default: local, local: {local: {}}}\n";
/// The account, and all the rights, of an installation.
const RIGHTS: [&str; 3] = [
    include_str!("../../webhook-config/base/serviceaccount.yaml"),
    include_str!("../../webhook-config/base/role.yaml"),
    include_str!("../../webhook-config/base/clusterrole.yaml"),
];
/// What certificates need, which are files here.
const OF_CERTIFICATES: &str = "keystow-webhook-certificates";
/// How long anything may take: a leader is found within seconds, a dead one is followed within 17, a watch is begun again
/// within 30.
const WITHIN: Duration = Duration::from_secs(120);
/// The label that opts a namespace in.
const OPT_IN: (&str, &str) = ("inject.bsycorp.com/enabled", "true");

/// A control plane with keystow's account.
struct Cluster {
    plane: ControlPlane,
    client: Client,
    test: &'static str,
    kubeconfig: String,
    _directory: TempDir,
}

impl Cluster {
    /// `None` where there is no control plane; then `test` is named as skipped.
    async fn start(test: &'static str) -> Option<Self> {
        shared_or_skip(test).await?;
        let plane = ControlPlane::start().await.unwrap();
        let client = plane.client().await.unwrap();
        plane.namespace("keystow", &[], &[]).await.unwrap();
        for rights in RIGHTS {
            plane.kubectl(&["apply", "-f", "-"], rights).await.unwrap();
        }
        for kind in ["role", "rolebinding"] {
            plane.kubectl(&["delete", kind, OF_CERTIFICATES, "-n", "keystow"], "").await.unwrap();
            let kind = format!("cluster{kind}");
            plane.kubectl(&["delete", &kind, OF_CERTIFICATES], "").await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = kubeconfig(&plane, &directory).await;
        Some(Self { plane, client, test, kubeconfig, _directory: directory })
    }

    /// A replica of this name.
    async fn replica(&self, name: &str) -> Webhook {
        let environment = [("KUBECONFIG", self.kubeconfig.as_str())];
        let flags = ["--find-uninjected", "--namespace", "keystow", "--pod-name", name];
        Webhook::start_in(&environment, KEYSTOW, CONFIGURATION, &flags).await
    }

    /// Applies the shipped configuration, which sends pods to `webhook`.
    async fn send_pods_to(&self, webhook: &Webhook) {
        let ca = webhook.ca_pem();
        apply_configuration(&self.plane, "", self.test, webhook.address(), &ca).await;
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
        // Free for as long as it is held; nobody listens there afterwards, or does not speak TLS.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        self.apply_unanswered(nobody).await;
    }

    async fn apply_unanswered(&self, address: SocketAddr) {
        apply_configuration(&self.plane, "", self.test, address, self.plane.ca_pem()).await;
        self.patch_configuration(&json!([
            {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"},
            {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 1},
        ]))
        .await;
    }

    /// Applies a JSON patch to the configuration.
    async fn patch_configuration(&self, patch: &Value) {
        let patch = patch.to_string();
        let arguments =
            ["patch", "mutatingwebhookconfiguration", "inject-keystow", "--type=json", "-p", &patch];
        self.plane.kubectl(&arguments, "").await.unwrap();
    }

    /// Makes a namespace that belongs to the test.
    async fn namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let labels = [labels, &[(TEST_LABEL, self.test)]].concat();
        self.plane.namespace(name, &labels, &[]).await.unwrap();
    }

    /// Gives a namespace a label, or takes it away (`KEY-`).
    async fn label(&self, namespace: &str, label: &str) {
        self.plane.kubectl(&["label", "--overwrite", "namespace", namespace, label], "").await.unwrap();
    }

    /// Deletes a namespace without pods, as its controller would.
    async fn delete_namespace(&self, name: &str) {
        self.plane.kubectl(&["delete", "configmaps,serviceaccounts", "--all", "-n", name], "").await.unwrap();
        self.plane.kubectl(&["delete", "namespace", name, "--wait=false"], "").await.unwrap();
        let done = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
        let path = format!("/api/v1/namespaces/{name}/finalize");
        self.plane.kubectl(&["replace", "--raw", &path, "-f", "-"], &done.to_string()).await.unwrap();
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
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
        events.retain(|event| event.reason.as_deref() == Some("NotInjected"));
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

/// A kubeconfig with a token of keystow's account; the path of it.
async fn kubeconfig(plane: &ControlPlane, directory: &TempDir) -> String {
    let token = plane.kubectl(&["create", "token", "keystow-webhook", "-n", "keystow"], "").await.unwrap();
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, plane.ca_pem()).unwrap();
    let server = format!("https://127.0.0.1:{}", plane.port());
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "keystow", "user": {"token": token.trim()}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "keystow"}}],
    });
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
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
