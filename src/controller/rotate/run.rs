//! The rotation's process: what is opened and bound before anything runs, and how it ends.
//!
//! Flow: [`Rotator::new`] joins the cluster and binds the admin listener; [`Rotator::run`] works while this replica leads,
//! until shutdown; [`once`] works without an election until every Secret had its turn.
//!
//! Deliberately absent: flags and signals (the command line has them).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::consumers::{ConsumerError, Which, Workload};
use super::metrics::RotationMetrics;
use super::salt::Salt;
pub use super::term::NotListed;
use super::term::{self, Workshop};
use super::turn::{Outcomes, Turner, Wish};
use super::{consumers, external};
use crate::cluster::{Cluster, ClusterError, ClusterSettings};
use crate::controller::process::{Process, ProcessError};
use crate::domain::AnnotationDomain;
use crate::shutdown::Shutdown;
use crate::store::OpenError;

/// How long Secrets wait at first until workloads are noted.
const NOTING: Duration = Duration::from_secs(30);

/// Everything an operator may choose about the rotation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where health and metrics listen (plain HTTP).
    pub admin: SocketAddr,
    /// Who this process is in the cluster.
    pub cluster: ClusterSettings,
    /// The domain of annotations.
    pub domain: AnnotationDomain,
    /// The only namespaces whose Secrets are looked at; all where there are none.
    pub namespaces: Vec<String>,
    /// Whether nothing is written.
    pub is_dry: bool,
    /// Whether what reads a changed Secret is told: workloads start anew, ExternalSecrets are synced.
    pub tells: bool,
    /// How long turns that run may take when the process is to end.
    pub grace: Duration,
}

/// Why the rotation does not start, or ended otherwise than drained.
#[derive(Debug, Error)]
pub enum RunError {
    /// There is no API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is no knowing which Secrets there are.
    #[error(transparent)]
    NotListed(#[from] NotListed),
    /// As any controller.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Secret objects cannot be reached with these credentials.
    #[error(transparent)]
    Secrets(#[from] OpenError),
}

/// A rotation that has all it needs and does not run yet.
pub struct Rotator {
    shop: Arc<Workshop>,
    process: Process,
    registry: Registry,
}

impl Rotator {
    /// Joins the cluster and binds the admin listener.
    ///
    /// # Errors
    ///
    /// When it could not work.
    pub async fn new(settings: Settings) -> Result<Self, RunError> {
        let cluster = Cluster::join(&settings.cluster).await?;
        let process = Process::bind(settings.admin, cluster.clone(), settings.grace).await?;
        let mut registry = Registry::default();
        let shop = Arc::new(workshop(cluster, settings, &mut registry)?);
        Ok(Self { shop, process, registry })
    }

    /// Works while this replica leads, until shutdown.
    ///
    /// # Errors
    ///
    /// When it was aborted, or a task that must not end has ended.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let Self { shop, process, registry } = self;
        let term = async || {
            let salt = Arc::new(Salt::of(&shop));
            let (to_consumers, of_consumers) = unbounded_channel();
            let (to_external, of_external) = unbounded_channel();
            let changed = if shop.tells { vec![to_consumers, to_external] } else { Vec::new() };
            let consumers = async {
                if shop.tells {
                    futures::join!(
                        consumers::work(&shop, &salt, &shutdown, of_consumers),
                        external::work(&shop, &salt, &shutdown, of_external)
                    );
                }
            };
            let secrets = async {
                if shop.tells {
                    note_new(&shop, &salt, &shutdown).await;
                }
                term::work(&shop, &shutdown, &changed).await;
            };
            futures::join!(secrets, consumers);
        };
        process.run(&shutdown, registry, JoinSet::new(), term, || shop.metrics.rest()).await?;
        Ok(())
    }
}

/// Notes workloads that came while nobody led, before any Secret changes. Not for long: keys that are late are worse than a
/// workload that is not noted.
async fn note_new(shop: &Workshop, salt: &Salt, shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.draining() => {}
        _ = timeout(NOTING, consumers::once(shop, salt, Which::New)) => {}
    }
}

/// What single turns came to.
#[derive(Debug)]
pub struct Once {
    /// Of each Secret.
    pub secrets: Outcomes,
    /// Workloads that start anew, and for which Secrets.
    pub restarted: BTreeMap<Workload, Vec<String>>,
    /// Objects of External Secrets that were told, by kind and name.
    pub synced: Vec<String>,
    /// Why not everybody was told who reads a Secret.
    pub untold: Option<ConsumerError>,
}

/// Gives every Secret that asks for it one turn, or the one that is named, by its namespace and name; then every consumer,
/// unless one Secret was named. No election is held, and nothing listens.
///
/// # Errors
///
/// When they could not be listed, or there is no API server.
pub async fn once(
    settings: Settings,
    secret: Option<(Option<String>, String)>,
    wish: &Wish,
) -> Result<Once, RunError> {
    let cluster = Cluster::join(&settings.cluster).await?;
    let here = |(namespace, name): (Option<String>, String)| {
        (namespace.unwrap_or_else(|| cluster.namespace().to_owned()), name)
    };
    let places = secret.map(here).map(|place| vec![place]);
    let tells = settings.tells && places.is_none();
    let shop = workshop(cluster, settings, &mut Registry::default())?;
    let salt = Salt::of(&shop);
    if tells {
        // Why one is not noted is said when it has its turn below.
        let _ = consumers::once(&shop, &salt, Which::New).await;
    }
    let secrets = term::once(&shop, places, wish).await?;
    let mut once = Once { secrets, restarted: BTreeMap::new(), synced: Vec::new(), untold: None };
    if tells {
        let turns = consumers::once(&shop, &salt, Which::All).await;
        (once.restarted, once.untold) = (turns.restarted, turns.failed);
        match external::look(&shop, &salt, None).await {
            Ok(synced) => once.synced = synced,
            Err(error) => drop(once.untold.get_or_insert(error)),
        }
    }
    Ok(once)
}

fn workshop(cluster: Cluster, settings: Settings, registry: &mut Registry) -> Result<Workshop, RunError> {
    let connection = cluster.secrets()?;
    let turner = Turner::new(connection.clone(), settings.domain.clone(), settings.is_dry);
    let metrics = RotationMetrics::register(registry);
    let Settings { domain, namespaces, tells, .. } = settings;
    Ok(Workshop { turner, domain, cluster, metrics, namespaces, connection, tells })
}
