//! keystow as it is installed in a cluster with the certificates it keeps itself: a namespace, the account with the shipped
//! rights and no others, the shipped configuration, and replicas.
//!
//! Invariants: a replica has the account's token and nothing of the admin's; names that are of the whole cluster have the
//! namespace in them, so that several installations live beside each other.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::control_plane::ControlPlane;
use super::webhook::{Files, Webhook, apply_configuration};

const ACCOUNT: &str = "keystow-webhook";
const CLUSTER_ROLE: &str = include_str!("../../webhook-config/base/clusterrole.yaml");
const ROLE: &str = include_str!("../../webhook-config/base/role.yaml");

/// An installation in a namespace of its own.
pub(crate) struct Installation<'p> {
    plane: &'p ControlPlane,
    namespace: String,
    files: Arc<Files>,
}

impl<'p> Installation<'p> {
    /// Makes the namespace and the account with its rights; `program` with this configuration file is what will run.
    pub(crate) async fn new(
        plane: &'p ControlPlane,
        namespace: &str,
        program: &str,
        configuration: &str,
    ) -> Self {
        plane.namespace(namespace, &[], &[]).await.expect("a namespace");
        plane.service_account(namespace, ACCOUNT, &[]).await.expect("an account");
        let files = Files::new(program, configuration);
        let installation = Self { plane, namespace: namespace.to_owned(), files };
        let here = format!("namespace: {namespace}");
        let cluster_role = CLUSTER_ROLE
            .replace("namespace: keystow", &here)
            .replace("inject-keystow", &installation.configuration())
            .replace("name: keystow-webhook-", &format!("name: {namespace}-webhook-"));
        for manifest in [ROLE.replace("namespace: keystow", &here), cluster_role] {
            plane.kubectl(&["apply", "-f", "-"], &manifest).await.expect("applied rights");
        }
        installation
    }

    /// The name of the MutatingWebhookConfiguration.
    pub(crate) fn configuration(&self) -> String {
        format!("inject-keystow-{}", self.namespace)
    }

    /// The namespace of keystow's own objects.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The files of the replicas.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Applies the shipped configuration, turned to `address`, without a caBundle, and confined to the namespaces that
    /// have [`TEST_LABEL`](super::webhook::TEST_LABEL) with the namespace's name.
    pub(crate) async fn apply_configuration(&self, address: SocketAddr) {
        let suffix = format!("-{}", self.namespace);
        apply_configuration(self.plane, &suffix, &self.namespace, address, None).await;
    }

    /// Starts a replica by this name, which is ready or not, with these further flags.
    pub(crate) async fn replica(&self, name: &str, flags: &[&str]) -> Webhook {
        self.replica_through(name, SocketAddr::from(([127, 0, 0, 1], self.plane.port())), flags).await
    }

    /// As [`Installation::replica`], with an API server at `address`.
    pub(crate) async fn replica_through(&self, name: &str, address: SocketAddr, flags: &[&str]) -> Webhook {
        let configuration = self.configuration();
        let what = ["--webhook-configuration", &configuration];
        let flags = [&what, flags].concat();
        replica(self.plane, &self.namespace, &self.files, name, address, &flags).await
    }
}

/// Starts a replica in `namespace`, with the credentials that its account has there, and an API server at `address`.
pub(crate) async fn replica(
    plane: &ControlPlane,
    namespace: &str,
    files: &Arc<Files>,
    name: &str,
    address: SocketAddr,
    flags: &[&str],
) -> Webhook {
    let credentials = files.path(&format!("{name}.kubeconfig"));
    kubeconfig(plane, &credentials, address, &token(plane, namespace, ACCOUNT, None).await);
    let named = flags.iter().any(|flag| flag.starts_with("--pod-name"));
    let pod = if named { &[][..] } else { &["--pod-name", name] };
    let who = [&["--namespace", namespace, "--server-name", "127.0.0.1"], pod].concat();
    let credentials = credentials.to_str().expect("a path in UTF-8");
    let log = format!("{name}.log");
    Webhook::spawn(Arc::clone(files), &log, &[&who, flags].concat(), &[("KUBECONFIG", credentials)]).await
}

/// A token of an account, for the API server or for this audience.
pub(crate) async fn token(
    plane: &ControlPlane,
    namespace: &str,
    account: &str,
    audience: Option<&str>,
) -> String {
    let audience = audience.map(|audience| format!("--audience={audience}"));
    let create = ["create", "token", account, "--namespace", namespace];
    let arguments: Vec<&str> = create.into_iter().chain(audience.as_deref()).collect();
    plane.kubectl(&arguments, "").await.expect("a token").trim().to_owned()
}

/// Writes a kubeconfig of who has `token`, for an API server at `address` that has the certificate of this one.
pub(crate) fn kubeconfig(plane: &ControlPlane, path: &Path, address: SocketAddr, token: &str) {
    let authority = STANDARD.encode(plane.ca_pem());
    let cluster = json!({"server": format!("https://{address}"), "certificate-authority-data": authority});
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "keystow", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "keystow"}}],
    });
    fs::write(path, text.to_string()).expect("a written kubeconfig");
}
