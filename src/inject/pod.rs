//! A borrowed view of the fields of a pod that injection looks at.
//!
//! Strings are borrowed from the review where JSON has no escapes in them. Everything else of the pod is skipped
//! and not kept. Nothing here can be serialised: a view is never written back.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What the kubelet writes on the API server's copy of a static pod.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// A pod or a pod template.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Pod<'a> {
    #[serde(default)]
    pub(super) metadata: Metadata<'a>,
    #[serde(default)]
    pub(super) spec: Spec<'a>,
}

/// How our own word on an annotation begins; it names the key.
const ANNOTATION: &str = "annotation ";

/// JSON that is no pod. Says what was expected and where, and not what was found, which may be a value.
#[derive(Debug, thiserror::Error)]
#[error("this is not a pod as Kubernetes writes it: {0}")]
pub struct UnreadablePod(String);

impl From<serde_json::Error> for UnreadablePod {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        Self(match text.rsplit_once(", expected ") {
            _ if text.starts_with(ANNOTATION) => text,
            Some((_, expected)) => format!("expected {expected}"),
            None if error.is_data() => format!("at line {} column {}", error.line(), error.column()),
            None => text,
        })
    }
}

/// A string, borrowed where it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// `Debug` leaves out what may hold values: those of annotations, and `managedFields`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Metadata<'a> {
    name: Option<Text<'a>>,
    generate_name: Option<Text<'a>>,
    pub(super) annotations: Option<Annotations<'a>>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

impl fmt::Debug for Metadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Option<Vec<_>> =
            self.annotations.as_ref().map(|annotations| annotations.0.iter().map(|(key, _)| key).collect());
        f.debug_struct("Metadata")
            .field("name", &self.name)
            .field("generate_name", &self.generate_name)
            .field("annotations", &keys)
            .finish_non_exhaustive()
    }
}

/// The annotation map as a list.
#[derive(Default)]
pub(super) struct Annotations<'a>(Vec<(Text<'a>, Text<'a>)>);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Spec<'a> {
    pub(super) volumes: Option<Vec<Volume<'a>>>,
    pub(super) init_containers: Option<Vec<Container<'a>>>,
    #[serde(default)]
    pub(super) containers: Vec<Container<'a>>,
    service_account_name: Option<Text<'a>>,
    service_account: Option<Text<'a>>,
    image_pull_secrets: Option<Vec<IgnoredAny>>,
    security_context: Option<PodSecurityContext>,
    os: Option<OperatingSystem<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct OperatingSystem<'a> {
    name: Text<'a>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSecurityContext {
    pub(super) run_as_user: Option<i64>,
    pub(super) run_as_non_root: Option<bool>,
    pub(super) fs_group: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Volume<'a> {
    pub(super) name: Text<'a>,
    pub(super) empty_dir: Option<IgnoredAny>,
    #[serde(rename = "downwardAPI")]
    pub(super) downward_api: Option<IgnoredAny>,
    pub(super) projected: Option<IgnoredAny>,
    pub(super) secret: Option<SecretVolume<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct SecretVolume<'a> {
    pub(super) secret_name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Container<'a> {
    pub(super) name: Text<'a>,
    pub(super) env: Option<Vec<EnvVar<'a>>>,
    pub(super) env_from: Option<Vec<EnvFrom<'a>>>,
    pub(super) volume_mounts: Option<Vec<VolumeMount<'a>>>,
    restart_policy: Option<Text<'a>>,
    security_context: Option<ContainerSecurityContext>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSecurityContext {
    run_as_user: Option<i64>,
    run_as_non_root: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct EnvVar<'a> {
    pub(super) name: Text<'a>,
    pub(super) value_from: Option<EnvVarSource<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct EnvVarSource<'a> {
    pub(super) secret_key_ref: Option<SecretKeyRef<'a>>,
    pub(super) file_key_ref: Option<FileKeyRef<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct SecretKeyRef<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) key: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct FileKeyRef<'a> {
    pub(super) volume_name: Text<'a>,
    pub(super) key: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct EnvFrom<'a> {
    pub(super) prefix: Option<Text<'a>>,
    pub(super) secret_ref: Option<SecretRef<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct SecretRef<'a> {
    pub(super) name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct VolumeMount<'a> {
    pub(super) name: Text<'a>,
    pub(super) mount_path: Text<'a>,
}

