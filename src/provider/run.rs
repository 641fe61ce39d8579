//! The provider's process: what is loaded and bound before anything runs, and how it ends.
//!
//! Flow: load the certificate, join the cluster, open the store, bind both sockets → serve, and follow the keys → SIGTERM: not
//! ready → `drain_delay`, still serving → nothing new, what is in flight has `grace` → done.
//!
//! Invariants: ready only when there are keys; a second signal ends everything at once.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::limits::Limits;
use super::live::{Keeper, Live};
use super::metrics::ProviderMetrics;
use super::room::Room;
use super::router::router;
use super::serving::Desk;
use super::settings::Provider;
use super::token::Expected;
use crate::admin;
use crate::certs::metrics::CertificateMetrics;
use crate::certs::served::Served;
use crate::certs::tls::server_config;
use crate::certs::{self, CertificateSource, SourceError, Upkeep};
use crate::cluster::{Cluster, ClusterError, ClusterSettings};
use crate::domain::StoreName;
use crate::handover::StoreSettings;
use crate::readiness::Readiness;
use crate::server::metrics::ConnectionMetrics;
use crate::server::{ConnectionBounds, Server, Transport};
use crate::shutdown::Shutdown;
use crate::store::{self, OpenError, Store, Surroundings};

/// Everything an operator may choose about the process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is served, and to whom.
    pub provider: Provider,
    /// The store, and what it is called.
    pub store: (StoreName, StoreSettings),
    /// Has a directory for each store, with the provider's token for it in the file `token`.
    pub tokens: PathBuf,
    /// Variables by which clouds tell the provider who it is.
    pub surroundings: Surroundings,
    /// Where it listens (TLS).
    pub listen: SocketAddr,
    /// Where health and metrics listen (plain HTTP).
    pub admin: SocketAddr,
    /// Where the key pair comes from.
    pub certificate: CertificateSource,
    /// How often its files are looked at.
    pub certificate_interval: Duration,
    /// Who this process is in the cluster.
    pub cluster: ClusterSettings,
    /// How long it goes on accepting after it stopped being ready.
    pub drain_delay: Duration,
    /// How long what is in flight may take after that.
    pub grace: Duration,
}

/// Why the provider does not start, or ended otherwise than drained.
#[derive(Debug, Error)]
pub enum RunError {
    /// A second signal came.
    #[error("aborted by a second signal; requests in flight were cut")]
    Aborted,
    /// A task that must run for as long as the process does has ended.
    #[error("a background task has ended; report the log line before this one, and start again")]
    Background,
    /// A socket could not be bound.
    #[error("cannot listen on {address}; choose a free address of this machine")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate to serve.
    #[error(transparent)]
    Certificate(#[from] SourceError),
    /// The certificate is kept by a process of another kind.
    #[error("the provider keeps no certificate itself: give it files, or a directory for a self-signed one")]
    Managed,
    /// There is no API server to read the keys from.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The store, or Secret objects.
    #[error("store {0}: {1}")]
    Store(StoreName, #[source] OpenError),
    /// TLS cannot be configured.
    #[error("this build cannot serve TLS 1.2 and 1.3; report it")]
    Tls(#[source] rustls::Error),
}

/// Runs the provider until shutdown.
///
/// # Errors
///
/// When it cannot start, or was aborted.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<(), RunError> {
    let readiness = Readiness::new();
    let keys_known = readiness.condition("keys: not read yet");
    let mut registry = Registry::default();
    let certificate = CertificateMetrics::register(&mut registry);
    let own = registry.sub_registry_with_prefix("keystow_provider");
    let (metrics, connections) = (ProviderMetrics::register(own), ConnectionMetrics::register(own));

    let (served, upkeep) = certified(&settings.certificate, certificate).await?;
    let tls = server_config(served, None).map_err(RunError::Tls)?;
    let cluster = Cluster::join(&settings.cluster).await?;
    let store = open(&settings, &cluster).await?;
    let connection = cluster.secrets().map_err(|error| RunError::Store(settings.store.0.clone(), error))?;
    let listener = bind(settings.listen).await?;
    let address = listener.local_addr().unwrap_or(settings.listen);
    let admin = admin::Listener::bind(settings.admin).await;
    let admin = admin.map_err(|source| RunError::Bind { address: settings.admin, source })?;

    let live = Live::default();
    let Provider { keys: (namespace, name), audience, leeway, callers, rate, .. } = settings.provider;
    let keeper = Keeper {
        connection,
        client: cluster.client().clone(),
        namespace,
        name,
        live: Arc::clone(&live),
        metrics: metrics.clone(),
        ready: Some(keys_known),
    };
    let expected = Expected { audience, leeway: leeway.as_secs_f64() };
    let limits = Limits::new(callers.len(), rate);
    let desk = Arc::new(Desk { live, expected, callers, limits, room: Room::new(), store, metrics });
    let server = Server {
        listener,
        transport: Transport::Tls(TlsAcceptor::from(Arc::new(tls))),
        router: router(desk),
        bounds: ConnectionBounds::default(),
        metrics: connections,
    };
    tracing::info!(provider = %address, admin = %admin.address(), "serving");
    // Dropped at the end, and with it whatever of it still runs.
    let mut background = JoinSet::new();
    background.spawn(admin.serve(readiness.clone(), registry));
    background.spawn(upkeep.run(settings.certificate_interval));
    background.spawn(keeper.run());
    let stop = async {
        shutdown.draining().await;
        readiness.begin_drain();
        tokio::time::sleep(settings.drain_delay).await;
    };
    tokio::select! {
        drained = server.run(stop, settings.grace) => {
            tracing::info!(cut = drained.cut, "drained");
            Ok(())
        }
        () = shutdown.aborted() => Err(RunError::Aborted),
        _ = background.join_next() => Err(RunError::Background),
    }
}

/// Opens the source of the certificate.
async fn certified(
    source: &CertificateSource,
    metrics: CertificateMetrics,
) -> Result<(Arc<Served>, Upkeep), RunError> {
    let now = SystemTime::now();
    Ok(match source {
        CertificateSource::Files { cert, key } => {
            certs::open_files(cert.clone(), key.clone(), now, metrics).await?
        }
        CertificateSource::SelfSigned { directory, names } => {
            certs::open_self_signed(directory, names, now, metrics).await?
        }
        CertificateSource::Managed(_) => return Err(RunError::Managed),
    })
}

/// Opens the store, as the creator does: with a token of this process's own where it has one.
async fn open(settings: &Settings, cluster: &Cluster) -> Result<Arc<dyn Store>, RunError> {
    let (name, store) = &settings.store;
    let token = settings.tokens.join(name.as_str()).join("token");
    let surroundings = Surroundings {
        token_file: token.exists().then_some(token),
        namespace: Some(cluster.namespace().to_owned()),
        pod_name: Some(cluster.replica().to_owned()),
        ..settings.surroundings.clone()
    };
    store::open(store, &surroundings).await.map_err(|error| RunError::Store(name.clone(), error))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Bind { address, source })
}
