//! The stores that the creator writes to: opened when a pod needs them, and left alone for a while when they are away.
//!
//! ```text
//! (store, namespace) ─▶ Scope ─▶ Opened { store, leases, what is known to be there, until when it is away }
//! ```
//!
//! Invariants: the store `kubernetes` is one for each namespace, every other one is the same for all; while a store is
//! away, nobody asks it, and the first who may ask again tells the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::away::Away;
use super::known::Known;
use super::leases::{Leases, Survey};
use crate::cluster::ApiError;
use crate::domain::StoreName;
use crate::handover::{StoreSettings, variable};
use crate::inject::PrefixRule;
use crate::store::{self, Answer, OpenError, Store, StoreError, Surroundings};
use crate::telemetry::chain;

/// Which store, and of which namespace where each has its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) store: StoreName,
    pub(super) namespace: Option<Box<str>>,
}

/// Opens stores.
pub(super) trait Open: Send + Sync {
    /// Opens the store of this scope. Nothing is contacted yet.
    fn open<'a>(
        &'a self,
        scope: &'a Scope,
        settings: &'a StoreSettings,
    ) -> Answer<'a, Result<Arc<dyn Store>, OpenError>>;

    /// What stands for the cluster in the records of leases: the UID of the namespace `kube-system`.
    fn cluster(&self) -> Answer<'_, Result<String, OpenError>>;
}

/// Opens them with the creator's own identity.
pub(super) struct OwnIdentity {
    /// Has a directory for each store, with the file `token` in it.
    pub(super) tokens: PathBuf,
    /// The creator's Pod and the variables by which clouds tell it who it is.
    pub(super) surroundings: Surroundings,
    /// The API server.
    pub(super) client: Client,
    /// The API server, for Secret objects.
    #[cfg(feature = "kubernetes")]
    pub(super) secrets: store::kubernetes::Connection,
}

impl Open for OwnIdentity {
    fn open<'a>(
        &'a self,
        scope: &'a Scope,
        settings: &'a StoreSettings,
    ) -> Answer<'a, Result<Arc<dyn Store>, OpenError>> {
        Box::pin(async move {
            #[cfg(feature = "kubernetes")]
            if let Some(namespace) = &scope.namespace {
                return self.secrets.namespace(namespace);
            }
            let token = self.tokens.join(scope.store.as_str()).join("token");
            let surroundings = Surroundings {
                // Where there is none, the cloud's own way of telling a pod who it is may do.
                token_file: token.exists().then(|| token.clone()),
                ..self.surroundings.clone()
            };
            store::open(settings, &surroundings).await.map_err(|error| match error {
                // The stores know the variable by which an init container is told.
                OpenError::Unusable { kind, reason } if reason.contains(variable::TOKEN_FILE) => {
                    let reason = format!(
                        "it has an audience, and the creator's token {} is not there; mount it, or give --token-directory",
                        token.display()
                    );
                    OpenError::Unusable { kind, reason }
                }
                other => other,
            })
        })
    }

    fn cluster(&self) -> Answer<'_, Result<String, OpenError>> {
        Box::pin(async move {
            let namespaces: Api<Namespace> = Api::all(self.client.clone());
            // A list, since that is a right that the creator has anyway.
            let one = ListParams::default().fields("metadata.name=kube-system");
            let listed = namespaces.list_metadata(&one).await.map_err(|error| chain(&ApiError::from(error)));
            let uid = listed.map(|listed| listed.items.into_iter().find_map(|found| found.metadata.uid));
            let unknown = |reason: &str| OpenError::Unusable {
                kind: "leases",
                reason: format!(
                    "the UID of namespace kube-system, by which leases of clusters are told apart, cannot be had ({reason})"
                ),
            };
            uid.map_err(|reason| unknown(&reason))?.ok_or_else(|| unknown("there is no such namespace"))
        })
    }
}

/// A store, and what is known of it.
pub(super) struct Opened {
    pub(super) scope: Scope,
    /// The word of its kind.
    pub(super) kind: &'static str,
    pub(super) store: Arc<dyn Store>,
    /// Nothing where it cannot hold any.
    pub(super) leases: Option<Leases>,
    pub(super) known: Known,
    /// Set when the leases were surveyed once.
    is_surveyed: OnceCell<()>,
    away: Mutex<Away>,
}

