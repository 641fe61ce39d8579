//! The policy that serves exactly what pods ask for, made of the same annotations. Pure: manifests in, text out.
//!
//! ```text
//! files ─▶ Manifests (what pods ask for, and as whom) ─▶ one file a target ─▶ text, byte for byte the same for the same files
//! ```
//!
//! | target | file |
//! |---|---|
//! | `terraform` | terraform.rs; with a template of the user's, template.rs |
//! | `vault-policy` | vault_policy.rs |
//! | `rbac` | rbac.rs |
//! | `external-secrets` | external_secrets.rs |
//! | `mutating-admission-policy` | mutating_policy.rs, in CEL (cel.rs) |
//! | `encryption-config` | encryption.rs, which reads no manifest |
//!
//! Invariants: what is asked for twice is granted once; nothing is granted that no annotation asks for; output is sorted,
//! whatever the order of files and annotations.
//!
//! Deliberately absent: policies for Google Cloud and Azure, whose rights are given by object and not by a document.

mod cel;
mod encryption;
mod external_secrets;
mod grants;
mod hcl;
mod manifests;
mod mutating_policy;
mod quote;
mod rbac;
mod template;
mod terraform;
mod vault_policy;

use serde_json::Value;

use crate::workload::Asking;
use crate::yaml::to_yaml;

pub use encryption::{
    ENCRYPTION_KEY_BYTES, EncryptionError, EncryptionProvider, encryption_config, rotated_encryption_config,
};
pub use external_secrets::{ExternalStore, external_secrets};
pub use manifests::{Manifests, ManifestsError};
pub use mutating_policy::{MutatingPolicyError, mutating_admission_policies};
pub use rbac::rbac;
pub use template::{TemplateError, from_template};
pub use terraform::{TerraformOptions, terraform};
pub use vault_policy::vault_policy;

/// Why there is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Nobody asks for anything.
    #[error(
        "no pod in these files asks for anything; are the annotations on the pod template, and of this domain?"
    )]
    NoRequests,
    /// Nobody asks this store for anything.
    #[error(
        "no pod in these files reads from {wanted}, but from: {found}; set `stores` by --config, or choose by --store"
    )]
    OtherStores {
        /// The stores that this target is for.
        wanted: &'static str,
        /// Those that are read.
        found: String,
    },
    /// Nobody names a Secret.
    #[error("no annotation in these files names a Secret (kind=KUBERNETES)")]
    NoSecrets,
    /// A name that stands for something else, or for nothing, in this policy.
    #[error("{path} cannot be granted: {why}")]
    Unnameable {
        /// The path.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// Not a name in Terraform.
    #[error("`{0}` is no name for a module: letters, digits, `_` and `-`, and no digit or `-` first")]
    Module(String),
    /// YAML cannot be written.
    #[error("cannot write YAML: {0}; please report this")]
    Yaml(String),
}

impl ExportError {
    fn nothing(asking: &[Asking<'_>], wanted: &'static str) -> Self {
        let mut found: Vec<&str> = asking
            .iter()
            .filter(|asking| asking.requests.needs_init())
            .map(|asking| asking.store.map_or("one that is not configured", |store| store.kind()))
            .collect();
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [] if asking.is_empty() => Self::NoRequests,
            [] => Self::OtherStores { wanted, found: "none, since the kubelet delivers all".to_owned() },
            _ => Self::OtherStores { wanted, found: found.join(", ") },
        }
    }

    fn unnameable(path: &str, why: &'static str) -> Self {
        Self::Unnameable { path: path.to_owned(), why }
    }
}

/// Objects as documents of one file.
fn documents(objects: &[Value]) -> Result<String, ExportError> {
    let documents: Result<Vec<String>, String> = objects.iter().map(to_yaml).collect();
    documents.map(|documents| documents.join("---\n")).map_err(ExportError::Yaml)
}
