//! `keystow init --refresh`: the native sidecar that keeps the files current.
//!
//! The first round is like init: a failure ends the program. Every later round reads the annotations and the store
//! anew and switches the files only where something changed; a failure keeps the last good files. It is logged once,
//! however many rounds it lasts, and so is its end.
//! Signals come as a future: when it is done, so is the program, at once. Every state on the volume is whole, so
//! there is nothing to finish.

use std::future::Future;
use std::time::Duration;

use super::{InitError, Program, Settings};
use crate::telemetry::Once;

/// Fetches and writes once, and again every `interval` until `shutdown` is done.
pub async fn refresh(
    settings: Settings,
    interval: Duration,
    shutdown: impl Future<Output = ()>,
) -> Result<(), InitError> {
    let program = Program::new(settings);
    tokio::select! {
        biased;
        () = shutdown => Ok(()),
        Err(error) = program.rounds(interval) => Err(error),
    }
}

impl Program {
    /// Ends only by a failure of the first round.
    async fn rounds(mut self, interval: Duration) -> Result<std::convert::Infallible, InitError> {
        match self.once().await {
            Ok(summary) => summary.log(),
            Err(error) => {
                self.leave(&error);
                return Err(error);
            }
        }
        // A round that waits for what is absent must not run into the next one.
        self.settings.deadline = self.settings.deadline.min(interval);
        let mut said = Once::default();
        loop {
            tokio::time::sleep(interval).await;
            match self.once().await {
                Ok(summary) => {
                    if said.last().is_some() {
                        tracing::info!("refresh works again");
                        said.clear();
                    }
                    if summary.files > 0 {
                        summary.log();
                    }
                }
                Err(error) if said.is_news(&error.essence()) => {
                    tracing::warn!(%error, "refresh failed; the last good files stay");
                }
                Err(_) => {}
            }
        }
    }
}
