//! `keystow create`

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use super::init::TERMINATED;
use super::replica::{ReplicaArguments, object_name};
use super::start::{LogArguments, surroundings, threads};
use super::{EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, Failure, check_configuration, core_dumps};
use crate::config::{self, Configuration};
use crate::controller::create::Reason;
use crate::controller::create::run::{Creator, RunError, Settings};
use crate::domain::parse_duration;
use crate::shutdown;
use crate::telemetry;

/// Requests to stores and to the API server wait; keys are made on threads of their own.
const MOST_THREADS: usize = 2;
const SHORTEST_RESYNC: Duration = Duration::from_secs(1);

/// Generate what pods ask for and nobody has made yet, and give pods their leases.
///
/// Watches the metadata of all pods. What a pod's annotations ask for with
/// kind=DYNAMIC and its store does not have is generated once, and stored whole or
/// not at all; nothing that is stored is ever written over. A pod with a lease gets
/// an index that no other live pod holds, and gives it back when it is gone. One
/// replica works, elected by a Lease; the others wait. What a pod waits for is an
/// Event beside it.
///
/// SIGTERM finishes what is under way, gives the Lease back and exits 0. A second
/// signal aborts.
///
/// Exit codes: 64 wrong flags or configuration, no API server known, or no store
/// that can be opened; 69 an address or the API server cannot be had, or aborted.
/// With --once also: 65 a pod asks for what cannot be made, 69 pods cannot be listed
/// within 30 s, or a store is away or has no free index, 77 a store denies access,
/// 143 ended by a signal before all was done.
///
/// Examples:
///   keystow create --config config.yaml
///   keystow create --config config.yaml --check-config
///   keystow create --once --log-format text
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// The operator's configuration file, that of the webhook; without it, the defaults.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// Check the configuration file and exit: print it with all defaults, or say every mistake and exit 64.
    #[arg(long)]
    check_config: bool,
    /// Give every pod that is there one turn, compare leases with pods once, and exit. No election is held.
    #[arg(long)]
    once: bool,
    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "KEYSTOW_ADMIN")]
    admin: SocketAddr,
    /// How often leases are compared with pods, for those of pods that went while nobody looked.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = resync)]
    resync: Duration,
    /// How many pods are served at once.
    #[arg(long, value_name = "NUMBER", default_value = "16")]
    workers: NonZero<usize>,
    /// Has a directory for each store, with the creator's service-account token for it in the file `token`.
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/var/run/secrets/keystow",
        env = "KEYSTOW_TOKEN_DIRECTORY"
    )]
    token_directory: PathBuf,
    /// How long what is under way may take after SIGTERM.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    grace: Duration,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    replica: ReplicaArguments,
    /// The Lease whose holder works.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "keystow-creator",
        env = "KEYSTOW_LEASE",
        value_parser = object_name,
        help_heading = "In a cluster"
    )]
    lease: String,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let configuration =
        config::load(arguments.config.as_deref()).map_err(|error| Failure::new(EX_USAGE, error))?;
    if arguments.check_config {
        return check_configuration(&configuration);
    }
    arguments.log.begin()?;
    core_dumps::forbid();
    let once = arguments.once;
    let settings = settings(arguments, configuration);
    let runtime = threads(MOST_THREADS)?;
    let ended = runtime.block_on(work(settings, once));
    // A key that nobody waits for any more is not finished.
    runtime.shutdown_background();
    ended
}

async fn work(settings: Settings, once: bool) -> Result<(), Failure> {
    let shutdown =
        shutdown::on_signals().map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?;
    let creator = Creator::new(settings).await.map_err(|error| failure(&error))?;
    if !once {
        return creator.run(shutdown).await.map_err(|error| failure(&error));
    }
    let reasons = creator.run_once(shutdown).await.map_err(|error| failure(&error))?;
    let codes: BTreeSet<u8> = reasons.iter().map(|reason| code(*reason)).collect();
    // What needs a person most comes first.
    match [EX_NOPERM, EX_DATAERR, EX_UNAVAILABLE].into_iter().find(|code| codes.contains(code)) {
        None => Ok(()),
        Some(code) => {
            let reasons: BTreeSet<&str> = reasons.into_iter().map(Reason::as_str).collect();
            let reasons = reasons.into_iter().collect::<Vec<_>>().join(", ");
            let message =
                format!("not everything could be done ({reasons}); see the log, and the Events of the pods");
            Err(Failure::new(code, message))
        }
    }
}

fn failure(error: &RunError) -> Failure {
    let code = match error {
        RunError::Cluster(_) | RunError::Secrets(_) | RunError::Stores { .. } => EX_USAGE,
        RunError::Interrupted => TERMINATED,
        RunError::Process(_) | RunError::NotListed { .. } => EX_UNAVAILABLE,
    };
    Failure::new(code, telemetry::chain(error))
}

/// The exit code of a reason, as init has it.
fn code(reason: Reason) -> u8 {
    match reason {
        Reason::StoreUnavailable | Reason::LeaseExhausted => EX_UNAVAILABLE,
        Reason::StoreDenied | Reason::NotAllowed => EX_NOPERM,
        Reason::Annotations
        | Reason::Unplaced
        | Reason::Generator
        | Reason::Incomplete
        | Reason::StoreInvalid
        | Reason::LeaseConflict
        | Reason::LeaseUnsupported => EX_DATAERR,
    }
}

fn resync(text: &str) -> Result<Duration, String> {
    let resync = parse_duration(text).map_err(|error| error.to_string())?;
    if resync < SHORTEST_RESYNC { Err("give 1s or more".to_owned()) } else { Ok(resync) }
}

fn settings(arguments: Arguments, configuration: Configuration) -> Settings {
    Settings {
        admin: arguments.admin,
        cluster: arguments.replica.settings(arguments.lease),
        stores: configuration.creator_stores(),
        injection: configuration.offline(),
        tokens: arguments.token_directory,
        surroundings: surroundings(),
        workers: arguments.workers,
        resync: arguments.resync,
        grace: arguments.grace,
    }
}
