//! Workloads that read a Secret by their environment start anew when it changes.
//!
//! Flow: workloads as they come, of each only what it reads is kept → a Secret changes, or the workload does → it has a turn:
//! the workload and its Secrets are read, hashed, and compared with the note on the workload → one patch of note and
//! template.
//!
//! Invariants: note and template change in one request, for the version that was read, so a change is told once, whoever
//! else works at the same time, and whoever is killed. No content of a Secret is kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::listing::{PAGE, apis, pages};
use super::metrics::Reason;
use super::readers::Readers;
use super::report;
use super::roll::Roll;
use super::salt::{Known, Salt, SaltError};
use super::term::Workshop;
use super::turn::Place;
use crate::cluster::{ApiError, REPORTER};
use crate::controller::event::Regarding;
use crate::controller::finished;
use crate::domain::AnnotationDomain;
use crate::rotation::consumers::{Note, Reference, Verdict, Wants, decide, hash, of_template};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::{Once, chain};

/// Turns at once.
const WORKERS: usize = 4;
/// How long a workload waits whose turn nobody allows, unless something changes before.
const MENDED: Duration = Duration::from_secs(600);

/// Kinds whose pods a change of the template makes anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `apps/v1`
    DaemonSet,
    /// `apps/v1`
    Deployment,
    /// `apps/v1`
    StatefulSet,
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What came of a workload's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing was to be done.
    Nothing,
    /// It starts anew, for these Secrets.
    Restarted(Vec<String>),
    /// It does so in so long.
    Later(Duration),
}

/// Why a workload could not have its turn.
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// There are no keyed hashes.
    #[error(transparent)]
    Salt(#[from] SaltError),
    /// A Secret that it reads.
    #[error(transparent)]
    Secret(#[from] StoreError),
    /// The workload.
    #[error(transparent)]
    Workload(#[from] ApiError),
}

impl ConsumerError {
    /// Its category.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Salt(SaltError::Absent(_)) => Reason::Absent,
            Self::Secret(StoreError::Denied { .. })
            | Self::Salt(SaltError::Store(StoreError::Denied { .. })) => Reason::Denied,
            Self::Workload(error) if error.is_forbidden() => Reason::Denied,
            Self::Workload(error) if error.is_invalid() => Reason::Refused,
            Self::Salt(_) | Self::Secret(_) | Self::Workload(_) => Reason::Unavailable,
        }
    }
}

impl Kind {
    const ALL: [Self; 3] = [Self::DaemonSet, Self::Deployment, Self::StatefulSet];

    /// As Kubernetes calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    fn resource(self) -> ApiResource {
        let plural = match self {
            Self::DaemonSet => "daemonsets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        };
        ApiResource {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: self.as_str().to_owned(),
            plural: plural.to_owned(),
        }
    }
}

/// Works until the process drains; what runs then is finished.
pub(super) async fn work(
    shop: &Arc<Workshop>,
    salt: &Arc<Salt>,
    shutdown: &Shutdown,
    mut changed: UnboundedReceiver<Place>,
) {
    let mut workloads = watch(shop);
    let (mut readers, mut roll) = (Readers::default(), Roll::new());
    let mut turns: JoinSet<(Workload, Result<Told, ConsumerError>)> = JoinSet::new();
    let (mut said, mut said_of_watch) = (Once::default(), BTreeMap::<Kind, Once>::new());
    loop {
        let turn = match roll.next().filter(|_| turns.len() < WORKERS) {
            Some(due) => sleep_until(due).left_future(),
            None => std::future::pending().right_future(),
        };
        tokio::select! {
            () = shutdown.draining() => break,
            Some((kind, sight)) = workloads.next() => match sight {
                Ok(event) => readers.see(kind, event, &shop.domain, &mut roll),
                Err(error) => {
                    let reason = chain(&error);
                    if said_of_watch.entry(kind).or_default().is_news(&reason) {
                        tracing::warn!(kind = kind.as_str(), reason, "workloads cannot be watched, so none is restarted; tried again");
                    }
                }
            },
            Some(secret) = changed.recv() => {
                readers.of(&secret).for_each(|workload| roll.hurry(workload.clone()));
            }
            Some(done) = turns.join_next() => finish(&mut roll, done, &mut said),
            () = turn => {
                let Some(workload) = roll.begin() else { continue };
                let (shop, salt) = (Arc::clone(shop), Arc::clone(salt));
                turns.spawn(async move {
                    let result = give(&shop, &salt, &workload).await;
                    (workload, result)
                });
            }
        }
    }
    while let Some(done) = turns.join_next().await {
        finish(&mut roll, done, &mut said);
    }
}

