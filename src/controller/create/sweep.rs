//! Comparing leases with pods: what pods held that went while nobody looked is released.
//!
//! ```text
//! each store that holds leases ─▶ survey ─▶ holders that the roll does not have ─▶ asked for at the API server
//!                                                             └─ not there, or ended ─▶ release
//! ```
//!
//! Invariants: nothing is released by what a watch has not told: the API server itself says that a pod is not there, in an
//! answer that is younger than the survey; a store or a namespace that cannot be read now is left for the next time and keeps
//! no other from being looked at.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

use super::leases::{Leases, Survey};
use super::metrics::Reason;
use super::stores::{Opened, Scope, Stores};
use super::turn::{Wait, failed};
use crate::cluster::ApiError;
use crate::controller::metadata::NOT_ENDED;
use crate::domain::{AnnotationDomain, LeaseSeries, StoreName};
use crate::handover::StoreSettings;
use crate::store::StoreError;
use crate::telemetry::chain;

/// Pods in one answer of a list.
const PAGE: u32 = 500;

/// Who lives and asks for leases, by what was watched.
#[derive(Debug, Default)]
pub(super) struct Living {
    pub(super) uids: HashSet<Box<str>>,
    pub(super) names: HashSet<Box<str>>,
    /// Where and of what they ask, by the store.
    pub(super) asked: BTreeMap<StoreName, Asked>,
}

/// What pods ask of one store.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) namespaces: BTreeSet<Box<str>>,
    pub(super) series: BTreeSet<LeaseSeries>,
}

impl Living {
    /// Whether a pod of this namespace asks this store for leases; of a store that is the same for all, whether any does.
    fn asks_in(&self, scope: &Scope) -> bool {
        self.asked.get(&scope.store).is_some_and(|asked| match &scope.namespace {
            Some(namespace) => asked.namespaces.contains(namespace),
            None => true,
        })
    }

    fn asks_for(&self, store: &StoreName, series: &LeaseSeries) -> bool {
        self.asked.get(store).is_some_and(|asked| asked.series.contains(series))
    }
}

/// What a sweep came to.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Where an index is free that was not.
    pub(super) released: Vec<LeaseSeries>,
    /// Why some store or namespace could not be looked at.
    pub(super) failures: BTreeSet<Reason>,
}

/// Asks the API server for pods.
pub(super) struct Sweeper {
    client: Client,
    /// The label by which namespaces opted in.
    label: String,
}

impl Sweeper {
    pub(super) fn new(client: Client, domain: &AnnotationDomain) -> Self {
        Self { client, label: format!("{}=true", domain.enabled_key()) }
    }

    /// Looks at every store once.
    pub(super) async fn sweep(&self, stores: &Stores, living: &Living) -> Swept {
        let mut swept = Swept::default();
        for (store, settings) in stores.iter() {
            if settings.cannot_hold_leases().is_some() {
                continue;
            }
            for scope in self.scopes(stores, store, settings, living).await {
                match self.sweep_one(stores, &scope, living).await {
                    Ok(released) => swept.released.extend(released),
                    Err(Wait { reason, note, .. }) => {
                        swept.failures.insert(reason);
                        let Scope { store, namespace } = scope;
                        tracing::warn!(%store, namespace, reason = note, "leases could not be compared with pods; trying again later");
                    }
                }
            }
        }
        swept
    }

