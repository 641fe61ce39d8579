//! The store `secretsmanager`: AWS Secrets Manager, one secret an object ([`super::flat`]).
//!
//! ```text
//! name     the path as it is, /veza/db; [A-Za-z0-9/_+=.@-], at most 512
//! content  text as SecretString, bytes and text with a NUL as SecretBinary, at most 65,536 bytes
//! read     ─▶ BatchGetSecretValue, 20 a call, the current version     create ─▶ CreateSecret     list ─▶ ListSecrets
//! delete   ─▶ DeleteSecret of the ARN that was read, without recovery, so that its name is free again
//! ```
//!
//! Invariants: of many creators one wins, since no two secrets have one name. A secret that was deleted and created anew
//! has another ARN, so only the one that was read is deleted. What is left: a secret that gets another value in place,
//! after it was read and before it is deleted, is deleted with that value; keystow itself never does that.
//!
//! A secret that is marked for deletion is neither there nor gone: its name is not free, and it may be restored. So it
//! is `Unavailable` and not `NotFound`, to who reads it and to who creates one of its name. For a short while that is
//! also true of one that was deleted without recovery.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{ApiErrorType, Filter, FilterNameStringType, SecretValueEntry};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::aws::fault::{self, Fault};
use super::aws::{Connection, in_batches};
use super::flat::{Flat, Object, Objects, Service};
use super::{Answer, Deleted, OpenError, StoreError, Surroundings};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::AwsSettings;

/// Secrets of one BatchGetSecretValue, and of one page of ListSecrets: the service gives no more.
const BATCH: usize = 20;
const PAGE: i32 = 100;
/// The service's limits, in bytes.
const LONGEST_NAME: usize = 512;
const LONGEST_VALUE: usize = 65_536;

/// The secrets of an account in a region.
#[derive(Debug)]
pub(super) struct SecretsManager {
    connection: Connection<Client>,
}

pub(super) async fn open(
    settings: &AwsSettings,
    surroundings: &Surroundings,
) -> Result<Flat<SecretsManager>, OpenError> {
    let connection = Connection::open("secretsmanager", settings, surroundings, Client::new).await?;
    Ok(Flat(SecretsManager { connection }))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte)
}

fn check_name(name: &StoragePath) -> Result<(), StoreError> {
    let text = name.as_str();
    if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(is_letter) {
        let reason = format!(
            "names in Secrets Manager have 1 to {LONGEST_NAME} letters, digits and /_+=.@- and nothing else"
        );
        return Err(StoreError::invalid(name, reason));
    }
    Ok(())
}

/// What codes mean here that other services do not have.
fn particular(code: Option<&str>) -> Option<Fault> {
    match code? {
        "InvalidRequestException" => Some(Fault::unavailable(
            "a secret of its name is marked for deletion; restore it (RestoreSecret), or wait until it is gone",
        )),
        "DecryptionFailure" | "EncryptionFailure" => Some(Fault::denied(
            "its KMS key cannot be used: grant kms:Decrypt, and kms:GenerateDataKey to who creates",
        )),
        _ => None,
    }
}

/// What the answer says of one secret of a batch.
fn told(code: Option<&str>, message: Option<&str>, status: u16) -> Fault {
    particular(code).unwrap_or_else(|| Fault::answered(code, message, status))
}

fn refused<E: fault::Error>(error: &SdkError<E, HttpResponse>) -> Fault {
    let particular = match error {
        SdkError::ServiceError(context) => particular(context.err().code()),
        _ => None,
    };
    particular.unwrap_or_else(|| Fault::of(error))
}

fn object(entry: SecretValueEntry, name: &StoragePath) -> Result<Object, StoreError> {
    let content = match (entry.secret_string, entry.secret_binary) {
        (Some(text), _) => SecretValue::new(text.into_bytes()),
        (None, Some(bytes)) => SecretValue::new(bytes.into_inner()),
        (None, None) => return Err(StoreError::invalid(name, "its current version has no value")),
    };
    Ok(Object { content, version: entry.arn.unwrap_or_else(|| name.to_string()) })
}

impl SecretsManager {
    fn sought(&self, name: &StoragePath) -> StoreError {
        StoreError::not_found(name, format!("secret {name} in {}", self.connection.region()))
    }

    async fn batch(&self, names: Vec<StoragePath>) -> Objects {
        let mut objects = Objects::new();
        let mut token: Option<String> = None;
        loop {
            let call = |client: Arc<Client>| {
                let ids = names.iter().map(|name| name.as_str().to_owned()).collect();
                client
                    .batch_get_secret_value()
                    .set_secret_id_list(Some(ids))
                    .set_next_token(token.clone())
                    .send()
            };
            let answer = match self.connection.call(call).await {
                Ok(answer) => answer,
                Err(error) => {
                    let fault = refused(&error);
                    let unread = names.iter().filter(|name| !objects.contains_key(*name)).cloned();
                    let unread: Vec<StoragePath> = unread.collect();
                    objects.extend(unread.into_iter().map(|name| (name.clone(), Err(fault.about(&name)))));
                    return objects;
                }
            };
            for entry in answer.secret_values.into_iter().flatten() {
                if let Some(name) = names.iter().find(|name| entry.name.as_deref() == Some(name.as_str())) {
                    objects.insert(name.clone(), object(entry, name));
                }
            }
            for error in answer.errors.into_iter().flatten() {
                if let Some(name) = names.iter().find(|name| error.secret_id() == Some(name.as_str())) {
                    objects.insert(name.clone(), Err(self.error(&error, name)));
                }
            }
            match answer.next_token {
                Some(next) if !next.is_empty() && token.as_ref() != Some(&next) => token = Some(next),
                _ => return objects,
            }
        }
    }

