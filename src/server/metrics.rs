//! What a listener tells an operator of its connections.
//!
//! Invariant: every label is a closed set and every value of it exists from the start at 0.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::label;

label! {
    /// Why a TLS handshake failed. A closed set: it is a metric label.
    pub enum HandshakeFailure {
        /// The client's certificate is missing or not allowed.
        ClientCertificate = "client_certificate",
        /// The connection ended or broke in between.
        Closed = "closed",
        /// No common version or cipher suite.
        Incompatible = "incompatible",
        /// The first bytes are not TLS, plain HTTP for example.
        NotTls = "not_tls",
        /// Anything else.
        Other = "other",
        /// The client refused us: most often its caBundle does not hold our CA.
        RefusedByClient = "refused_by_client",
        /// The handshake was not over in time.
        TimedOut = "timed_out",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    reason: HandshakeFailure,
}

/// Metrics of connections. The default counts into nothing that is shown.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    open: Gauge,
    refused: Counter,
    handshakes: Family<HandshakeLabels, Counter>,
}

impl ConnectionMetrics {
    /// Adds all of them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("connections", "Connections that are open", metrics.open.clone());
        registry.register(
            "connections_refused",
            "Connections closed at once because as many as allowed were open",
            metrics.refused.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "TLS handshakes that failed, by reason",
            metrics.handshakes.clone(),
        );
        for reason in HandshakeFailure::ALL {
            drop(metrics.handshakes.get_or_create(&HandshakeLabels { reason }));
        }
        metrics
    }

    /// Counts a connection as open until the value is dropped.
    pub(super) fn open(&self) -> Counted {
        Counted::one_more(&self.open)
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    pub(super) fn handshake_failed(&self, reason: HandshakeFailure) {
        self.handshakes.get_or_create(&HandshakeLabels { reason }).inc();
    }
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    /// Counts one until the value is dropped.
    pub(crate) fn one_more(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
