//! What the webhook tells an operator in numbers.
//!
//! Flow: [`WebhookMetrics::register`] once at start; the server counts into its [`ConnectionMetrics`], the router takes a
//! [`Measured`] for each request, which counts it however it ends.
//!
//! Invariants: every label is a closed set and every value of it exists from the start at 0, so that an alert on an
//! increase works the first time; nothing about a pod or a namespace is a label.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::review::{DenialReason, Outcome};
use crate::certs::metrics::CertificateMetrics;
use crate::metrics::label;
use crate::server::metrics::{ConnectionMetrics, Counted};

/// From the time one decision takes up to the longest deadline.
const DURATION_BUCKETS: [f64; 19] = [
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0, 30.0,
];

label! {
    /// How a request ended. A closed set: it is a metric label.
    pub enum RequestOutcome {
        /// The client was gone before the answer.
        Abandoned = "abandoned",
        /// The pod was refused.
        Denied = "denied",
        /// Allowed with a patch.
        Injected = "injected",
        /// The body is no review.
        Malformed = "malformed",
        /// More at once than the bounds allow.
        Overloaded = "overloaded",
        /// The decision panicked.
        Panicked = "panicked",
        /// Another path, method or media type.
        Refused = "refused",
        /// The body did not come in time.
        TimedOut = "timed_out",
        /// The body is over the bound.
        TooLarge = "too_large",
        /// Allowed as it is.
        Unchanged = "unchanged",
    }
}

label! {
    /// Why a pod was refused, as a metric label.
    pub enum Denial {
        /// See [`DenialReason::Clash`].
        Clash = "clash",
        /// See [`DenialReason::InvalidAnnotation`].
        InvalidAnnotation = "invalid_annotation",
        /// See [`DenialReason::NotAllowed`].
        NotAllowed = "not_allowed",
        /// See [`DenialReason::Unreadable`].
        Unreadable = "unreadable",
        /// See [`DenialReason::Unsupported`].
        Unsupported = "unsupported",
    }
}

impl From<DenialReason> for Denial {
    fn from(reason: DenialReason) -> Self {
        match reason {
            DenialReason::Clash => Self::Clash,
            DenialReason::InvalidAnnotation => Self::InvalidAnnotation,
            DenialReason::NotAllowed => Self::NotAllowed,
            DenialReason::Unreadable => Self::Unreadable,
            DenialReason::Unsupported => Self::Unsupported,
        }
    }
}

impl From<Outcome> for RequestOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Denied(_) => Self::Denied,
            Outcome::Injected => Self::Injected,
            Outcome::Unchanged => Self::Unchanged,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: RequestOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabels {
    reason: Denial,
}

/// Everything the webhook process counts.
#[derive(Debug, Clone)]
pub struct WebhookMetrics {
    /// Of the served certificate.
    pub certificate: CertificateMetrics,
    /// Of connections to the webhook.
    pub connections: ConnectionMetrics,
    /// Of requests.
    pub requests: RequestMetrics,
}

impl WebhookMetrics {
    /// Adds all of them, and the build, to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        registry.register(
            "keystow_build",
            "The version that is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let certificate = CertificateMetrics::register(registry);
        let webhook = registry.sub_registry_with_prefix("keystow_webhook");
        Self {
            certificate,
            connections: ConnectionMetrics::register(webhook),
            requests: RequestMetrics::register(webhook),
        }
    }
}

/// Metrics of requests. Cheap to clone; all clones count into the same numbers.
#[derive(Debug, Clone)]
pub struct RequestMetrics(Arc<Requests>);

#[derive(Debug)]
struct Requests {
    outcomes: Family<OutcomeLabels, Counter>,
    denials: Family<DenialLabels, Counter>,
    duration: Histogram,
    in_flight: Gauge,
}

impl RequestMetrics {
    fn register(registry: &mut Registry) -> Self {
        let requests = Requests {
            outcomes: Family::default(),
            denials: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            in_flight: Gauge::default(),
        };
        registry.register("requests", "Requests, by how they ended", requests.outcomes.clone());
        registry.register("denials", "Pods that were refused, by reason", requests.denials.clone());
        registry.register(
            "request_duration_seconds",
            "From the request's headers to its answer, the reading of the body included",
            requests.duration.clone(),
        );
        registry.register("in_flight", "Requests that are not answered yet", requests.in_flight.clone());
        for outcome in RequestOutcome::ALL {
            drop(requests.outcomes.get_or_create(&OutcomeLabels { outcome }));
        }
        for reason in Denial::ALL {
            drop(requests.denials.get_or_create(&DenialLabels { reason }));
        }
        Self(Arc::new(requests))
    }

