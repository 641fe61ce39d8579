//! A cluster with keystow in it, as far as a check can see: its webhook configuration, endpoints, Lease and configuration,
//! and somebody who may look by the rights that are shipped for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::control_plane::{Binaries, ControlPlane};
use crate::support::programs::skip;

/// What a check found: the code and the object.
pub(crate) type Found = BTreeSet<(String, String)>;

pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    directory: TempDir,
}

/// How a check ended.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

impl Cluster {
    pub(crate) async fn start(test: &str) -> Option<Self> {
        if let Err(missing) = Binaries::find() {
            skip(test, "control plane", missing);
            return None;
        }
        let plane = ControlPlane::start().await.unwrap();
        let cluster = Self { plane, directory: TempDir::new().unwrap() };
        cluster.plane.namespace("keystow", &[], &[]).await.unwrap();
        cluster.apply(&file("tests/data/check/crds.yaml")).await;
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        cluster.kubectl(&wait).await;
        for namespace in ["demo", "faulty"] {
            let labels = [("inject.bsycorp.com/enabled", "true")];
            cluster.plane.namespace(namespace, &labels, &[]).await.unwrap();
        }
        Some(cluster)
    }

    /// Everything of keystow's own. Only now are annotated pods refused, since nobody answers.
    pub(crate) async fn install(&self) {
        let mut configuration: Value =
            serde_saphyr::from_str(&file("webhook-config/base/mutatingwebhookconfiguration.yaml")).unwrap();
        configuration["webhooks"][0]["clientConfig"]["caBundle"] =
            json!(STANDARD.encode(self.plane.ca_pem()));
        let endpoint = |address: &str| json!({"addresses": [address], "conditions": {"ready": true}});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "keystow-webhook-1", "namespace": "keystow",
                "labels": {"kubernetes.io/service-name": "keystow-webhook"}},
            "endpoints": [endpoint("10.1.0.1"), endpoint("10.1.0.2")],
        });
        let stores = "stores: {default: cluster, cluster: {kubernetes: {}}}\nprefixes: [{namespaces: ['*'], allow: [/veza, /]}]\n";
        let config = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keystow-config", "namespace": "keystow"},
            "data": {"config.yaml": stores},
        });
        for object in [configuration, slice, config] {
            self.apply(&object.to_string()).await;
        }
        self.renew_lease().await;
        self.kubectl(&["apply", "-k", "webhook-config/creator"]).await;
        self.apply(
            &file("webhook-config/examples/creator-rights.yaml")
                .replace("namespace: locked", "namespace: faulty"),
        )
        .await;
    }

    /// The creator is there now.
    pub(crate) async fn renew_lease(&self) {
        let now = String::from_utf8(
            tokio::process::Command::new("date")
                .args(["-u", "+%Y-%m-%dT%H:%M:%S.000000Z"])
                .output()
                .await
                .unwrap()
                .stdout,
        )
        .unwrap();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "keystow-creator", "namespace": "keystow"},
            "spec": {"holderIdentity": "creator-1", "leaseDurationSeconds": 600, "renewTime": now.trim()},
        });
        self.apply(&lease.to_string()).await;
    }

    /// Somebody with the rights for a check of both namespaces.
    pub(crate) async fn checker(&self) -> PathBuf {
        self.plane.service_account("demo", "checker", &[]).await.unwrap();
        let rights = file("webhook-config/examples/checker-rights.yaml");
        self.apply(&rights).await;
        let binding = "metadata: {name: keystow-check, namespace: demo}";
        let again: Vec<String> = rights
            .split("---\n")
            .filter(|document| document.contains(binding))
            .map(|document| document.replace(binding, "metadata: {name: keystow-check, namespace: faulty}"))
            .collect();
        assert_eq!(again.len(), 1);
        self.apply(&again[0]).await;
        self.kubeconfig_of("demo", "checker").await
    }

    /// A kubeconfig of a service account.
    pub(crate) async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace]).await;
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.plane.port()),
                "certificate-authority-data": STANDARD.encode(self.plane.ca_pem()),
            }}],
            "users": [{"name": "it", "user": {"token": token.trim()}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        let path = self.directory.path().join(account);
        fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }

    pub(crate) async fn apply(&self, manifest: &str) {
        self.plane
            .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifest)
            .await
            .unwrap();
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(arguments, "").await.unwrap()
    }

    /// Writes the status of an object, which nobody else does here.
    pub(crate) async fn set_status(&self, kind: &str, namespace: &str, name: &str, status: &Value) {
        let patch = json!({"status": status}).to_string();
        let mut arguments = vec!["patch", kind, name, "--subresource=status", "--type=merge", "-p", &patch];
        if !namespace.is_empty() {
            arguments.extend(["--namespace", namespace]);
        }
        self.kubectl(&arguments).await;
    }
}

/// Runs `keystow check` with this kubeconfig.
pub(crate) async fn check(kubeconfig: &Path, arguments: &[&str]) -> Checked {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_keystow"));
    command.arg("check").args(arguments).env_clear().env("KUBECONFIG", kubeconfig).kill_on_drop(true);
    let output = tokio::time::timeout(std::time::Duration::from_secs(90), command.output()).await;
    let output = output.expect("an end").unwrap();
    Checked {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Checked {
    /// What it found, of JSON.
    pub(crate) fn found(&self) -> Found {
        let document: Value =
            serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let findings = document["findings"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        findings.iter().map(|finding| (text(&finding["code"]), text(&finding["object"]))).collect()
    }
}
