//! What the stores of clouds have in common: a line before a fake for each who asks, with a login of its own.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::faults::{self, Faults, answers};

/// Files that a store is told of; they go with it.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, content).expect("a file");
        file
    }

    /// The value of `SSL_CERT_FILE`.
    pub(crate) fn authorities(&self, lines: &[&Faults]) -> String {
        let all: String = lines.iter().map(|line| line.ca_pem()).collect();
        self.write("ca.pem", &all).to_str().expect("UTF-8").to_owned()
    }
}

/// A line that speaks TLS before a server that does not.
pub(crate) async fn line(server: impl ToString) -> Faults {
    Faults::before(server).served_as(&["127.0.0.1"]).start().await
}

/// Answers so many requests as services of clouds do that throttle.
pub(crate) fn throttle(line: &Faults, requests: usize, throttled: fn() -> faults::Answer) {
    line.next(faults::all, (0..requests).map(|_| throttled().into()));
}

/// What may go wrong on the way to a service, with a part of what is told.
pub(crate) fn faults_of_the_way() -> Vec<(&'static str, Vec<faults::Fault>, &'static str)> {
    use faults::Fault;
    vec![
        ("500", vec![answers::gateway(500).into()], "answers 500"),
        ("reset", vec![Fault::Reset], "broke off"),
        ("short", vec![Fault::Short], "broke off"),
        ("truncated", vec![Fault::Truncated], "not the JSON"),
        ("gateway", vec![answers::gateway(404).into()], "answers 404, and not in"),
    ]
}
