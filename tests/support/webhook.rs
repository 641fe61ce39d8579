//! `keystow webhook` as a process, and the shipped configuration that sends the API server to it.
//!
//! Flow: [`Webhook::start`] (ports of its own, a self-signed certificate) → [`apply_configuration`] → pods. A second
//! process with the same certificate, as a second replica has, is a [`Webhook::twin`].
//!
//! Invariants: the process ends with its value, and with the thread that started it at the latest; the configuration
//! is the file of `webhook-config/` but for the address, the name and one more label of namespaces.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::control_plane::{ControlPlane, at_address};
use super::wait::until;

/// How long a process may take to be ready, and to end.
const BOUND: Duration = Duration::from_secs(60);
const CONFIGURATION: &str = include_str!("../../webhook-config/base/mutatingwebhookconfiguration.yaml");

/// A running webhook process.
pub(crate) struct Webhook {
    child: Child,
    pid: u32,
    address: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
    files: Arc<Files>,
}

/// What the replicas of a webhook share: the program, and a directory of files.
pub(crate) struct Files {
    program: PathBuf,
    directory: TempDir,
}

impl Files {
    /// A directory for replicas of `program`, with this configuration file in it.
    pub(crate) fn new(program: &str, configuration: &str) -> Arc<Self> {
        let directory = TempDir::with_prefix("webhook-").expect("a directory for the webhook");
        let files = Self { program: program.into(), directory };
        fs::write(files.path("config.yaml"), configuration).expect("a written configuration");
        Arc::new(files)
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
        let log = files.path(log);
        let stderr = File::create(&log).expect("a log file");
        // Killed by the kernel should this process be killed: a test that is interrupted leaves nothing behind.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&files.program)
            .args(["webhook", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--config")
            .arg(files.path("config.yaml"))
            .args(flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("a started webhook");
        let pid = child.id().expect("the process id of a started process");
        let started = until(BOUND, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let addresses =
                lines(&log).iter().find_map(serving).or_else(|| text.lines().find_map(serving_text));
            let ended = child.try_wait().expect("a child to ask after");
            std::future::ready(addresses.map(Ok).or_else(|| ended.map(Err)))
        });
        let text = || fs::read_to_string(&log).unwrap_or_default();
        let (address, admin) = match started.await {
            Some(Ok(addresses)) => addresses,
            Some(Err(status)) => panic!("the webhook ended with {status}: {}", text()),
            None => panic!("the webhook did not serve within {BOUND:?}: {}", text()),
        };
        Self { child, pid, address, admin, log, files }
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

    /// What tells this process from others.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has in memory, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        get(self.admin, "/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// The page of its metrics.
    pub(crate) async fn metrics(&self) -> String {
        let page = get(self.admin, "/metrics").await.filter(|(status, _)| *status == 200);
        page.expect("the webhook's metrics").1
    }

    /// How many requests it has had, with every outcome or with one.
    pub(crate) async fn requests(&self, outcome: Option<&str>) -> f64 {
        let labels: Vec<_> = outcome.map(|outcome| ("outcome", outcome)).into_iter().collect();
        super::metrics::sum(&self.metrics().await, "keystow_webhook_requests_total", &labels)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> Vec<Value> {
        lines(&self.log)
    }

    /// The same as it was written.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).expect("the log of the webhook")
    }

    /// Sends it SIGTERM, as kubelet does when a pod ends.
    pub(crate) async fn terminate(&self) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("a started kill");
        assert!(sent.success(), "process {pid} was not there any more");
    }

    /// Waits until it has ended, and returns its exit code; none when a signal ended it.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(BOUND, self.child.wait()).await;
        ended.expect("a webhook that ends").expect("a child to wait for").code()
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a killed webhook");
    }
}

fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The addresses in the log line that names them.
fn serving(line: &Value) -> Option<(SocketAddr, SocketAddr)> {
    let address = |field: &str| line.get(field)?.as_str()?.parse().ok();
    Some((address("webhook")?, address("admin")?))
}

/// The addresses in that line when it is text.
fn serving_text(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let address = |field: &str| line.split(' ').find_map(|word| word.strip_prefix(field)?.parse().ok());
    Some((address("webhook=")?, address("admin=")?))
}

/// The status and the body of a plain GET; nothing where nobody answers.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.ok()?
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
