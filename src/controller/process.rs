//! What the processes of controllers have in common: health and metrics, an election, and an end.
//!
//! Flow: serve the admin listener → work whenever this replica leads → SIGTERM: nothing new is begun, what runs has `grace`
//! → the Lease is given back → done.
//!
//! Invariants: a replica that does not lead is ready too; a second signal ends everything at once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::admin::Listener;
use crate::cluster::Cluster;
use crate::leader::{Campaign, Leadership};
use crate::readiness::Readiness;
use crate::shutdown::{Shutdown, Stage};

/// Why a controller does not start, or ended otherwise than drained.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// A second signal came.
    #[error("aborted by a second signal; what was under way will be done by the next leader")]
    Aborted,
    /// A task that must run for as long as the process does has ended.
    #[error("a background task has ended; report the log line before this one, and start again")]
    Background,
    /// A socket could not be bound.
    #[error("cannot listen on {address} for health and metrics; choose a free address of this machine")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A controller's process that does not work yet.
pub(super) struct Process {
    admin: Listener,
    readiness: Readiness,
    cluster: Cluster,
    grace: Duration,
}

impl Process {
    /// Binds the admin listener.
    ///
    /// # Errors
    ///
    /// When it cannot be bound.
    pub(super) async fn bind(
        admin: SocketAddr,
        cluster: Cluster,
        grace: Duration,
    ) -> Result<Self, ProcessError> {
        let bound = Listener::bind(admin).await;
        let admin = bound.map_err(|source| ProcessError::Bind { address: admin, source })?;
        Ok(Self { admin, readiness: Readiness::new(), cluster, grace })
    }

    /// Where health and metrics listen.
    pub(super) fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Calls `term` whenever this replica begins to lead, drops what it does when it leads no more, and then calls `rest`.
    /// `background` runs for as long as the process.
    ///
    /// # Errors
    ///
    /// When it was aborted, or a task that must not end has ended.
    pub(super) async fn run(
        self,
        shutdown: &Shutdown,
        mut registry: Registry,
        mut background: JoinSet<()>,
        term: impl AsyncFn(),
        rest: impl Fn(),
    ) -> Result<(), ProcessError> {
        let Self { admin, readiness, cluster, grace } = self;
        tracing::info!(admin = %admin.address(), "serving");
        let (campaign, leadership) = Campaign::new(&cluster, &mut registry);
        background.spawn(admin.serve(readiness.clone(), registry));
        let election = tokio::spawn(campaign.run(shutdown.clone()));
        let draining = shutdown.clone();
        background.spawn(async move {
            draining.draining().await;
            readiness.begin_drain();
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = lead(leadership, shutdown, term, rest) => {}
            () = too_late(shutdown, grace) => {
                tracing::warn!("turns were not over within the grace period; the next leader does them");
            }
            () = shutdown.aborted() => return Err(ProcessError::Aborted),
            _ = background.join_next() => return Err(ProcessError::Background),
        }
        // Gives the Lease back; its requests have bounds.
        let _ = election.await;
        tracing::info!("drained");
        Ok(())
    }

    /// Serves health and metrics, without an election, for as long as `work` takes; `None` where it was aborted.
    pub(super) async fn once<T>(
        self,
        shutdown: &Shutdown,
        registry: Registry,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut background = JoinSet::new();
        background.spawn(self.admin.serve(self.readiness, registry));
        tokio::select! {
            done = work => Some(done),
            () = shutdown.aborted() => None,
        }
    }
}

/// Works whenever this replica leads, until the process drains.
async fn lead(mut leadership: Leadership, shutdown: &Shutdown, term: impl AsyncFn(), rest: impl Fn()) {
    while shutdown.stage() == Stage::Running {
        let leads = tokio::select! {
            leads = leadership.wait_for(|leading| *leading) => leads.is_ok(),
            () = shutdown.draining() => return,
        };
        if !leads {
            return;
        }
        let mut seen = leadership.clone();
        let lost = async {
            let _ = seen.wait_for(|leading| !*leading).await;
            // It is given up when the process drains, and that is no reason to drop what runs.
            if shutdown.stage() > Stage::Running {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = term() => {}
            () = lost => tracing::info!("leadership is lost; nothing is remembered"),
        }
        rest();
    }
}

/// Returns when the drain has taken too long.
async fn too_late(shutdown: &Shutdown, grace: Duration) {
    shutdown.draining().await;
    tokio::time::sleep(grace).await;
}
