//! A live namespace, as one who may only look sees it: what `keystow check` judges.
//!
//! ```text
//! kubeconfig ─▶ Surveyor ─▶ configuration (keystow's own, where no file is given)
//!                        ─▶ World: lists in pages, at once, each by itself   ─▶ questions ─▶ SubjectAccessReviews ─▶ Answers
//! ```
//!
//! Invariants: nothing is written but access reviews, which nobody stores; a list that is refused is told as that and stops
//! no other; an API server that does not answer ends all of it; Secrets go from JSON into [`SecretValue`] and nowhere else.
//!
//! Deliberately absent: watching. A check is of one moment.

mod answers;
mod reader;
mod secret;

use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde_json::Value;

use crate::check::{Known, Located, World};
use reader::Reader;

/// The Lease of the creator, and the names of what the manifests install.
const CONFIGURATION: &str = "inject-keystow";
const SERVICE: &str = "keystow";
const CONFIG_KEY: &str = "config.yaml";

/// Why a namespace cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// There is no kubeconfig, or not this context in it.
    #[error("cannot use the kubeconfig; check --context and KUBECONFIG")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// There are no credentials.
    #[error("no API server is known: set KUBECONFIG, or run in a pod with a service-account token")]
    Nowhere(#[source] Box<InferConfigError>),
    /// The API server cannot be talked to with these credentials.
    #[error("cannot use the credentials of the API server")]
    Client(#[source] Box<kube::Error>),
    /// It does not answer.
    #[error("the API server does not answer: {0}")]
    Away(String),
    /// Nothing at all may be looked at.
    #[error(
        "you may look at nothing in namespace {namespace}: {why}; webhook-config/examples/checker-rights.yaml has the rights"
    )]
    Denied {
        /// The namespace.
        namespace: String,
        /// The API server's words.
        why: String,
    },
    /// There is no such namespace.
    #[error("there is no namespace {0}")]
    NoNamespace(String),
}

/// One who looks.
pub struct Surveyor {
    reader: Reader,
    namespace: String,
}

impl Surveyor {
    /// With the credentials of the kubeconfig's context, or of the pod; without a namespace, in the one that goes with
    /// them. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When there are none, or they cannot be used.
    pub async fn new(context: Option<&str>, namespace: Option<&str>) -> Result<Self, SurveyError> {
        let config = match context {
            Some(context) => {
                let kubeconfig =
                    Kubeconfig::read().map_err(|error| SurveyError::Kubeconfig(Box::new(error)))?;
                let options = KubeConfigOptions { context: Some(context.to_owned()), ..Default::default() };
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
                config.map_err(|error| SurveyError::Kubeconfig(Box::new(error)))?
            }
            None => Config::infer().await.map_err(|error| SurveyError::Nowhere(Box::new(error)))?,
        };
        let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
        let client = Client::try_from(config).map_err(|error| SurveyError::Client(Box::new(error)))?;
        Ok(Self { reader: Reader::new(client), namespace })
    }

