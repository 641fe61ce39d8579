//! `keystow init`

use std::collections::HashMap;
use std::time::Duration;

use super::start::LogArguments;
use super::{EX_UNAVAILABLE, Failure, core_dumps};
use crate::domain::{SHORTEST_REFRESH, parse_duration};
use crate::init::{self, InitError, Settings};
use crate::shutdown;
use crate::telemetry;

/// Fetch a pod's secrets and write them: what the injected init container runs.
///
/// Reads the pod's annotations from the downward-API file, fetches everything, writes all or nothing, and exits 0.
/// What it is to do comes in the environment, which the webhook sets (KEYSTOW_STORE, KEYSTOW_PATH, …); with ENV_LABEL
/// and without KEYSTOW_STORE it reads kees' variables instead.
///
/// Exit codes: 64 wrong settings or annotations, 65 missing or unusable values, 66 no annotations file, 69 store
/// away, 73 and 74 volume, 77 denied, 143 ended by a signal before all was done (0 with --refresh). The reason is left
/// in /dev/termination-log, where kubectl describe shows it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Stay, and renew the files this often (a duration such as 5m).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    refresh: Option<Duration>,
    #[command(flatten)]
    log: LogArguments,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration < SHORTEST_REFRESH { Err("it is shorter than 1s".to_owned()) } else { Ok(duration) }
}

/// What a shell says of a process that SIGTERM has ended.
pub(super) const TERMINATED: u8 = 128 + 15;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.log.begin()?;
    core_dumps::forbid();
    let environment: HashMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let settings = init::settle(&environment).map_err(|error| Failure::new(error.exit_code(), error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(EX_UNAVAILABLE, format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(fetch(settings, arguments.refresh));
    // Not waited for: a look-up of a name that nobody answers any more, on a thread of its own, would hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn fetch(settings: Settings, refresh: Option<Duration>) -> Result<(), Failure> {
    let failed = |error: InitError| Failure::new(error.exit_code(), error);
    // As the first process of a container it would not be ended by a signal that it does not listen for.
    let shutdown =
        shutdown::on_signals().map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?;
    if let Some(interval) = refresh {
        let ended = async move { shutdown.draining().await };
        return init::refresh(settings, interval, ended).await.map_err(failed);
    }
    tokio::select! {
        biased;
        () = shutdown.draining() => Err(Failure::new(TERMINATED, "ended by a signal before init was done")),
        done = init::run(settings) => done.map(drop).map_err(failed),
    }
}
