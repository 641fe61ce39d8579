//! What a real API server makes of an installation: by kustomize, by what `helm template` prints, and by Helm itself.
//!
//! Objects of a whole cluster have one name, so the tests take turns, and each leaves nothing behind, which it checks. No
//! controller runs here. So pods are made from the Deployment's template, the quota's status is written by hand, and the webhook
//! is a process on loopback, to which the installed configuration is turned.

mod helm;
mod kustomize;
mod rights;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::objects::{Objects, text};
use super::support::control_plane::{ControlPlane, ControlPlaneError, shared_or_skip};
use super::support::installation::replica;
use super::support::wait::until;
use super::support::webhook::Files;

const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
const CONFIGURATION: &str = "mutatingwebhookconfiguration/inject-keystow";
/// How long the API server may take to see a configuration: its cache is told, and then polls.
const IN_EFFECT_WITHIN: Duration = Duration::from_secs(60);
/// Kinds that keystow has objects of, for the whole cluster.
const CLUSTER_WIDE: &str = "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings,customresourcedefinitions";

/// A cluster in which keystow is installed in one namespace.
struct Cluster {
    plane: &'static ControlPlane,
    namespace: &'static str,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// `None` where there is no control plane; then `test` is named as skipped.
    async fn start(test: &str, namespace: &'static str) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let plane = shared_or_skip(test).await?;
        Some(Self { plane, namespace, _turn: TURN.lock().await })
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(arguments, "").await.unwrap()
    }

    /// As [`Cluster::kubectl`], in keystow's namespace.
    async fn in_namespace(&self, arguments: &[&str]) -> String {
        self.kubectl(&[arguments, &["--namespace", self.namespace]].concat()).await
    }

    async fn configuration(&self) -> Value {
        let json = self.kubectl(&["get", CONFIGURATION, "-o", "json", "--show-managed-fields"]).await;
        serde_json::from_str(&json).unwrap()
    }

    /// Writes a caBundle as a manager of its own, as keystow does.
    async fn write_ca_bundle(&self, webhook: &str, bundle: &str) {
        self.try_to_write_ca_bundle(webhook, bundle).await.unwrap();
    }

