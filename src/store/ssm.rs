//! The store `ssm`: Parameter Store of AWS Systems Manager, one SecureString an object ([`super::flat`]).
//!
//! ```text
//! name     the path as it is, /veza/db: [A-Za-z0-9_.-] between slashes, 15 levels, at most 1,011; a leading slash
//! content  text, and what is none as a data: URL ([`super::text`]), at most 8 KiB
//! read     ─▶ GetParameters, 10 a call, decrypted; denied as a whole ─▶ each by itself, so that only it is denied
//! create   ─▶ PutParameter without overwriting, tier by size     delete ─▶ DeleteParameter
//! list     ─▶ DescribeParameters, to the last page: no value is read
//! ```
//!
//! Invariants: of many creators one wins, since a parameter that is there is not overwritten. The service deletes by
//! name alone, so what is left of deletion is this: what takes the place of a value after it was read, and before it is
//! deleted, is deleted too. Who needs more, for leases that are passed on quickly, has `dynamodb`.

use std::sync::Arc;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{Parameter, ParameterStringFilter, ParameterTier, ParameterType};
use aws_smithy_runtime_api::client::result::SdkError;

use super::aws::fault::Fault;
use super::aws::{Connection, in_batches};
use super::flat::{Flat, Object, Objects, Service};
use super::{Answer, Deleted, OpenError, StoreError, Surroundings, text};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::AwsSettings;

/// Names of one GetParameters, and of one page of DescribeParameters: the service takes and gives no more.
const BATCH: usize = 10;
const PAGE: i32 = 50;
/// The service's limits, in bytes and levels.
const LONGEST_NAME: usize = 1011;
const LONGEST_VALUE: usize = 8192;
const DEEPEST: usize = 15;

/// The parameters of an account in a region.
#[derive(Debug)]
pub(super) struct Ssm {
    connection: Connection<Client>,
}

pub(super) async fn open(
    settings: &AwsSettings,
    surroundings: &Surroundings,
) -> Result<Flat<Ssm>, OpenError> {
    let connection = Connection::open("ssm", settings, surroundings, Client::new).await?;
    Ok(Flat(Ssm { connection }))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

fn check_name(name: &StoragePath) -> Result<(), StoreError> {
    let refuse = |reason: String| Err(StoreError::invalid(name, reason));
    let text = name.as_str();
    let levels: Vec<&str> = text.strip_prefix('/').unwrap_or(text).split('/').collect();
    if text.len() > LONGEST_NAME {
        return refuse(format!("its path is longer than {LONGEST_NAME} bytes, the limit of Parameter Store"));
    }
    if levels.len() > 1 && !text.starts_with('/') {
        return refuse(
            "names with a / begin with one in Parameter Store; begin the storage-prefix with /".to_owned(),
        );
    }
    if levels.len() > DEEPEST {
        return refuse(format!("names in Parameter Store have at most {DEEPEST} levels"));
    }
    if !levels.iter().all(|level| !level.is_empty() && level.bytes().all(is_letter)) {
        return refuse(
            "names in Parameter Store have letters, digits and _.- between single slashes".to_owned(),
        );
    }
    let first = levels[0].to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return refuse("names that begin with aws or ssm belong to AWS in Parameter Store".to_owned());
    }
    Ok(())
}

/// `{{…}}` would mean another parameter, and is refused in a value.
fn is_plain(text: &str) -> bool {
    !text.contains("{{")
}

impl Ssm {
    fn sought(&self, name: &StoragePath) -> StoreError {
        StoreError::not_found(name, format!("parameter {name} in {}", self.connection.region()))
    }

    /// One name that is not granted denies the whole batch, and a pod has a right to its own names alone.
    async fn batch_or_each(&self, names: Vec<StoragePath>) -> Objects {
        let fault = match self.batch(&names).await {
            Ok(objects) => return objects,
            Err(fault) => fault,
        };
        if names.len() == 1 || !fault.is_denial() {
            return refused(names, &fault);
        }
        in_batches(&names, 1, |name| async move {
            self.batch(&name).await.unwrap_or_else(|fault| refused(name, &fault))
        })
        .await
    }

    async fn batch(&self, names: &[StoragePath]) -> Result<Objects, Fault> {
        let call = |client: Arc<Client>| {
            let names = names.iter().map(|name| name.as_str().to_owned()).collect();
            client.get_parameters().set_names(Some(names)).with_decryption(true).send()
        };
        let answer = self.connection.call(call).await.map_err(|error| Fault::of(&error))?;
        let mut objects = Objects::new();
        for parameter in answer.parameters.into_iter().flatten() {
            if let Some(name) = names.iter().find(|name| parameter.name() == Some(name.as_str())) {
                objects.insert(name.clone(), object(parameter, name));
            }
        }
        let absent = answer.invalid_parameters.into_iter().flatten();
        for name in absent.filter_map(|absent| names.iter().find(|name| absent == name.as_str())) {
            objects.insert(name.clone(), Err(self.sought(name)));
        }
        Ok(objects)
    }