/// Which workloads have a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All that read a Secret once.
    All,
    /// Those of which nothing is noted yet. They have their turn before any Secret changes: what they read is what is
    /// there now.
    New,
}

/// What turns of workloads came to.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those that start anew, and for which Secrets.
    pub(super) restarted: BTreeMap<Workload, Vec<String>>,
    /// The first reason why not all had theirs.
    pub(super) failed: Option<ConsumerError>,
}

/// Gives each such workload one turn. One that fails holds up no other.
pub(super) async fn once(shop: &Workshop, salt: &Salt, which: Which) -> Turns {
    let mut turns = Turns::default();
    for kind in Kind::ALL {
        for api in apis(shop, &kind.resource()) {
            if let Err(error) = once_of(shop, salt, which, (kind, api), &mut turns).await {
                // Without it there is a turn for nobody.
                let is_over = matches!(error, ConsumerError::Salt(_));
                turns.failed.get_or_insert(error);
                if is_over {
                    return turns;
                }
            }
        }
    }
    turns
}

/// Those of one kind. `Err` where they cannot be listed to the end, or there is no salt.
async fn once_of(
    shop: &Workshop,
    salt: &Salt,
    which: Which,
    (kind, api): (Kind, Api<DynamicObject>),
    turns: &mut Turns,
) -> Result<(), ConsumerError> {
    let is_new = |object: &DynamicObject| !object.annotations().contains_key(&shop.domain.seen_key());
    let mut pages = pin!(pages(async |parameters: &ListParams| api.list(parameters).await));
    while let Some(page) = pages.try_next().await? {
        for object in page.iter().filter(|object| which == Which::All || is_new(object)) {
            let Some(workload) = reader(kind, object, &shop.domain) else { continue };
            match give(shop, salt, &workload).await {
                Ok(Told::Restarted(changed)) => drop(turns.restarted.insert(workload, changed)),
                Ok(_) => {}
                Err(error @ ConsumerError::Salt(_)) => return Err(error),
                Err(error) => {
                    warn(&workload, &chain(&error));
                    turns.failed.get_or_insert(error);
                }
            }
        }
    }
    Ok(())
}

fn warn(Workload { kind, namespace, name }: &Workload, reason: &str) {
    tracing::warn!(kind = kind.as_str(), %namespace, %name, reason, "it is not known whether to restart it");
}

type Sights = BoxStream<'static, (Kind, Result<Event<DynamicObject>, watcher::Error>)>;

fn watch(shop: &Workshop) -> SelectAll<Sights> {
    let streams = Kind::ALL.into_iter().flat_map(|kind| {
        apis(shop, &kind.resource()).into_iter().map(move |api| {
            let sights = watcher(api, Config::default().page_size(PAGE)).default_backoff();
            sights.map(move |sight| (kind, sight)).boxed()
        })
    });
    select_all(streams)
}

/// The workload, if it reads a Secret by its environment.
fn reader(kind: Kind, object: &DynamicObject, domain: &AnnotationDomain) -> Option<Workload> {
    let namespace = object.namespace()?;
    let template = object.data.pointer("/spec/template")?;
    let reads = !of_template(template, &namespace, domain).is_empty();
    reads.then(|| Workload { kind, namespace, name: object.name_any() })
}

/// An annotation of the object, or of its template.
pub(super) fn annotation(object: &DynamicObject, key: &str) -> Option<String> {
    let own = object.annotations().get(key).cloned();
    own.or_else(|| {
        let template = object.data.pointer("/spec/template/metadata/annotations")?;
        Some(template.get(key)?.as_str()?.to_owned())
    })
}

