//! `keystow provide`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::certificate::CertificateArguments;
use super::replica::ReplicaArguments;
use super::start::{LogArguments, surroundings, threads};
use super::{EX_UNAVAILABLE, EX_USAGE, Failure, check_configuration, core_dumps};
use crate::domain::parse_duration;
use crate::provider::run::{self, RunError, Settings};
use crate::{config, shutdown, telemetry};

const MOST_THREADS: usize = 2;

/// Serve External Secrets Operator: values of a store, by its webhook provider.
///
/// Answers GET /webhook?key=PATH over HTTPS, for callers with a token (JWT) that the
/// keys verify which `keystow rotate` keeps; a rotation is followed at once. PUT and
/// POST store the body, for PushSecret. Who may read and write what is in the section
/// `provider` of the configuration file; whoever is not there may do nothing.
///
/// /livez, /readyz and /metrics are served over plain HTTP on a second address. SIGTERM
/// drains and exits 0; a second signal aborts.
///
/// Exit codes: 64 wrong flags, configuration or certificate, or a store that cannot be
/// opened; 69 an address or the API server cannot be had, or aborted.
///
/// Examples:
///   keystow provide --config config.yaml --tls-cert tls.crt --tls-key tls.key
///   keystow provide --config config.yaml --self-signed /tmp/keystow --self-signed-name 127.0.0.1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group = clap::ArgGroup::new("served").required(true).multiple(true).args(["tls_cert", "self_signed", "check_config"]))]
pub(super) struct Arguments {
    /// The operator's configuration file, that of the webhook, with the section `provider`.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: PathBuf,
    /// Check the configuration file and exit: print it with all defaults, or say every mistake and exit 64.
    #[arg(long)]
    check_config: bool,
    /// Where to serve.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443", env = "KEYSTOW_LISTEN")]
    listen: SocketAddr,
    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "KEYSTOW_ADMIN")]
    admin: SocketAddr,
    #[command(flatten)]
    certificate: CertificateArguments,
    /// Has a directory for each store, with the provider's service-account token for it in the file `token`.
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/var/run/secrets/keystow",
        env = "KEYSTOW_TOKEN_DIRECTORY"
    )]
    token_directory: PathBuf,
    /// How long to keep serving after SIGTERM, not ready, until endpoints have caught up.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    drain_delay: Duration,
    /// How long requests in flight may take after that.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    grace: Duration,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    replica: ReplicaArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let configuration =
        config::load(Some(&arguments.config)).map_err(|error| Failure::new(EX_USAGE, error))?;
    if arguments.check_config {
        return check_configuration(&configuration);
    }
    let Some((provider, store)) = configuration.provider() else {
        let message = "the configuration file has no section `provider`, which says what is served and to whom; docs/provider.md has one";
        return Err(Failure::new(EX_USAGE, message));
    };
    arguments.log.begin()?;
    core_dumps::forbid();
    let certificate_interval = arguments.certificate.tls_interval;
    let certificate = arguments.certificate.source("keystow-provider.keystow.svc");
    let certificate =
        certificate.ok_or_else(|| Failure::new(EX_USAGE, "give --tls-cert, or --self-signed"))?;
    let settings = Settings {
        provider,
        store,
        tokens: arguments.token_directory,
        surroundings: surroundings(),
        listen: arguments.listen,
        admin: arguments.admin,
        certificate,
        certificate_interval,
        // No election is held: every replica serves.
        cluster: arguments.replica.settings(String::new()),
        drain_delay: arguments.drain_delay,
        grace: arguments.grace,
    };
    threads(MOST_THREADS)?.block_on(async {
        let shutdown =
            shutdown::on_signals().map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?;
        run::run(settings, shutdown).await.map_err(|error| {
            let code = match error {
                RunError::Aborted | RunError::Background | RunError::Bind { .. } => EX_UNAVAILABLE,
                _ => EX_USAGE,
            };
            Failure::new(code, telemetry::chain(&error))
        })
    })
}
