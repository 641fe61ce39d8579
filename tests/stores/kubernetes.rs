//! The store `kubernetes` against a real API server: the suite, and what is particular to Secret objects.
//!
//! Each test has a namespace and service accounts of its own, with the rights that docs/stores/kubernetes.md gives. An
//! API server of tests is never busy enough to throttle anybody: the faulty line before it does, which the suite's output
//! says.

mod faults;
mod particular;
mod rights;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystow::store::Store;
use keystow::store::kubernetes::Connection;
use kube::Config;
use tempfile::TempDir;

use crate::conformance::{Asker, Limits, Subject, conformance};
use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::faults::{Answer, Faults, all};
use crate::support::measured::simulated;

const BOUND: Duration = Duration::from_secs(60);

/// A namespace of a test.
pub(super) struct Kubernetes {
    plane: &'static ControlPlane,
    namespace: String,
    tokens: TempDir,
    /// What stands between a store and the server, as long as the test.
    lines: Mutex<Vec<Faults>>,
}

conformance!(Kubernetes);

impl Subject for Kubernetes {
    async fn start(test: &str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        let case = test.rsplit("::").next().unwrap_or(test).replace('_', "-");
        let namespace = format!("store-{case}");
        plane.namespace(&namespace, &[], &[]).await.expect("a namespace");
        let tokens = TempDir::with_prefix("tokens-").expect("a directory");
        let subject = Self { plane, namespace, tokens, lines: Mutex::default() };
        for account in ["creator", "stranger"] {
            subject.plane.service_account(&subject.namespace, account, &[]).await.expect("an account");
        }
        subject.apply(&rights::for_account(rights::CREATOR, &subject.namespace, "creator")).await;
        Some(subject)
    }

    async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        match asker {
            Asker::Allowed => self.open_as("creator").await,
            Asker::Stranger => self.open_as("stranger").await,
            Asker::Throttled(times) => {
                simulated(format_args!(
                    "throttling by the API server: one of tests is never busy, a line before it is"
                ));
                let (line, config) = self.line("creator").await;
                line.next(all, vec![throttled(1).into(); times]);
                self.lines.lock().expect("no panic").push(line);
                opened(config, &self.namespace)
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { longest_value: 1 << 20, ..Limits::default() }
    }
}

impl Kubernetes {
    /// Applies a manifest as the admin.
    async fn apply(&self, manifest: &str) -> String {
        self.plane.kubectl(&["apply", "-f", "-"], manifest).await.expect("an applied manifest")
    }

    /// What kubectl says as the admin in this namespace.
    async fn kubectl(&self, arguments: &[&str]) -> String {
        let here = [&["--namespace", self.namespace.as_str()], arguments].concat();
        self.plane.kubectl(&here, "").await.expect("an answer of kubectl")
    }

    /// Credentials of a service account, with the token in a file as the kubelet has it.
    async fn config(&self, account: &str) -> Config {
        let token = self.kubectl(&["create", "token", account]).await;
        let file = self.tokens.path().join(account);
        fs::write(&file, token.trim()).expect("a written token");
        let mut config =
            Config::new(format!("https://127.0.0.1:{}", self.plane.port()).parse().expect("a URL"));
        config.root_cert = Some(vec![pem::parse(self.plane.ca_pem()).expect("a CA").into_contents()]);
        config.auth_info.token_file = Some(file.to_str().expect("a path in UTF-8").to_owned());
        config
    }

    async fn open_as(&self, account: &str) -> Arc<dyn Store> {
        opened(self.config(account).await, &self.namespace)
    }

    /// A line to the API server that does as it is told, and credentials that lead over it.
    async fn line(&self, account: &str) -> (Faults, Config) {
        let server = format!("127.0.0.1:{}", self.plane.port());
        let line = Faults::before(server).tls(self.plane.ca_pem()).served_as(&["127.0.0.1"]).start().await;
        let mut config = self.config(account).await;
        config.cluster_url = line.url().parse().expect("a URL");
        config.root_cert = Some(vec![pem::parse(line.ca_pem()).expect("a CA").into_contents()]);
        (line, config)
    }
}

/// A store of a connection of its own.
fn opened(config: Config, namespace: &str) -> Arc<dyn Store> {
    Connection::new(config).expect("a connection").namespace(namespace).expect("a store")
}

/// As API Priority and Fairness says it: no Status, and the header.
fn throttled(seconds: u32) -> Answer {
    let headers = vec![("retry-after", seconds.to_string())];
    Answer { status: 429, headers, body: "Too many requests, please try again later.".into() }
}
