//! External Secrets Operator: an ExternalSecret syncs when a Secret changes that its store logs in with, or that it is copied
//! from; and a store that embeds a token has the new one.
//!
//! Flow: Secrets change → after a moment, stores and ExternalSecrets are listed once → those that read a changed one are
//! compared with the note on them → one patch of note and `force-sync`.
//!
//! A sync too many does no harm, so an ExternalSecret of which nothing is noted is told as well, when something changed. Where
//! the operator is not installed, nothing is done.
//!
//! Deliberately absent: a watch of its objects. They are asked for when a Secret has changed, and what is new by then reads
//! what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::consumers::{self, ConsumerError};
use super::listing::{apis, pages};
use super::salt::Salt;
use super::term::{self, Workshop};
use super::token::TOKEN;
use super::turn::Place;
use crate::cluster::{ApiError, REPORTER};
use crate::rotation::consumers::{Note, Reference, Standing, of_external_secret, stores_of};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::{Once, chain};

/// How long changes are gathered before anything is listed.
const GATHER: Duration = Duration::from_secs(3);
/// How long it takes until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// The annotation that External Secrets Operator's documentation has people change to have an ExternalSecret synced.
const FORCE_SYNC: &str = "force-sync";

/// Works until the process drains.
pub(super) async fn work(
    shop: &Workshop,
    salt: &Salt,
    shutdown: &Shutdown,
    mut changed: UnboundedReceiver<Place>,
) {
    let mut said = Once::default();
    // What was there before anything changed is noted, and nobody is told.
    let mut gathered: Option<BTreeSet<Place>> = None;
    loop {
        let done = async {
            tokio::time::sleep(GATHER).await;
            look(shop, salt, gathered.as_ref()).await
        };
        let result = tokio::select! {
            () = shutdown.draining() => return,
            result = done => result,
        };
        match result {
            Ok(_) => {
                said.clear();
                gathered = Some(BTreeSet::new());
            }
            Err(error) => {
                let reason = chain(&error);
                if said.is_news(&reason) {
                    tracing::warn!(reason, "ExternalSecrets are not told of changes; tried again");
                }
                tokio::select! {
                    () = shutdown.draining() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
                continue;
            }
        }
        let first = tokio::select! {
            () = shutdown.draining() => return,
            Some(first) = changed.recv() => first,
        };
        let set = gathered.get_or_insert_default();
        set.insert(first);
        while let Ok(next) = changed.try_recv() {
            set.insert(next);
        }
    }
}

/// Tells those that read a Secret of `changed`; without it, those whose note says otherwise than what is there. Yields what
/// was told, by kind, namespace and name.
pub(super) async fn look(
    shop: &Workshop,
    salt: &Salt,
    changed: Option<&BTreeSet<Place>>,
) -> Result<Vec<String>, ConsumerError> {
    let mut told = embed(shop, changed).await?;
    let mut stores = BTreeMap::new();
    for kind in ["ClusterSecretStore", "SecretStore"] {
        for object in list(shop, kind).await? {
            let key = (kind, object.namespace().unwrap_or_default(), object.name_any());
            stores.insert(key, object.data.get("spec").cloned().unwrap_or_default());
        }
    }
    if stores.is_empty() {
        return Ok(told);
    }
    for object in list(shop, "ExternalSecret").await? {
        let namespace = object.namespace().unwrap_or_default();
        let spec = object.data.get("spec").unwrap_or(&Value::Null);
        let references = of_external_secret(spec, &namespace, |kind, name| {
            let of = if kind == "ClusterSecretStore" { String::new() } else { namespace.clone() };
            stores.get(&(kind, of, name.to_owned())).cloned()
        });
        let is_meant = |reference: &Reference| {
            let place = (reference.namespace.clone(), reference.secret.clone());
            changed.is_none_or(|changed| changed.contains(&place))
        };
        if references.iter().any(is_meant) {
            let synced = sync(shop, salt, &object, references, changed.is_some()).await;
            let is_told = unless_denied(synced, &object)?;
            told.extend(is_told.then(|| name_of("ExternalSecret", &object)));
        }
    }
    Ok(told)
}

/// What depends on a Secret that may not be read is passed over: it may be another installation's.
fn unless_denied(result: Result<bool, ConsumerError>, object: &DynamicObject) -> Result<bool, ConsumerError> {
    match result {
        Err(ConsumerError::Secret(error @ StoreError::Denied { .. })) => {
            let (namespace, name) = (object.namespace(), object.name_any());
            tracing::debug!(namespace, %name, reason = chain(&error), "an ExternalSecret is not told of changes");
            Ok(false)
        }
        other => other,
    }
}

/// Whether it was told.
async fn sync(
    shop: &Workshop,
    salt: &Salt,
    object: &DynamicObject,
    references: Vec<Reference>,
    is_change: bool,
) -> Result<bool, ConsumerError> {
    let noted = object.annotations().get(&shop.domain.seen_key()).map(|text| Note::read(text));
    let to_note = consumers::look(shop, salt, references, noted.as_ref(), Timestamp::now()).await?;
    let is_told = match noted.map(|noted| noted.standing(&to_note)) {
        Some(Standing::Others { .. } | Standing::Same) => return Ok(false),
        Some(Standing::Changed) => true,
        Some(Standing::Foreign) | None => is_change,
    };
    let mut annotations = json!({shop.domain.seen_key(): to_note.write()});
    if is_told {
        annotations[FORCE_SYNC] = salt.digest(&to_note.write()).await?.into();
    }
    patch(shop, "ExternalSecret", object, &json!({"metadata": {"annotations": annotations}})).await?;
    Ok(is_told)
}

/// Puts the token of each Secret that says so into the header of its stores. It is the Secret that says where: a store
/// could ask for any.
async fn embed(shop: &Workshop, changed: Option<&BTreeSet<Place>>) -> Result<Vec<String>, ConsumerError> {
    let key = shop.domain.embedded_in_key();
    let mut told = Vec::new();
    for (place, metadata) in secrets(shop, changed).await? {
        let stores = metadata.annotations.as_ref().and_then(|annotations| annotations.get(&key));
        let Some(stores) = stores else { continue };
        let (namespace, secret) = &place;
        let read = shop.connection.read_secret(namespace, secret).await?;
        let token = read.and_then(|(mut object, _)| object.data.remove(TOKEN));
        let Some(token) = token.as_ref().and_then(|value| std::str::from_utf8(value.expose()).ok()) else {
            tracing::info!(%namespace, %secret, "holds no token yet, which stores are to embed");
            continue;
        };
        let header = Value::from(format!("Bearer {}", token.trim()));
        for (of, name) in stores_of(stores) {
            let kind = if of.is_some() { "SecretStore" } else { "ClusterSecretStore" };
            let store = match api(shop, kind, of).get_opt(name).await.map_err(ApiError::from) {
                Ok(Some(store)) => store,
                Ok(None) => continue,
                Err(error) if error.is_forbidden() => continue,
                Err(error) => return Err(error.into()),
            };
            if store.data.pointer("/spec/provider/webhook/headers/Authorization") != Some(&header) {
                let body = json!({"spec": {"provider": {"webhook": {"headers": {"Authorization": header}}}}});
                patch(shop, kind, &store, &body).await?;
                told.push(name_of(kind, &store));
            }
        }
    }
    Ok(told)
}

/// The metadata of the Secrets that changed, or of all.
async fn secrets(
    shop: &Workshop,
    changed: Option<&BTreeSet<Place>>,
) -> Result<Vec<(Place, ObjectMeta)>, ConsumerError> {
    let Some(changed) = changed else {
        let listed = term::list_secrets(shop).await.map_err(ConsumerError::Workload)?;
        return Ok(listed.into_iter().map(|metadata| (term::place(&metadata), metadata)).collect());
    };
    let mut found = Vec::new();
    for (namespace, name) in changed {
        let secrets: Api<Secret> = Api::namespaced(shop.cluster.client().clone(), namespace);
        let object = secrets.get_metadata_opt(name).await.map_err(ApiError::from)?;
        found.extend(object.map(|object| ((namespace.clone(), name.clone()), object.metadata)));
    }
    Ok(found)
}

fn api(shop: &Workshop, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let client = shop.cluster.client().clone();
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource(kind)),
        None => Api::all_with(client, &resource(kind)),
    }
}

