//! Secrets of a list: straight from base64 into values that are wiped.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::check::{Located, SecretObject, seconds};
use crate::domain::SecretValue;

/// A Secret as the API server lists it.
#[derive(Deserialize)]
pub(super) struct Listed {
    metadata: Metadata,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    data: Option<BTreeMap<String, Bytes>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    managed_fields: Vec<Manager>,
}

/// Who wrote what, and when.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manager {
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    fields_v1: serde_json::Map<String, serde_json::Value>,
}

struct Bytes(SecretValue);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        bytes
            .map(|bytes| Self(SecretValue::new(bytes)))
            .map_err(|_| serde::de::Error::custom("data is not base64"))
    }
}

impl Listed {
    pub(super) fn located(self) -> Located<SecretObject> {
        let Self { metadata, kind, data } = self;
        let by_data =
            metadata.managed_fields.iter().filter(|manager| manager.fields_v1.contains_key("f:data"));
        let written = by_data.filter_map(|manager| seconds(manager.time.as_deref()?)).max();
        let created = metadata.creation_timestamp.as_deref().and_then(seconds);
        let title = format!("Secret {}/{}", metadata.namespace, metadata.name);
        let object = SecretObject {
            namespace: metadata.namespace,
            name: metadata.name,
            kind,
            labels: metadata.labels,
            annotations: metadata.annotations,
            written: written.or(created),
            data: data.unwrap_or_default().into_iter().map(|(key, Bytes(value))| (key, value)).collect(),
        };
        Located::live(title, object)
    }
}