    async fn create_one(&self, name: &StoragePath, content: &SecretValue) -> Result<bool, StoreError> {
        let value = text::encode_where(content, is_plain);
        if value.is_empty() {
            return Err(StoreError::invalid(name, "its value is empty, which Parameter Store does not keep"));
        }
        if value.len() > LONGEST_VALUE {
            let reason = format!(
                "its value as text is longer than {LONGEST_VALUE} bytes, the limit of Parameter Store"
            );
            return Err(StoreError::invalid(name, reason));
        }
        let call = |client: Arc<Client>| {
            let put = client.put_parameter().name(name.as_str()).value(value.as_str());
            put.r#type(ParameterType::SecureString)
                .tier(ParameterTier::IntelligentTiering)
                .overwrite(false)
                .send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(context)) if context.err().is_parameter_already_exists() => Ok(false),
            Err(SdkError::ServiceError(context)) if context.err().is_too_many_updates() => {
                Err(StoreError::unavailable(name, "somebody else is writing it"))
            }
            Err(error) => Err(Fault::of(&error).about(name)),
        }
    }

    async fn delete_one(&self, name: &StoragePath) -> Result<Deleted, StoreError> {
        let call = |client: Arc<Client>| client.delete_parameter().name(name.as_str()).send();
        match self.connection.call(call).await {
            Ok(_) => Ok(Deleted::Gone),
            Err(SdkError::ServiceError(context)) if context.err().is_parameter_not_found() => {
                Ok(Deleted::Gone)
            }
            Err(error) => Err(Fault::of(&error).about(name)),
        }
    }

    async fn list_all(&self, prefix: &str) -> Result<Vec<StoragePath>, StoreError> {
        let mut paths = Vec::new();
        // Nothing is called so, and the service would refuse the filter.
        if prefix.len() > LONGEST_NAME || !prefix.bytes().all(|byte| byte == b'/' || is_letter(byte)) {
            return Ok(paths);
        }
        let filter = ParameterStringFilter::builder().key("Name").option("BeginsWith").values(prefix).build();
        let filter = filter.map_err(|error| StoreError::invalid(prefix, error.to_string()))?;
        let filters = (!matches!(prefix, "" | "/")).then(|| vec![filter]);
        let mut token: Option<String> = None;
        loop {
            let call = |client: Arc<Client>| {
                let describe = client.describe_parameters().max_results(PAGE);
                describe.set_parameter_filters(filters.clone()).set_next_token(token.clone()).send()
            };
            let page = self.connection.call(call).await.map_err(|error| Fault::of(&error).about(prefix))?;
            let names = page.parameters.into_iter().flatten().filter_map(|parameter| parameter.name);
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

/// The same for each of these.
fn refused(names: Vec<StoragePath>, fault: &Fault) -> Objects {
    names.into_iter().map(|name| (name.clone(), Err(fault.about(&name)))).collect()
}

fn object(parameter: Parameter, name: &StoragePath) -> Result<Object, StoreError> {
    let version = parameter.version.to_string();
    let value = zeroize::Zeroizing::new(parameter.value.unwrap_or_default());
    let content = text::decode(&value).map_err(|reason| StoreError::invalid(name, reason))?;
    Ok(Object { content, version })
}

impl Service for Ssm {
    fn check(&self, name: &StoragePath) -> Result<(), StoreError> {
        check_name(name)
    }

    fn read<'a>(&'a self, names: &'a [StoragePath]) -> Answer<'a, Objects> {
        Box::pin(in_batches(names, BATCH, |batch| self.batch_or_each(batch)))
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
        _version: &'a str,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(self.delete_one(name))
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
    fn names_that_the_service_does_not_take_are_refused_with_the_way_out() {
        let path = |prefix: &str, key: &str| StoragePrefix::new(prefix).unwrap().join(key);
        for kept in
            [path("/veza", "db_password"), path("", "db"), path("/a.b/c-d", "e"), path("/my-aws", "e")]
        {
            assert_eq!(check_name(&kept), Ok(()), "{kept}");
        }
        for (refused, reason) in [
            (path("veza", "db"), "begin with one"),
            (path("/a//b", "c"), "single slashes"),
            (path("/a b", "c"), "single slashes"),
            (path("/a+b", "c"), "single slashes"),
            (path("/AWS/x", "c"), "belong to AWS"),
            (path("/ssm-x", "c"), "belong to AWS"),
            (path("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15", "c"), "15 levels"),
            (path("/a", &"k".repeat(1010)), "longer than 1011"),
        ] {
            let error = check_name(&refused).unwrap_err();
            assert!(
                matches!(error, StoreError::Invalid { .. }) && error.to_string().contains(reason),
                "{error}"
            );
        }
    }

    #[test]
    fn what_would_name_another_parameter_is_written_as_bytes() {
        let value = SecretValue::new(b"a {{ssm:b}}".to_vec());
        let written = text::encode_where(&value, is_plain);
        assert!(written.starts_with("data:") && !written.contains("{{"), "{}", &*written);
        assert_eq!(text::decode(&written), Ok(value));
    }
}
