//! `keystow init`

use std::collections::HashMap;
use std::time::Duration;

use super::{EX_UNAVAILABLE, EX_USAGE, Failure};
use crate::domain::{SHORTEST_REFRESH, parse_duration};
use crate::init::{self, InitError};
use crate::shutdown;
use crate::telemetry::{self, LogFormat, LogSettings};

/// Fetch a pod's secrets and write them: what the injected init container runs.
///
/// Reads the pod's annotations from the downward-API file, fetches everything, writes all or nothing, and exits 0.
/// What it is to do comes in the environment, which the webhook sets (KEYSTOW_STORE, KEYSTOW_PATH, …); with ENV_LABEL
/// and without KEYSTOW_STORE it reads kees' variables instead.
///
/// Exit codes: 64 wrong settings or annotations, 65 missing or unusable values, 66 no annotations file, 69 store
/// away, 73 and 74 volume, 77 denied. The reason is left in /dev/termination-log, where kubectl describe shows it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Stay, and renew the files this often (a duration such as 5m).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    refresh: Option<Duration>,
    /// The form of log lines: json or text.
    #[arg(long, default_value_t, env = "KEYSTOW_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug), or levels by module.
    #[arg(long, default_value = "info", env = "KEYSTOW_LOG")]
    log: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration < SHORTEST_REFRESH { Err("it is shorter than 1s".to_owned()) } else { Ok(duration) }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let log = LogSettings { format: arguments.log_format, filter: arguments.log.clone() };
    telemetry::init(&log).map_err(|error| Failure::new(EX_USAGE, telemetry::chain(&error)))?;
    let environment: HashMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let failed = |error: InitError| Failure::new(error.exit_code(), error);
    let settings = init::settle(&environment).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(EX_UNAVAILABLE, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let Some(interval) = arguments.refresh else {
            return init::run(settings).await.map(drop).map_err(failed);
        };
        let shutdown =
            shutdown::on_signals().map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?;
        init::refresh(settings, interval, async move { shutdown.draining().await }).await.map_err(failed)
    })
}
