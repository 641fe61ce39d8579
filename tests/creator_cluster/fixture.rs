//! An API server, an installation of the creator on it, and pods that ask.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::creator::{Creator, Creators};
use crate::support::wait::until;
use crate::support::webhook::TEST_LABEL;

/// The binary under test.
pub(crate) const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
/// How long anything may take that is not a matter of how much there is to do: a leader is found within seconds, a dead one
/// is followed within 20, a store that was away is asked again within 10.
pub(crate) const WITHIN: Duration = Duration::from_secs(120);
/// The store of Secret objects.
pub(crate) const SECRETS: &str = "stores: {cluster: {kubernetes: {}}}\n";
/// Requests of the tests' own at once.
const AT_ONCE: usize = 16;

/// An API server and an installation on it.
pub(crate) struct Cluster {
    pub(crate) plane: &'static ControlPlane,
    pub(crate) client: Client,
    pub(crate) creators: Creators<'static>,
    pub(crate) test: &'static str,
    /// What the keys of annotations end in.
    domain: String,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Cluster {
    /// On the control plane that all tests share; `None` where there is none. `test` is a DNS label.
    pub(crate) async fn start(test: &'static str, configuration: &str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        Some(Self::on(plane, test, format!("{test}.example"), configuration, None).await)
    }

    /// On a control plane that no other test uses meanwhile, and where there is no pod.
    pub(crate) async fn alone(test: &'static str, configuration: &str) -> Option<Self> {
        Self::alone_with(test, format!("{test}.example"), configuration).await
    }

    /// As [`Cluster::alone`], with this domain of annotations.
    pub(crate) async fn alone_with(test: &'static str, domain: String, configuration: &str) -> Option<Self> {
        static ALONE: OnceCell<ControlPlane> = OnceCell::const_new();
        static TURN: Mutex<()> = Mutex::const_new(());
        // Says that the test is skipped, or fails, where there is no control plane.
        shared_or_skip(test).await?;
        let turn = TURN.lock().await;
        let plane = ALONE.get_or_init(async || ControlPlane::start().await.unwrap()).await;
        delete_all_pods(&plane.client().await.unwrap()).await;
        Some(Self::on(plane, test, domain, configuration, Some(turn)).await)
    }

    async fn on(
        plane: &'static ControlPlane,
        test: &'static str,
        domain: String,
        configuration: &str,
        alone: Option<MutexGuard<'static, ()>>,
    ) -> Self {
        let configuration = format!("annotationDomain: {domain}\n{configuration}");
        let creators = Creators::new(plane, test, KEYSTOW, &configuration).await;
        Self { plane, client: plane.client().await.unwrap(), creators, test, domain, _alone: alone }
    }

    /// Makes a namespace that opted in, where the creator may keep Secrets; yields its name.
    pub(crate) async fn namespace(&self, name: &str) -> String {
        let name = format!("{}-{name}", self.test);
        let opt_in = format!("inject.{}/enabled", self.domain);
        self.plane.namespace(&name, &[(&opt_in, "true"), (TEST_LABEL, self.test)], &[]).await.unwrap();
        self.creators.may_keep_secrets_in(&name).await;
        name
    }

    /// A leader of this name, with these further flags.
    pub(crate) async fn leader(&self, name: &str, flags: &[&str], environment: &[(&str, &str)]) -> Creator {
        let creator = self.creators.replica(name, flags, environment).await;
        leads(&creator).await;
        creator
    }

    pub(crate) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// A pod with these annotations, each written `FAMILY/NAME`.
    pub(crate) fn pod(&self, name: &str, annotations: &[(&str, &str)]) -> Pod {
        let full = |(key, value): &(&str, &str)| {
            let (family, name) = key.split_once('/').unwrap();
            (format!("{family}.{}/{name}", self.domain), (*value).to_owned())
        };
        let annotations: BTreeMap<String, String> = annotations.iter().map(full).collect();
        object(json!({
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
        }))
    }

    /// Creates a pod; yields its UID.
    pub(crate) async fn create(&self, namespace: &str, pod: &Pod) -> String {
        self.pods(namespace).create(&PostParams::default(), pod).await.unwrap().metadata.uid.unwrap()
    }

    /// Creates many; yields their UIDs with their names.
    pub(crate) async fn create_all(
        &self,
        namespace: &str,
        pods: impl IntoIterator<Item = Pod>,
    ) -> BTreeMap<String, String> {
        let created = stream::iter(pods).map(|pod| async move {
            let name = pod.metadata.name.clone().unwrap();
            (self.create(namespace, &pod).await, name)
        });
        created.buffer_unordered(AT_ONCE).collect().await
    }

    /// Deletes a pod, which is gone then.
    pub(crate) async fn delete(&self, namespace: &str, name: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods(namespace).delete(name, &now).await.unwrap();
    }

    pub(crate) async fn delete_all<'n>(&self, namespace: &str, names: impl IntoIterator<Item = &'n String>) {
        let deleted = stream::iter(names).map(|name| self.delete(namespace, name));
        deleted.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// A pod ends, as its kubelet would say.
    pub(crate) async fn end(&self, namespace: &str, name: &str, phase: &str) {
        let status = Patch::Merge(json!({"status": {"phase": phase}}));
        self.pods(namespace).patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// What the Secrets of a namespace hold, by the path that it is a value of.
    pub(crate) async fn secrets(&self, namespace: &str) -> Kept {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secrets = secrets.list(&ListParams::default()).await.unwrap().items;
        let keys = secrets.into_iter().flat_map(|secret| {
            let annotation = secret.metadata.annotations.unwrap_or_default().remove("store.bsycorp.com/path");
            let path = annotation.unwrap_or_else(|| secret.metadata.name.unwrap());
            let data = secret.data.unwrap_or_default().into_iter();
            data.map(move |(key, value)| {
                (if key == "value" { path.clone() } else { format!("{path}_{key}") }, value.0)
            })
        });
        keys.collect()
    }

    /// What is told of a pod for this reason.
    pub(crate) async fn told(&self, namespace: &str, pod: &str, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let about = events.into_iter().filter(|event| {
            let regarding = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
            regarding == Some(pod) && event.reason.as_deref() == Some(reason)
        });
        about.map(|event| event.note.unwrap_or_default()).collect()
    }

    /// Waits until a pod is told something for this reason.
    pub(crate) async fn is_told(&self, namespace: &str, pod: &str, reason: &str) -> String {
        let told = until(WITHIN, async || self.told(namespace, pod, reason).await.pop());
        told.await.unwrap_or_else(|| panic!("no Event {reason} about {pod}"))
    }

    /// Makes Secrets, as people do.
    pub(crate) async fn put(&self, namespace: &str, name: &str, data: &Value) {
        let secret: Secret = object(json!({"metadata": {"name": name}, "stringData": data}));
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }
}

async fn delete_all_pods(client: &Client) {
    let all = Api::<Pod>::all(client.clone()).list_metadata(&ListParams::default()).await.unwrap();
    let namespaces: BTreeSet<String> =
        all.items.into_iter().filter_map(|pod| pod.metadata.namespace).collect();
    for namespace in namespaces {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        pods.delete_collection(&now, &ListParams::default()).await.unwrap();
    }
}

pub(crate) fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Waits until a creator is the one that acts.
pub(crate) async fn leads(creator: &Creator) {
    let leads = until(WITHIN, async || creator.leads().await.then_some(())).await;
    leads.unwrap_or_else(|| panic!("it does not lead: {}", creator.log_text()));
}

/// What a store holds, by path.
pub(crate) type Kept = BTreeMap<String, Vec<u8>>;

/// The UID in `NAMESPACE/NAME/UID/CLUSTER`.
pub(crate) fn uid_of(holder: &str) -> &str {
    holder.split('/').nth(2).expect("the record of a pod")
}

/// Who holds which index of `series` (`PREFIX/leases/SERIES`): the UIDs of pods.
pub(crate) fn holders(kept: &Kept, series: &str) -> BTreeMap<i32, String> {
    let index = |(path, value): (&String, &Vec<u8>)| {
        let index = path.strip_prefix(series)?.strip_prefix('.')?.parse().ok()?;
        let holder = String::from_utf8(value.clone()).unwrap();
        Some((index, uid_of(&holder).to_owned()))
    };
    kept.iter().filter_map(index).collect()
}
