//! What the creator tells an operator in numbers.
//!
//! Invariants: every label is a closed set, or the name of a configured store, and every value of it is there from the
//! start; nothing about a pod, a namespace or a series of leases is a label.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::domain::{SecretType, StoreName};
use crate::metrics::label;

/// From the time one request to a near store takes to what an RSA key and a throttled store take together.
const BUCKETS: [f64; 12] = [1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

label! {
    /// Why a pod does not have all that it asks for. A closed set: it is a metric label.
    pub enum Reason {
        /// An annotation is wrong.
        Annotations = "annotations",
        /// The operator's configuration does not allow it.
        NotAllowed = "not_allowed",
        /// Nothing says where another part of it would lie.
        Unplaced = "unplaced",
        /// A value could not be made.
        Generator = "generator",
        /// The store has a part of what belongs together, and not the rest.
        Incomplete = "incomplete",
        /// The store is away, or throttles.
        StoreUnavailable = "store_unavailable",
        /// The store refuses.
        StoreDenied = "store_denied",
        /// The store cannot take it, or cannot be opened.
        StoreInvalid = "store_invalid",
        /// Every index of the range is held.
        LeaseExhausted = "lease_exhausted",
        /// The pod's index is held by another, or is outside the range.
        LeaseConflict = "lease_conflict",
        /// The store cannot hold leases.
        LeaseUnsupported = "lease_unsupported",
    }
}

label! {
    /// What became of a generation. A closed set: it is a metric label.
    pub enum Made {
        /// It was absent and is stored now.
        Created = "created",
        /// It was there.
        Present = "present",
        /// Somebody else stored it in between.
        LostRace = "lost_race",
    }
}

label! {
    /// Types of secrets, as annotations write them. A closed set: it is a metric label.
    pub enum Type {
        /// An RSA key pair.
        Rsa = "RSA",
        /// An OpenPGP key pair and its password.
        Gpg = "GPG",
        /// Random bytes.
        Random = "RANDOM",
        /// A password.
        Password = "PASSWORD",
        /// An ECDSA key pair.
        Ec = "EC",
        /// An Ed25519 key pair.
        Ed25519 = "ED25519",
    }
}

impl From<SecretType> for Type {
    fn from(kind: SecretType) -> Self {
        match kind {
            SecretType::Rsa => Self::Rsa,
            SecretType::Gpg => Self::Gpg,
            SecretType::Random => Self::Random,
            SecretType::Password => Self::Password,
            SecretType::Ec => Self::Ec,
            SecretType::Ed25519 => Self::Ed25519,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabels {
    r#type: Type,
    outcome: Made,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: String,
}

/// Metrics of the creator.
#[derive(Debug, Clone)]
pub(super) struct CreatorMetrics {
    stores: Vec<StoreName>,
    pods: Gauge,
    queue: Gauge,
    waiting: Family<ReasonLabels, Gauge>,
    failures: Family<ReasonLabels, Counter>,
    generations: Family<GenerationLabels, Counter>,
    leases: Family<StoreLabels, Gauge>,
    use_ratio: Family<StoreLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    assigned: Counter,
    released: Counter,
    duration: Histogram,
    resync: Gauge<f64, std::sync::atomic::AtomicU64>,
    watch_failures: Counter,
}

impl CreatorMetrics {
    /// Adds them to a registry, and the build.
    pub(super) fn register<'s>(registry: &mut Registry, stores: impl Iterator<Item = &'s StoreName>) -> Self {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("keystow_build", "The version that is running", version);
        let metrics = Self {
            stores: stores.cloned().collect(),
            pods: Gauge::default(),
            queue: Gauge::default(),
            waiting: Family::default(),
            failures: Family::default(),
            generations: Family::default(),
            leases: Family::default(),
            use_ratio: Family::default(),
            assigned: Counter::default(),
            released: Counter::default(),
            duration: Histogram::new(BUCKETS),
            resync: Gauge::default(),
            watch_failures: Counter::default(),
        };
        metrics.add_to(registry.sub_registry_with_prefix("keystow_creator"));
        for reason in Reason::ALL {
            drop(metrics.waiting.get_or_create(&ReasonLabels { reason }));
            drop(metrics.failures.get_or_create(&ReasonLabels { reason }));
        }
        for (r#type, outcome) in Type::ALL.into_iter().flat_map(|kind| Made::ALL.map(|made| (kind, made))) {
            drop(metrics.generations.get_or_create(&GenerationLabels { r#type, outcome }));
        }
        metrics.rest();
        metrics
    }

    fn add_to(&self, registry: &mut Registry) {
        registry.register(
            "pods",
            "Pods that have not ended and ask for something, as the leader sees them",
            self.pods.clone(),
        );
        registry.register("queue", "Pods whose turn it is", self.queue.clone());
        registry.register(
            "waiting",
            "Pods that do not have all they ask for, by reason",
            self.waiting.clone(),
        );
        registry.register(
            "failures",
            "Turns of pods that did not get all they ask for, by reason",
            self.failures.clone(),
        );
        registry.register(
            "generations",
            "Values that were to be there, by type and outcome",
            self.generations.clone(),
        );
        registry.register("leases", "Indices that are held, by store", self.leases.clone());
        registry.register(
            "lease_use_ratio",
            "How much of the fullest range is held, 0 to 1, by store",
            self.use_ratio.clone(),
        );
        registry.register("leases_assigned", "Indices that were assigned", self.assigned.clone());
        registry.register("leases_released", "Indices that were released", self.released.clone());
        registry.register("duration_seconds", "How long the turn of a pod took", self.duration.clone());
        registry.register(
            "resync_timestamp_seconds",
            "When leases were last compared with pods, in Unix time",
            self.resync.clone(),
        );
        registry.register(
            "watch_failures",
            "Lists and watches of pods that failed or expired and were begun again",
            self.watch_failures.clone(),
        );
    }

    /// How many pods are known, and for how many it is their turn.
    pub(super) fn are(&self, pods: usize, queue: usize) {
        self.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
        self.queue.set(i64::try_from(queue).unwrap_or(i64::MAX));
    }

    /// This replica does not lead any more: what it knew says nothing now.
    pub(super) fn rest(&self) {
        self.are(0, 0);
        self.wait([0; Reason::ALL.len()]);
        for store in &self.stores {
            self.hold(store, 0, 0.0);
        }
    }

    /// How many pods wait, for each reason in the order of [`Reason::ALL`].
    pub(super) fn wait(&self, pods: [i64; Reason::ALL.len()]) {
        for (reason, pods) in Reason::ALL.into_iter().zip(pods) {
            self.waiting.get_or_create(&ReasonLabels { reason }).set(pods);
        }
    }

    pub(super) fn failed(&self, reason: Reason) {
        self.failures.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn generation(&self, kind: SecretType, outcome: Made) {
        self.generations.get_or_create(&GenerationLabels { r#type: kind.into(), outcome }).inc();
    }

    pub(super) fn hold(&self, store: &StoreName, leases: usize, use_ratio: f64) {
        let labels = StoreLabels { store: store.as_str().to_owned() };
        self.leases.get_or_create(&labels).set(i64::try_from(leases).unwrap_or(i64::MAX));
        self.use_ratio.get_or_create(&labels).set(use_ratio);
    }

    pub(super) fn assigned(&self) {
        self.assigned.inc();
    }

    pub(super) fn released(&self, leases: usize) {
        self.released.inc_by(leases as u64);
    }

    pub(super) fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// `now` since the Unix epoch.
    pub(super) fn resynced(&self, now: Duration) {
        self.resync.set(now.as_secs_f64());
    }

    pub(super) fn watch_failed(&self) {
        self.watch_failures.inc();
    }
}
