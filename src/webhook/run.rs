//! The webhook process: what is loaded and bound before anything runs, and how it ends.
//!
//! Flow: [`Bound::new`] loads the certificate, then binds both sockets - whatever is wrong is known here, before the
//! first request - and [`Bound::serve`] runs the webhook, the admin listener and the look for a new certificate until
//! shutdown. The end: not ready → `drain_delay`, still serving, for endpoints to catch up → nothing new, GOAWAY →
//! what is in flight has `grace` → done. The admin listener stays to the last, so that `/readyz` says 503 all along.
//!
//! Invariants: ready only when the certificate is loaded and the webhook accepts; a second signal ends everything at
//! once; when [`Bound::serve`] returns, no task of it is left.
//!
//! Deliberately absent: flags and signals (the command line has them), and what decides ([`Review`]).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::membership::Membership;
use super::metrics::WebhookMetrics;
use super::review::Review;
use super::router::{RequestBounds, router};
use crate::admin;
use crate::certs::clients::{self, ClientSettings, ClientsError};
use crate::certs::files::DEFAULT_INTERVAL;
use crate::certs::managed::Managed;
use crate::certs::metrics::CertificateMetrics;
use crate::certs::served::Served;
use crate::certs::tls::server_config;
use crate::certs::{self, CertificateSource, SourceError, Upkeep};
use crate::cluster::{ClusterError, ClusterSettings};
use crate::controller::uninjected::{Finder, Judge};
use crate::leader::Campaign;
use crate::readiness::{Condition, Readiness};
use crate::server::{ConnectionBounds, Drained, Server, Transport};
use crate::shutdown::Shutdown;
use crate::telemetry::traces::Traces;

/// Everything an operator may choose about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the webhook listens (TLS).
    pub listen: SocketAddr,
    /// Where health and metrics listen (plain HTTP).
    pub admin: SocketAddr,
    /// Where the key pair comes from.
    pub certificate: CertificateSource,
    /// How often the files of the key pair are looked at.
    pub certificate_interval: Duration,
    /// Who this process is in the cluster; joined only where something needs it.
    pub cluster: ClusterSettings,
    /// By what to look for pods that were missed; none where nobody wants to know.
    pub find_uninjected: Option<Judge>,
    /// Who may connect; anybody who reaches the socket where there is none.
    pub clients: Option<ClientSettings>,
    /// What connections may take.
    pub connections: ConnectionBounds,
    /// What requests may take.
    pub requests: RequestBounds,
    /// How long the webhook goes on accepting after it stopped being ready.
    pub drain_delay: Duration,
    /// How long what is in flight may take after that.
    pub grace: Duration,
}

impl Settings {
    /// The defaults, with this certificate.
    #[must_use]
    pub fn new(certificate: CertificateSource) -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, 8443).into(),
            admin: (Ipv4Addr::UNSPECIFIED, 8080).into(),
            certificate,
            certificate_interval: DEFAULT_INTERVAL,
            cluster: ClusterSettings::default(),
            find_uninjected: None,
            clients: None,
            connections: ConnectionBounds::default(),
            requests: RequestBounds::default(),
            drain_delay: Duration::from_secs(5),
            grace: Duration::from_secs(20),
        }
    }
}

