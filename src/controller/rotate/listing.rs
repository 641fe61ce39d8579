//! Objects of the namespaces that are looked at, a page at a time: of many workloads no more than that is in memory.

use futures::Stream;
use futures::stream::try_unfold;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectList};

use super::term::Workshop;
use crate::cluster::ApiError;

/// Objects of a page.
pub(super) const PAGE: u32 = 500;

/// The objects of a kind: in the namespaces that are looked at, or in all.
pub(super) fn apis(shop: &Workshop, resource: &ApiResource) -> Vec<Api<DynamicObject>> {
    let client = || shop.cluster.client().clone();
    match &shop.namespaces[..] {
        [] => vec![Api::all_with(client(), resource)],
        some => some.iter().map(|name| Api::namespaced_with(client(), name, resource)).collect(),
    }
}

/// Every page of what `list` lists.
pub(super) fn pages<T: Clone>(
    list: impl AsyncFn(&ListParams) -> kube::Result<ObjectList<T>>,
) -> impl Stream<Item = Result<Vec<T>, ApiError>> {
    let first = Some(ListParams::default().limit(PAGE));
    try_unfold((list, first), async |(list, parameters)| {
        let Some(parameters) = parameters else { return Ok(None) };
        let page = list(&parameters).await?;
        let next = page.metadata.continue_.filter(|next| !next.is_empty());
        let next = next.map(|next| parameters.continue_token(&next));
        Ok(Some((page.items, (list, next))))
    })
}