async fn patch(
    shop: &Workshop,
    kind: &str,
    object: &DynamicObject,
    body: &Value,
) -> Result<(), ConsumerError> {
    let name = object.name_any();
    tracing::info!(kind, namespace = object.namespace(), %name, "told that a Secret changed");
    if shop.turner.is_dry() {
        return Ok(());
    }
    let api = api(shop, kind, object.namespace().as_deref());
    let parameters = PatchParams { field_manager: Some(REPORTER.to_owned()), ..PatchParams::default() };
    match api.patch(&name, &parameters, &Patch::Merge(body)).await.map_err(ApiError::from) {
        Ok(_) => Ok(()),
        // It went in between.
        Err(error) if error.is_absent() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All of a kind that may be seen; none where the operator is not installed.
async fn list(shop: &Workshop, kind: &str) -> Result<Vec<DynamicObject>, ConsumerError> {
    let apis = match kind {
        // Of no namespace.
        "ClusterSecretStore" => vec![api(shop, kind, None)],
        _ => apis(shop, &resource(kind)),
    };
    let mut objects = Vec::new();
    for api in apis {
        let mut pages = pin!(pages(async |parameters: &ListParams| api.list(parameters).await));
        loop {
            match pages.try_next().await {
                Ok(Some(page)) => objects.extend(page),
                Ok(None) => break,
                Err(error) if error.is_absent() || error.is_forbidden() => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(objects)
}

fn resource(kind: &str) -> ApiResource {
    ApiResource {
        group: "external-secrets.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "external-secrets.io/v1".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_ascii_lowercase()),
    }
}

fn name_of(kind: &str, object: &DynamicObject) -> String {
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}
