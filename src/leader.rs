//! Which of the replicas acts alone: the holder of a `coordination.k8s.io` Lease.
//!
//! Flow: [`Campaign::new`] → [`Campaign::run`], which looks at the Lease again and again, takes it when it is free and
//! renews it while it holds it; [`Leadership`] tells everybody else in the process. The decision is [`Ballot`]'s, a
//! function of the Lease and of how long it has stayed as it is.
//!
//! Invariants: as with client-go, clocks of different machines are never compared: a Lease is free when it has not
//! changed for its duration while we looked; leadership is given up before others may take it; the Lease is given
//! back when the process drains, so that a rollout waits for nobody. Leadership saves work and noise, it does not
//! guard anything: two leaders at once must be harmless, and what they write must be safe by itself.
//!
//! Deliberately absent: ending the process when leadership is lost.

mod ballot;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::ballot::{Ballot, Move};
use crate::cluster::{ApiError, Cluster};
use crate::shutdown::Shutdown;
use crate::telemetry::{Once, chain};

/// How long a Lease is held without a renewal. A leader that dies is followed within this and [`RETRY`].
pub const DURATION: Duration = Duration::from_secs(15);
/// How long a leader that cannot renew still believes in itself: shorter, so that it stops before others begin.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often a leader renews.
const RENEW: Duration = Duration::from_secs(4);
/// How often the others look.
const RETRY: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(3);

/// Whether this replica leads. Cheap to clone.
pub type Leadership = watch::Receiver<bool>;

/// Whose the Lease is after a look.
enum Found {
    /// Somebody else wrote it at the same time.
    Contended,
    Ours,
    Theirs,
}

/// Runs for leader.
pub struct Campaign {
    leases: Api<Lease>,
    name: String,
    ballot: Ballot,
    /// Since when the Lease is ours; none while it is not.
    renewed: Option<Instant>,
    leading: watch::Sender<bool>,
    gauge: Gauge,
    said: Once,
}

impl Campaign {
    /// Runs for the cluster's Lease.
    #[must_use]
    pub fn new(cluster: &Cluster, registry: &mut Registry) -> (Self, Leadership) {
        let (leading, seen) = watch::channel(false);
        let gauge = Gauge::default();
        registry.register("keystow_leader", "Whether this replica is the one that acts alone", gauge.clone());
        let campaign = Self {
            leases: Api::namespaced(cluster.client().clone(), cluster.namespace()),
            name: cluster.lease().to_owned(),
            ballot: Ballot::new(cluster.identity()),
            renewed: None,
            leading,
            gauge,
            said: Once::default(),
        };
        (campaign, seen)
    }

    /// Runs until the process drains, then gives the Lease back and returns.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            let rest = tokio::select! {
                () = shutdown.draining() => break,
                rest = self.turn() => rest,
            };
            tokio::select! {
                () = shutdown.draining() => break,
                () = tokio::time::sleep(rest) => {}
            }
        }
        let held = self.renewed.take().is_some();
        self.publish(false);
        if held {
            self.give_back().await;
        }
    }

    /// One look, and what follows from it; returns how long to rest.
    async fn turn(&mut self) -> Duration {
        let began = Instant::now();
        let mut rest = RETRY;
        match timeout(REQUEST, self.attempt()).await {
            Ok(Ok(Found::Ours)) => {
                // From before the request: that is when others may have seen it change.
                self.renewed = Some(began);
                self.said.clear();
                rest = RENEW;
            }
            Ok(Ok(Found::Theirs)) => {
                self.renewed = None;
                self.said.clear();
            }
            // Whose it is, the next look will tell.
            Ok(Ok(Found::Contended)) => {}
            Ok(Err(error)) => self.complain(&chain(&error)),
            Err(_) => self.complain("the API server did not answer in time"),
        }
        let left = self.renewed.map(|renewed| DEADLINE.saturating_sub(renewed.elapsed()));
        if left == Some(Duration::ZERO) {
            self.renewed = None;
        }
        self.publish(self.renewed.is_some());
        left.filter(|left| !left.is_zero()).map_or(rest, |left| rest.min(left))
    }

    async fn attempt(&mut self) -> Result<Found, ApiError> {
        let found = self.leases.get_opt(&self.name).await?;
        let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
        let next = self.ballot.look(spec, Instant::now());
        let claim = self.ballot.claim(spec, MicroTime(Timestamp::now()));
        let written = match (next, found) {
            (Move::Wait, _) => return Ok(Found::Theirs),
            (Move::Hold | Move::Take, Some(lease)) => {
                let lease = Lease { spec: Some(claim), ..lease };
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
            (Move::Hold | Move::Take, None) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                self.leases.create(&PostParams::default(), &Lease { metadata, spec: Some(claim) }).await
            }
        };
        match written.map_err(ApiError::from) {
            Ok(_) => Ok(Found::Ours),
            Err(error) if error.is_conflict() => Ok(Found::Contended),
            Err(error) => Err(error),
        }
    }

    fn complain(&mut self, reason: &str) {
        if self.said.is_news(reason) {
            tracing::warn!(
                lease = self.name,
                reason,
                "the Lease of the leader could not be read or written; trying again"
            );
        }
    }

    fn publish(&self, leading: bool) {
        let changed = self.leading.send_if_modified(|before| std::mem::replace(before, leading) != leading);
        if changed {
            self.gauge.set(i64::from(leading));
            tracing::info!(lease = self.name, leading, "leadership changed");
        }
    }

    /// Lets the next one take it at once. Not worth a complaint: without it, the next one waits a little.
    async fn give_back(&self) {
        let attempt = async {
            let Ok(mut lease) = self.leases.get(&self.name).await else { return };
            if self.ballot.is_ours(lease.spec.as_ref()) {
                lease.spec = Some(LeaseSpec {
                    holder_identity: Some(String::new()),
                    lease_duration_seconds: Some(1),
                    ..lease.spec.unwrap_or_default()
                });
                let _ = self.leases.replace(&self.name, &PostParams::default(), &lease).await;
            }
        };
        let _ = timeout(REQUEST, attempt).await;
    }
}