    /// The namespace that it looks at.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Everything that can be seen. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, has no such namespace, or lets nothing be seen.
    pub async fn look(&self, now: i64) -> Result<World, SurveyError> {
        let namespace = &self.namespace;
        let core = |kind: &str| format!("/api/v1/namespaces/{namespace}/{kind}");
        let path = format!("/api/v1/namespaces/{namespace}");
        let namespace_object = self.reader.get(&path).await.map_err(SurveyError::Away)?;
        if matches!(&namespace_object, Known::Yes(None)) {
            return Err(SurveyError::NoNamespace(namespace.clone()));
        }
        let mut world = World {
            namespace: namespace.clone(),
            now,
            is_live: true,
            namespace_object: map(namespace_object, Option::unwrap_or_default),
            ..World::default()
        };
        let paths = ["pods", "secrets", "configmaps", "serviceaccounts", "events"].map(core);
        let [pods, secrets, config_maps, accounts, events] = &paths;
        let (pods, secrets, config_maps, accounts, events) = tokio::join!(
            self.reader.list(pods),
            self.reader.list::<secret::Listed>(secrets),
            self.reader.list(config_maps),
            self.reader.list(accounts),
            self.reader.list_where(events, "type%3DWarning"),
        );
        world.pods = pods.map_err(SurveyError::Away)?;
        world.secrets = map(secrets.map_err(SurveyError::Away)?, |secrets| {
            secrets.into_iter().map(secret::Listed::located).collect()
        });
        world.config_maps = map(config_maps.map_err(SurveyError::Away)?, |all| located("ConfigMap", all));
        world.service_accounts = accounts.map_err(SurveyError::Away)?;
        world.events = events.map_err(SurveyError::Away)?;
        let refused = self.workloads(&mut world).await?;
        self.external(&mut world).await?;
        self.keystow(&mut world).await?;
        let sees_nothing = matches!(world.pods, Known::No(_)) && matches!(world.secrets, Known::No(_));
        match refused {
            Some(why) if sees_nothing && world.workloads.is_empty() => {
                Err(SurveyError::Denied { namespace: namespace.clone(), why })
            }
            _ => Ok(world),
        }
    }

    /// Objects that make pods, and pods that nobody made; why some could not be seen.
    async fn workloads(&self, world: &mut World) -> Result<Option<String>, SurveyError> {
        const KINDS: [(&str, &str, &str); 7] = [
            ("apps/v1", "deployments", "Deployment"),
            ("apps/v1", "statefulsets", "StatefulSet"),
            ("apps/v1", "daemonsets", "DaemonSet"),
            ("apps/v1", "replicasets", "ReplicaSet"),
            ("batch/v1", "jobs", "Job"),
            ("batch/v1", "cronjobs", "CronJob"),
            ("", "replicationcontrollers", "ReplicationController"),
        ];
        let lists = KINDS.map(|(group, resource, _)| {
            let base = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}") };
            let path = format!("{base}/namespaces/{}/{resource}", self.namespace);
            async move { self.reader.list::<Value>(&path).await }
        });
        let lists = futures::future::join_all(lists).await;
        let mut refused = None;
        for ((group, _, kind), list) in KINDS.into_iter().zip(lists) {
            match list.map_err(SurveyError::Away)? {
                Known::Yes(objects) => {
                    let objects = objects.into_iter().filter(is_nobodys).map(|mut object| {
                        object["kind"] = kind.into();
                        object["apiVersion"] = if group.is_empty() { "v1" } else { group }.into();
                        object
                    });
                    world.workloads.extend(located(kind, objects.collect()));
                }
                Known::No(why) => refused = Some(why),
                Known::Unasked => {}
            }
        }
        let pods = world.pods.yes().map(Vec::as_slice).unwrap_or_default();
        let alone = pods.iter().filter(|pod| is_nobodys(pod)).cloned().map(|mut pod| {
            pod["kind"] = "Pod".into();
            pod
        });
        let alone = located("Pod", alone.collect());
        world.workloads.extend(alone);
        Ok(refused)
    }

    /// What External Secrets Operator has, where it is installed.
    async fn external(&self, world: &mut World) -> Result<(), SurveyError> {
        let namespace = &self.namespace;
        let path = |scope: &str| format!("/apis/external-secrets.io/v1/{scope}");
        let secrets = path(&format!("namespaces/{namespace}/externalsecrets"));
        let stores = path(&format!("namespaces/{namespace}/secretstores"));
        let cluster = path("clustersecretstores");
        let (secrets, stores, cluster) =
            tokio::join!(self.reader.list(&secrets), self.reader.list(&stores), self.reader.list(&cluster));
        world.external_secrets =
            map(secrets.map_err(SurveyError::Away)?, |all| located("ExternalSecret", all));
        let stores = map(stores.map_err(SurveyError::Away)?, |all| located("SecretStore", all));
        let cluster = map(cluster.map_err(SurveyError::Away)?, |all| located("ClusterSecretStore", all));
        world.secret_stores = match (stores, cluster) {
            (Known::Yes(mut stores), Known::Yes(cluster)) => {
                stores.extend(cluster);
                Known::Yes(stores)
            }
            (Known::No(why), _) | (_, Known::No(why)) => Known::No(why),
            (other, _) => other,
        };
        Ok(())
    }

    /// What belongs to keystow itself, and to the control plane.
    async fn keystow(&self, world: &mut World) -> Result<(), SurveyError> {
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let webhooks = self.reader.list::<Value>(path).await.map_err(SurveyError::Away)?;
        world.webhooks = map(webhooks, |all| all.into_iter().filter(is_ours).collect());
        let service = world.webhooks.yes().and_then(|webhooks| {
            let services = webhooks.iter().flat_map(|one| one["webhooks"].as_array().into_iter().flatten());
            services.map(|webhook| webhook["clientConfig"]["service"].clone()).find(Value::is_object)
        });
        if let Some(service) = service {
            let [namespace, name] =
                ["namespace", "name"].map(|field| service[field].as_str().unwrap_or_default().to_owned());
            let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
            let selector = format!("kubernetes.io%2Fservice-name%3D{name}");
            let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
            let (slices, leases) =
                tokio::join!(self.reader.list_labelled(&slices, &selector), self.reader.list(&leases));
            world.endpoints = slices.map_err(SurveyError::Away)?;
            world.leases = leases.map_err(SurveyError::Away)?;
            world.keystow_namespace = Some(namespace);
        }
        let servers =
            self.reader.list_labelled("/api/v1/namespaces/kube-system/pods", "component%3Dkube-apiserver");
        world.api_servers = servers.await.map_err(SurveyError::Away)?;
        Ok(())
    }

    /// The text of the operator's configuration, as keystow's own namespace has it.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn configuration(&self, world: &World) -> Result<Known<String>, SurveyError> {
        let Some(namespace) = &world.keystow_namespace else { return Ok(Known::Unasked) };
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let maps = self.reader.list::<Value>(&path).await.map_err(SurveyError::Away)?;
        Ok(match maps {
            Known::Yes(maps) => {
                let of_ours = maps.into_iter().filter(|map| {
                    map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(SERVICE))
                        && map["data"][CONFIG_KEY].is_string()
                });
                // Of several generations the newest is the one that pods are started with.
                let newest = of_ours
                    .max_by_key(|map| map["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
                match newest {
                    Some(map) => Known::Yes(map["data"][CONFIG_KEY].as_str().unwrap_or_default().to_owned()),
                    None => Known::Unasked,
                }
            }
            Known::No(why) => Known::No(why),
            Known::Unasked => Known::Unasked,
        })
    }
}