    async fn try_to_write_ca_bundle(&self, webhook: &str, bundle: &str) -> Result<String, ControlPlaneError> {
        let partial = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "inject-keystow"},
            "webhooks": [{"name": webhook, "clientConfig": {"caBundle": bundle}}],
        });
        let apply = ["apply", "--server-side", "--field-manager=keystow-certificates", "-f", "-"];
        self.plane.kubectl(&apply, &partial.to_string()).await
    }

    /// A pod as the Deployment's controller would make it, admitted in keystow's namespace: by Pod Security, the quota and the priority.
    async fn admits_a_pod_of(&self, objects: &Objects, deployment: &str) {
        let labels =
            self.kubectl(&["get", "namespace", self.namespace, "-o", "jsonpath={.metadata.labels}"]).await;
        assert!(labels.contains(r#""pod-security.kubernetes.io/enforce":"restricted""#), "{labels}");
        // What the quota's controller does first.
        let hard = &objects.get("ResourceQuota/keystow-critical-pods")["spec"]["hard"];
        let status = json!({"status": {"hard": hard, "used": {"pods": "0"}}}).to_string();
        let quota =
            ["patch", "resourcequota", "keystow-critical-pods", "--subresource=status", "--type=merge", "-p"];
        self.in_namespace(&[&quota[..], &[&status]].concat()).await;

        let template = &objects.get(&format!("Deployment/{deployment}"))["spec"]["template"];
        let mut pod = template.clone();
        (pod["apiVersion"], pod["kind"]) = (json!("v1"), json!("Pod"));
        (pod["metadata"]["name"], pod["metadata"]["namespace"]) = (json!("by-hand"), json!(self.namespace));
        self.plane.kubectl(&["create", "--validate=strict", "-f", "-"], &pod.to_string()).await.unwrap();
        let stored = self.in_namespace(&["get", "pod", "by-hand", "-o", "json"]).await;
        let stored: Value = serde_json::from_str(&stored).unwrap();
        let priority = if template["spec"]["priorityClassName"].is_null() { 0 } else { 2_000_000_000 };
        assert_eq!(stored["spec"]["priority"], priority);
        // Its tokens, in one container, and nothing that admission put beside them.
        assert_eq!(
            stored["spec"]["volumes"].as_array().unwrap().len(),
            template["spec"]["volumes"].as_array().unwrap().len()
        );
        self.in_namespace(&["delete", "pod", "by-hand", "--grace-period=0", "--force"]).await;
    }

    /// Starts a replica with the installed configuration file, the flags of the Deployment and the rights of its account,
    /// turns the installed configuration to it, and creates an annotated pod in a namespace that opted in.
    ///
    /// The replica makes its certificate and writes the caBundle, as it does in a cluster. Other than there, it listens on
    /// loopback, and is called by that name.
    async fn injects(&self, objects: &Objects) {
        let of_the_test = ["--listen=", "--admin=", "--config="];
        let is_of_the_test = |flag: &str| of_the_test.iter().any(|prefix| flag.starts_with(prefix));
        let arguments = objects.arguments();
        let flags: Vec<&str> = arguments.into_iter().skip(1).filter(|flag| !is_of_the_test(flag)).collect();
        assert!(flags.contains(&"--self-managed"), "{flags:?}");
        let files = Files::new(KEYSTOW, objects.configuration());
        let api_server = ([127, 0, 0, 1], self.plane.port()).into();
        let webhook = replica(self.plane, self.namespace, &files, "replica", api_server, &flags).await;
        let mut configuration = self.configuration().await;
        configuration["webhooks"][0]["clientConfig"] =
            json!({"url": format!("https://{}/mutate", webhook.address())});
        configuration["metadata"]["managedFields"] = json!([]);
        // Whatever the replica wrote meanwhile.
        configuration["metadata"]["resourceVersion"] = json!(null);
        self.plane.kubectl(&["replace", "-f", "-"], &configuration.to_string()).await.unwrap();
        webhook.becomes_ready().await;

        let selector = objects.webhook()["namespaceSelector"]["matchLabels"].as_object().unwrap();
        let labels: Vec<(&str, &str)> =
            selector.iter().map(|(key, value)| (key.as_str(), text(value))).collect();
        let namespace = format!("{}-demo", self.namespace);
        self.plane.namespace(&namespace, &labels, &[]).await.unwrap();
        let domain = text(&objects.webhook()["name"]).strip_prefix("inject.").unwrap();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "app", "namespace": namespace,
                "annotations": {format!("secret.{domain}/db.password"): "kind=REFERENCE,type=PASSWORD"},
            },
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        })
        .to_string();
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let injected = async || {
            let created = self.plane.kubectl(&create, &pod).await.ok()?;
            let created: Value = serde_json::from_str(&created).unwrap();
            created["spec"]["initContainers"].as_array().map(|containers| containers[0].clone())
        };
        let container = until(IN_EFFECT_WITHIN, injected).await.expect("an injected pod");
        assert_eq!(container["image"], objects.container()["image"]);
    }

    /// Whether there is a configuration of ours.
    async fn has_configuration(&self) -> bool {
        !self.kubectl(&["get", CONFIGURATION, "--ignore-not-found", "-o", "name"]).await.is_empty()
    }

    /// Asserts that nothing of keystow is left outside of namespaces.
    async fn nothing_is_left(&self) {
        let left = self.kubectl(&["get", CLUSTER_WIDE, "-o", "name"]).await;
        let ours: Vec<&str> = left.lines().filter(|name| name.contains("keystow")).collect();
        assert!(left.contains("clusterrole.rbac.authorization.k8s.io/admin"), "{left}");
        assert!(ours.is_empty(), "{ours:?}");
    }
}
