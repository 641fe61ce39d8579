//! A Secret as a whole, for who keeps what people made: its annotations, and all of its data.
//!
//! Invariants: values go straight from base64 into [`SecretValue`]; what is written is for the version that was read and no
//! other, in one request, and touches nothing that is not named.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::StoreError;
use super::Connection;
use super::calls::{Api, Failure};
use super::object::{Bytes, Encoded, write};
use crate::domain::SecretValue;

/// A Secret that is there.
#[derive(Debug, Clone)]
pub struct SecretObject {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from another of the same name.
    pub uid: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its data.
    pub data: BTreeMap<String, SecretValue>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether the API server takes no changes of its data.
    pub is_immutable: bool,
    /// Whether it only waits for a finalizer.
    pub is_going: bool,
    version: String,
}

/// What is to be changed: keys with what they are to hold, or none where they are to go.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Of the data.
    pub data: BTreeMap<&'a str, Option<&'a SecretValue>>,
    /// Of the annotations.
    pub annotations: BTreeMap<&'a str, Option<&'a str>>,
}

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Done,
    /// Somebody else wrote, or deleted it, in between: nothing was changed.
    Overtaken,
}

#[derive(Deserialize)]
struct Read {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, Bytes>>,
    #[serde(default)]
    immutable: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    data: Option<Documents>,
}

/// What `keystow rotate` writes for everybody.
#[derive(Deserialize)]
struct Documents {
    #[serde(rename = "jwks.json")]
    jwks: Option<Bytes>,
    #[serde(rename = "issuers.yaml")]
    issuers: Option<Bytes>,
}

impl Connection {
    /// Reads a Secret, and the API server's clock. `None` where there is none.
    ///
    /// # Errors
    ///
    /// When it is not known whether there is one.
    pub async fn read_secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(SecretObject, Option<Timestamp>)>, StoreError> {
        let api = Api::new(Arc::clone(&self.0), namespace);
        let (Read { metadata, data, immutable }, time) = match api.read::<Read>(name).await {
            Ok(read) => read,
            Err(Failure::Absent) => return Ok(None),
            Err(failure) => return Err(failure.at(format!("{namespace}/{name}"))),
        };
        let data = data.unwrap_or_default().into_iter();
        let object = SecretObject {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: metadata.uid,
            annotations: metadata.annotations.unwrap_or_default(),
            data: data.map(|(key, Bytes(value))| (key, value)).collect(),
            created: metadata.creation_timestamp.and_then(|text| text.parse().ok()),
            is_immutable: immutable.unwrap_or(false),
            is_going: metadata.deletion_timestamp.is_some(),
            version: metadata.resource_version,
        };
        Ok(Some((object, time)))
    }

    /// Of a Secret with keys, the two public documents: the keys, and who issues tokens by each. `None` where the Secret, or one
    /// of them, is not there. Nothing else of it is decoded.
    ///
    /// # Errors
    ///
    /// When it is not known whether there is one.
    pub async fn read_public_keys(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(SecretValue, SecretValue)>, StoreError> {
        let api = Api::new(Arc::clone(&self.0), namespace);
        match api.read::<Published>(name).await {
            Ok((Published { data: Some(Documents { jwks: Some(jwks), issuers: Some(issuers) }) }, _)) => {
                Ok(Some((jwks.0, issuers.0)))
            }
            Ok(_) | Err(Failure::Absent) => Ok(None),
            Err(failure) => Err(failure.at(format!("{namespace}/{name}"))),
        }
    }

    /// Changes a Secret, if it is still what was read.
    ///
    /// # Errors
    ///
    /// When it is not known whether it was changed, or it may not be.
    pub async fn write_secret(
        &self,
        object: &SecretObject,
        changes: &Changes<'_>,
    ) -> Result<Written, StoreError> {
        let SecretObject { namespace, name, version, uid, .. } = object;
        let annotations: Value = json!(changes.annotations);
        // The uid too: of a new one of the same name nothing is known.
        let metadata = json!({"uid": uid, "resourceVersion": version, "annotations": annotations});
        let data = changes.data.iter().map(|(key, value)| (*key, value.map(Encoded)));
        let body = write(json!({ "metadata": metadata }), data.collect());
        match Api::new(Arc::clone(&self.0), namespace).patch(name, &body).await {
            Ok(()) => Ok(Written::Done),
            Err(Failure::Absent | Failure::Conflict) => Ok(Written::Overtaken),
            Err(failure) => {
                let values = changes.data.values().filter_map(|value| *value);
                Err(failure.without(values).at(format!("{namespace}/{name}")))
            }
        }
    }
}
