//! The processes of a control plane: start, wait until ready, talk to, end.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::credentials::Credentials;
use super::{Binaries, ControlPlaneError};
use crate::support::supervisor::{Program, Supervisor};
use crate::support::wait::until;

/// How long a control plane may take to become ready: seconds on an idle machine, far more on a busy one.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A free port can be taken by somebody else before the server binds it.
const ATTEMPTS: u32 = 3;
const LOG_TAIL: usize = 40;

/// A running control plane. Dropping it kills both processes and removes their directory.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    binaries: Binaries,
    credentials: Credentials,
    kubeconfig: PathBuf,
    port: u16,
    etcd_port: u16,
    processes: Supervisor,
    api_server: Program,
    /// The API server after a restart.
    restarted: Mutex<Option<Supervisor>>,
    directory: PathBuf,
}

impl ControlPlane {
    /// Starts one of its own; most tests want [`super::shared_or_skip`].
    pub(crate) async fn start() -> Result<Self, ControlPlaneError> {
        Self::start_with(&[]).await
    }

    /// Starts one of its own, whose API server has these flags too.
    pub(crate) async fn start_with(flags: &[String]) -> Result<Self, ControlPlaneError> {
        let binaries = Binaries::find()?;
        let mut attempt = 1;
        loop {
            let plane = Self::spawn(binaries.clone(), flags)?;
            match plane.wait_until_ready().await {
                Ok(()) => return Ok(plane),
                Err(ControlPlaneError::NotReady { log, .. })
                    if attempt < ATTEMPTS && log.contains("address already in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn spawn(binaries: Binaries, flags: &[String]) -> Result<Self, ControlPlaneError> {
        let directory = TempDir::with_prefix("control-plane-")
            .map_err(ControlPlaneError::io("making a directory for the control plane"))?;
        let credentials = Credentials::mint(directory.path())?;
        let [etcd_port, peer_port, port] = free_ports()?;
        let kubeconfig = directory.path().join("kubeconfig");
        fs::write(&kubeconfig, credentials.kubeconfig(&format!("https://127.0.0.1:{port}")))
            .map_err(ControlPlaneError::io("writing the kubeconfig"))?;
        let mut api_server =
            kube_apiserver(&binaries.kube_apiserver, directory.path(), &credentials, etcd_port, port);
        api_server.argv.extend(flags.iter().map(Into::into));
        let programs = [etcd(&binaries.etcd, directory.path(), etcd_port, peer_port), api_server];
        let processes = Supervisor::start(&programs, Some(directory.path()))
            .map_err(ControlPlaneError::io("starting the control plane"))?;
        // From here on the supervisor removes the directory.
        let [_, api_server] = programs;
        let directory = directory.keep();
        let restarted = Mutex::default();
        Ok(Self {
            binaries,
            credentials,
            kubeconfig,
            port,
            etcd_port,
            processes,
            api_server,
            restarted,
            directory,
        })
    }

    /// Kills the API server, and starts it again on the same port and data.
    pub(crate) async fn restart_api_server(&self) -> Result<(), ControlPlaneError> {
        let mut restarted = self.restarted.lock().await;
        let pid = restarted.as_ref().map_or(self.processes.pids()[1], |before| before.pids()[0]);
        let killing = Command::new("kill").args(["-KILL", &pid.to_string()]).status().await;
        killing.map_err(ControlPlaneError::io("killing the API server"))?;
        let client = self.client().await?;
        for _ in 0..ATTEMPTS {
            // Its last thread gives the port back.
            let free = async || TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).ok().map(drop);
            until(READY_WITHIN, free).await.ok_or_else(|| self.not_ready("the port stays in use".into()))?;
            let again = Supervisor::start(std::slice::from_ref(&self.api_server), None)
                .map_err(ControlPlaneError::io("starting the API server again"))?;
            let ready = until(READY_WITHIN, async || match get(&client, "/readyz").await {
                Ok(_) => Some(true),
                Err(_) => (!again.all_running()).then_some(false),
            });
            if ready.await == Some(true) {
                *restarted = Some(again);
                return Ok(());
            }
        }
        Err(self.not_ready("the API server did not come back".into()))
    }

    async fn wait_until_ready(&self) -> Result<(), ControlPlaneError> {
        let client = self.client().await?;
        let outcome = until(READY_WITHIN, async || match get(&client, "/readyz").await {
            Ok(_) => Some(Ok(())),
            Err(_) if self.processes.all_running() => None,
            Err(_) => Some(Err(self.not_ready("a process of the control plane ended".into()))),
        });
        outcome.await.unwrap_or_else(|| {
            Err(self.not_ready(format!("the API server was not ready in {READY_WITHIN:?}")))
        })
    }

    fn not_ready(&self, problem: String) -> ControlPlaneError {
        let log = ["etcd.log", "kube-apiserver.log"].map(|name| {
            let text = fs::read_to_string(self.directory.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("{name}:\n{}", lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n"))
        });
        ControlPlaneError::NotReady { problem, log: log.join("\n") }
    }

    /// A client of the admin, made anew: it belongs to the runtime it is first used in.
    pub(crate) async fn client(&self) -> Result<Client, ControlPlaneError> {
        // Only the first call can install it; a later one finds it there, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let configuration =
            |error: &dyn std::error::Error| ControlPlaneError::Configuration(error.to_string());
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| configuration(&error))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| configuration(&error))?;
        Ok(Client::try_from(config)?)
    }

    /// The admin's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The CA that signed the API server's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.credentials.ca_pem
    }

    /// The port of the API server, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The port of etcd, on 127.0.0.1.
    pub(crate) fn etcd_port(&self) -> u16 {
        self.etcd_port
    }

    /// The process ids of etcd and the API server.
    pub(crate) fn pids(&self) -> &[u32] {
        self.processes.pids()
    }

    /// The programs it was started from.
    pub(crate) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The API server's metrics, in the text format.
    pub(crate) async fn metrics(&self) -> Result<String, ControlPlaneError> {
        Ok(get(&self.client().await?, "/metrics").await?)
    }

    /// Runs kubectl as the admin with `stdin`, and returns what it did, failed or not.
    pub(crate) async fn kubectl_output<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        stdin: &str,
    ) -> Result<Output, ControlPlaneError> {
        let mut child = Command::new(&self.binaries.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(self.directory.join("kubectl-cache"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ControlPlaneError::io("starting kubectl"))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A kubectl that does not read its stdin closes it, which is no failure.
            let _ = pipe.write_all(stdin.as_bytes()).await;
        }
        child.wait_with_output().await.map_err(ControlPlaneError::io("running kubectl"))
    }

    /// Runs kubectl as the admin with `stdin` (empty for none), and returns its stdout.
    pub(crate) async fn kubectl(&self, arguments: &[&str], stdin: &str) -> Result<String, ControlPlaneError> {
        let output = self.kubectl_output(arguments, stdin).await?;
        if !output.status.success() {
            return Err(ControlPlaneError::Kubectl {
                arguments: arguments.join(" "),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

async fn get(client: &Client, path: &str) -> Result<String, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> Result<[u16; N], ControlPlaneError> {
    let mut ports = [0; N];
    // Held until all are found, so that no port is found twice.
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(ControlPlaneError::io("looking for a free port"))?;
        *port = listener.0.port();
        held.push(listener);
    }
    Ok(ports)
}

fn program(path: &Path, log: PathBuf, flags: Vec<String>) -> Program {
    let argv = std::iter::once(path.into()).chain(flags.into_iter().map(Into::into)).collect();
    Program { argv, log }
}

fn etcd(path: &Path, directory: &Path, port: u16, peer_port: u16) -> Program {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let flags = vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ];
    program(path, directory.join("etcd.log"), flags)
}

fn kube_apiserver(
    path: &Path,
    directory: &Path,
    credentials: &Credentials,
    etcd_port: u16,
    port: u16,
) -> Program {
    let flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        "--endpoint-reconciler-type=none".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        format!("--cert-dir={}", directory.display()),
        format!("--tls-cert-file={}", credentials.server_certificate.display()),
        format!("--tls-private-key-file={}", credentials.server_key.display()),
        format!("--client-ca-file={}", credentials.ca.display()),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={}", credentials.token_public_key.display()),
        format!("--service-account-signing-key-file={}", credentials.token_key.display()),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
    ];
    program(path, directory.join("kube-apiserver.log"), flags)
}
