//! Namespaces, and pods that have not ended, as they come.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::runtime::watcher::Config;

use super::metrics::Watched;
use crate::controller::metadata::{NOT_ENDED, Sight, Watcher};

/// Both kinds.
pub(super) struct Source {
    watcher: Watcher,
    sights: BoxStream<'static, (Watched, Sight)>,
}

impl Source {
    /// One from which nothing comes yet.
    pub(super) fn new(client: Client) -> Self {
        Self { watcher: Watcher::new(client), sights: stream::pending().boxed() }
    }

    /// Begins both lists, again if they were.
    pub(super) fn begin(&mut self) {
        let namespaces = self.watcher.watch::<Namespace>(Config::default());
        let pods = self.watcher.watch::<Pod>(Config::default().fields(NOT_ENDED));
        let namespaces = namespaces.map(|sight| (Watched::Namespaces, sight));
        let pods = pods.map(|sight| (Watched::Pods, sight));
        self.sights = stream::select(namespaces, pods).boxed();
    }

    /// Ends both watches.
    pub(super) fn stop(&mut self) {
        self.sights = stream::pending().boxed();
    }

    /// What is seen next. Can be dropped without loss.
    pub(super) async fn next(&mut self) -> (Watched, Sight) {
        loop {
            match self.sights.next().await {
                Some((_, sight)) if self.watcher.falls_back(&sight) => self.begin(),
                Some(seen) => return seen,
                // A watch never ends.
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
