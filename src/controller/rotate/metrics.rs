//! What the rotation tells an operator in numbers.
//!
//! Instants are Unix seconds, as Prometheus has them: the age of a key is `time() - …_since_timestamp_seconds`. Secrets are
//! labels, since they are few and somebody asked for each; of more than [`MOST`] the others are not shown.

use std::collections::BTreeSet;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex};

use super::turn::{Change, Place, TurnError, Turned};
use crate::metrics::label;

/// Secrets that have labels.
const MOST: usize = 1_000;

label! {
    /// Why a Secret's keys do not turn over. A closed set: it is a metric label.
    pub enum Reason {
        /// An annotation is wrong.
        Annotations = "annotations",
        /// There is no such Secret.
        Absent = "absent",
        /// What lies in the Secret cannot be used, or not be changed.
        Keys = "keys",
        /// What a person wants cannot be.
        Refused = "refused",
        /// A key could not be made.
        Generator = "generator",
        /// The API server refuses.
        Denied = "denied",
        /// The API server is away.
        Unavailable = "unavailable",
    }
}

label! {
    /// What was done to a key. A closed set: it is a metric label.
    pub enum Kind {
        /// It was taken over.
        Adopted = "adopted",
        /// It is published.
        Published = "published",
        /// It signs.
        Signs = "signs",
        /// It left.
        Retired = "retired",
        /// It was taken out.
        Revoked = "revoked",
    }
}

impl From<&Change> for Kind {
    fn from(change: &Change) -> Self {
        match change {
            Change::Adopted => Self::Adopted,
            Change::Published { .. } => Self::Published,
            Change::Signs { .. } => Self::Signs,
            Change::Retired { .. } => Self::Retired,
            Change::Revoked { .. } => Self::Revoked,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    change: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    /// Not `namespace`: that is of whoever is scraped.
    secret_namespace: String,
    secret: String,
}

/// Metrics of the rotation.
#[derive(Debug, Clone)]
pub(super) struct RotationMetrics {
    changes: Family<ChangeLabels, Counter>,
    failures: Family<ReasonLabels, Counter>,
    since: Family<SecretLabels, Gauge>,
    next: Family<SecretLabels, Gauge>,
    keys: Family<SecretLabels, Gauge>,
    failing: Family<SecretLabels, Gauge>,
    clocks: Gauge,
    restarts: Counter,
    tokens: Counter,
    shown: Arc<Mutex<BTreeSet<Place>>>,
}

impl RotationMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            changes: Family::default(),
            failures: Family::default(),
            since: Family::default(),
            next: Family::default(),
            keys: Family::default(),
            failing: Family::default(),
            clocks: Gauge::default(),
            restarts: Counter::default(),
            tokens: Counter::default(),
            shown: Arc::default(),
        };
        for change in Kind::ALL {
            let _ = metrics.changes.get_or_create(&ChangeLabels { change });
        }
        for reason in Reason::ALL {
            let _ = metrics.failures.get_or_create(&ReasonLabels { reason });
        }
        let mut add = |name: &str, help: &str, gauge: &Family<SecretLabels, Gauge>| {
            registry.register(name, help, gauge.clone());
        };
        add(
            "keystow_rotation_signing_since_timestamp_seconds",
            "Since when the key of a Secret signs",
            &metrics.since,
        );
        add(
            "keystow_rotation_next_change_timestamp_seconds",
            "When the keys or the token of a Secret change next",
            &metrics.next,
        );
        add("keystow_rotation_keys", "Keys of a Secret, those that verify included", &metrics.keys);
        add("keystow_rotation_failing", "Whether the last turn of a Secret failed", &metrics.failing);
        registry.register(
            "keystow_rotation_changes",
            "What was done to keys, by what it was",
            metrics.changes.clone(),
        );
        registry.register(
            "keystow_rotation_failures",
            "Turns of Secrets that failed, by reason",
            metrics.failures.clone(),
        );
        registry.register(
            "keystow_rotation_tokens",
            "Tokens that were signed, for Secrets that ask for one",
            metrics.tokens.clone(),
        );
        registry.register(
            "keystow_rotation_restarts",
            "Workloads that were restarted, since Secrets of their environment changed",
            metrics.restarts.clone(),
        );
        registry.register(
            "keystow_rotation_clock_difference_seconds",
            "By how much this machine's clock and the API server's differ",
            metrics.clocks.clone(),
        );
        metrics
    }

    /// A Secret had its turn.
    pub(super) fn turned(&self, place: &Place, result: &Result<Turned, TurnError>) {
        let labels = self.labels(place);
        match result {
            Ok(Turned::Token(outcome)) => {
                self.tokens.inc_by(u64::from(outcome.signed_by.is_some()));
                let Some(labels) = labels else { return };
                self.next.get_or_create(&labels).set(outcome.next.as_second());
                self.failing.get_or_create(&labels).set(0);
            }
            Ok(Turned::Keys(outcome)) => {
                for change in &outcome.changes {
                    self.changes.get_or_create(&ChangeLabels { change: change.into() }).inc();
                }
                self.clocks.set(i64::try_from(outcome.now.width().as_secs()).unwrap_or(i64::MAX));
                let Some(labels) = labels else { return };
                self.since.get_or_create(&labels).set(outcome.set.signing.since.as_second());
                self.next.get_or_create(&labels).set(outcome.next.as_second());
                let keys = i64::try_from(outcome.set.identities().count()).unwrap_or(i64::MAX);
                self.keys.get_or_create(&labels).set(keys);
                self.failing.get_or_create(&labels).set(0);
            }
            Err(error) => {
                self.failures.get_or_create(&ReasonLabels { reason: error.reason() }).inc();
                if let Some(labels) = labels {
                    self.failing.get_or_create(&labels).set(1);
                }
            }
        }
    }

    /// A workload was restarted.
    pub(super) fn restarted(&self) {
        self.restarts.inc();
    }

    /// A Secret is gone, or asks no more.
    pub(super) fn forget(&self, place: &Place) {
        if let Ok(mut shown) = self.shown.lock() {
            shown.remove(place);
        }
        let labels = labels(place);
        for gauge in [&self.since, &self.next, &self.keys, &self.failing] {
            gauge.remove(&labels);
        }
    }

    /// This replica leads no more, and knows nothing of any Secret.
    pub(super) fn rest(&self) {
        if let Ok(mut shown) = self.shown.lock() {
            shown.clear();
        }
        for gauge in [&self.since, &self.next, &self.keys, &self.failing] {
            gauge.clear();
        }
    }

    fn labels(&self, place: &Place) -> Option<SecretLabels> {
        let mut shown = self.shown.lock().ok()?;
        if !shown.contains(place) {
            if shown.len() == MOST {
                return None;
            }
            shown.insert(place.clone());
        }
        Some(labels(place))
    }
}

fn labels((namespace, secret): &Place) -> SecretLabels {
    SecretLabels { secret_namespace: namespace.clone(), secret: secret.clone() }
}
