//! One time of work: Secrets that ask for it get a turn when they change and when something is due.
//!
//! Nothing is remembered of a Secret but when its next turn is. A list that begins anew forgets nobody: whoever is gone is
//! found to be so at the next turn.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::listing::pages;
use super::metrics::{Reason, RotationMetrics};
use super::report;
use super::roll::Roll;
use super::turn::{Outcomes, Place, TurnError, Turned, Turner, Wish};
use crate::cluster::{ApiError, Cluster};
use crate::controller::event::Regarding;
use crate::controller::finished;
use crate::controller::metadata::{Sight, Watcher};
use crate::domain::AnnotationDomain;
use crate::shutdown::Shutdown;
use crate::store::kubernetes::Connection;
use crate::telemetry::{Once, chain};

/// Turns at once.
const WORKERS: usize = 4;
/// The shortest and the longest time between two turns of a Secret that nobody changes. Clocks are looked at anew by each.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long a Secret waits that a person must mend, unless it is changed before.
const MENDED: Duration = Duration::from_secs(600);
/// How long the list may take where everything is done once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no knowing which Secrets there are.
#[derive(Debug, Error)]
pub enum NotListed {
    /// The API server says so, or is away.
    #[error(
        "Secrets could not be listed; check that the API server can be reached, and the right to list secrets, in all namespaces or in those of --watch-namespace"
    )]
    Refused(#[from] ApiError),
    /// It takes too long.
    #[error(
        "the API server did not list the Secrets within {PATIENCE:?}; try again, or give --watch-namespace"
    )]
    Late,
}

/// What the work needs.
pub(super) struct Workshop {
    pub(super) turner: Turner,
    pub(super) domain: AnnotationDomain,
    pub(super) cluster: Cluster,
    pub(super) metrics: RotationMetrics,
    /// The only namespaces; all where there are none.
    pub(super) namespaces: Vec<String>,
    pub(super) connection: Connection,
    /// Whether consumers of changed Secrets are told.
    pub(super) tells: bool,
}

/// Works until the process drains; what runs then is finished. Every Secret that is seen goes to `changed`.
pub(super) async fn work(shop: &Arc<Workshop>, shutdown: &Shutdown, changed: &[UnboundedSender<Place>]) {
    let mut watcher = Watcher::new(shop.cluster.client().clone());
    let mut secrets = watch(shop, &watcher);
    let mut roll = Roll::new();
    let mut turns: JoinSet<(Place, Result<Turned, TurnError>)> = JoinSet::new();
    let mut tokens = Tokens::default();
    let mut said = Once::default();
    loop {
        let turn = match roll.next().filter(|_| turns.len() < WORKERS) {
            Some(due) => sleep_until(due).left_future(),
            None => std::future::pending().right_future(),
        };
        tokio::select! {
            () = shutdown.draining() => break,
            Some(sight) = secrets.next() => {
                if watcher.falls_back(&sight) {
                    secrets = watch(shop, &watcher);
                    continue;
                }
                see(shop, &mut roll, &mut tokens, sight, changed, &mut said);
            }
            Some(done) = turns.join_next() => finish(shop, &mut roll, done),
            () = turn => {
                let Some(place) = roll.begin() else { continue };
                let shop = Arc::clone(shop);
                turns.spawn(async move {
                    let result = give(&shop, &place, &Wish::Scheduled).await;
                    (place, result)
                });
            }
        }
    }
    while let Some(done) = turns.join_next().await {
        finish(shop, &mut roll, done);
    }
}

/// Gives every Secret that asks for it one turn, or those of `places`. `Err` where they cannot be listed.
pub(super) async fn once(
    shop: &Workshop,
    places: Option<Vec<Place>>,
    wish: &Wish,
) -> Result<Outcomes, NotListed> {
    let places = match places {
        Some(places) => places,
        None => timeout(PATIENCE, list(shop)).await.map_err(|_| NotListed::Late)??,
    };
    let mut outcomes = Outcomes::new();
    for place in places {
        let result = give(shop, &place, wish).await;
        outcomes.insert(place, result);
    }
    Ok(outcomes)
}

/// Secrets with keys, and then those with tokens, which the keys that sign by then are to sign.
async fn list(shop: &Workshop) -> Result<Vec<Place>, ApiError> {
    let listed = list_secrets(shop).await?;
    let asking = listed.into_iter().filter(|metadata| asks(shop, metadata));
    let key = shop.domain.rotation_key();
    let has_keys =
        |metadata: &ObjectMeta| metadata.annotations.as_ref().is_some_and(|all| all.contains_key(&key));
    let (keys, tokens): (Vec<_>, Vec<_>) = asking.partition(has_keys);
    Ok(keys.iter().chain(&tokens).map(place).collect())
}

/// The metadata of all Secrets that are looked at.
pub(super) async fn list_secrets(shop: &Workshop) -> Result<Vec<ObjectMeta>, ApiError> {
    let client = || shop.cluster.client().clone();
    let apis: Vec<Api<Secret>> = match &shop.namespaces[..] {
        [] => vec![Api::all(client())],
        some => some.iter().map(|namespace| Api::namespaced(client(), namespace)).collect(),
    };
    let mut all = Vec::new();
    for api in apis {
        let mut pages = pin!(pages(async |parameters: &ListParams| api.list_metadata(parameters).await));
        while let Some(page) = pages.try_next().await? {
            all.extend(page.into_iter().map(|PartialObjectMeta { metadata, .. }| metadata));
        }
    }
    Ok(all)
}

