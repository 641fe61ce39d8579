//! Certificates that keystow keeps itself: a CA and a leaf in one Secret, the CA in the webhook configuration's `caBundle`.
//!
//! ```text
//!                    every replica: Follower                           the leader: Keeper
//! Secret ──watch──▶ Material (material) ─┐                  read ─▶ Timing::decide (decide) ─▶ Step
//! configuration ─▶ Bundle (bundle) ──────┴▶ Served           ▲                                  │
//!                                                            └── Timing::apply (apply, issue) ◀─┘ write (objects)
//! ```
//!
//! Flow: [`Managed::open`] asks nobody and yields a [`Served`] that is empty at first, so that a process starts while
//! there is no Secret or no API server; [`Managed::run`] fills it and keeps it.
//!
//! Invariants: a pair is served once API servers trust it, and the process is ready from then on; a CA is trusted before it
//! signs and for as long as a leaf of it lives; every write is onto what was read, so two keepers at once do no
//! harm; the wall clock is looked at again and again, never a timer that a suspended machine stops.
//!
//! What is found at the start, and what comes of it:
//!
//! | the Secret | outcome |
//! |---|---|
//! | is not there | the leader makes it; the others wait, not ready |
//! | is another replica's | served |
//! | has an expired leaf | the leader signs a new one; nobody serves the old one |
//! | has an expired CA, or is half-written | the leader replaces what cannot be used, and an Event says what that was |
//! | cannot be read: the API server is away, or forbids it | not ready; asked again, with one log line for each reason |
//!
//! Deliberately absent: the ways to a certificate that need no API server (`files`, `self_signed`).

mod apply;
mod bundle;
mod decide;
mod follower;
mod issue;
mod keeper;
mod material;
pub mod metrics;
mod objects;
#[cfg(test)]
mod simulation;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::watch;

pub use self::decide::{Timing, TimingError};
use self::follower::Follower;
use self::keeper::{Keeper, Woken};
use self::metrics::ManagedMetrics;
use self::objects::Objects;
use super::metrics::CertificateMetrics;
use super::served::Served;
use crate::cluster::Cluster;
use crate::leader::Leadership;
use crate::readiness::Condition;

/// What the operator may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedSettings {
    /// The name of the Secret, in keystow's namespace.
    pub secret: String,
    /// What API servers call the webhook; where there is none, `keystow-webhook` as a Service of the namespace.
    pub names: Vec<String>,
    /// How long things last.
    pub timing: Timing,
}

impl Default for ManagedSettings {
    fn default() -> Self {
        Self { secret: "keystow-webhook-tls".to_owned(), names: Vec::new(), timing: Timing::default() }
    }
}

/// Keeps the certificates.
pub struct Managed {
    follower: Follower,
    keeper: Woken,
}

impl Managed {
    /// Prepares to; `ready` is released once a trusted pair is served.
    pub fn open(
        settings: &ManagedSettings,
        cluster: &Cluster,
        leadership: Leadership,
        ready: Condition,
        certificate: CertificateMetrics,
        registry: &mut Registry,
    ) -> (Arc<Served>, Self) {
        let names = match settings.names.as_slice() {
            [] => vec![format!("keystow-webhook.{}.svc", cluster.namespace())],
            names => names.to_vec(),
        };
        let objects = Objects::new(cluster, &settings.secret);
        let metrics = ManagedMetrics::register(registry);
        let served = Arc::new(Served::empty());
        let (changes, changed) = watch::channel(());
        let keeper = Keeper::new(
            cluster.clone(),
            objects.clone(),
            names.clone(),
            settings.timing.clone(),
            metrics.clone(),
        );
        let follower =
            Follower::new(objects, names, Arc::clone(&served), ready, certificate, metrics, changes);
        (served, Self { follower, keeper: keeper.woken_by(changed, leadership) })
    }

    /// Keeps them until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.follower.run(), self.keeper.run());
    }
}