    fn error(&self, error: &ApiErrorType, name: &StoragePath) -> StoreError {
        match error.error_code() {
            Some("ResourceNotFoundException") => self.sought(name),
            code => told(code, error.message(), 400).about(name),
        }
    }

    async fn create_one(&self, name: &StoragePath, content: &SecretValue) -> Result<bool, StoreError> {
        let bytes = content.expose();
        if bytes.is_empty() {
            return Err(StoreError::invalid(name, "its value is empty, which Secrets Manager does not keep"));
        }
        if bytes.len() > LONGEST_VALUE {
            let reason =
                format!("its value is longer than {LONGEST_VALUE} bytes, the limit of Secrets Manager");
            return Err(StoreError::invalid(name, reason));
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        let call = |client: Arc<Client>| {
            let create = client.create_secret().name(name.as_str());
            match text {
                Some(text) => create.secret_string(text),
                None => create.secret_binary(Blob::new(bytes)),
            }
            .send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(context)) if context.err().is_resource_exists_exception() => Ok(false),
            Err(error) => Err(refused(&error).about(name)),
        }
    }

    async fn delete_one(&self, name: &StoragePath, arn: &str) -> Result<Deleted, StoreError> {
        let call = |client: Arc<Client>| {
            client.delete_secret().secret_id(arn).force_delete_without_recovery(true).send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(Deleted::Gone),
            Err(SdkError::ServiceError(context)) if context.err().is_resource_not_found_exception() => {
                Ok(Deleted::Gone)
            }
            Err(error) => Err(refused(&error).about(name)),
        }
    }

    async fn list_all(&self, prefix: &str) -> Result<Vec<StoragePath>, StoreError> {
        let mut paths = Vec::new();
        // Nothing is called so; and a filter that begins with `!` would mean all others.
        if prefix.len() > LONGEST_NAME || !prefix.bytes().all(is_letter) {
            return Ok(paths);
        }
        let filter = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
        let filters = (!prefix.is_empty()).then(|| vec![filter]);
        let mut token: Option<String> = None;
        loop {
            let call = |client: Arc<Client>| {
                let list = client.list_secrets().max_results(PAGE).set_filters(filters.clone());
                list.set_next_token(token.clone()).send()
            };
            let page = self.connection.call(call).await.map_err(|error| refused(&error).about(prefix))?;
            let names = page.secret_list.into_iter().flatten().filter_map(|secret| secret.name);
            paths.extend(
                names.filter(|name| name.starts_with(prefix)).filter_map(|name| StoragePath::read(&name)),
            );
            match page.next_token {
                Some(next) if !next.is_empty() => token = Some(next),
                _ => return Ok(paths),
            }
        }
    }
}

impl Service for SecretsManager {
    fn check(&self, name: &StoragePath) -> Result<(), StoreError> {
        check_name(name)
    }

    fn read<'a>(&'a self, names: &'a [StoragePath]) -> Answer<'a, Objects> {
        Box::pin(in_batches(names, BATCH, |batch| self.batch(batch)))
    }

    fn create<'a>(
        &'a self,
        name: &'a StoragePath,
        content: &'a SecretValue,
    ) -> Answer<'a, Result<bool, StoreError>> {
        Box::pin(self.create_one(name, content))
    }

    fn delete<'a>(
        &'a self,
        name: &'a StoragePath,
        version: &'a str,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(self.delete_one(name, version))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(self.list_all(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoragePrefix;

    #[test]
    fn names_that_the_service_does_not_take_are_refused() {
        let path = |prefix: &str, key: &str| StoragePrefix::new(prefix).unwrap().join(key);
        for kept in [path("/veza", "db_password"), path("veza", "a+b=c.d@e-f"), path("/a//b", "c")] {
            assert_eq!(check_name(&kept), Ok(()), "{kept}");
        }
        for refused in
            [path("/a b", "c"), path("/\u{e9}", "c"), path("/a", &"k".repeat(512)), path("/a:b", "c")]
        {
            assert!(matches!(check_name(&refused), Err(StoreError::Invalid { .. })), "{refused}");
        }
    }

    #[test]
    fn what_is_marked_for_deletion_is_not_absent() {
        let marked = told(Some("InvalidRequestException"), None, 400).about("/a");
        assert!(matches!(marked, StoreError::Unavailable { .. }), "{marked}");
        let key = told(Some("DecryptionFailure"), None, 400).about("/a");
        assert!(matches!(key, StoreError::Denied { .. }), "{key}");
    }
}
