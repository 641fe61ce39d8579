//! Kubernetes' own policy: for each service account its ServiceAccount, Roles with `resourceNames`, and RoleBindings.
//!
//! | Role | for | Secrets |
//! |---|---|---|
//! | `keystow-init-ACCOUNT` | the init container, where the store is `kubernetes` | those that hold what it fetches |
//! | `keystow-api-ACCOUNT` | applications that read by the API what `kind=KUBERNETES` names | those |
//!
//! The second adds nothing to what the kubelet delivers to the same pods, but for keys that no annotation names; who reads
//! nothing by the API leaves it out.
//!
//! The claim of a pod is called after its UID, which no Role can name: init looks at each index instead, and so all indices
//! of a range are named.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::ExportError;
use super::grants::{Grants, Indices};
use crate::domain::Delivery;
use crate::handover::{Place, StoreSettings};
use crate::workload::Asking;

/// What one identity may read.
#[derive(Debug, Default)]
struct Readable {
    by_init: BTreeSet<String>,
    by_api: BTreeSet<String>,
}

/// The objects for everybody who asks for something.
///
/// # Errors
///
/// When nobody does, or a range of leases is longer than a Role can name.
pub fn rbac(asking: &[Asking<'_>], for_init_only: bool) -> Result<String, ExportError> {
    let mut identities: BTreeMap<(&str, &str), Readable> = BTreeMap::new();
    for one in asking {
        let readable = identities.entry((&one.workload.namespace, &one.account)).or_default();
        if matches!(one.store, Some(StoreSettings::Kubernetes(_))) {
            readable.by_init.extend(secrets(&Grants::of([one]))?);
        }
        if !for_init_only {
            let named = one.requests.secrets.iter().filter_map(|request| match &request.delivery {
                Delivery::Kubernetes(secret) => Some(secret.secret.as_str().to_owned()),
                Delivery::Stored(_) => None,
            });
            readable.by_api.extend(named);
        }
    }
    if identities.is_empty() {
        return Err(ExportError::nothing(asking, "kubernetes"));
    }
    let mut objects = Vec::new();
    for ((namespace, account), readable) in identities {
        // Every namespace has this one.
        if account != "default" {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": account, "namespace": namespace},
            }));
        }
        for (word, names) in [("init", readable.by_init), ("api", readable.by_api)] {
            if !names.is_empty() {
                objects.extend(role(&format!("keystow-{word}-{account}"), namespace, account, names));
            }
        }
    }
    super::documents(&objects)
}

fn role(name: &str, namespace: &str, account: &str, secrets: BTreeSet<String>) -> [Value; 2] {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let metadata = json!({"name": name, "namespace": namespace});
    let names: Vec<String> = secrets.into_iter().collect();
    [
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]}],
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }),
    ]
}

/// The Secrets that hold what is granted.
fn secrets(grants: &Grants) -> Result<BTreeSet<String>, ExportError> {
    let mut names: BTreeSet<String> =
        grants.values.keys().map(|path| Place::in_kubernetes(path).secret()).collect();
    for (series, indices) in &grants.leases {
        match indices {
            Indices::Few(few) => {
                names.extend(few.iter().map(|index| Place::of_lease(&series.index(*index)).secret()));
            }
            Indices::Many => {
                let why = "a Role names every Secret, and these are too many; narrow the range, or grant `get` of all";
                return Err(ExportError::unnameable(series.as_str(), why));
            }
        }
    }
    Ok(names)
}
