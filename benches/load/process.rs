//! The webhooks as processes: started, waited for, asked what they took of the machine, ended.
//!
//! Invariant: a process ends with its value, and with this process at the latest.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use keystow::certs::self_signed;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::managed::Cluster;
use crate::support::metrics;
use crate::support::webhook::get;

/// How long a process may take to be ready.
const BOUND: Duration = Duration::from_secs(60);
/// Between two looks whether it is.
const POLL: Duration = Duration::from_millis(1);
/// In which `/proc/PID/stat` counts processor time.
const TICKS_A_SECOND: f64 = 100.0;

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// The webhook.
    Keystow,
    /// A constant answer: what keystow decided about the first review.
    SameAnswer,
    /// A constant answer without a patch.
    Allowed,
}

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keystow => "keystow",
            Self::SameAnswer => "constant, the same patch",
            Self::Allowed => "constant, no patch",
        }
    }

    /// The program, and its flags beside those that all have.
    fn program(self) -> (PathBuf, &'static [&'static str]) {
        let constant = || std::env::current_exe().expect("the path of this program");
        match self {
            Self::Keystow => (env!("CARGO_BIN_EXE_keystow").into(), &[]),
            Self::SameAnswer => (constant(), &["--answer", "same"]),
            Self::Allowed => (constant(), &["--answer", "allowed"]),
        }
    }
}

/// The certificate that all webhooks serve, and where they log.
pub(crate) struct Material(TempDir);

impl Material {
    pub(crate) fn make() -> Self {
        let directory = TempDir::with_prefix("keystow-bench-").expect("a directory");
        self_signed::ensure(directory.path(), &["127.0.0.1".to_owned()], SystemTime::now())
            .expect("a certificate");
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The CA that signed the certificate.
    pub(crate) fn ca_pem(&self) -> String {
        fs::read_to_string(self.path("ca.crt")).expect("the CA")
    }

    /// Flags of a webhook that reads its certificate from files.
    fn files(&self) -> Vec<String> {
        let flag = |name: &str, file: &str| [name.to_owned(), self.path(file).display().to_string()];
        [flag("--tls-cert", "tls.crt"), flag("--tls-key", "tls.key")].concat()
    }
}

/// A running webhook.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    /// From its start until it said that it is ready.
    pub(crate) start: Duration,
}

/// What a process has in memory, in MiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// All that is mapped and present, the program's own file included.
    pub(crate) resident: f64,
    /// The most that was.
    pub(crate) peak: f64,
    /// What is no file's: heap, stacks, buffers.
    pub(crate) anonymous: f64,
}

impl Process {
    /// Starts a webhook that reads its certificate from files.
    pub(crate) async fn start(contestant: Contestant, material: &Material) -> Self {
        let (program, flags) = contestant.program();
        let mut command = webhook(&program);
        command.args(flags).args(material.files());
        Self::spawn(command, material).await
    }

    /// Starts the webhook that keeps its certificate itself.
    pub(crate) async fn start_managed(cluster: &Cluster, material: &Material) -> Self {
        let (program, _) = Contestant::Keystow.program();
        let mut command = webhook(&program);
        command.args(Cluster::FLAGS).env("KUBECONFIG", cluster.kubeconfig());
        Self::spawn(command, material).await
    }

    /// Starts it on addresses of its own, and waits until it is ready.
    async fn spawn(mut command: Command, material: &Material) -> Self {
        let [address, admin] = free_addresses();
        let log = material.path(&format!("{}.log", address.port()));
        command
            .args(["--listen", &address.to_string(), "--admin", &admin.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log file"))
            .kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().expect("a started webhook");
        while get(admin, "/readyz").await.is_none_or(|(status, _)| status != 200) {
            let ended = child.try_wait().expect("a child to ask after");
            assert!(
                ended.is_none() && began.elapsed() < BOUND,
                "the webhook is not ready: {ended:?} {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            tokio::time::sleep(POLL).await;
        }
        Self { child, address, admin, start: began.elapsed() }
    }

    /// Ends it; it is gone afterwards.
    pub(crate) async fn end(mut self) {
        self.child.kill().await.expect("an ended webhook");
    }

    fn file(&self, name: &str) -> String {
        let pid = self.child.id().expect("a process that runs");
        fs::read_to_string(format!("/proc/{pid}/{name}")).expect("what the kernel says of the process")
    }

    /// What it has in memory now.
    pub(crate) fn memory(&self) -> Memory {
        let (status, rollup) = (self.file("status"), self.file("smaps_rollup"));
        Memory {
            resident: mebibytes(&rollup, "Rss:"),
            peak: mebibytes(&status, "VmHWM:"),
            anonymous: mebibytes(&rollup, "Anonymous:"),
        }
    }

    /// The processor time that it took so far, in seconds.
    pub(crate) fn processor(&self) -> f64 {
        processor(&self.file("stat"))
    }

    /// The sum of the samples of one of its metrics.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = get(self.admin, "/metrics").await.expect("the metrics page");
        metrics::sum(&page.1, name, &[])
    }
}

/// `program webhook`, killed by the kernel should this process be killed.
fn webhook(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).arg("webhook");
    command
}

/// The processor time that this process took so far, in seconds.
pub(crate) fn own_processor() -> f64 {
    processor(&fs::read_to_string("/proc/self/stat").expect("what the kernel says of this process"))
}

fn processor(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(") ").expect("a name in parentheses").1;
    // utime and stime; the first field here is the third of all.
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

/// The number of KiB after `field`, in MiB.
fn mebibytes(text: &str, field: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a field of /proc");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("a number of KiB") / 1024.0
}

/// Addresses that were free a moment ago.
fn free_addresses() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address"))
}
