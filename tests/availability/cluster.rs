//! An installation whose certificates, Secret and configuration are looked at from outside.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::support::control_plane::{ControlPlane, shared_or_skip};
use super::support::installation::Installation;
use super::support::metrics;
use super::support::wait::until;
use super::support::webhook::{TEST_LABEL, Webhook};
use super::{CONFIGURATION, KEYSTOW};

/// How long anything may take that is not a matter of lifetimes.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// The name of the Secret.
pub(super) const SECRET: &str = "keystow-webhook-tls";

/// An API server and an installation on it.
pub(super) struct Cluster {
    pub(super) plane: &'static ControlPlane,
    pub(super) installation: Installation<'static>,
    client: Client,
}

impl Cluster {
    /// `None` where there is no control plane. `test` is a DNS label.
    pub(super) async fn start(test: &'static str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        let installation = Installation::new(plane, test, KEYSTOW, CONFIGURATION).await;
        let client = plane.client().await.unwrap();
        let labels = [("inject.bsycorp.com/enabled", "true"), (TEST_LABEL, test)];
        plane.namespace(&format!("{test}-pods"), &labels, &[]).await.unwrap();
        Some(Self { plane, installation, client })
    }

    /// Pods of a namespace that opted in.
    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &format!("{}-pods", self.installation.namespace()))
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.installation.namespace())
    }

    pub(super) fn configurations(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    /// A key of the Secret, where both are there.
    pub(super) async fn secret_key(&self, key: &str) -> Option<String> {
        let secret = self.secrets().get_opt(SECRET).await.unwrap()?;
        String::from_utf8(secret.data?.get(key)?.0.clone()).ok()
    }

    /// Writes keys of the Secret, which is there or not.
    pub(super) async fn write_secret(&self, keys: &[(&str, &str)]) {
        let found = self.secrets().get_opt(SECRET).await.unwrap();
        let is_new = found.is_none();
        let mut secret = found.unwrap_or_else(|| {
            serde_json::from_value(json!({"metadata": {"name": SECRET}, "type": "kubernetes.io/tls"}))
                .unwrap()
        });
        let data = secret.data.get_or_insert_default();
        for (key, value) in keys {
            data.insert((*key).to_owned(), k8s_openapi::ByteString(value.as_bytes().to_vec()));
        }
        let parameters = PostParams::default();
        if is_new {
            self.secrets().create(&parameters, &secret).await.unwrap();
        } else {
            self.secrets().replace(SECRET, &parameters, &secret).await.unwrap();
        }
    }

    /// The text of the caBundle.
    pub(super) async fn ca_bundle(&self) -> String {
        let configuration = self.configurations().get(&self.installation.configuration()).await.unwrap();
        let webhook = configuration.webhooks.unwrap().remove(0);
        webhook.client_config.ca_bundle.map(|text| String::from_utf8(text.0).unwrap()).unwrap_or_default()
    }

    /// Waits until a pod comes back injected: the API server calls, and accepts what it is shown.
    pub(super) async fn injects(&self) {
        until(SOON, async || self.is_injected().await.then_some(())).await.expect("an injected pod");
    }

    async fn is_injected(&self) -> bool {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let created = self.pods().create(&dry, &pod("canary")).await;
        created.is_ok_and(|pod| serde_json::to_value(pod).unwrap()["spec"]["initContainers"].is_array())
    }

    /// The Events in keystow's namespace.
    async fn events(&self) -> Vec<Value> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), self.installation.namespace());
        let events = events.list(&ListParams::default()).await.unwrap().items;
        events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
    }

    /// Waits for an Event with this reason, whose note has these words in it.
    pub(super) async fn event(&self, reason: &str, words: &str) -> Value {
        let is_it = |event: &Value| {
            event["reason"] == reason && event["note"].as_str().is_some_and(|note| note.contains(words))
        };
        let found = async || self.events().await.into_iter().find(is_it);
        let found = until(SOON, found).await;
        match found {
            Some(event) => event,
            None => panic!("no Event {reason} with {words:?}: {:?}", self.events().await),
        }
    }
}

/// A sample of a replica's metrics.
pub(super) async fn metric(replica: &Webhook, name: &str) -> f64 {
    metrics::sum(&replica.metrics().await, name, &[])
}

/// Waits until a replica is the leader, and yields which.
pub(super) async fn leader(replicas: &[Webhook]) -> usize {
    let found = async || {
        for (index, replica) in replicas.iter().enumerate() {
            if metric(replica, "keystow_leader").await > 0.0 {
                return Some(index);
            }
        }
        None
    };
    until(SOON, found).await.expect("a leader")
}

/// A pod that asks for a secret.
pub(super) fn pod(name: &str) -> Pod {
    let pod = json!({
        "metadata": {
            "name": name,
            "annotations": {"secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD"},
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    serde_json::from_value(pod).unwrap()
}

/// How many certificates a PEM text has.
pub(super) fn certificates(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}
