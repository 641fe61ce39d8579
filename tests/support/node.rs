//! A stand-in for a node: takes a pod and does with it what kubelet does, as far as secrets are concerned.
//!
//! Flow: [`Node::run`] lays out the pod's volumes (`volume`), then runs its init containers in order (`container`),
//! each with its environment (`env`); a native sidecar keeps running. [`RunningPod::view`] then shows what a
//! container would see, and [`RunningPod::exec`] runs a command in its place, as `kubectl exec` does.
//!
//! The rules are those of kubelet 1.36. Absent: image pulls, probes (the next container starts at once behind a
//! sidecar), restarts (an init container that fails is an error), resources, network namespaces, and volumes that
//! are neither an emptyDir nor made from the API.
//!
//! Invariants: nothing of the host changes outside a temporary directory; every process has ended when the
//! [`RunningPod`] is gone, or this process is.

mod container;
mod env;
pub(crate) mod env_file;
pub(crate) mod expansion;
mod fields;
pub(crate) mod go_quote;
mod pod;
mod source;
mod volume;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

pub(crate) use container::Image;
pub(crate) use env::Env;
pub(crate) use pod::{AppView, FileView, Finished, RunningPod};
pub(crate) use source::{ClusterSource, Data, MemorySource, SecretSource};

/// How long a process of a container may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why a pod does not start; what kubelet would report as an event or as the container's state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error("asking the API server: {0}")]
    Api(Box<kube::Error>),
    #[error("environment file {}: {problem}", path.display())]
    EnvFile { path: PathBuf, problem: String },
    #[error("init container {container} failed: {finished:?}")]
    InitFailed { container: String, finished: Box<Finished> },
    #[error("{doing}")]
    Io { doing: String, source: std::io::Error },
    #[error("container {0} has neither a command nor an image with one")]
    NoCommand(String),
    #[error("there is no container {0}")]
    NoContainer(String),
    #[error("{kind} {name} has no key {key}")]
    NoKey { kind: &'static str, name: String, key: String },
    #[error("{kind} {name} not found")]
    NoObject { kind: &'static str, name: String },
    #[error("a value for the environment is not UTF-8")]
    NotText,
    #[error("container {0} has runAsNonRoot and would run as root")]
    RunsAsRoot(String),
    #[error("container {container} has not ended within {limit:?}")]
    TimedOut { container: String, limit: Duration },
    #[error("fieldRef {0} is none that kubelet knows")]
    UnknownField(String),
    #[error("no image {image} is known, which container {container} asks for")]
    UnknownImage { container: String, image: String },
    #[error("the stand-in does not do {0}")]
    Unsupported(String),
}

impl From<kube::Error> for NodeError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

impl NodeError {
    fn no_object(kind: &'static str, name: &str) -> Self {
        Self::NoObject { kind, name: name.into() }
    }

    fn no_key(kind: &'static str, name: &str, key: &str) -> Self {
        Self::NoKey { kind, name: name.into(), key: key.into() }
    }

    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// A node that can run pods.
#[derive(Debug)]
pub(crate) struct Node<S> {
    source: S,
    images: BTreeMap<String, Image>,
    services: Env,
    deadline: Duration,
}

impl<S: SecretSource> Node<S> {
    /// A node without images that gets Secrets and all else from `source`.
    pub(crate) fn new(source: S) -> Self {
        Self { source, images: BTreeMap::new(), services: Env::new(), deadline: DEADLINE }
    }

    /// The same node, on which `name` means `image`.
    pub(crate) fn with_image(mut self, name: &str, image: Image) -> Self {
        self.images.insert(name.into(), image);
        self
    }

    /// The same node, whose containers find the API server on port `port` of loopback, by the usual variables.
    pub(crate) fn with_api_server(mut self, port: u16) -> Self {
        self.services.insert("KUBERNETES_SERVICE_HOST".into(), "127.0.0.1".into());
        self.services.insert("KUBERNETES_SERVICE_PORT".into(), port.to_string());
        self
    }

    /// The same node, where each process must end within `deadline`.
    pub(crate) fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Starts `pod`: returns when its init containers have ended and its sidecars have been started.
    pub(crate) async fn run(&self, pod: Pod) -> Result<RunningPod<'_, S>, NodeError> {
        RunningPod::start(self, pod).await
    }
}

/// The pod's namespace.
fn namespace_of(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// Whether this process may give files to others and become them.
pub(crate) fn user_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