/// Why the webhook does not start, or ended otherwise than drained.
#[derive(Debug, Error)]
pub enum RunError {
    /// A second signal came.
    #[error("aborted by a second signal; requests in flight were cut")]
    Aborted,
    /// A task that must run for as long as the process does has ended.
    #[error("a background task of the webhook ended; report the log line before this one, and start again")]
    Background,
    /// A socket could not be bound.
    #[error("cannot listen on {address} for {role}; choose a free address of this machine")]
    Bind {
        /// What for.
        role: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate to serve.
    #[error(transparent)]
    Certificate(#[from] SourceError),
    /// Client certificates cannot be checked.
    #[error(transparent)]
    Clients(#[from] ClientsError),
    /// There is no API server to keep the certificate with.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// TLS cannot be configured.
    #[error("this build cannot serve TLS 1.2 and 1.3; report it")]
    Tls(#[source] rustls::Error),
}

/// Runs the webhook until shutdown.
///
/// # Errors
///
/// When it cannot start, or was aborted.
pub async fn run(
    settings: Settings,
    review: Arc<dyn Review>,
    traces: Traces,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    Bound::new(settings).await?.traced(traces).serve(review, shutdown).await
}

/// A webhook that has all it needs and does not run yet.
pub struct Bound {
    settings: Settings,
    webhook: Socket,
    admin: admin::Listener,
    acceptor: TlsAcceptor,
    upkeep: Upkeep,
    finder: Option<Finder>,
    campaign: Option<Campaign>,
    readiness: Readiness,
    accepting: Condition,
    registry: Registry,
    metrics: WebhookMetrics,
    traces: Traces,
}

impl Bound {
    /// Loads the certificate and binds both sockets.
    ///
    /// # Errors
    ///
    /// When the webhook could not serve.
    pub async fn new(settings: Settings) -> Result<Self, RunError> {
        let readiness = Readiness::new();
        let certificate = readiness.condition("certificate: not loaded yet");
        let accepting = readiness.condition("webhook: not accepting connections yet");
        let mut registry = Registry::default();
        let metrics = WebhookMetrics::register(&mut registry);

        let mut membership = Membership::default();
        let opened =
            open(&settings, &mut membership, certificate, metrics.certificate.clone(), &mut registry).await?;
        let (served, upkeep) = opened;
        let finder = finder(&settings, &mut membership, &mut registry).await?;
        let clients = settings.clients.as_ref().map(clients::verifier).transpose()?;
        let tls = server_config(served, clients).map_err(RunError::Tls)?;

        let webhook = bind("the webhook", settings.listen).await?;
        let admin = admin::Listener::bind(settings.admin).await.map_err(|source| RunError::Bind {
            role: "health and metrics",
            address: settings.admin,
            source,
        })?;
        Ok(Self {
            settings,
            webhook,
            admin,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            upkeep,
            finder,
            campaign: membership.into_campaign(),
            readiness,
            accepting,
            registry,
            metrics,
            traces: Traces::default(),
        })
    }

    /// Makes a span of each review; without it there are none.
    #[must_use]
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Where the webhook listens; tells the port where the settings left it open.
    #[must_use]
    pub fn webhook_address(&self) -> SocketAddr {
        self.webhook.address
    }

    /// Where health and metrics listen.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// For conditions that others owe before the webhook is ready.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// For metrics that others show on the same page.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Serves until shutdown.
    ///
    /// # Errors
    ///
    /// When it was aborted, or a task that must not end has ended.
    pub async fn serve(self, review: Arc<dyn Review>, shutdown: Shutdown) -> Result<(), RunError> {
        let Self {
            settings,
            webhook,
            admin,
            acceptor,
            upkeep,
            finder,
            campaign,
            readiness,
            accepting,
            registry,
            metrics,
            traces,
        } = self;
        tracing::info!(webhook = %webhook.address, admin = %admin.address(), "serving");
        let webhook = Server {
            listener: webhook.listener,
            transport: Transport::Tls(acceptor),
            router: router(review, metrics.requests, traces, settings.requests),
            bounds: settings.connections,
            metrics: metrics.connections,
        };
        // Dropped at the end, and with it whatever of it still runs.
        let mut background = JoinSet::new();
        background.spawn(admin.serve(readiness.clone(), registry));
        background.spawn(upkeep.run(settings.certificate_interval));
        if let Some(finder) = finder {
            background.spawn(finder.run());
        }
        if let Some(campaign) = campaign {
            let shutdown = shutdown.clone();
            background.spawn(async move {
                campaign.run(shutdown).await;
                // Over before the process is: that is no reason to end.
                std::future::pending::<()>().await;
            });
        }
        accepting.release();

        let stop = stop(&shutdown, readiness, settings.drain_delay);
        tokio::select! {
            drained = webhook.run(stop, settings.grace) => {
                log_end(drained);
                Ok(())
            }
            () = shutdown.aborted() => Err(RunError::Aborted),
            _ = background.join_next() => Err(RunError::Background),
        }
    }
}

/// Opens the source of the certificate; `ready` is released once one is served.
async fn open(
    settings: &Settings,
    membership: &mut Membership,
    ready: Condition,
    metrics: CertificateMetrics,
    registry: &mut Registry,
) -> Result<(Arc<Served>, Upkeep), RunError> {
    let now = SystemTime::now();
    let opened = match &settings.certificate {
        CertificateSource::Files { cert, key } => {
            certs::open_files(cert.clone(), key.clone(), now, metrics).await?
        }
        CertificateSource::SelfSigned { directory, names } => {
            certs::open_self_signed(directory, names, now, metrics).await?
        }
        CertificateSource::Managed(managed) => {
            let member = membership.join(&settings.cluster, registry).await?;
            let leadership = member.leadership.clone();
            let (served, managed) =
                Managed::open(managed, &member.cluster, leadership, ready, metrics, registry);
            return Ok((served, Upkeep::Managed(Box::new(managed))));
        }
    };
    ready.release();
    Ok(opened)
}

/// What looks for pods that were missed, where that is wanted.
async fn finder(
    settings: &Settings,
    membership: &mut Membership,
    registry: &mut Registry,
) -> Result<Option<Finder>, RunError> {
    let Some(judge) = settings.find_uninjected.clone() else { return Ok(None) };
    let member = membership.join(&settings.cluster, registry).await?;
    let (cluster, leadership) = (member.cluster.clone(), member.leadership.clone());
    Ok(Some(Finder::new(cluster, judge, leadership, registry)))
}

struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

async fn bind(role: &'static str, address: SocketAddr) -> Result<Socket, RunError> {
    let failed = |source| RunError::Bind { role, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Socket { listener, address })
}

/// Returns when the webhook is to accept nothing more.
async fn stop(shutdown: &Shutdown, readiness: Readiness, delay: Duration) {
    shutdown.draining().await;
    readiness.begin_drain();
    tracing::info!(
        delay_seconds = delay.as_secs(),
        "not ready any more; still serving until endpoints caught up"
    );
    tokio::time::sleep(delay).await;
}

fn log_end(drained: Drained) {
    match drained.cut {
        0 => tracing::info!("drained; every request was answered"),
        cut => tracing::warn!(cut, "drained; these connections were not done within the grace period"),
    }
}
