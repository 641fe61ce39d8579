//! The creator's process: what is opened and bound before anything runs, and how it ends.
//!
//! Flow: [`Creator::new`] binds the admin listener and says of each store what it can do; [`Creator::run`] works while this
//! replica leads, until shutdown; [`Creator::run_once`] works without an election until every pod had its turn. The end:
//! no new turn → those that run have `grace` → the Lease is given back → done.
//!
//! Invariants: a replica that does not lead is ready too; a second signal ends everything at once.
//!
//! Deliberately absent: flags and signals (the command line has them).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::task::JoinSet;

use super::metrics::{CreatorMetrics, Reason};
use super::report::{self, Writer};
use super::stores::{OwnIdentity, Stores};
use super::sweep::Sweeper;
use super::term::{Ended, Term, Until, Workshop};
use super::turn::Maker;
use crate::cluster::{Cluster, ClusterError, ClusterSettings};
use crate::controller::process::{Process, ProcessError};
use crate::domain::StoreName;
use crate::handover::StoreSettings;
use crate::shutdown::Shutdown;
use crate::store::{OpenError, Surroundings};
use crate::{inject, telemetry};

/// How long reports may take to be written when all is done.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// Everything an operator may choose about the creator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where health and metrics listen (plain HTTP).
    pub admin: SocketAddr,
    /// Who this process is in the cluster.
    pub cluster: ClusterSettings,
    /// What the configuration says about pods.
    pub injection: inject::Settings,
    /// The stores, as the creator opens them.
    pub stores: BTreeMap<StoreName, StoreSettings>,
    /// Has a directory for each store, with the creator's token for it in the file `token`.
    pub tokens: PathBuf,
    /// Variables by which clouds tell the creator who it is, and the name of its Pod.
    pub surroundings: Surroundings,
    /// Pods that are served at once.
    pub workers: NonZero<usize>,
    /// How often leases are compared with pods.
    pub resync: Duration,
    /// How long turns that run may take when the process is to end.
    pub grace: Duration,
}

/// Why the creator does not start, or ended otherwise than drained.
#[derive(Debug, Error)]
pub enum RunError {
    /// As any controller.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// There is no API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A signal came before every pod had its turn.
    #[error("ended by a signal before every pod had its turn; run it again")]
    Interrupted,
    /// There is no knowing which pods there are.
    #[error(
        "pods could not be listed ({reason}); check that the API server can be reached, and the creator's rights"
    )]
    NotListed {
        /// The API server's words.
        reason: String,
    },
    /// Secret objects cannot be reached with these credentials.
    #[error(transparent)]
    Secrets(#[from] OpenError),
    /// No store can be opened.
    #[error("no configured store can be opened: store {name}: {source}")]
    Stores {
        /// The first one.
        name: StoreName,
        /// Why.
        source: OpenError,
    },
}

/// A creator that has all it needs and does not run yet.
pub struct Creator {
    shop: Arc<Workshop>,
    writer: Writer,
    process: Process,
    registry: Registry,
}

impl Creator {
    /// Joins the cluster, binds the admin listener, and opens the stores.
    ///
    /// # Errors
    ///
    /// When it could not work.
    pub async fn new(settings: Settings) -> Result<Self, RunError> {
        let cluster = Cluster::join(&settings.cluster).await?;
        let process = Process::bind(settings.admin, cluster.clone(), settings.grace).await?;
        let mut registry = Registry::default();
        let metrics = CreatorMetrics::register(&mut registry, settings.stores.keys());
        let opener = OwnIdentity {
            tokens: settings.tokens,
            surroundings: Surroundings {
                pod_name: Some(cluster.replica().to_owned()),
                ..settings.surroundings
            },
            client: cluster.client().clone(),
            #[cfg(feature = "kubernetes")]
            secrets: cluster.secrets()?,
        };
        let stores = Stores::new(settings.stores, &settings.injection.prefixes, opener);
        introduce(&stores).await?;
        let (reporter, writer) = report::line(cluster.clone());
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let shop = Workshop {
            sweeper: Sweeper::new(cluster.client().clone(), &settings.injection.domain),
            settings: settings.injection,
            stores,
            maker: Maker::new(processors, settings.workers.get()),
            reporter,
            metrics,
            client: cluster.client().clone(),
            workers: settings.workers.get(),
            resync: settings.resync,
        };
        Ok(Self { shop: Arc::new(shop), writer, process, registry })
    }

    /// Where health and metrics listen.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.process.admin_address()
    }

    /// Works while this replica leads, until shutdown.
    ///
    /// # Errors
    ///
    /// When it was aborted, or a task that must not end has ended.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let Self { shop, writer, process, registry } = self;
        let mut background = JoinSet::new();
        background.spawn(writer.run());
        let term = async || {
            shop.stores.forget().await;
            Term::new(&shop).work(Until::Drained, &shutdown).await;
        };
        process.run(&shutdown, registry, background, term, || shop.metrics.rest()).await?;
        Ok(())
    }

    /// Works until every pod that is there had its turn, and leases were compared with pods. Yields the reasons why some
    /// do not have all they ask for.
    ///
    /// # Errors
    ///
    /// When pods could not be listed, or a signal came before all was done.
    pub async fn run_once(self, shutdown: Shutdown) -> Result<BTreeSet<Reason>, RunError> {
        let Self { shop, writer, process, registry } = self;
        let mut reports = tokio::spawn(writer.run());
        let ended = process.once(&shutdown, registry, Term::new(&shop).work(Until::Done, &shutdown));
        let ended = ended.await.ok_or(ProcessError::Aborted)?;
        // The line ends with its last sender.
        drop(shop);
        if tokio::time::timeout(LAST_REPORTS, &mut reports).await.is_err() {
            tracing::warn!("not every Event could be written in time");
            reports.abort();
        }
        match ended {
            Ended::Done(reasons) => Ok(reasons),
            Ended::Drained => Err(RunError::Interrupted),
            Ended::NotListed { reason } => Err(RunError::NotListed { reason }),
        }
    }
}

/// Says of each store what it can do, and fails where none can be opened.
async fn introduce(stores: &Stores) -> Result<(), RunError> {
    let mut first_error = None;
    let mut is_any_open = false;
    for (name, settings) in stores.iter() {
        let leases = settings.cannot_hold_leases().map_or("yes".to_owned(), |why| format!("no: {why}"));
        match settings {
            StoreSettings::Local(_) => continue,
            // One for each namespace, by the client that is there anyway.
            StoreSettings::Kubernetes(_) if settings.is_carried() => is_any_open = true,
            _ => match stores.check(name, settings).await {
                Ok(()) => is_any_open = true,
                Err(error) => {
                    tracing::error!(store = %name, reason = telemetry::chain(&error), "a store cannot be opened; pods that name it wait");
                    first_error.get_or_insert((name.clone(), error));
                    continue;
                }
            },
        }
        tracing::info!(store = %name, kind = settings.kind(), leases, "store");
    }
    if !cfg!(feature = "gpg") {
        tracing::info!("this build makes no OpenPGP keys: pods that ask for type=GPG wait");
    }
    match first_error {
        Some((name, source)) if !is_any_open => Err(RunError::Stores { name, source }),
        _ => Ok(()),
    }
}
