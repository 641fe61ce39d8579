//! A keystow program as a process: started, looked at from outside, ended.
//!
//! Invariant: the process ends with its value, and with the thread that started it at the latest.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::wait::until;

/// How long a process may take to be ready, and to end.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// A running process that logs to a file.
pub(crate) struct Process {
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with these arguments, its stderr to the file `log`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: PathBuf,
    ) -> Self {
        let stderr = File::create(&log).expect("a log file");
        // Killed by the kernel should this process be killed: a test that is interrupted leaves nothing behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("a started process");
        let pid = child.id().expect("the process id of a started process");
        Self { child, pid, log }
    }

    /// Waits until it has logged what `read` finds in its log.
    pub(crate) async fn says<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> T {
        let log = self.log.clone();
        let said = until(BOUND, || {
            let said = read(&fs::read_to_string(&log).unwrap_or_default());
            let ended = self.child.try_wait().expect("a child to ask after");
            std::future::ready(said.map(Ok).or_else(|| ended.map(Err)))
        });
        match said.await {
            Some(Ok(said)) => said,
            Some(Err(status)) => panic!("the process ended with {status}: {}", self.log_text()),
            None => panic!("the process did not say it within {BOUND:?}: {}", self.log_text()),
        }
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

    /// What it has logged.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The same as it was written.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).expect("the log of the process")
    }

    /// Sends it SIGTERM, as kubelet does when a pod ends.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends it the signal of this name.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await;
        assert!(sent.expect("a started kill").success(), "process {pid} was not there any more");
    }

    /// Waits until it has ended, and returns its exit code; none when a signal ended it.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.status().await.code()
    }

    /// Waits until it has ended, and returns how.
    pub(crate) async fn status(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(BOUND, self.child.wait()).await;
        ended.expect("a process that ends").expect("a child to wait for")
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child to ask after").is_none()
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a killed process");
    }
}

/// The addresses under these fields, in the first line of a log that has them all, as JSON or as text.
pub(crate) fn addresses<const N: usize>(log: &str, fields: [&str; N]) -> Option<[SocketAddr; N]> {
    log.lines().find_map(|line| {
        let value: Option<Value> = serde_json::from_str(line).ok();
        let address = |field: &str| match &value {
            Some(value) => value.get(field)?.as_str()?.parse().ok(),
            None => {
                let word = format!("{field}=");
                line.split(' ').find_map(|text| text.strip_prefix(&word)?.parse().ok())
            }
        };
        let found: Vec<SocketAddr> = fields.iter().filter_map(|field| address(field)).collect();
        found.try_into().ok()
    })
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

/// The page of metrics at this address.
pub(crate) async fn metrics(admin: SocketAddr) -> String {
    let page = get(admin, "/metrics").await.filter(|(status, _)| *status == 200);
    page.expect("a page of metrics").1
}
