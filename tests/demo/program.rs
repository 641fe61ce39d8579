//! The program `keystow`, as an operator would run it, with the demo's configuration.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::support::supervisor::{Program, Supervisor};
use super::support::wait::until;
use super::{Failure, Outcome};

/// The image that stands for the program that was built.
pub(crate) const IMAGE: &str = "keystow:demo";

const CONFIGURATION: &str = "\
# For trying it out. Whoever knows a name knows its value in the store `local`.
injection: {image: \"keystow:demo\"}
stores: {default: development, development: {local: {}}}
";

/// Seconds on a machine that is busy with other things, else milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The program and its configuration file.
pub(crate) struct Keystow {
    program: PathBuf,
    directory: TempDir,
}

/// A running `keystow webhook`; it ends when this is dropped.
pub(crate) struct Webhook {
    processes: Supervisor,
    /// `https://127.0.0.1:PORT`
    pub(crate) address: String,
    /// The certificate of the CA that signed its own.
    pub(crate) ca_pem: String,
}

impl Keystow {
    /// Cargo puts examples into a directory beside the package's programs.
    pub(crate) fn beside_this_program() -> Outcome<Self> {
        let failed = |error| Failure::new("looking for the program keystow", error);
        let own = std::env::current_exe().map_err(failed)?;
        let program = own.ancestors().nth(2).unwrap_or(Path::new("")).join("keystow");
        if !program.is_file() {
            let missing = format!("it is not at {}; build it with: cargo build", program.display());
            return Err(Failure::new("looking for the program keystow", missing));
        }
        let directory = TempDir::with_prefix("keystow-demo-").map_err(failed)?;
        fs::write(directory.path().join("config.yaml"), CONFIGURATION).map_err(failed)?;
        Ok(Self { program, directory })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.program
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    fn inject(&self, manifest: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("inject").arg("--config").arg(self.configuration()).arg("--filename").arg(manifest);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Shows what is added to a manifest and why, on our own stdout.
    pub(crate) async fn explain(&self, manifest: &Path) -> Outcome<()> {
        let step = "keystow inject --explain";
        let status = self.inject(manifest).arg("--explain").status().await;
        match status.map_err(|error| Failure::new(step, error))? {
            status if status.success() => Ok(()),
            status => Err(Failure::new(step, format!("{status}; its own words are above"))),
        }
    }

    /// The manifest with all that keystow adds to it.
    pub(crate) async fn injected(&self, manifest: &Path) -> Outcome<String> {
        let step = "keystow inject";
        let output = self.inject(manifest).output().await.map_err(|error| Failure::new(step, error))?;
        if !output.status.success() {
            return Err(Failure::new(step, String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the webhook on free ports of loopback, with a certificate of its own making; returns when it serves.
    pub(crate) async fn webhook(&self) -> Outcome<Webhook> {
        let failed = |reason: String| Failure::new("starting keystow webhook", reason);
        let certificates = self.directory.path().join("certificates");
        let log = self.directory.path().join("webhook.log");
        let options: [OsString; 15] = [
            self.program.clone().into(),
            "webhook".into(),
            "--config".into(),
            self.configuration().into(),
            "--listen".into(),
            "127.0.0.1:0".into(),
            "--admin".into(),
            "127.0.0.1:0".into(),
            "--self-signed".into(),
            certificates.clone().into(),
            "--self-signed-name=127.0.0.1".into(),
            "--drain-delay=0s".into(),
            "--grace=5s".into(),
            "--log-format=json".into(),
            "--log=info".into(),
        ];
        let program = Program { argv: options.into(), log: log.clone() };
        let processes = Supervisor::start(&[program], None).map_err(|error| failed(error.to_string()))?;
        let serving = async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            match (address(&text), processes.all_running()) {
                (Some(address), true) => Some(Ok(address)),
                (_, false) => Some(Err(failed(format!("it ended; its log:\n{text}")))),
                (None, true) => None,
            }
        };
        let address = until(READY_WITHIN, serving)
            .await
            .unwrap_or_else(|| Err(failed(format!("it did not serve within {READY_WITHIN:?}"))))?;
        let ca_pem =
            fs::read_to_string(certificates.join("ca.crt")).map_err(|error| failed(error.to_string()))?;
        Ok(Webhook { processes, address: format!("https://{address}"), ca_pem })
    }
}

/// Where a webhook with this log serves.
fn address(log: &str) -> Option<String> {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let serving = lines.find(|line| line["message"] == "serving")?;
    Some(serving["webhook"].as_str()?.to_owned())
}

impl Webhook {
    /// Ends it as kubelet would, and waits until it has drained.
    pub(crate) async fn drained(self) -> Outcome<()> {
        let step = "ending keystow webhook";
        self.processes.terminate().map_err(|error| Failure::new(step, error))?;
        match self.processes.ended_within(READY_WITHIN).await {
            true => Ok(()),
            false => Err(Failure::new(step, format!("it did not drain within {READY_WITHIN:?}"))),
        }
    }
}
