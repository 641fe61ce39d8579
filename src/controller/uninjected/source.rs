//! Namespaces and pods as they come: all that are there, then every change, and of each its metadata alone.
//!
//! What is there comes one by one, as the beginning of the watch: metadata can have hundreds of kilobytes, and whoever may
//! create pods could fill pages with such. An API server that does not stream lists (it is an older one, or was told not
//! to) says so, and is asked for small pages instead.

use std::fmt::Debug;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::metrics::Watched;

/// Objects in one answer of a list, where lists are not streamed.
const PAGE: u32 = 50;
/// Pods that run, or will.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// How an API server says that it does not stream lists: the request is one that it knows and does not allow.
const UNPROCESSABLE: u16 = 422;

/// What was seen of a kind.
pub(super) type Sight = Result<Event<ObjectMeta>, watcher::Error>;

/// Both kinds.
pub(super) struct Source {
    client: Client,
    is_paging: bool,
    sights: BoxStream<'static, (Watched, Sight)>,
}

impl Source {
    /// One from which nothing comes yet.
    pub(super) fn new(client: Client) -> Self {
        Self { client, is_paging: false, sights: stream::pending().boxed() }
    }

    /// Begins both lists, again if they were.
    pub(super) fn begin(&mut self) {
        let namespaces = self.watch::<Namespace>(Config::default());
        let pods = self.watch::<Pod>(Config::default().fields(NOT_ENDED));
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
                Some((_, Err(error))) if !self.is_paging && is_without_streams(&error) => {
                    tracing::info!("the API server does not stream lists; they are asked for by pages");
                    self.is_paging = true;
                    self.begin();
                }
                Some(seen) => return seen,
                // A watch never ends.
                None => std::future::pending().await,
            }
        }
    }

    fn watch<K>(&self, config: Config) -> BoxStream<'static, Sight>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        PartialObjectMeta<K>: DeserializeOwned,
    {
        // The API server sends no more of these than their metadata.
        let objects: Api<PartialObjectMeta<K>> = Api::all(self.client.clone());
        let config = if self.is_paging { config.page_size(PAGE) } else { config.streaming_lists() };
        watcher(objects, config).default_backoff().map(|sight| sight.map(metadata_of)).boxed()
    }
}

fn metadata_of<K>(event: Event<PartialObjectMeta<K>>) -> Event<ObjectMeta> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.metadata),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(object.metadata),
        Event::Delete(object) => Event::Delete(object.metadata),
    }
}

fn is_without_streams(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else { return false };
    status.code == UNPROCESSABLE
}

#[cfg(test)]
mod tests;
