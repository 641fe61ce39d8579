//! Shutdown as a value that is passed.
//!
//! One [`Trigger`] moves a process forward through [`Stage`]s; every task holds a clone of [`Shutdown`] and waits for
//! the stage it cares about. In production the trigger belongs to [`on_signals`]: the first SIGTERM or SIGINT starts
//! the drain, the second aborts. Tests hold the trigger themselves.
//!
//! Invariants: stages only go forward; a trigger that is dropped changes nothing (a process without a trigger runs
//! until it is killed, it does not end by itself).
//!
//! Deliberately absent: what draining means. That is the server's business.

use std::io;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the end of the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody asked for the end.
    Running,
    /// Finish what is in flight, take nothing new, then end.
    Draining,
    /// End now.
    Aborted,
}

/// Why signals cannot be awaited.
#[derive(Debug, Error)]
pub enum ShutdownError {
    /// The handler of a signal could not be installed.
    #[error("cannot listen for {name}; check that the process may install signal handlers")]
    Listen {
        /// The signal's name.
        name: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Waits for the end. Cheap to clone; all clones see the same stage.
#[derive(Debug, Clone)]
pub struct Shutdown {
    stage: watch::Receiver<Stage>,
}

/// Moves the process towards its end.
#[derive(Debug)]
pub struct Trigger {
    stage: watch::Sender<Stage>,
}

/// A shutdown and what triggers it.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Trigger { stage: sender }, Shutdown { stage: receiver })
}

/// A shutdown that SIGTERM and SIGINT trigger: the first one drains, the second aborts.
///
/// # Errors
///
/// When a signal handler cannot be installed.
pub fn on_signals() -> Result<Shutdown, ShutdownError> {
    let terminate = listen(SignalKind::terminate(), "SIGTERM")?;
    let interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
    let (trigger, shutdown) = channel();
    tokio::spawn(follow(terminate, interrupt, trigger));
    Ok(shutdown)
}

fn listen(kind: SignalKind, name: &'static str) -> Result<Signal, ShutdownError> {
    signal(kind).map_err(|source| ShutdownError::Listen { name, source })
}

async fn follow(mut terminate: Signal, mut interrupt: Signal, trigger: Trigger) {
    let first = either(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = first, "draining; a second signal aborts");
    trigger.drain();
    let second = either(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = second, "aborting; requests in flight are cut");
    trigger.abort();
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

impl Trigger {
    /// Starts the drain, unless the process is further already.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Ends the process now.
    pub fn abort(&self) {
        self.advance(Stage::Aborted);
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let forward = to > *stage;
            if forward {
                *stage = to;
            }
            forward
        });
    }
}

impl Shutdown {
    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Returns once the drain has begun, or the process was aborted.
    pub async fn draining(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Returns once the process was aborted.
    pub async fn aborted(&self) {
        self.reached(Stage::Aborted).await;
    }

    async fn reached(&self, wanted: Stage) {
        let mut stage = self.stage.clone();
        if stage.wait_for(|stage| *stage >= wanted).await.is_err() {
            // The trigger is gone before that stage: it can never come.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn waits_while_running() {
        let (_trigger, shutdown) = channel();
        assert!(!is_ready(shutdown.draining()));
        assert!(!is_ready(shutdown.aborted()));
    }

    #[test]
    fn drain_is_seen_by_every_clone_and_is_no_abort() {
        let (trigger, shutdown) = channel();
        let clone = shutdown.clone();
        trigger.drain();
        assert!(is_ready(shutdown.draining()));
        assert!(is_ready(clone.draining()));
        assert!(!is_ready(clone.aborted()));
    }

    #[test]
    fn abort_is_also_a_drain() {
        let (trigger, shutdown) = channel();
        trigger.abort();
        assert!(is_ready(shutdown.draining()));
        assert!(is_ready(shutdown.aborted()));
    }

    #[test]
    fn never_goes_back() {
        let (trigger, shutdown) = channel();
        trigger.abort();
        trigger.drain();
        assert_eq!(shutdown.stage(), Stage::Aborted);
    }

    #[test]
    fn a_dropped_trigger_ends_nothing() {
        let (trigger, shutdown) = channel();
        drop(trigger);
        assert!(!is_ready(shutdown.draining()));
    }

    #[test]
    fn a_stage_reached_before_the_trigger_was_dropped_counts() {
        let (trigger, shutdown) = channel();
        trigger.drain();
        drop(trigger);
        assert!(is_ready(shutdown.draining()));
    }
}
