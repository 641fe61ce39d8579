//! `keystow webhook` as a process, and the shipped configuration that sends the API server to it.
//!
//! Flow: [`Webhook::start`] (ports of its own, a self-signed certificate) → [`apply_configuration`] → pods. A second
//! process with the same certificate, as a second replica has, is a [`Webhook::twin`].
//!
//! Invariant: the configuration is the file of `webhook-config/` but for the address, the name and one more label of
//! namespaces.

use std::fs;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::control_plane::{ControlPlane, at_address};
use super::process::{self, BOUND, Process, addresses};
use super::wait::until;

pub(crate) use super::process::get;

const CONFIGURATION: &str = include_str!("../../webhook-config/base/mutatingwebhookconfiguration.yaml");

/// A running webhook process.
pub(crate) struct Webhook {
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    files: Arc<Files>,
}

impl Deref for Webhook {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Webhook {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// What replicas share: the program, and a directory of files.
pub(crate) struct Files {
    program: PathBuf,
    directory: TempDir,
}

impl Files {
    /// A directory for replicas of `program`, with this configuration file in it.
    pub(crate) fn new(program: &str, configuration: &str) -> Arc<Self> {
        let directory = TempDir::with_prefix("keystow-").expect("a directory for the replicas");
        let files = Self { program: program.into(), directory };
        fs::write(files.path("config.yaml"), configuration).expect("a written configuration");
        Arc::new(files)
    }

    /// The program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Webhook {
    /// Starts `program` with this configuration file and these further flags, and waits until it is ready.
    pub(crate) async fn start(program: &str, configuration: &str, flags: &[&str]) -> Self {
        Self::self_signed(Files::new(program, configuration), "first.log", flags, &[]).await
    }

    /// As [`Webhook::start`], with these environment variables.
    pub(crate) async fn start_in(
        program: &str,
        configuration: &str,
        environment: &[(&str, &str)],
        flags: &[&str],
    ) -> Self {
        Self::self_signed(Files::new(program, configuration), "first.log", flags, environment).await
    }

    /// Starts another one with the same certificate and configuration.
    pub(crate) async fn twin(&self, flags: &[&str]) -> Self {
        Self::self_signed(Arc::clone(&self.files), "twin.log", flags, &[]).await
    }

    async fn self_signed(files: Arc<Files>, log: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = files.path("tls");
        let directory = directory.to_str().expect("a path in UTF-8");
        let certificate = ["--self-signed-name", "127.0.0.1", "--self-signed", directory];
        let webhook = Self::spawn(files, log, &[&certificate, flags].concat(), environment).await;
        webhook.becomes_ready().await;
        webhook
    }

    /// Starts a process that logs to the file `log`, with flags for its certificate among others, and waits until it
    /// serves, ready or not.
    pub(crate) async fn spawn(
        files: Arc<Files>,
        log: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let configuration = files.path("config.yaml");
        let configuration = configuration.to_str().expect("a path in UTF-8");
        let fixed =
            ["webhook", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", configuration];
        let arguments = [&fixed, flags].concat();
        let mut process = Process::start(files.program(), &arguments, environment, files.path(log));
        let [address, admin] = process.says(|log| addresses(log, ["webhook", "admin"])).await;
        Self { process, address, admin, files }
    }

    /// Waits until it is ready.
    pub(crate) async fn becomes_ready(&self) {
        let ready = until(BOUND, async || self.is_ready().await.then_some(())).await;
        ready.unwrap_or_else(|| panic!("not ready within {BOUND:?}: {:?}", self.log()));
    }

    /// Where it serves the API server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves health and metrics.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The CA that signed its certificate.
    pub(crate) fn ca_pem(&self) -> String {
        fs::read_to_string(self.files.path("tls/ca.crt")).expect("the CA of the webhook")
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        process::get(self.admin, "/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// The page of its metrics.
    pub(crate) async fn metrics(&self) -> String {
        process::metrics(self.admin).await
    }

    /// How many requests it has had, with every outcome or with one.
    pub(crate) async fn requests(&self, outcome: Option<&str>) -> f64 {
        let labels: Vec<_> = outcome.map(|outcome| ("outcome", outcome)).into_iter().collect();
        super::metrics::sum(&self.metrics().await, "keystow_webhook_requests_total", &labels)
    }
}

/// The label by which namespaces belong to one test.
pub(crate) const TEST_LABEL: &str = "keystow-test";

/// Applies the shipped configuration under the name `inject-keystow` and `suffix`, turned to `address`, and confined
/// to the namespaces that have [`TEST_LABEL`] with the value `test`. All else stays as it is shipped; without `ca_pem` also
/// that there is no caBundle.
pub(crate) async fn apply_configuration(
    plane: &ControlPlane,
    suffix: &str,
    test: &str,
    address: SocketAddr,
    ca_pem: Option<&str>,
) {
    let mut configuration: Value = serde_saphyr::from_str(CONFIGURATION).expect("the shipped configuration");
    at_address(&mut configuration, &format!("https://{address}"), ca_pem.unwrap_or_default());
    let name = configuration["metadata"]["name"].as_str().expect("its name");
    configuration["metadata"]["name"] = json!(format!("{name}{suffix}"));
    for webhook in configuration["webhooks"].as_array_mut().expect("its webhooks") {
        let labels = &mut webhook["namespaceSelector"]["matchLabels"];
        assert!(labels.is_object(), "the shipped selector of namespaces has labels: {webhook}");
        labels[TEST_LABEL] = json!(test);
        if ca_pem.is_none() {
            webhook["clientConfig"].as_object_mut().expect("a client's settings").remove("caBundle");
        }
    }
    let applied = plane.kubectl(&["apply", "-f", "-"], &configuration.to_string()).await;
    applied.expect("an applied configuration");
}