    /// Measures one request from now on.
    pub(super) fn begin(&self) -> Measured {
        Measured {
            in_flight: Counted::one_more(&self.0.in_flight),
            requests: Arc::clone(&self.0),
            started: Instant::now(),
            outcome: RequestOutcome::Abandoned,
        }
    }

    /// Counts a request that was refused before anything of it was looked at.
    pub(super) fn refused(&self) {
        self.0.outcomes.get_or_create(&OutcomeLabels { outcome: RequestOutcome::Refused }).inc();
    }
}

/// One request. Counted when it is dropped: with the outcome it was given, or as abandoned (the future of a request
/// whose client is gone is dropped, wherever it was).
#[derive(Debug)]
pub(super) struct Measured {
    requests: Arc<Requests>,
    started: Instant,
    outcome: RequestOutcome,
    #[expect(dead_code, reason = "held for its drop")]
    in_flight: Counted,
}

impl Measured {
    /// Ends the measurement; yields how long the request took.
    pub(super) fn finish(mut self, outcome: RequestOutcome) -> Duration {
        self.outcome = outcome;
        self.started.elapsed()
    }

    /// As `finish`, for a request that was decided.
    pub(super) fn reviewed(self, outcome: Outcome) -> Duration {
        if let Outcome::Denied(reason) = outcome {
            self.requests.denials.get_or_create(&DenialLabels { reason: reason.into() }).inc();
        }
        self.finish(outcome.into())
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.requests.duration.observe(self.started.elapsed().as_secs_f64());
        self.requests.outcomes.get_or_create(&OutcomeLabels { outcome: self.outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::metrics::HandshakeFailure;

    fn registered() -> (Registry, WebhookMetrics) {
        let mut registry = Registry::default();
        let metrics = WebhookMetrics::register(&mut registry);
        (registry, metrics)
    }

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    #[test]
    fn every_label_value_is_there_at_zero() {
        let (registry, _metrics) = registered();
        let text = text(&registry);
        let mut expected = Vec::new();
        for outcome in RequestOutcome::ALL {
            expected.push(format!("keystow_webhook_requests_total{{outcome=\"{}\"}} 0", outcome.as_str()));
        }
        for reason in Denial::ALL {
            expected.push(format!("keystow_webhook_denials_total{{reason=\"{}\"}} 0", reason.as_str()));
        }
        for reason in HandshakeFailure::ALL {
            let name = "keystow_webhook_tls_handshake_failures_total";
            expected.push(format!("{name}{{reason=\"{}\"}} 0", reason.as_str()));
        }
        expected.push("keystow_webhook_in_flight 0".to_owned());
        expected.push("keystow_webhook_connections 0".to_owned());
        expected.push("keystow_webhook_connections_refused_total 0".to_owned());
        expected.push(format!("keystow_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
        for line in expected {
            assert!(has(&text, &line), "no line {line:?} in\n{text}");
        }
        assert!(text.contains("keystow_webhook_request_duration_seconds_bucket{le=\"0.00001\"} 0"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_request_is_in_flight_until_it_ends() {
        let (registry, metrics) = registered();
        let measured = metrics.requests.begin();
        assert!(has(&text(&registry), "keystow_webhook_in_flight 1"));
        measured.reviewed(Outcome::Denied(DenialReason::Clash));
        let text = text(&registry);
        assert!(has(&text, "keystow_webhook_in_flight 0"), "{text}");
        assert!(has(&text, "keystow_webhook_requests_total{outcome=\"denied\"} 1"), "{text}");
        assert!(has(&text, "keystow_webhook_denials_total{reason=\"clash\"} 1"), "{text}");
        assert!(has(&text, "keystow_webhook_request_duration_seconds_count 1"), "{text}");
    }

    #[test]
    fn a_request_that_is_dropped_is_abandoned() {
        let (registry, metrics) = registered();
        drop(metrics.requests.begin());
        let text = text(&registry);
        assert!(has(&text, "keystow_webhook_in_flight 0"), "{text}");
        assert!(has(&text, "keystow_webhook_requests_total{outcome=\"abandoned\"} 1"), "{text}");
    }
}
