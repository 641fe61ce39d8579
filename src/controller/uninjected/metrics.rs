//! What the finder of uninjected pods tells an operator in numbers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::label;

label! {
    /// What is watched. A closed set: it is a metric label.
    pub enum Watched {
        /// keystow's own, by name.
        Configuration = "mutatingwebhookconfigurations",
        /// All of them, for their labels.
        Namespaces = "namespaces",
        /// All that have not ended, for their annotations.
        Pods = "pods",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: Watched,
}

/// Metrics of the finder.
#[derive(Debug, Default)]
pub(super) struct FinderMetrics {
    pods: Gauge,
    failures: Family<ResourceLabels, Counter>,
}

impl FinderMetrics {
    /// Adds them to a registry, every resource at 0.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("keystow_uninjected");
        registry.register(
            "pods",
            "Pods that ask for secrets where keystow injects and were not injected, as the leader sees them; 0 elsewhere",
            metrics.pods.clone(),
        );
        registry.register(
            "watch_failures",
            "Lists and watches that failed or expired and were begun again",
            metrics.failures.clone(),
        );
        for resource in Watched::ALL {
            drop(metrics.failures.get_or_create(&ResourceLabels { resource }));
        }
        metrics
    }

    pub(super) fn are(&self, pods: usize) {
        self.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(super) fn failed(&self, resource: Watched) {
        self.failures.get_or_create(&ResourceLabels { resource }).inc();
    }
}
