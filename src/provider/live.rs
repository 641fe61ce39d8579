//! The keys as they are now: read whenever their Secret changes, and swapped as a whole.
//!
//! Invariants: documents that cannot be read change nothing and are told; one key that cannot be used is left out alone; a
//! Secret that is gone, or has no keys, leaves none. While the API server
//! is away, the last set goes on. Of the Secret the watch sees the metadata, and the read decodes the public documents.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::watcher::Config;
use tokio::time::MissedTickBehavior;

use super::keys::{Keys, KeysError, Published};
use super::metrics::ProviderMetrics;
use crate::controller::metadata::Watcher;
use crate::readiness::Condition;
use crate::store::kubernetes::Connection;
use crate::telemetry::{Once, chain};

/// How often they are read although nothing was seen to change: a watch can be silent for longer than it should.
const ANYWAY: Duration = Duration::from_secs(30);
/// How long it takes until a read that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The set that is believed now; none where there is none.
pub(super) type Live = Arc<ArcSwapOption<Keys>>;

/// Keeps the set.
pub(super) struct Keeper {
    pub(super) connection: Connection,
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) live: Live,
    pub(super) metrics: ProviderMetrics,
    /// Released when there is a set.
    pub(super) ready: Option<Condition>,
}

impl Keeper {
    /// Never ends.
    pub(super) async fn run(mut self) {
        let mut watcher = Watcher::new(self.client.clone());
        let (namespace, of_it) = (self.namespace.clone(), format!("metadata.name={}", self.name));
        let only = || Config::default().fields(&of_it);
        let mut sights = watcher.watch_in::<Secret>(&namespace, only());
        let mut anyway = tokio::time::interval(ANYWAY);
        anyway.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut said_of_watch) = (Once::default(), Once::default());
        loop {
            let seen = tokio::select! {
                sight = sights.next() => sight,
                _ = anyway.tick() => None,
            };
            match seen {
                Some(sight) if watcher.falls_back(&sight) => {
                    sights = watcher.watch_in::<Secret>(&namespace, only());
                    continue;
                }
                Some(Err(error)) => {
                    let reason = chain(&error);
                    if said_of_watch.is_news(&reason) {
                        tracing::warn!(
                            reason,
                            "the Secret of the keys cannot be watched; it is read now and then"
                        );
                    }
                }
                Some(Ok(_)) | None => said_of_watch.clear(),
            }
            while let Err(reason) = self.read().await {
                if said.is_news(&reason) {
                    let then =
                        if self.live.load().is_some() { "the last ones go on" } else { "none are known yet" };
                    tracing::warn!(
                        namespace = self.namespace,
                        secret = self.name,
                        reason,
                        "the keys cannot be read; {then}"
                    );
                }
                tokio::time::sleep(AGAIN).await;
            }
            said.clear();
        }
    }

    /// No key is believed any more.
    fn nobody(&self, why: &str) {
        if self.live.swap(None).is_some() {
            tracing::error!(
                namespace = self.namespace,
                secret = self.name,
                "the Secret of the keys {why}; nobody is believed"
            );
        }
        self.metrics.keys(0, Timestamp::now().as_second());
    }

    /// Reads them once. `Err` where it is not known what they are.
    async fn read(&mut self) -> Result<(), String> {
        let published = self.connection.read_public_keys(&self.namespace, &self.name).await;
        let Some((jwks, issuers)) = published.map_err(|error| chain(&error))? else {
            self.nobody("is gone, or has no jwks.json or issuers.yaml");
            return Ok(());
        };
        let published = Keys::read(jwks.expose(), issuers.expose());
        let Published { keys, unusable } = match published {
            Ok(published) => published,
            // Nobody is to be believed.
            Err(KeysError::Empty) => {
                self.nobody("has no keys");
                return Ok(());
            }
            Err(error) => {
                self.metrics.unreadable();
                return Err(error.to_string());
            }
        };
        if let Some(error) = unusable.first() {
            self.metrics.unreadable();
            tracing::warn!(
                keys = unusable.len(),
                reason = chain(error),
                "keys that cannot be used are left out"
            );
        }
        self.metrics.keys(keys.len(), Timestamp::now().as_second());
        let ids = |keys: &Keys| keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>();
        let (now, before) = (ids(&keys), self.live.swap(Some(Arc::new(keys))));
        if before.is_none_or(|before| ids(&before) != now) {
            tracing::info!(keys = now.join(" "), "these keys are believed");
        }
        if let Some(ready) = self.ready.take() {
            ready.release();
        }
        Ok(())
    }
}
