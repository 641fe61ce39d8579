//! What the keeping of certificates tells an operator.

use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::super::load::unix_seconds;
use super::decide::Step;
use crate::metrics::label;

label! {
    /// What the leader did about the certificates. A closed set: it is a metric label.
    pub enum Done {
        /// A step could not be taken; tried again.
        Failed = "failed",
        /// Retired CAs were dropped.
        Forgot = "forgot",
        /// A new CA was made.
        Prepared = "prepared",
        /// A new CA signs.
        Promoted = "promoted",
        /// The caBundle was written.
        Published = "published",
        /// A new leaf was signed.
        Renewed = "renewed",
    }
}

impl Done {
    /// None for a rest.
    pub(super) fn of(step: &Step) -> Option<Self> {
        match step {
            Step::Forget => Some(Self::Forgot),
            Step::Prepare => Some(Self::Prepared),
            Step::Promote => Some(Self::Promoted),
            Step::Publish(_) => Some(Self::Published),
            Step::Renew => Some(Self::Renewed),
            Step::Rest(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: Done,
}

/// Metrics of the kept certificates. Cheap to clone; all clones count into the same numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct ManagedMetrics {
    trusted: Gauge,
    ca_expiry: Gauge,
    steps: Family<StepLabels, Counter>,
}

impl ManagedMetrics {
    /// Adds them to a registry, every step at 0.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("keystow_certificate");
        registry.register(
            "trusted",
            "Whether API servers trust the certificate that is served: the caBundle has its CA",
            metrics.trusted.clone(),
        );
        registry.register(
            "ca_expiry_timestamp_seconds",
            "When the CA of the certificate expires, in seconds since 1970",
            metrics.ca_expiry.clone(),
        );
        registry.register(
            "steps",
            "What this replica did as the keeper of the certificates",
            metrics.steps.clone(),
        );
        for step in Done::ALL {
            drop(metrics.steps.get_or_create(&StepLabels { step }));
        }
        metrics
    }

    pub(super) fn is_trusted(&self, trusted: bool) {
        self.trusted.set(i64::from(trusted));
    }

    pub(super) fn ca_until(&self, not_after: SystemTime) {
        self.ca_expiry.set(unix_seconds(not_after));
    }

    pub(super) fn did(&self, step: Done) {
        self.steps.get_or_create(&StepLabels { step }).inc();
    }
}
