//! `keystow create` as it is installed in a cluster: a namespace, the account with the shipped rights and no others, and
//! replicas.
//!
//! Flow: [`Creators::new`] → [`Creators::may_keep_secrets_in`] for each namespace whose Secrets are the store →
//! [`Creators::replica`], or [`Creators::once`].
//!
//! Invariants: a replica has the account's token and nothing of the admin's; names that are of the whole cluster have the
//! namespace in them, so that several installations live beside each other.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde_json::json;

use super::control_plane::ControlPlane;
use super::installation::{kubeconfig, token};
use super::process::{self, Process, addresses};
use super::webhook::Files;

const ACCOUNT: &str = "keystow-creator";
const CLUSTER_ROLE: &str = include_str!("../../webhook-config/creator/clusterrole.yaml");
const ROLE: &str = include_str!("../../webhook-config/creator/role.yaml");

/// An installation in a namespace of its own.
pub(crate) struct Creators<'p> {
    plane: &'p ControlPlane,
    namespace: String,
    files: Arc<Files>,
}

/// A running creator.
pub(crate) struct Creator {
    process: Process,
    admin: SocketAddr,
    _files: Arc<Files>,
}

impl<'p> Creators<'p> {
    /// Makes the namespace and the account with its rights; `program` with this configuration file is what will run.
    pub(crate) async fn new(
        plane: &'p ControlPlane,
        namespace: &str,
        program: &str,
        configuration: &str,
    ) -> Self {
        plane.namespace(namespace, &[], &[]).await.expect("a namespace");
        plane.service_account(namespace, ACCOUNT, &[]).await.expect("an account");
        let here = format!("namespace: {namespace}");
        let cluster_role = CLUSTER_ROLE
            .replace("namespace: keystow", &here)
            .replace("name: keystow-creator", &format!("name: {namespace}-creator"))
            // The account has the name that it has in every namespace.
            .replace(
                &format!("ServiceAccount\n  name: {namespace}-creator"),
                "ServiceAccount\n  name: keystow-creator",
            );
        for manifest in [ROLE.replace("namespace: keystow", &here), cluster_role] {
            plane.kubectl(&["apply", "-f", "-"], &manifest).await.expect("applied rights");
        }
        let creators =
            Self { plane, namespace: namespace.to_owned(), files: Files::new(program, configuration) };
        creators.find_the_api_server_at(SocketAddr::from(([127, 0, 0, 1], plane.port()))).await;
        creators
    }

    /// Replicas that are started from now on go to an API server at `address`.
    pub(crate) async fn find_the_api_server_at(&self, address: SocketAddr) {
        let token = token(self.plane, &self.namespace, ACCOUNT, None).await;
        kubeconfig(self.plane, &self.files.path("kubeconfig"), address, &token);
    }

    /// Lets it keep Secrets in `namespace`, as the documents say it: by a RoleBinding there.
    pub(crate) async fn may_keep_secrets_in(&self, namespace: &str) {
        let name = format!("{}-creator-secrets", self.namespace);
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace}],
        });
        self.plane
            .kubectl(&["apply", "-f", "-"], &binding.to_string())
            .await
            .expect("an applied RoleBinding");
    }

    /// The namespace of keystow's own objects.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The files of the replicas.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Gives replicas a token for the store `store`, with this audience.
    pub(crate) async fn give_token(&self, store: &str, audience: &str) {
        let directory = self.files.path("tokens").join(store);
        std::fs::create_dir_all(&directory).expect("a directory");
        let token = token(self.plane, &self.namespace, ACCOUNT, Some(audience)).await;
        std::fs::write(directory.join("token"), token).expect("a written token");
    }

    /// Starts a replica by this name, with these further flags and variables, and waits until it serves.
    pub(crate) async fn replica(&self, name: &str, flags: &[&str], environment: &[(&str, &str)]) -> Creator {
        let mut process = self.start(name, flags, environment);
        let [admin] = process.says(|log| addresses(log, ["admin"])).await;
        Creator { process, admin, _files: Arc::clone(&self.files) }
    }

    /// Starts one that looks at every pod once, and ends.
    pub(crate) fn once(&self, name: &str, flags: &[&str], environment: &[(&str, &str)]) -> Process {
        self.start(name, &[&["--once"], flags].concat(), environment)
    }

    fn start(&self, name: &str, flags: &[&str], environment: &[(&str, &str)]) -> Process {
        let path = |name: &str| self.files.path(name).to_str().expect("a path in UTF-8").to_owned();
        let (credentials, configuration, tokens) = (path("kubeconfig"), path("config.yaml"), path("tokens"));
        let fixed = [
            "create",
            "--config",
            &configuration,
            "--admin=127.0.0.1:0",
            "--token-directory",
            &tokens,
            "--namespace",
            &self.namespace,
            "--pod-name",
            name,
        ];
        let environment = [&[("KUBECONFIG", credentials.as_str())], environment].concat();
        let arguments = [&fixed, flags].concat();
        Process::start(
            self.files.program(),
            &arguments,
            &environment,
            self.files.path(&format!("{name}.log")),
        )
    }
}

impl Creator {
    /// The page of its metrics.
    pub(crate) async fn metrics(&self) -> String {
        process::metrics(self.admin).await
    }

    /// The sum of the samples `keystow_creator_NAME` that have all of `labels`.
    pub(crate) async fn counted(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        super::metrics::sum(&self.metrics().await, &format!("keystow_creator_{name}"), labels)
    }

    /// Whether it is the one that acts.
    pub(crate) async fn leads(&self) -> bool {
        super::metrics::sum(&self.metrics().await, "keystow_leader", &[]) > 0.5
    }
}

impl Deref for Creator {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Creator {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
