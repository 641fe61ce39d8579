//! `keystow webhook`

mod cluster;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::cluster::{ClusterArguments, ManagedArguments};
use super::certificate::CertificateArguments;
use super::start::{LogArguments, threads};
use super::{EX_UNAVAILABLE, EX_USAGE, Failure, check_configuration};
use crate::certs::CertificateSource;
use crate::certs::clients::ClientSettings;
use crate::certs::managed::TimingError;
use crate::controller::uninjected::Judge;
use crate::domain::parse_duration;
use crate::telemetry;
use crate::telemetry::traces::{FINISH_WITHIN, Traces};
use crate::webhook::injector::Injector;
use crate::webhook::run::{RunError, Settings};
use crate::{config, shutdown, webhook};

/// A review takes microseconds: more threads than that, on a node with many processors and no limit, only take memory.
const MOST_THREADS: usize = 4;

/// Serve the admission webhook.
///
/// Answers POST /mutate over HTTPS, and /livez, /readyz and /metrics over plain
/// HTTP on a second address. SIGTERM drains: not ready, wait for endpoints to
/// catch up, finish what is in flight, exit 0. A second signal aborts.
///
/// Exit codes: 64 wrong flags, configuration or certificate; 69 an address or the
/// API server cannot be had, or aborted; 74 the result cannot be written.
///
/// Examples:
///   keystow webhook --self-managed
///   keystow webhook --config config.yaml --check-config
///   keystow webhook --tls-cert tls.crt --tls-key tls.key
///   keystow webhook --self-signed /tmp/keystow --self-signed-name 127.0.0.1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group = clap::ArgGroup::new("needed").required(true).multiple(true).args(["self_managed", "tls_cert", "self_signed", "check_config"]))]
pub(super) struct Arguments {
    /// The operator's configuration file; without it, the defaults.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// Check the configuration file and exit: print it with all defaults, or say every mistake and exit 64.
    #[arg(long)]
    check_config: bool,
    /// Where to serve the webhook.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443", env = "KEYSTOW_LISTEN")]
    listen: SocketAddr,
    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "KEYSTOW_ADMIN")]
    admin: SocketAddr,
    /// Keep a CA and a certificate in a Secret that all replicas share, and the CA in the caBundle.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key", "self_signed"])]
    self_managed: bool,
    #[command(flatten)]
    certificate: CertificateArguments,
    /// Serve only callers with a certificate of this CA (PEM), such as an API server that presents one.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CLIENT_CA")]
    client_ca: Option<PathBuf>,
    /// A common name or DNS name that such a certificate must have. Can be given several times; without it any.
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    client_name: Vec<String>,
    /// Report annotated pods that were not injected, by a metric and Events. They are never touched.
    #[arg(long)]
    find_uninjected: bool,
    /// How long to keep serving after SIGTERM, not ready, until endpoints have caught up.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    drain_delay: Duration,
    /// How long requests in flight may take after that.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    grace: Duration,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    managed: ManagedArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let configuration =
        config::load(arguments.config.as_deref()).map_err(|error| Failure::new(EX_USAGE, error))?;
    if arguments.check_config {
        return check_configuration(&configuration);
    }
    arguments.log.begin()?;
    let find_uninjected = arguments.find_uninjected;
    let settings = settings(arguments).map_err(|error| Failure::new(EX_USAGE, error))?;
    let traces = Traces::from_environment();
    let runtime = threads(MOST_THREADS)?;
    let ended = runtime.block_on(async {
        let shutdown =
            shutdown::on_signals().map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?;
        let injection = tokio::select! {
            injection = config::settle(configuration, &settings.cluster) => {
                injection.map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?
            }
            // Nothing is served yet that would have to be drained.
            () = shutdown.draining() => return Ok(()),
        };
        let judge = || Judge { domain: injection.domain.clone(), layout: injection.layout };
        let settings = Settings { find_uninjected: find_uninjected.then(judge), ..settings };
        let injector = Arc::new(Injector::new(injection));
        webhook::run::run(settings, injector, traces.clone(), shutdown).await.map_err(|error| {
            let code = match error {
                RunError::Certificate(_) | RunError::Clients(_) | RunError::Cluster(_) | RunError::Tls(_) => {
                    EX_USAGE
                }
                _ => EX_UNAVAILABLE,
            };
            Failure::new(code, telemetry::chain(&error))
        })
    });
    // After an abort, too, which cuts requests: the bound is short, and the last spans tell of it.
    traces.finish(FINISH_WITHIN);
    ended
}

fn settings(arguments: Arguments) -> Result<Settings, TimingError> {
    let certificate_interval = arguments.certificate.tls_interval;
    let certificate = match arguments.certificate.source("keystow-webhook.keystow.svc") {
        Some(certificate) => certificate,
        // What is left of the three, one of which must be given.
        None => CertificateSource::Managed(arguments.managed.settings()?),
    };
    Ok(Settings {
        listen: arguments.listen,
        admin: arguments.admin,
        certificate_interval,
        clients: arguments.client_ca.map(|ca| ClientSettings { ca, names: arguments.client_name }),
        drain_delay: arguments.drain_delay,
        grace: arguments.grace,
        cluster: arguments.cluster.settings(),
        ..Settings::new(certificate)
    })
}
