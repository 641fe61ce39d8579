//! This process as a member of a cluster: the API server it talks to, and who it is there.
//!
//! Flow: [`ClusterSettings`] (flags, or the Pod's own fields by the downward API) → [`Cluster::join`], which makes no
//! request, so that a process starts while the API server is away.
//!
//! Invariants: an Event is about the Pod that this process is, where `kubectl describe pod` shows it; failing to write
//! one is a log line and never anybody's failure.
//!
//! Deliberately absent: any request in the way of a review.

mod api_error;

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Config};
use thiserror::Error;

pub use self::api_error::ApiError;
#[cfg(feature = "kubernetes")]
use crate::domain::hex;
use crate::store::{OpenError, kubernetes::Connection};
use crate::telemetry::chain;

/// What the API server takes of an Event's note, in bytes.
pub const LONGEST_NOTE: usize = 1024;
/// How Events name who wrote them.
pub const REPORTER: &str = "keystow";
/// How long writing an Event may take.
const EVENT_WITHIN: Duration = Duration::from_secs(5);

/// Who this process is, as far as it was told, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The namespace of what belongs to keystow; the one of the credentials where there is none.
    pub namespace: Option<String>,
    /// The name of the Lease whose holder acts alone, in that namespace.
    pub lease: String,
    /// The name of the MutatingWebhookConfiguration that has API servers call this process.
    pub configuration: String,
    /// The name of its Pod, by which replicas tell each other apart; the host's name where there is none.
    pub pod_name: Option<String>,
    /// The UID of its Pod, without which `kubectl describe` shows no Event of it.
    pub pod_uid: Option<String>,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            namespace: None,
            lease: "keystow-webhook".to_owned(),
            configuration: "inject-keystow".to_owned(),
            pod_name: None,
            pod_uid: None,
        }
    }
}

/// Why there is no cluster to be a member of.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// A client cannot be made of the credentials.
    #[error(
        "cannot use the credentials of the API server; check KUBECONFIG, or the mounted service-account token"
    )]
    Client(#[source] Box<kube::Error>),
    /// There are no credentials.
    #[error("no API server is known: run in a pod with a service-account token, or set KUBECONFIG")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// Replicas could not be told apart.
    #[error("no name for this replica; set --pod-name, or POD_NAME")]
    Nameless,
}

/// The API server, and who this process is there. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    #[cfg(feature = "kubernetes")]
    config: Config,
    namespace: String,
    lease: String,
    configuration: String,
    replica: String,
    identity: String,
    pod: ObjectReference,
    recorder: Recorder,
}

impl Cluster {
    /// Makes a client of the credentials that are there: `KUBECONFIG`, or those of the pod.
    ///
    /// # Errors
    ///
    /// When there are none, or they cannot be used.
    pub async fn join(settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let config = Config::infer().await.map_err(|error| ClusterError::Config(Box::new(error)))?;
        let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let replica = match &settings.pod_name {
            Some(name) => name.clone(),
            None => host_name().ok_or(ClusterError::Nameless)?,
        };
        let client =
            Client::try_from(config.clone()).map_err(|error| ClusterError::Client(Box::new(error)))?;
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(replica.clone()),
            namespace: Some(namespace.clone()),
            uid: settings.pod_uid.clone(),
            ..ObjectReference::default()
        };
        let reporter = Reporter { controller: REPORTER.to_owned(), instance: Some(replica.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let ClusterSettings { lease, configuration, .. } = settings.clone();
        let identity = format!("{replica}_{}", unique());
        Ok(Self {
            client,
            #[cfg(feature = "kubernetes")]
            config,
            namespace,
            lease,
            configuration,
            replica,
            identity,
            pod,
            recorder,
        })
    }

    /// Secret objects, with the same credentials.
    ///
    /// # Errors
    ///
    /// When a client cannot be made of them.
    #[cfg(feature = "kubernetes")]
    pub fn secrets(&self) -> Result<Connection, OpenError> {
        Connection::new(self.config.clone())
    }

    /// Talks to the API server.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The namespace of what belongs to keystow.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the Lease whose holder acts alone.
    #[must_use]
    pub fn lease(&self) -> &str {
        &self.lease
    }

    /// The name of the MutatingWebhookConfiguration.
    #[must_use]
    pub fn configuration(&self) -> &str {
        &self.configuration
    }

    /// The name of this replica's Pod.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// What tells this process from all others, also from one that was given the same name.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Writes an Event about this replica: `reason` and `action` in CamelCase, `note` a sentence. Yields whether it was
    /// written. Within minutes, the same reason and action count as the same Event again, with the first note.
    pub async fn tell(&self, type_: EventType, reason: &str, action: &str, mut note: String) -> bool {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(EVENT_WITHIN, self.recorder.publish(&event, &self.pod)).await {
            Ok(Ok(())) => return true,
            // What it is about is in the log too, and where the API server is away, so is everything else.
            Ok(Err(error)) => tracing::debug!(
                reason,
                error = chain(&ApiError::from(error)),
                "an Event could not be written"
            ),
            Err(_) => tracing::debug!(reason, "an Event was not written in time"),
        }
        false
    }
}

/// Hexadecimal digits that no other process has.
fn unique() -> String {
    let mut bytes = [0_u8; 8];
    // Without randomness no TLS would come about either.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    hex(&bytes)
}

/// What a pod's name is to its containers.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