    /// Where leases may lie. Of a store of Secret objects, in namespaces that opted in or whose pods ask for some.
    async fn scopes(
        &self,
        stores: &Stores,
        store: &StoreName,
        settings: &StoreSettings,
        living: &Living,
    ) -> BTreeSet<Scope> {
        if !matches!(settings, StoreSettings::Kubernetes(_)) {
            return BTreeSet::from([stores.scope(store, "")]);
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let opted_in = namespaces.list_metadata(&ListParams::default().labels(&self.label)).await;
        let opted_in = opted_in.map_err(ApiError::from).map_or_else(
            |error| {
                tracing::warn!(
                    reason = chain(&error),
                    "namespaces cannot be listed; looking where pods ask for leases"
                );
                Vec::new()
            },
            |list| list.items,
        );
        let opted_in = opted_in.into_iter().filter_map(|namespace| namespace.metadata.name);
        let asked = living.asked.get(store).into_iter();
        let asking = asked.flat_map(|asked| asked.namespaces.iter().map(ToString::to_string));
        opted_in.chain(asking).map(|namespace| stores.scope(store, &namespace)).collect()
    }

    async fn sweep_one(
        &self,
        stores: &Stores,
        scope: &Scope,
        living: &Living,
    ) -> Result<Vec<LeaseSeries>, Wait> {
        let opened = stores.open(scope).await;
        let opened = opened.map_err(|error| Wait::new(Reason::StoreInvalid, error.to_string()))?;
        let Some(leases) = &opened.leases else { return Ok(Vec::new()) };
        if let Some((_, reason)) = opened.is_away(Instant::now().into()) {
            return Err(Wait::new(Reason::StoreUnavailable, reason));
        }
        let survey = match opened.survey(leases).await {
            Ok(survey) => survey,
            Err(StoreError::Denied { .. }) if !living.asks_in(scope) => {
                // A namespace that opted in for other things: the creator was given no right there.
                opened.answered();
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(&opened, error)),
        };
        opened.answered();
        self.release(&opened, leases, &survey, living).await
    }

    async fn release(
        &self,
        opened: &Arc<Opened>,
        leases: &Leases,
        survey: &Survey,
        living: &Living,
    ) -> Result<Vec<LeaseSeries>, Wait> {
        let gone = self.gone(&opened.scope, survey, living).await;
        // Without the API server nothing is released; that it is away is told by the watch too.
        let gone = gone.map_err(|error| Wait::new(Reason::StoreUnavailable, chain(&error)))?;
        let mut released = Vec::new();
        for uid in &gone.uids {
            let part = leases.release(uid, Instant::now()).await;
            released.extend(part.series);
            if let Some(error) = part.error {
                return Err(failed(opened, error));
            }
        }
        let asked_for: Vec<&LeaseSeries> =
            survey.named.keys().filter(|series| living.asks_for(&opened.scope.store, series)).collect();
        let part = leases.release_named(asked_for, |name| !gone.names.contains(name)).await;
        released.extend(part.series);
        match part.error {
            Some(error) => Err(failed(opened, error)),
            None => Ok(released),
        }
    }

    /// Those of a survey that are gone for certain.
    async fn gone(&self, scope: &Scope, survey: &Survey, living: &Living) -> Result<Gone, ApiError> {
        let mut suspects: BTreeMap<Option<&str>, Gone> = BTreeMap::new();
        for pod in &survey.holders {
            if !living.uids.contains(&*pod.uid) {
                suspects.entry(Some(&pod.namespace)).or_default().uids.insert(pod.uid.clone());
            }
        }
        // Of these only the store says where they are, if it is of a namespace.
        let anywhere = scope.namespace.as_deref();
        for uid in survey.claimants.iter().filter(|uid| !living.uids.contains(uid.as_str())) {
            suspects.entry(anywhere).or_default().uids.insert(uid.clone());
        }
        for (series, names) in &survey.named {
            let names = names.iter().filter(|name| !living.names.contains(name.as_str()));
            if living.asks_for(&scope.store, series) {
                suspects.entry(None).or_default().names.extend(names.cloned());
            }
        }
        let mut gone = Gone::default();
        for (namespace, mut suspects) in suspects {
            if suspects.uids.is_empty() && suspects.names.is_empty() {
                continue;
            }
            self.clear(namespace, &mut suspects).await?;
            gone.uids.extend(suspects.uids);
            gone.names.extend(suspects.names);
        }
        Ok(gone)
    }

    /// Takes those off that are there and have not ended.
    async fn clear(&self, namespace: Option<&str>, suspects: &mut Gone) -> Result<(), ApiError> {
        let pods: Api<Pod> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut parameters = ListParams::default().fields(NOT_ENDED).limit(PAGE);
        loop {
            let page = pods.list_metadata(&parameters).await?;
            for pod in page.items {
                suspects.uids.remove(&pod.metadata.uid.unwrap_or_default());
                suspects.names.remove(&pod.metadata.name.unwrap_or_default());
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}

/// Pods that may be gone, or are.
#[derive(Debug, Default)]
struct Gone {
    uids: BTreeSet<String>,
    names: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_owes_a_right_to_the_store_alone_that_its_pods_ask() {
        let store = |name| StoreName::new(name).unwrap();
        let asked = Asked { namespaces: BTreeSet::from(["shop".into()]), series: BTreeSet::new() };
        let living = Living { asked: BTreeMap::from([(store("prod"), asked)]), ..Living::default() };
        let asks = |name, namespace: Option<&str>| {
            living.asks_in(&Scope { store: store(name), namespace: namespace.map(Into::into) })
        };
        assert!(asks("prod", None) && asks("prod", Some("shop")));
        assert!(!asks("prod", Some("other")), "it opted in for other things");
        assert!(!asks("cluster", Some("shop")), "its leases are in another store");
    }
}