impl Opened {
    fn new(scope: Scope, kind: &'static str, store: Arc<dyn Store>, leases: Option<Leases>) -> Self {
        let (known, is_surveyed, away) = Default::default();
        Self { scope, kind, store, leases, known, is_surveyed, away }
    }

    /// Reads who holds what.
    pub(super) async fn survey(&self, leases: &Leases) -> Result<Survey, StoreError> {
        let survey = leases.survey().await?;
        let _ = self.is_surveyed.set(());
        Ok(survey)
    }

    /// Reads who holds what, unless that was done before. What is assigned without would be a guess.
    pub(super) async fn survey_once(&self, leases: &Leases) -> Result<(), StoreError> {
        self.is_surveyed.get_or_try_init(|| async { leases.survey().await.map(drop) }).await.copied()
    }

    /// When to come again, and why not now; nothing where it may be asked: see [`Away::look`].
    pub(super) fn is_away(&self, now: Instant) -> Option<(Instant, String)> {
        self.away().look(now)
    }

    /// It did not answer, or asked to be left alone. Yields until when.
    pub(super) fn failed(&self, reason: &str, retry_after: Option<Duration>, now: Instant) -> Instant {
        let (until, is_news) = self.away().failed(reason, retry_after, now);
        if is_news {
            let Scope { store, namespace } = &self.scope;
            tracing::warn!(%store, namespace, reason, "a store is away; pods wait for it");
        }
        until
    }

    /// Nothing had to be asked.
    pub(super) fn was_not_asked(&self, now: Instant) {
        self.away().was_not_asked(now);
    }

    /// It answered.
    pub(super) fn answered(&self) {
        if self.away().answered() {
            let Scope { store, namespace } = &self.scope;
            tracing::info!(%store, namespace, "a store is back");
        }
    }

    fn away(&self) -> MutexGuard<'_, Away> {
        // Every change is whole whatever panicked.
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For people: `store prod (dynamodb)`.
    pub(super) fn name(&self) -> String {
        format!("store {} ({})", self.scope.store, self.kind)
    }
}

/// All stores of the configuration.
pub(super) struct Stores {
    settings: BTreeMap<StoreName, StoreSettings>,
    /// What the paths begin with that pods of this cluster may name.
    prefixes: Vec<String>,
    opener: Box<dyn Open>,
    cluster: OnceCell<String>,
    /// Held while one is opened.
    opened: tokio::sync::Mutex<HashMap<Scope, Arc<Opened>>>,
}

impl Stores {
    pub(super) fn new(
        settings: BTreeMap<StoreName, StoreSettings>,
        rules: &[PrefixRule],
        opener: impl Open + 'static,
    ) -> Self {
        let (cluster, opened) = Default::default();
        Self { settings, prefixes: prefixes(rules), opener: Box::new(opener), cluster, opened }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&StoreName, &StoreSettings)> {
        self.settings.iter()
    }

    /// The scope of a store for pods of a namespace.
    pub(super) fn scope(&self, store: &StoreName, namespace: &str) -> Scope {
        let is_each_its_own = matches!(self.settings.get(store), Some(StoreSettings::Kubernetes(_)));
        Scope { store: store.clone(), namespace: is_each_its_own.then(|| namespace.into()) }
    }

    /// The store, opened if it is not yet.
    pub(super) async fn open(&self, scope: &Scope) -> Result<Arc<Opened>, OpenError> {
        let mut opened = self.opened.lock().await;
        if let Some(found) = opened.get(scope) {
            return Ok(Arc::clone(found));
        }
        let settings = self.settings.get(&scope.store).ok_or_else(|| OpenError::Unusable {
            kind: "unknown",
            reason: format!("{} is not one of the configured stores", scope.store),
        })?;
        let store = self.opener.open(scope, settings).await?;
        let leases = match settings.cannot_hold_leases() {
            Some(_) => None,
            None => Some(self.leases(scope, &store).await?),
        };
        let new = Arc::new(Opened::new(scope.clone(), settings.kind(), store, leases));
        opened.insert(scope.clone(), Arc::clone(&new));
        Ok(new)
    }

