//! What every program that runs does first: log lines by its flags, the environment of its stores, and threads.

use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

use super::{EX_UNAVAILABLE, EX_USAGE, Failure};
use crate::store::{Surroundings, VARIABLES};
use crate::telemetry::{self, LogFormat, LogSettings};

/// How it is told what happens.
#[derive(Debug, clap::Args)]
pub(super) struct LogArguments {
    /// The form of log lines: json or text.
    #[arg(long, default_value_t, env = "KEYSTOW_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace), or levels by module. Libraries are never logged below
    /// warn: there they print requests, answers and tokens.
    #[arg(long, default_value = "info", env = "KEYSTOW_LOG")]
    log: String,
}

impl LogArguments {
    /// Begins to log.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        let settings = LogSettings { format: self.log_format, filter: self.log.clone() };
        telemetry::init(&settings).map_err(|error| Failure::new(EX_USAGE, telemetry::chain(&error)))
    }
}

/// As many threads as there are processors, up to so many.
pub(super) fn threads(at_most: usize) -> Result<Runtime, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(at_most);
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|error| Failure::new(EX_UNAVAILABLE, format!("cannot start threads: {error}")))
}

/// What stores take from the environment of this process.
pub(super) fn surroundings() -> Surroundings {
    let variables = VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    Surroundings { variables: variables.collect(), ..Surroundings::default() }
}