impl<'a> Pod<'a> {
    /// Reads the JSON of a pod or of a pod template.
    pub fn from_json(json: &'a [u8]) -> Result<Self, UnreadablePod> {
        Ok(serde_json::from_slice(json)?)
    }

    /// The pod's name, or the beginning of it where the API server will make one up; empty without either.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().or(self.metadata.generate_name.as_deref()).unwrap_or_default()
    }

    pub(super) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata
            .annotations
            .iter()
            .flat_map(|annotations| annotations.0.iter())
            .map(|(k, v)| (&**k, &**v))
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The API server's copy of a static pod: the kubelet runs the file, whatever the copy says.
    pub(super) fn is_mirror(&self) -> bool {
        self.annotation(MIRROR_ANNOTATION).is_some()
    }

    pub(super) fn is_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| &*os.name == "windows")
    }

    /// The account that somebody chose. The ServiceAccount plugin has filled in `default` before any webhook
    /// runs, so that name says nothing.
    pub(super) fn chosen_service_account(&self) -> Option<&str> {
        let either = self.spec.service_account_name.as_deref().or(self.spec.service_account.as_deref());
        either.filter(|name| !matches!(*name, "" | "default"))
    }

    pub(super) fn security(&self) -> PodSecurityContext {
        self.spec.security_context.unwrap_or_default()
    }

    /// Whether the pull secrets came from the ServiceAccount plugin: they are in the spec, the API server keeps
    /// managed fields of this pod, and nobody's managed fields have them.
    pub(super) fn has_pull_secrets_of_its_account(&self) -> bool {
        #[derive(Deserialize)]
        struct Manager {
            #[serde(rename = "fieldsV1")]
            fields: Option<Fields>,
        }
        #[derive(Deserialize)]
        struct Fields {
            #[serde(rename = "f:spec")]
            spec: Option<SpecFields>,
        }
        #[derive(Deserialize)]
        struct SpecFields {
            #[serde(rename = "f:imagePullSecrets")]
            image_pull_secrets: Option<IgnoredAny>,
        }
        if self.spec.image_pull_secrets.as_ref().is_none_or(Vec::is_empty) {
            return false;
        }
        let managers =
            self.metadata.managed_fields.map(|raw| serde_json::from_str::<Vec<Manager>>(raw.get()));
        let Some(Ok(managers)) = managers else { return false };
        !managers
            .iter()
            .filter_map(|manager| manager.fields.as_ref()?.spec.as_ref())
            .any(|spec| spec.image_pull_secrets.is_some())
    }
}

impl Container<'_> {
    /// A native sidecar: it starts in its turn among the init containers and keeps running.
    pub(super) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// The user it runs as, where the pod says so.
    pub(super) fn user(&self, pod: PodSecurityContext) -> Option<i64> {
        self.security_context.unwrap_or_default().run_as_user.or(pod.run_as_user)
    }

    /// Whether the pod says that it does not run as root.
    pub(super) fn is_non_root(&self, pod: PodSecurityContext) -> bool {
        let own = self.security_context.unwrap_or_default();
        self.user(pod).is_some_and(|user| user != 0)
            || own.run_as_non_root.or(pod.run_as_non_root) == Some(true)
    }

    pub(super) fn mounts(&self) -> &[VolumeMount<'_>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    pub(super) fn mount_at(&self, path: &str) -> Option<&VolumeMount<'_>> {
        self.mounts().iter().find(|mount| mount.path() == path)
    }
}

impl VolumeMount<'_> {
    /// The mount path without a trailing `/`.
    pub(super) fn path(&self) -> &str {
        self.mount_path.strip_suffix('/').unwrap_or(&self.mount_path)
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;

        impl<'de> Visitor<'de> for MapVisitor {
            type Value = Annotations<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Text<'_>>()? {
                    let value = map.next_value().map_err(|_| {
                        let key = &*key;
                        A::Error::custom(format_args!(
                            "{ANNOTATION}{key} is not a string; put its value in quotes"
                        ))
                    })?;
                    entries.push((key, value));
                }
                Ok(Annotations(entries))
            }
        }

        deserializer.deserialize_map(MapVisitor)
    }
}
