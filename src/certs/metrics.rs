//! What certificates tell an operator: when the served one ends, and how attempts to replace it went.

use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::load::unix_seconds;
use crate::metrics::label;

label! {
    /// How looking for a new pair went. A closed set: it is a metric label.
    pub enum ReloadOutcome {
        /// The files hold a pair that may not be served; counted at each look for as long as that is so.
        Refused = "refused",
        /// A new pair is served.
        Replaced = "replaced",
        /// A file could not be read; counted at each look for as long as that is so.
        Unreadable = "unreadable",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: ReloadOutcome,
}

/// Metrics of the served certificate. Cheap to clone; all clones count into the same numbers.
#[derive(Debug, Clone)]
pub struct CertificateMetrics {
    expiry: Gauge,
    reloads: Family<ReloadLabels, Counter>,
}

impl CertificateMetrics {
    /// Adds them to a registry, every reload outcome at 0.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { expiry: Gauge::default(), reloads: Family::default() };
        let registry = registry.sub_registry_with_prefix("keystow_certificate");
        registry.register(
            "expiry_timestamp_seconds",
            "When the certificate that is served expires, in seconds since 1970",
            metrics.expiry.clone(),
        );
        registry.register(
            "reloads",
            "Attempts to serve another certificate, by how they went",
            metrics.reloads.clone(),
        );
        for outcome in ReloadOutcome::ALL {
            drop(metrics.reloads.get_or_create(&ReloadLabels { outcome }));
        }
        metrics
    }

    pub(super) fn serves_until(&self, not_after: SystemTime) {
        self.expiry.set(unix_seconds(not_after));
    }

    pub(super) fn looked(&self, outcome: ReloadOutcome) {
        self.reloads.get_or_create(&ReloadLabels { outcome }).inc();
    }
}