/// One turn.
async fn give(shop: &Workshop, salt: &Salt, workload: &Workload) -> Result<Told, ConsumerError> {
    let Workload { kind, namespace, name } = workload;
    let api: Api<DynamicObject> =
        Api::namespaced_with(shop.cluster.client().clone(), namespace, &kind.resource());
    let Some(object) = api.get_opt(name).await.map_err(ApiError::from)? else { return Ok(Told::Nothing) };
    let domain = &shop.domain;
    let template = object.data.pointer("/spec/template").unwrap_or(&Value::Null);
    let noted = object.annotations().get(&domain.seen_key()).map(|text| Note::read(text));
    let now = Timestamp::now();
    let to_note = look(shop, salt, of_template(template, namespace, domain), noted.as_ref(), now).await?;
    let note = to_note.write();
    let restarted = annotation(&object, &domain.restarted_at_key()).and_then(|text| text.parse().ok());
    let wants = Wants::read(domain, |key| annotation(&object, key));
    let mut patch = json!({"metadata": {
        "resourceVersion": object.resource_version(),
        "annotations": {domain.seen_key(): note},
    }});
    let told = match decide(noted.as_ref(), &to_note, &wants, restarted) {
        Verdict::UpToDate => return Ok(Told::Nothing),
        Verdict::Wait { until } => {
            return Ok(Told::Later(Duration::try_from(until.duration_since(now)).unwrap_or_default()));
        }
        Verdict::Note => Told::Nothing,
        Verdict::Tell { changed } => {
            let annotations = json!({
                domain.restarted_at_key(): format!("{now:.0}"),
                domain.restarted_for_key(): salt.digest(&note).await?,
            });
            patch["spec"] = json!({"template": {"metadata": {"annotations": annotations}}});
            Told::Restarted(changed)
        }
    };
    if shop.turner.is_dry() {
        return Ok(told);
    }
    let parameters = PatchParams { field_manager: Some(REPORTER.to_owned()), ..PatchParams::default() };
    match api.patch(name, &parameters, &Patch::Merge(patch)).await.map_err(ApiError::from) {
        Ok(_) => {}
        // Somebody else wrote in between, and that is seen.
        Err(error) if error.is_conflict() => return Ok(Told::Later(Duration::from_secs(1))),
        Err(error) => return Err(error.into()),
    }
    if let Told::Restarted(changed) = &told {
        shop.metrics.restarted();
        tracing::info!(kind = kind.as_str(), %namespace, %name, secrets = changed.join(", "), "restarted, since Secrets of its environment changed");
        let uid = object.uid().unwrap_or_default();
        let regarding = Regarding { api_version: "apps/v1", kind: kind.as_str(), namespace, name, uid: &uid };
        report::tell(&shop.cluster, regarding, report::told(changed), &note).await;
    }
    Ok(told)
}

/// What is to be noted of each reference; every Secret is read once.
pub(super) async fn look(
    shop: &Workshop,
    salt: &Salt,
    references: Vec<Reference>,
    noted: Option<&Note>,
    now: Timestamp,
) -> Result<Note, ConsumerError> {
    let Known { id, value: salt } = salt.known().await?;
    let mut secrets = BTreeMap::new();
    for Reference { namespace, secret, .. } in &references {
        let place = (namespace.clone(), secret.clone());
        if let Entry::Vacant(vacant) = secrets.entry(place) {
            let read = shop.connection.read_secret(namespace, secret).await?;
            vacant.insert(read.map(|(object, _)| object.data));
        }
    }
    let hashes = references.into_iter().map(|reference| {
        let data = secrets.get(&(reference.namespace.clone(), reference.secret.clone()));
        let hash = data.and_then(Option::as_ref).and_then(|data| hash(&reference, data, salt));
        (reference, hash)
    });
    Ok(Note::of(id.clone(), now, hashes, noted))
}

fn finish(
    roll: &mut Roll<Workload>,
    done: Result<(Workload, Result<Told, ConsumerError>), tokio::task::JoinError>,
    said: &mut Once,
) {
    let (workload, result) = finished(done);
    match result {
        Ok(Told::Nothing | Told::Restarted(_)) => {
            said.clear();
            roll.end(workload, None);
        }
        Ok(Told::Later(wait)) => roll.end(workload, Some(wait)),
        Err(error) => {
            let reason = chain(&error);
            if said.is_news(&reason) {
                warn(&workload, &reason);
            }
            match error {
                ConsumerError::Workload(error) if error.is_refusal() => roll.end(workload, Some(MENDED)),
                ConsumerError::Secret(StoreError::Denied { .. }) => roll.end(workload, Some(MENDED)),
                _ => roll.fail(workload),
            }
        }
    }
}
