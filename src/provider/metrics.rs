//! What the provider tells an operator in numbers.
//!
//! Invariant: every label is a closed set and every value of it is there from the start; no subject and no path is a label.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use super::token::Refused;
use crate::metrics::label;

/// From what a store in memory takes to the deadline of a request.
const BUCKETS: [f64; 8] = [1e-3, 5e-3, 10e-3, 50e-3, 0.1, 0.5, 1.0, 10.0];

label! {
    /// What became of a request. A closed set: it is a metric label.
    pub enum Outcome {
        /// A value was given.
        Read = "read",
        /// A value was stored, or was there already.
        Written = "written",
        /// The token was not believed.
        Unauthenticated = "unauthenticated",
        /// The subject may not do it.
        Forbidden = "forbidden",
        /// There is no such value.
        Absent = "absent",
        /// What was sent cannot be meant.
        Invalid = "invalid",
        /// What was sent is larger than a value may be.
        TooLarge = "too_large",
        /// Another value is there, and could not be replaced.
        Conflict = "conflict",
        /// More requests than are allowed.
        Limited = "limited",
        /// The store, or the set of keys, is away.
        Unavailable = "unavailable",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: Refused,
}

/// Metrics of the provider.
#[derive(Debug, Clone)]
pub(super) struct ProviderMetrics {
    requests: Family<OutcomeLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    duration: Histogram,
    keys: Gauge,
    updated: Gauge,
    unreadable: Counter,
}

impl ProviderMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            refused: Family::default(),
            duration: Histogram::new(BUCKETS),
            keys: Gauge::default(),
            updated: Gauge::default(),
            unreadable: Counter::default(),
        };
        for outcome in Outcome::ALL {
            let _ = metrics.requests.get_or_create(&OutcomeLabels { outcome });
        }
        for reason in Refused::ALL {
            let _ = metrics.refused.get_or_create(&RefusedLabels { reason });
        }
        registry.register("requests", "Requests, by what became of them", metrics.requests.clone());
        registry.register(
            "verification_failures",
            "Tokens that were not believed, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "From a request to its answer",
            metrics.duration.clone(),
        );
        registry.register("keys", "Keys that are believed", metrics.keys.clone());
        registry.register(
            "keys_read_timestamp_seconds",
            "When the set of keys was last read, in Unix seconds",
            metrics.updated.clone(),
        );
        registry.register(
            "keys_unreadable",
            "How often the set of keys was there and could not be read",
            metrics.unreadable.clone(),
        );
        metrics
    }

    pub(super) fn answered(&self, outcome: Outcome, took: Duration) {
        self.requests.get_or_create(&OutcomeLabels { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, reason: Refused) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    pub(super) fn keys(&self, count: usize, now: i64) {
        self.keys.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.updated.set(now);
    }

    pub(super) fn unreadable(&self) {
        self.unreadable.inc();
    }
}
