//! Objects as they come: all that are there, then every change, and of each its metadata alone.
//!
//! What is there comes one by one, as the beginning of the watch: metadata can have hundreds of kilobytes, and whoever may
//! create pods could fill pages with such. An API server that does not stream lists (it is an older one, or was told not
//! to) says so, and is asked for small pages instead.

use std::fmt::Debug;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::api::ObjectMeta;
#[cfg(feature = "kubernetes")]
use kube::core::NamespaceResourceScope;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// Pods that run, or will: one that ends is told as deleted.
pub(crate) const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Objects in one answer of a list, where lists are not streamed.
const PAGE: u32 = 50;
/// How an API server says that it does not stream lists: the request is one that it knows and does not allow.
const UNPROCESSABLE: u16 = 422;

/// What was seen of a kind.
pub(crate) type Sight = Result<Event<ObjectMeta>, watcher::Error>;

/// Watches, in the way that the API server can do.
pub(crate) struct Watcher {
    client: Client,
    is_paging: bool,
}

impl Watcher {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, is_paging: false }
    }

    /// Objects of all namespaces, as far as `config` selects them. Never ends.
    pub(crate) fn watch<K>(&self, config: Config) -> BoxStream<'static, Sight>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        PartialObjectMeta<K>: DeserializeOwned,
    {
        self.watch_these::<K>(Api::all(self.client.clone()), config)
    }

    /// The same of one namespace.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn watch_in<K>(&self, namespace: &str, config: Config) -> BoxStream<'static, Sight>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
        PartialObjectMeta<K>: DeserializeOwned,
    {
        self.watch_these::<K>(Api::namespaced(self.client.clone(), namespace), config)
    }

    /// The API server sends no more of these than their metadata.
    fn watch_these<K>(&self, objects: Api<PartialObjectMeta<K>>, config: Config) -> BoxStream<'static, Sight>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        PartialObjectMeta<K>: DeserializeOwned,
    {
        let config = if self.is_paging { config.page_size(PAGE) } else { config.streaming_lists() };
        watcher(objects, config).default_backoff().map(|sight| sight.map(metadata_of)).boxed()
    }

    /// Whether this was said only because the API server does not stream lists: watches are to be begun again, by pages.
    pub(crate) fn falls_back(&mut self, sight: &Sight) -> bool {
        let falls_back = !self.is_paging && sight.as_ref().is_err_and(is_without_streams);
        if falls_back {
            tracing::info!("the API server does not stream lists; they are asked for by pages");
            self.is_paging = true;
        }
        falls_back
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
