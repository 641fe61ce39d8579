//! The flags by which a process says who it is in a cluster.

use crate::cluster::ClusterSettings;
use crate::domain::SecretName;

/// The name of an object, by the rule that Secrets share with most kinds.
pub(super) fn object_name(text: &str) -> Result<String, &'static str> {
    SecretName::new(text)
        .map(|name| name.as_str().to_owned())
        .map_err(|_| "give the name of an object: at most 253 lower-case letters, digits, `-` and `.`")
}

/// Who this replica is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "In a cluster")]
pub(super) struct ReplicaArguments {
    /// The namespace of keystow's own objects; that of the credentials where it is not given.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", value_parser = object_name)]
    namespace: Option<String>,
    /// The name of this replica's Pod; the host's name where it is not given.
    #[arg(long, value_name = "NAME", env = "POD_NAME", value_parser = object_name)]
    pod_name: Option<String>,
    /// The UID of this replica's Pod. With it, Events show in `kubectl describe pod`.
    #[arg(long, value_name = "UID", env = "POD_UID")]
    pod_uid: Option<String>,
}

impl ReplicaArguments {
    /// Who it is, as one of those that run for this Lease.
    pub(super) fn settings(self, lease: String) -> ClusterSettings {
        ClusterSettings {
            namespace: self.namespace,
            lease,
            pod_name: self.pod_name,
            pod_uid: self.pod_uid,
            ..ClusterSettings::default()
        }
    }
}
