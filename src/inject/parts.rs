//! The parts that are added to a pod, as Kubernetes writes them in JSON (`core/v1`).
//!
//! They are written once, straight to text: a tree of values for every container of every pod would cost more than
//! all other work of the webhook together.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::domain::FileMode;

/// The JSON of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Json(String);

impl Json {
    pub(super) fn of(part: &impl Serialize) -> Self {
        // Parts are structs of strings, numbers and values: those can always be written.
        Self(serde_json::to_string(part).unwrap_or_else(|_| "null".to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// A list with this part alone.
    pub(super) fn in_list(&self) -> Self {
        Self(format!("[{}]", self.0))
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvVar<'a> {
    pub(super) name: &'a str,
    #[serde(flatten)]
    pub(super) source: EnvSource<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum EnvSource<'a> {
    Value(&'a str),
    ValueFrom(EnvVarSource<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::enum_variant_names, reason = "Kubernetes' own names")]
pub(super) enum EnvVarSource<'a> {
    #[serde(rename_all = "camelCase")]
    FieldRef { field_path: &'a str },
    #[serde(rename_all = "camelCase")]
    FileKeyRef { volume_name: &'a str, path: &'a str, key: &'a str },
    SecretKeyRef {
        name: &'a str,
        key: &'a str,
        #[serde(skip_serializing_if = "is_false")]
        optional: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvFrom<'a> {
    pub(super) secret_ref: SecretRef<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct SecretRef<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) optional: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount<'a> {
    pub(super) name: &'a str,
    pub(super) mount_path: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) read_only: bool,
}

#[derive(Serialize)]
pub(super) struct Volume<'a> {
    pub(super) name: &'a str,
    #[serde(flatten)]
    pub(super) source: VolumeSource<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum VolumeSource<'a> {
    #[serde(rename = "downwardAPI")]
    DownwardApi { items: [DownwardApiFile<'a>; 1] },
    #[serde(rename_all = "camelCase")]
    EmptyDir {
        #[serde(skip_serializing_if = "str::is_empty")]
        medium: &'a str,
        size_limit: &'a str,
    },
    #[serde(rename_all = "camelCase")]
    Projected {
        #[serde(serialize_with = "bits")]
        default_mode: FileMode,
        sources: Vec<ProjectedSource<'a>>,
    },
    #[serde(rename_all = "camelCase")]
    Secret {
        secret_name: &'a str,
        #[serde(serialize_with = "bits")]
        default_mode: FileMode,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<KeyToPath<'a>>,
        #[serde(skip_serializing_if = "is_false")]
        optional: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DownwardApiFile<'a> {
    pub(super) path: &'a str,
    pub(super) field_ref: FieldRef<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldRef<'a> {
    pub(super) field_path: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ProjectedSource<'a> {
    Secret {
        name: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<KeyToPath<'a>>,
        #[serde(skip_serializing_if = "is_false")]
        optional: bool,
    },
    #[serde(rename_all = "camelCase")]
    ServiceAccountToken { path: &'a str, audience: &'a str, expiration_seconds: u32 },
}

#[derive(Serialize)]
pub(super) struct KeyToPath<'a> {
    pub(super) key: &'a str,
    pub(super) path: &'a str,
    #[serde(serialize_with = "bits")]
    pub(super) mode: FileMode,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container<'a> {
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) args: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart_policy: Option<&'a str>,
    pub(super) env: &'a [EnvVar<'a>],
    pub(super) resources: &'a Value,
    pub(super) volume_mounts: &'a [VolumeMount<'a>],
    pub(super) security_context: SecurityContext,
}

/// What the Pod Security Standard `restricted` asks for, and more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityContext {
    run_as_non_root: bool,
    run_as_user: i64,
    allow_privilege_escalation: bool,
    read_only_root_filesystem: bool,
    capabilities: Capabilities,
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct Capabilities {
    drop: [&'static str; 1],
}

#[derive(Serialize)]
struct SeccompProfile {
    #[serde(rename = "type")]
    kind: &'static str,
}

impl SecurityContext {
    pub(super) fn of_user(user: i64) -> Self {
        Self {
            run_as_non_root: true,
            run_as_user: user,
            allow_privilege_escalation: false,
            read_only_root_filesystem: true,
            capabilities: Capabilities { drop: ["ALL"] },
            seccomp_profile: SeccompProfile { kind: "RuntimeDefault" },
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn bits<S: Serializer>(mode: &FileMode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(mode.bits())
}