    async fn leases(&self, scope: &Scope, store: &Arc<dyn Store>) -> Result<Leases, OpenError> {
        let cluster = self.cluster.get_or_try_init(|| self.opener.cluster()).await?;
        let surveyed = match scope.namespace {
            Some(_) => vec![String::new()],
            None => self.prefixes.clone(),
        };
        Ok(Leases::new(Arc::clone(store), surveyed, cluster.clone()))
    }

    /// Whether a store could be opened. Nothing is contacted.
    pub(super) async fn check(&self, store: &StoreName, settings: &StoreSettings) -> Result<(), OpenError> {
        self.opener.open(&self.scope(store, ""), settings).await.map(drop)
    }

    /// Forgets all that is known: somebody else was at work.
    pub(super) async fn forget(&self) {
        self.opened.lock().await.clear();
    }

    /// Those that are open.
    pub(super) async fn opened(&self) -> Vec<Arc<Opened>> {
        self.opened.lock().await.values().cloned().collect()
    }
}

/// What paths begin with that the rules allow to anybody; everything where there are no rules.
fn prefixes(rules: &[PrefixRule]) -> Vec<String> {
    let allowed = rules.iter().flat_map(|rule| &rule.allow);
    let below: BTreeSet<String> =
        allowed.map(|prefix| format!("{}/", prefix.strip_suffix('/').unwrap_or(prefix))).collect();
    // What is below another one is listed with it.
    let is_covered =
        |prefix: &String| below.iter().any(|other| other != prefix && prefix.starts_with(other.as_str()));
    match below.iter().filter(|prefix| !is_covered(prefix)).cloned().collect::<Vec<_>>() {
        none if none.is_empty() => vec![String::new()],
        some => some,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::handover::NoSettings;
    use crate::store::memory::Memory;

    /// Gives the same store in memory for every scope.
    pub(in super::super) struct InMemory(pub(in super::super) Arc<Memory>);

    impl Open for InMemory {
        fn open<'a>(
            &'a self,
            _: &'a Scope,
            _: &'a StoreSettings,
        ) -> Answer<'a, Result<Arc<dyn Store>, OpenError>> {
            Box::pin(async { Ok(Arc::clone(&self.0) as Arc<dyn Store>) })
        }

        fn cluster(&self) -> Answer<'_, Result<String, OpenError>> {
            Box::pin(async { Ok("here".to_owned()) })
        }
    }

    /// The store `cluster`, of Secret objects, in memory.
    pub(in super::super) fn in_memory(memory: &Arc<Memory>) -> Stores {
        let name = StoreName::new("cluster").unwrap();
        let settings = BTreeMap::from([(name, StoreSettings::Kubernetes(NoSettings {}))]);
        Stores::new(settings, &[], InMemory(Arc::clone(memory)))
    }

    #[test]
    fn leases_are_surveyed_where_pods_of_this_cluster_may_have_some() {
        let rule = |allow: &[&str]| PrefixRule {
            namespaces: Vec::new(),
            allow: allow.iter().map(|prefix| (*prefix).to_owned()).collect(),
        };
        assert_eq!(prefixes(&[]), [""]);
        assert_eq!(
            prefixes(&[rule(&["/veza/", "/veza/a"]), rule(&["/shop", "/veza"])]),
            ["/shop/", "/veza/"]
        );
        assert_eq!(prefixes(&[rule(&["/veza", "/"])]), ["/"]);
    }

    #[tokio::test]
    async fn a_store_of_secret_objects_is_one_for_each_namespace() {
        let stores = in_memory(&Arc::default());
        let name = StoreName::new("cluster").unwrap();
        let (a, b) = (stores.scope(&name, "a"), stores.scope(&name, "b"));
        let first = stores.open(&a).await.unwrap();
        assert!(Arc::ptr_eq(&first, &stores.open(&a).await.unwrap()));
        assert!(!Arc::ptr_eq(&first, &stores.open(&b).await.unwrap()));
        assert_eq!(stores.opened().await.len(), 2);
        let other = Scope { store: StoreName::new("other").unwrap(), namespace: None };
        assert!(stores.open(&other).await.is_err());
    }
}
