//! An API server, the account with the shipped rights on it, and Secrets with keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use keystow::domain::{NamedCurve, Recipe, SecretValue};
use keystow::generate::fresh;
use keystow::rotation::Material;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::installation::{kubeconfig, token};
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::webhook::Files;

const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
const ACCOUNT: &str = "keystow-rotate";
const CLUSTER_ROLE: &str = include_str!("../../webhook-config/rotate/clusterrole.yaml");
const BINDING: &str = include_str!("../../webhook-config/rotate/binding.yaml");
const CLUSTER_STORES: &str = include_str!("../../webhook-config/rotate/cluster-stores.example.yaml");
const ROLE: &str = include_str!("../../webhook-config/rotate/role.yaml");
const SALT: &str = include_str!("../../webhook-config/rotate/secret.yaml");
/// How long anything may take that is not a matter of a schedule.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// An API server and an installation in a namespace of its own, whose Secrets turn over.
pub(crate) struct Cluster {
    pub(crate) plane: &'static ControlPlane,
    pub(crate) client: Client,
    pub(crate) namespace: &'static str,
    files: Arc<Files>,
}

impl Cluster {
    /// `None` where there is no control plane. `test` is a DNS label.
    pub(crate) async fn start(test: &'static str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        plane.namespace(test, &[], &[]).await.unwrap();
        plane.service_account(test, ACCOUNT, &[]).await.unwrap();
        // Names that are of the whole cluster have the test's in them.
        let renamed = |manifest: &str| {
            let manifest = manifest.replace("namespace: keystow", &format!("namespace: {test}"));
            let manifest = manifest.replace("keystow-rotate-secrets", &format!("{test}-rotate-secrets"));
            manifest.replace("keystow-rotate-cluster-stores", &format!("{test}-rotate-cluster-stores"))
        };
        for manifest in [CLUSTER_ROLE, BINDING, ROLE, SALT, CLUSTER_STORES] {
            plane.kubectl(&["apply", "-f", "-"], &renamed(manifest)).await.unwrap();
        }
        let files = Files::new(KEYSTOW, "");
        let token = token(plane, test, ACCOUNT, None).await;
        let address = SocketAddr::from(([127, 0, 0, 1], plane.port()));
        kubeconfig(plane, &files.path("kubeconfig"), address, &token);
        Some(Self { plane, client: plane.client().await.unwrap(), namespace: test, files })
    }

    /// Runs the program to its end, as the account.
    pub(crate) async fn run(&self, flags: &[&str]) -> Output {
        let mut command = Command::new(KEYSTOW);
        command.args(["rotate", "--namespace", self.namespace, "--watch-namespace", self.namespace]);
        command.args(flags).env("KUBECONFIG", self.files.path("kubeconfig")).kill_on_drop(true);
        tokio::time::timeout(WITHIN, command.output()).await.unwrap().unwrap()
    }

    /// The same, where it must do well; yields what it wrote.
    pub(crate) async fn done(&self, flags: &[&str]) -> String {
        let output = self.run(flags).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, where it must do badly; yields the exit code and what it told.
    pub(crate) async fn refused(&self, flags: &[&str]) -> (i32, String) {
        let output = self.run(flags).await;
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Starts a controller by this name.
    pub(crate) fn controller(&self, name: &str) -> Process {
        self.process(name, &["--admin=127.0.0.1:0", "--pod-name", name])
    }

    /// Starts the program by this name, and with these flags.
    pub(crate) fn process(&self, name: &str, flags: &[&str]) -> Process {
        let credentials = self.files.path("kubeconfig");
        let fixed = ["rotate", "--namespace", self.namespace, "--watch-namespace", self.namespace];
        let arguments = [&fixed, flags].concat();
        let environment = [("KUBECONFIG", credentials.to_str().unwrap())];
        let log = self.files.path(&format!("{name}.log"));
        Process::start(self.files.program(), &arguments, &environment, log)
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Makes a Secret, with annotations of `rotate.bsycorp.com/`.
    pub(crate) async fn create(
        &self,
        name: &str,
        annotations: &[(&str, &str)],
        data: &[(&str, &SecretValue)],
    ) {
        let full = |(name, value): &(&str, &str)| (format!("rotate.bsycorp.com/{name}"), (*value).to_owned());
        let annotations: BTreeMap<String, String> = annotations.iter().map(full).collect();
        let text = |value: &SecretValue| String::from_utf8(value.expose().to_vec()).unwrap();
        let data: BTreeMap<&str, String> = data.iter().map(|(name, value)| (*name, text(value))).collect();
        let metadata = json!({"name": name, "annotations": annotations});
        let secret = serde_json::from_value(json!({"metadata": metadata, "stringData": data})).unwrap();
        self.secrets().create(&PostParams::default(), &secret).await.unwrap();
    }

    /// The data of a Secret.
    pub(crate) async fn data(&self, name: &str) -> BTreeMap<String, String> {
        let data = self.secrets().get(name).await.unwrap().data.unwrap_or_default();
        data.into_iter().map(|(name, value)| (name, String::from_utf8(value.0).unwrap())).collect()
    }

    /// Its keys of data, and of its issuers, in order, where each key lies.
    pub(crate) async fn shape(&self, name: &str) -> (Vec<String>, Vec<String>) {
        let data = self.data(name).await;
        let issuers = issuers(&data);
        let issuers = issuers.iter().map(|issuer| issuer["signingKey"].as_str().unwrap().to_owned());
        (data.keys().cloned().collect(), issuers.collect())
    }

    /// Runs it once and again, until the Secret has these keys of data.
    pub(crate) async fn rotated_until(&self, name: &str, keys: &[&str]) {
        let rotated = until(WITHIN, async || {
            self.done(&["--once"]).await;
            let data = self.data(name).await;
            data.keys().eq(keys).then_some(())
        });
        if rotated.await.is_none() {
            panic!("{name} has {:?}", self.shape(name).await);
        }
    }

    /// Reasons of the Events beside a Secret.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        self.events_of("Secret", name).await
    }

    /// Those beside an object of this kind.
    pub(crate) async fn events_of(&self, kind: &str, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), self.namespace);
        let events = events.list(&ListParams::default()).await.unwrap();
        let about = |event: &Event| {
            let regarding = event.regarding.as_ref();
            regarding.is_some_and(|object| {
                object.kind.as_deref() == Some(kind) && object.name.as_deref() == Some(name)
            })
        };
        events.items.into_iter().filter(about).filter_map(|event| event.reason).collect()
    }
}

/// The lines of `issuers.yaml`.
pub(crate) fn issuers(data: &BTreeMap<String, String>) -> Vec<Value> {
    let list: Value = serde_saphyr::from_str(&data["issuers.yaml"]).unwrap();
    list["issuers"].as_array().unwrap().clone()
}

/// A private key in PEM.
pub(crate) fn private_key() -> SecretValue {
    pem_of(&Recipe::Ec(NamedCurve::P256))
}

pub(crate) fn pem_of(recipe: &Recipe) -> SecretValue {
    let der = fresh::make(recipe, SystemTime::UNIX_EPOCH).unwrap().pop().unwrap();
    Material::of_pkcs8(&der).unwrap().value().clone()
}
