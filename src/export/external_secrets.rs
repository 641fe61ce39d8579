//! ExternalSecrets: for each Secret that `kind=KUBERNETES` names, the object that has External Secrets Operator write it.
//!
//! ```text
//! secret=jwt-secret,key=secret-key ─▶ ExternalSecret jwt-secret ─▶ Secret jwt-secret, key secret-key
//!                                     └ remoteRef {key: PREFIX jwt-secret, property: secret-key}
//! ```
//!
//! Where some annotation wants all keys of a Secret, the whole remote object is taken (`dataFrom.extract`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::ExportError;
use crate::domain::{Delivery, KubernetesTarget};
use crate::workload::Asking;

/// The store that External Secrets reads.
#[derive(Debug, Clone)]
pub struct ExternalStore {
    /// `metadata.name` of the SecretStore or ClusterSecretStore.
    pub name: String,
    /// `SecretStore` or `ClusterSecretStore`.
    pub kind: String,
    /// How often it is read, as a Go duration.
    pub refresh_interval: String,
    /// What stands before the Secret's name in the key of the remote object.
    pub key_prefix: String,
}

/// Which keys of a Secret are wanted.
#[derive(Debug, Default)]
struct Wanted {
    keys: BTreeSet<String>,
    all: bool,
}

/// An ExternalSecret for each Secret.
///
/// # Errors
///
/// When no annotation names a Secret.
pub fn external_secrets(asking: &[Asking<'_>], store: &ExternalStore) -> Result<String, ExportError> {
    let mut wanted: BTreeMap<(&str, &str), Wanted> = BTreeMap::new();
    for one in asking {
        for request in &one.requests.secrets {
            let Delivery::Kubernetes(secret) = &request.delivery else { continue };
            let wanted = wanted.entry((&one.workload.namespace, secret.secret.as_str())).or_default();
            match &secret.target {
                KubernetesTarget::Env { key, .. } | KubernetesTarget::Path { key: Some(key), .. } => {
                    wanted.keys.insert(key.as_str().to_owned());
                }
                KubernetesTarget::EnvFrom { .. } | KubernetesTarget::Path { key: None, .. } => {
                    wanted.all = true;
                }
            }
        }
    }
    if wanted.is_empty() {
        return Err(ExportError::NoSecrets);
    }
    let objects: Vec<_> = wanted
        .into_iter()
        .map(|((namespace, name), wanted)| {
            let remote = format!("{}{name}", store.key_prefix);
            let mut spec = json!({
                "refreshInterval": store.refresh_interval,
                "secretStoreRef": {"kind": store.kind, "name": store.name},
                "target": {"name": name, "creationPolicy": "Owner"},
            });
            if wanted.all {
                spec["dataFrom"] = json!([{"extract": {"key": remote}}]);
            } else {
                let data = wanted
                    .keys
                    .iter()
                    .map(|key| json!({"secretKey": key, "remoteRef": {"key": remote, "property": key}}));
                spec["data"] = data.collect();
            }
            json!({
                "apiVersion": "external-secrets.io/v1",
                "kind": "ExternalSecret",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            })
        })
        .collect();
    super::documents(&objects)
}
