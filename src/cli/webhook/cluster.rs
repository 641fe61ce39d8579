//! The flags of `keystow webhook` that say who it is in a cluster, and how it keeps certificates there.

use std::time::Duration;

use crate::certs::managed::{ManagedSettings, Timing, TimingError};
use crate::cli::certificate::server_name;
use crate::cli::replica::{ReplicaArguments, object_name};
use crate::cluster::ClusterSettings;
use crate::domain::parse_duration;

/// What belongs to this replica, and to all of them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "In a cluster")]
pub(super) struct ClusterArguments {
    #[command(flatten)]
    replica: ReplicaArguments,
    /// The Lease whose holder renews certificates and looks for pods that were missed.
    #[arg(long, value_name = "NAME", default_value = "keystow-webhook", env = "KEYSTOW_LEASE", value_parser = object_name)]
    lease: String,
    /// The MutatingWebhookConfiguration that has API servers call this webhook.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "inject-keystow",
        env = "KEYSTOW_WEBHOOK_CONFIGURATION",
        value_parser = object_name
    )]
    webhook_configuration: String,
}

impl ClusterArguments {
    pub(super) fn settings(self) -> ClusterSettings {
        ClusterSettings { configuration: self.webhook_configuration, ..self.replica.settings(self.lease) }
    }
}

/// How certificates are kept with `--self-managed`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --self-managed")]
pub(super) struct ManagedArguments {
    /// The Secret, of keystow's namespace, that holds the CA and the certificate.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "keystow-webhook-tls",
        env = "KEYSTOW_CERTIFICATE_SECRET",
        value_parser = object_name
    )]
    certificate_secret: String,
    /// A DNS name or address that API servers call the webhook by. Can be given several times.
    /// [default: keystow-webhook.NAMESPACE.svc]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    server_name: Vec<String>,
    /// How long a CA lives; the next one is made after two thirds of that.
    #[arg(long, value_name = "DURATION", default_value = "365d", value_parser = parse_duration)]
    ca_lifetime: Duration,
    /// How long a certificate lives; it is renewed after two thirds of that.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = parse_duration)]
    leaf_lifetime: Duration,
    /// How long a new CA is in the caBundle before it signs: by then every API server must have seen it.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    ca_settle: Duration,
}

impl ManagedArguments {
    pub(super) fn settings(self) -> Result<ManagedSettings, TimingError> {
        Ok(ManagedSettings {
            secret: self.certificate_secret,
            names: self.server_name,
            timing: Timing::new(self.ca_lifetime, self.leaf_lifetime, self.ca_settle)?,
        })
    }
}
