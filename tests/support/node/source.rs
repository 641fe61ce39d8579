//! Where the stand-in gets Secrets, ConfigMaps and tokens from: a real API server, or a map.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};

use super::NodeError;

/// The contents of a Secret or ConfigMap.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

/// What kubelet asks the API server for. `None` means that there is no such object.
pub(crate) trait SecretSource {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Data>, NodeError>;
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Data>, NodeError>;
    /// A token of `pod`'s service account for `audience`, which is the API server where there is none.
    async fn token(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<String, NodeError>;
}

/// Asks a real API server, as whoever `Client` is; tokens are real and bound to the pod.
#[derive(Clone)]
pub(crate) struct ClusterSource(pub(crate) Client);

impl SecretSource for ClusterSource {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Data>, NodeError> {
        let secret: Option<Secret> = Api::namespaced(self.0.clone(), namespace).get_opt(name).await?;
        Ok(secret.map(|secret| {
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
        }))
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Data>, NodeError> {
        let map: Option<ConfigMap> = Api::namespaced(self.0.clone(), namespace).get_opt(name).await?;
        Ok(map.map(|map| {
            let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
            let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
            text.chain(bytes).collect()
        }))
    }

    async fn token(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<String, NodeError> {
        let (namespace, account) = account_of(pod);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.map(String::from).into_iter().collect(),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: seconds,
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.0.clone(), namespace);
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default())
    }
}

/// Secrets and ConfigMaps by namespace and name, without a cluster; tokens are made up and say what they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemorySource {
    secrets: BTreeMap<(String, String), Data>,
    config_maps: BTreeMap<(String, String), Data>,
}

impl MemorySource {
    /// With one more Secret.
    pub(crate) fn with_secret(mut self, namespace: &str, name: &str, data: &[(&str, &[u8])]) -> Self {
        self.secrets.insert((namespace.into(), name.into()), collect(data));
        self
    }

    /// With one more ConfigMap.
    pub(crate) fn with_config_map(mut self, namespace: &str, name: &str, data: &[(&str, &[u8])]) -> Self {
        self.config_maps.insert((namespace.into(), name.into()), collect(data));
        self
    }
}

impl SecretSource for MemorySource {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Data>, NodeError> {
        Ok(self.secrets.get(&(namespace.into(), name.into())).cloned())
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Data>, NodeError> {
        Ok(self.config_maps.get(&(namespace.into(), name.into())).cloned())
    }

    async fn token(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        _seconds: Option<i64>,
    ) -> Result<String, NodeError> {
        let (namespace, account) = account_of(pod);
        Ok(format!("made-up-token:{namespace}:{account}:{}", audience.unwrap_or("kubernetes")))
    }
}

fn collect(data: &[(&str, &[u8])]) -> Data {
    data.iter().map(|(key, value)| ((*key).into(), value.to_vec())).collect()
}

/// The namespace and the service account of `pod`.
fn account_of(pod: &Pod) -> (&str, &str) {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    (super::namespace_of(pod), account.unwrap_or("default"))
}
