//! A real control plane for tests: etcd and kube-apiserver, found or built beforehand, started on loopback.
//!
//! Flow: [`Binaries::find`] → [`ControlPlane::start`] (or [`shared_or_skip`], one for the whole test process) →
//! [`ControlPlane::client`], [`ControlPlane::kubectl`]. There is no controller manager, scheduler or node: nothing
//! happens to an object but admission and storage, and [`ControlPlane::namespace`] makes what a controller would
//! have made. The server reaches webhooks on loopback, so a configuration is applied through [`at_address`].
//!
//! Invariants: a control plane holds no handle of an async runtime, so tests with a runtime each can share one; it
//! does not outlive the process that started it (see `supervisor`).

mod credentials;
mod objects;
mod server;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

pub(crate) use objects::at_address;
pub(crate) use server::ControlPlane;

use super::programs;

/// Pins the versions that `build.sh` builds, which name the directory in the cache.
const GO_MOD: &str = include_str!("../control-plane/go.mod");

/// The programs of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) etcd: PathBuf,
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) kubectl: PathBuf,
}

/// No control plane was found.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) struct Missing {
    looked_in: Vec<PathBuf>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no etcd, kube-apiserver and kubectl in")?;
        for directory in &self.looked_in {
            write!(f, " {}", directory.display())?;
        }
        f.write_str("; tests/control-plane/build.sh builds them, or set KUBEBUILDER_ASSETS")
    }
}

/// What went wrong with a control plane.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlPlaneError {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("making certificates")]
    Certificates(#[from] rcgen::Error),
    #[error("{doing}")]
    Io { doing: String, source: std::io::Error },
    #[error("{problem}; the end of its log:\n{log}")]
    NotReady { problem: String, log: String },
    #[error("asking the API server: {0}")]
    Api(Box<kube::Error>),
    #[error("kubectl {arguments}: {stderr}")]
    Kubectl { arguments: String, stderr: String },
    #[error("{0}")]
    Configuration(String),
}

impl From<kube::Error> for ControlPlaneError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

impl ControlPlaneError {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl Binaries {
    /// Finds them by the ecosystem's convention: `KUBEBUILDER_ASSETS` and nothing else where it is set, else
    /// `/usr/local/kubebuilder/bin`, else the cache that `tests/control-plane/build.sh` fills.
    pub(crate) fn find() -> Result<Self, Missing> {
        Self::find_with(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// As [`Binaries::find`], in the environment that `variable` tells of.
    pub(crate) fn find_with(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Missing> {
        let looked_in = match variable("KUBEBUILDER_ASSETS") {
            Some(assets) => vec![PathBuf::from(assets)],
            None => [Some(PathBuf::from("/usr/local/kubebuilder/bin")), cache(variable)]
                .into_iter()
                .flatten()
                .collect(),
        };
        looked_in.iter().find_map(|directory| Self::inside(directory)).ok_or(Missing { looked_in })
    }

    fn inside(directory: &Path) -> Option<Self> {
        let program = |name| Some(directory.join(name)).filter(|path| path.is_file());
        Some(Self {
            etcd: program("etcd")?,
            kube_apiserver: program("kube-apiserver")?,
            kubectl: program("kubectl")?,
        })
    }
}

/// Where `build.sh` puts what it built.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let kubernetes = pinned("k8s.io/kubernetes")?;
    let etcd = pinned("go.etcd.io/etcd/server/v3")?;
    let cache = programs::cache(variable)?;
    Some(cache.join("control-plane").join(format!("kubernetes-{kubernetes}-etcd-{etcd}")))
}

/// The version of `module` in go.mod, without the v.
pub(crate) fn pinned(module: &str) -> Option<&'static str> {
    programs::pinned(GO_MOD, module)
}

/// The control plane of this test process: started by the first caller, killed when the process ends.
///
/// `None` where no control plane can be had: then a line on stderr says that `test` was skipped. With `CI=true` that
/// is a failure instead.
///
/// # Panics
/// When there are programs but they do not start, or with `CI=true` when there are none.
pub(crate) async fn shared_or_skip(test: &str) -> Option<&'static ControlPlane> {
    static SHARED: OnceCell<Result<ControlPlane, ControlPlaneError>> = OnceCell::const_new();
    match SHARED.get_or_init(ControlPlane::start).await {
        Ok(plane) => Some(plane),
        Err(ControlPlaneError::Missing(missing)) => {
            programs::skip(test, "control plane", missing);
            None
        }
        Err(error) => panic!("{test}: the control plane did not start: {error}"),
    }
}