/// One turn, and what is told of it.
async fn give(shop: &Workshop, place: &Place, wish: &Wish) -> Result<Turned, TurnError> {
    let (namespace, secret) = place;
    let result = shop.turner.turn(namespace, secret, wish).await;
    shop.metrics.turned(place, &result);
    if shop.turner.is_dry() {
        return result;
    }
    match &result {
        Ok(Turned::Keys(outcome)) => {
            for change in &outcome.changes {
                let said = report::said(change);
                tracing::info!(%namespace, %secret, "{}", said.note);
                let about = Regarding {
                    api_version: "v1",
                    kind: "Secret",
                    namespace,
                    name: secret,
                    uid: &outcome.uid,
                };
                report::tell(&shop.cluster, about, said, "").await;
            }
        }
        Ok(Turned::Token(outcome)) => {
            if let Some(key) = &outcome.signed_by {
                tracing::info!(%namespace, %secret, key, next = %outcome.next, "a new token");
            }
        }
        Err(TurnError::Absent) => {}
        Err(error) => {
            let reason = chain(error);
            tracing::warn!(%namespace, %secret, reason, "keys do not turn over");
            let secrets: Api<Secret> = Api::namespaced(shop.cluster.client().clone(), namespace);
            let uid = secrets.get_metadata(secret).await.ok().and_then(|object| object.metadata.uid);
            if let Some(uid) = uid {
                let about =
                    Regarding { api_version: "v1", kind: "Secret", namespace, name: secret, uid: &uid };
                report::tell(&shop.cluster, about, report::failed(&reason), "").await;
            }
        }
    }
    result
}

fn watch(shop: &Workshop, watcher: &Watcher) -> SelectAll<BoxStream<'static, Sight>> {
    match &shop.namespaces[..] {
        [] => select_all([watcher.watch::<Secret>(Config::default())]),
        some => {
            select_all(some.iter().map(|namespace| watcher.watch_in::<Secret>(namespace, Config::default())))
        }
    }
}

fn see(
    shop: &Workshop,
    roll: &mut Roll<Place>,
    tokens: &mut Tokens,
    sight: Sight,
    changed: &[UnboundedSender<Place>],
    said: &mut Once,
) {
    match sight {
        Ok(Event::Apply(metadata) | Event::InitApply(metadata)) => {
            let asks = asks(shop, &metadata);
            let keys = metadata.annotations.as_ref().and_then(|all| all.get(&shop.domain.token_of_key()));
            let keys =
                keys.map(|name| (metadata.namespace.clone().unwrap_or_default(), name.trim().to_owned()));
            let place = place(&metadata);
            tell_all(changed, &place);
            tokens.are_of(&place, keys);
            tokens.of(&place).for_each(|token| roll.hurry(token.clone()));
            if asks {
                roll.hurry(place);
            } else if roll.forget(&place) {
                shop.metrics.forget(&place);
            }
        }
        Ok(Event::Delete(metadata)) => {
            let place = place(&metadata);
            tell_all(changed, &place);
            tokens.are_of(&place, None);
            if roll.forget(&place) {
                shop.metrics.forget(&place);
            }
        }
        Ok(Event::Init | Event::InitDone) => said.clear(),
        Err(error) => {
            let reason = chain(&error);
            if said.is_news(&reason) {
                tracing::warn!(reason, "Secrets cannot be watched; tried again");
            }
        }
    }
}

/// Secrets with tokens, by the Secret of their keys: another key that signs is news to them.
#[derive(Default)]
struct Tokens(BTreeMap<Place, Place>);

impl Tokens {
    fn are_of(&mut self, token: &Place, keys: Option<Place>) {
        match keys {
            Some(keys) => drop(self.0.insert(token.clone(), keys)),
            None => drop(self.0.remove(token)),
        }
    }

    fn of(&self, keys: &Place) -> impl Iterator<Item = &Place> {
        self.0.iter().filter(move |(_, of)| *of == keys).map(|(token, _)| token)
    }
}

fn tell_all(changed: &[UnboundedSender<Place>], place: &Place) {
    for to in changed {
        // Who listens no more needs to know nothing.
        let _ = to.send(place.clone());
    }
}

fn finish(
    shop: &Workshop,
    roll: &mut Roll<Place>,
    done: Result<(Place, Result<Turned, TurnError>), tokio::task::JoinError>,
) {
    let (place, result) = finished(done);
    match &result {
        Ok(turned) => roll.end(place, Some(turned.rest().clamp(SHORTEST, LONGEST))),
        Err(error) => match error.reason() {
            Reason::Absent => {
                shop.metrics.forget(&place);
                roll.end(place, None);
            }
            Reason::Unavailable | Reason::Generator => roll.fail(place),
            Reason::Annotations | Reason::Keys | Reason::Refused | Reason::Denied => {
                roll.end(place, Some(MENDED));
            }
        },
    }
}

fn asks(shop: &Workshop, metadata: &ObjectMeta) -> bool {
    let keys = [shop.domain.rotation_key(), shop.domain.token_of_key()];
    let annotations = metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| keys.iter().any(|key| annotations.contains_key(key)))
}

pub(super) fn place(metadata: &ObjectMeta) -> Place {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}
