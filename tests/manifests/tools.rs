//! The tools that render: Helm and `kubectl kustomize`.
//!
//! Helm has a home of its own in a directory that goes with the value, so no repository, plugin or setting of whoever runs
//! the tests has a part in them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::objects::Objects;
use super::support::control_plane::Binaries;
use super::support::programs::{cache, pinned, skip};

/// Pins the version that `tests/helm/build.sh` builds.
const GO_MOD: &str = include_str!("../helm/go.mod");

/// A directory of `webhook-config/`, or another one by its path from there.
pub(crate) fn shipped(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config").join(directory)
}

/// Helm, pinned.
pub(crate) struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// Finds it; where it was not built, says that `test` is skipped.
    pub(crate) fn or_skip(test: &str) -> Option<Self> {
        let version = pinned(GO_MOD, "helm.sh/helm/v3").expect("a pinned Helm");
        let program = cache(|name| env::var_os(name).filter(|value| !value.is_empty()))
            .map(|cache| cache.join("helm").join(format!("helm-{version}")).join("helm"));
        match program.filter(|program| program.is_file()) {
            Some(program) => Some(Self { program, home: TempDir::with_prefix("helm-").unwrap() }),
            None => {
                skip(test, "helm", "no helm in the cache; tests/helm/build.sh builds it");
                None
            }
        }
    }

    /// Runs it, and returns what it did, failed or not.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs it, and returns what it says on stdout and on stderr.
    ///
    /// # Panics
    /// When it fails.
    pub(crate) fn run(&self, arguments: &[&str]) -> (String, String) {
        let output = self.output(arguments);
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "helm {}: {err}", arguments.join(" "));
        (out, err)
    }

    /// What the chart renders in the namespace `keystow` with these values (as `--set-json` takes them), as text.
    pub(crate) fn manifest(&self, values: &[&str], namespace: &str) -> String {
        let chart = shipped("chart");
        let mut arguments = vec!["template", "any-name", chart.to_str().unwrap(), "--namespace", namespace];
        arguments.extend(values.iter().flat_map(|value| ["--set-json", value]));
        self.run(&arguments).0
    }

    /// What the chart renders in the namespace `keystow` with these values.
    pub(crate) fn render(&self, values: &[&str]) -> Objects {
        Objects::read(&self.manifest(values, "keystow"))
    }

    /// What it says where the schema refuses these values.
    pub(crate) fn refusal(&self, value: &str) -> String {
        let chart = shipped("chart");
        let output = self.output(&["template", "any-name", chart.to_str().unwrap(), "--set-json", value]);
        assert!(!output.status.success(), "{value} was taken");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// kubectl, where a control plane was built; else says that `test` is skipped.
pub(crate) fn kubectl_or_skip(test: &str) -> Option<PathBuf> {
    Binaries::find().map_err(|missing| skip(test, "control plane", missing)).ok().map(|found| found.kubectl)
}

/// Both; where one is not there, says once that `test` is skipped.
pub(crate) fn helm_and_kubectl_or_skip(test: &str) -> Option<(Helm, PathBuf)> {
    let helm = Helm::or_skip(test)?;
    Some((helm, kubectl_or_skip(test)?))
}

/// What kustomize makes of a directory of `webhook-config/`.
pub(crate) fn kustomize(kubectl: &Path, directory: &str) -> Objects {
    let output = Command::new(kubectl).arg("kustomize").arg(shipped(directory)).output().unwrap();
    assert!(output.status.success(), "{directory}: {}", String::from_utf8_lossy(&output.stderr));
    Objects::read(&String::from_utf8(output.stdout).unwrap())
}