fn map<T, U>(known: Known<T>, f: impl FnOnce(T) -> U) -> Known<U> {
    match known {
        Known::Yes(some) => Known::Yes(f(some)),
        Known::No(why) => Known::No(why),
        Known::Unasked => Known::Unasked,
    }
}

fn located(kind: &str, objects: Vec<Value>) -> Vec<Located<Value>> {
    let locate = |object: Value| {
        let [namespace, name] =
            ["namespace", "name"].map(|field| object["metadata"][field].as_str().unwrap_or_default());
        let title = if namespace.is_empty() {
            format!("{kind} {name}")
        } else {
            format!("{kind} {namespace}/{name}")
        };
        Located::live(title, object)
    };
    objects.into_iter().map(locate).collect()
}

/// Whether no other object made this one.
fn is_nobodys(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    !owners.into_iter().any(|owner| owner["controller"] == Value::Bool(true))
}

/// Whether the configuration is keystow's: by its name, or by the Service that it calls.
fn is_ours(configuration: &Value) -> bool {
    let calls = |webhook: &Value| {
        webhook["clientConfig"]["service"]["name"].as_str().is_some_and(|name| name.starts_with(SERVICE))
    };
    configuration["metadata"]["name"] == CONFIGURATION
        || configuration["webhooks"].as_array().into_iter().flatten().any(calls)
}
