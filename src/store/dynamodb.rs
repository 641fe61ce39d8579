//! The store `dynamodb`: kees' table, `<env>-kube-secret`.
//!
//! | | hash key `secretName` (S) | attribute `secretValue` (S) |
//! |---|---|---|
//! | secret, resource | the path | the bytes in base64 |
//! | lease | the path | the name of the pod, plain; `namespace` and `uid` (S) beside it, which kees does not know |
//! | claim of an index | the path | the index, plain |
//!
//! ```text
//! get     ─▶ BatchGetItem, 100 keys a call, consistent; what it leaves out is asked for again
//!            denied as a whole ─▶ BatchGetItem of each key, so that it is told which one is not granted
//! create  one value ─▶ PutItem     several ─▶ TransactWriteItems     both only where there is no such item
//!            lost ─▶ read what the winner wrote
//! replace ─▶ UpdateItem on condition of the value
//! delete  ─▶ DeleteItem on condition of the value
//! list    ─▶ Scan, keys only, to the last page
//! ```
//!
//! Invariants: a group is there as a whole or not at all, and of many creators one wins; a value is deleted only as the
//! expected one. Attributes besides these are neither read nor written, and are nobody's mistake.
//!
//! Deliberately absent: creating the table. What it costs and who may read it is the operator's choice.

mod item;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, TransactWriteItem,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::aws::fault::{self, Fault};
use super::aws::{Connection, in_batches};
use super::{
    Address, Answer, Created, Deleted, OpenError, Outcomes, Replaced, Store, StoreError, Surroundings,
    whole_group,
};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::{AwsSettings, DynamoDbSettings};
use item::KEY;

/// Keys of one BatchGetItem, and items of one TransactWriteItems: the service takes no more.
const BATCH: usize = 100;
/// Calls that bring nothing, one after the other, before the table is taken for overloaded.
const FRUITLESS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Of an item, what is read.
const READ: &str = "#secretName, #secretValue, #namespace, #uid, #cluster";
const ABSENT: &str = "attribute_not_exists(secretName)";

/// A table.
#[derive(Debug)]
pub(super) struct DynamoDb {
    connection: Connection<Client>,
    table: String,
}

/// What lies under each key that was asked for; nothing where there is no such item.
type Items = HashMap<String, Result<Option<item::Item>, Fault>>;

impl DynamoDb {
    pub(super) async fn open(
        settings: &DynamoDbSettings,
        surroundings: &Surroundings,
    ) -> Result<Self, OpenError> {
        let DynamoDbSettings { table, region, audience, role_arn, endpoint } = settings.clone();
        let settings = AwsSettings { region, audience, role_arn, endpoint };
        let connection = Connection::open("dynamodb", &settings, surroundings, Client::new).await?;
        Ok(Self { connection, table })
    }

    fn fault<E: fault::Error>(&self, error: &SdkError<E, HttpResponse>) -> Fault {
        match error {
            // Of the table, that is: an item that is not there is no error.
            SdkError::ServiceError(context) if context.err().code() == Some("ResourceNotFoundException") => {
                let region = self.connection.region();
                Fault::invalid(format!(
                    "there is no table {} in {region}; create it, or mend `table` and `region` of the store",
                    self.table
                ))
            }
            _ => Fault::of(error),
        }
    }

    fn sought(&self, path: &StoragePath) -> StoreError {
        StoreError::not_found(path, format!("item secretName={path} of table {}", self.table))
    }

    async fn get_all(&self, addresses: &[Address]) -> Outcomes {
        let mut outcomes = Outcomes::with_capacity(addresses.len());
        let mut keys = BTreeSet::new();
        for address in addresses {
            match item::check_key(&address.path) {
                Ok(()) => drop(keys.insert(address.path.as_str())),
                Err(error) => drop(outcomes.insert(address.clone(), Err(error))),
            }
        }
        let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        let items = self.items(&keys).await;
        for address in addresses {
            let outcome = match items.get(address.path.as_str()) {
                Some(Ok(Some(item))) => item::read(item, address),
                Some(Ok(None)) => Err(self.sought(&address.path)),
                Some(Err(fault)) => Err(fault.about(&address.path)),
                // Refused above.
                None => continue,
            };
            outcomes.insert(address.clone(), outcome);
        }
        outcomes
    }

    async fn items(&self, keys: &[String]) -> Items {
        in_batches(keys, BATCH, |batch| self.batch_or_each(batch)).await
    }

    /// One key that is not granted denies the whole batch: then each is asked for by itself.
    async fn batch_or_each(&self, keys: Vec<String>) -> Items {
        let items = self.batch(&keys).await;
        let is_denied = |item: &Result<_, Fault>| item.as_ref().is_err_and(Fault::is_denial);
        if keys.len() == 1 || !items.values().all(is_denied) {
            return items;
        }
        in_batches(&keys, 1, |key| async move { self.batch(&key).await }).await
    }

    async fn batch(&self, keys: &[String]) -> Items {
        let mut items: Items = keys.iter().map(|key| (key.clone(), Ok(None))).collect();
        let mut left: Vec<HashMap<String, AttributeValue>> =
            keys.iter().map(|key| item::key(key.clone())).collect();
        let mut fruitless = 0;
        while !left.is_empty() {
            let before = left.len();
            let fault = match self.call_batch(&left).await {
                Ok(answer) if !self.is_told_of(&answer) => {
                    Some(Fault::unavailable("the answer does not mention the table"))
                }
                Ok(answer) => {
                    left = self.take(answer, &mut items);
                    fruitless = if left.len() < before { 0 } else { fruitless + 1 };
                    let overload = || Fault::unavailable("the table's throughput is used up");
                    (fruitless == FRUITLESS).then(overload)
                }
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                let unknown = left.iter().filter_map(item::key_of);
                items.extend(unknown.map(|key| (key, Err(fault.clone()))));
                break;
            }
            if fruitless > 0 {
                tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(fruitless - 1)).await;
            }
        }
        items
    }

    async fn call_batch(
        &self,
        keys: &[HashMap<String, AttributeValue>],
    ) -> Result<BatchGetItemOutput, Fault> {
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys.to_vec()))
            .consistent_read(true)
            .projection_expression(READ)
            .set_expression_attribute_names(Some(item::names(READ)))
            .build()
            .map_err(|error| Fault::invalid(error.to_string()))?;
        let call =
            |client: Arc<Client>| client.batch_get_item().request_items(&self.table, request.clone()).send();
        self.connection.call(call).await.map_err(|error| self.fault(&error))
    }

    /// Whether an answer is about our table at all. One that is not says nothing of what is absent there.
    fn is_told_of(&self, answer: &BatchGetItemOutput) -> bool {
        answer.responses.as_ref().is_some_and(|tables| tables.contains_key(&self.table))
            || answer.unprocessed_keys.as_ref().is_some_and(|tables| tables.contains_key(&self.table))
    }

    /// Keeps what an answer has, and gives back the keys that it left out.
    fn take(&self, answer: BatchGetItemOutput, items: &mut Items) -> Vec<HashMap<String, AttributeValue>> {
        for item in answer.responses.into_iter().flatten().flat_map(|(_, items)| items) {
            if let Some(key) = item::key_of(&item) {
                items.insert(key, Ok(Some(item)));
            }
        }
        let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
        left.map(|left| left.keys).unwrap_or_default()
    }

    async fn create_group(&self, group: &[(Address, SecretValue)]) -> Result<Created, StoreError> {
        let [(first, _), ..] = group else {
            return Err(StoreError::invalid("an empty group", "it has no value"));
        };
        if group.len() > BATCH {
            let reason = format!(
                "it is in a group of more than {BATCH} values, which DynamoDB does not create at once"
            );
            return Err(StoreError::invalid(&first.path, reason));
        }
        let mut items = Vec::with_capacity(group.len());
        for (address, value) in group {
            item::check_key(&address.path)?;
            items.push(item::write(address, value)?);
        }
        let is_ours = match <[_; 1]>::try_from(items) {
            Ok([item]) => self.put(item).await,
            Err(items) => self.transact(items).await,
        };
        if is_ours.map_err(|fault| fault.about(&first.path))? {
            Ok(Created::Ours)
        } else {
            self.theirs(group).await
        }
    }

    /// Whether it was created; not, where there is one already.
    async fn put(&self, item: item::Item) -> Result<bool, Fault> {
        let call = |client: Arc<Client>| {
            let put = client.put_item().table_name(&self.table).set_item(Some(item.clone()));
            put.condition_expression(ABSENT).send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => {
                Ok(false)
            }
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Whether all were created; not, where any is there already.
    async fn transact(&self, items: Vec<item::Item>) -> Result<bool, Fault> {
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            let put =
                Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression(ABSENT);
            let put = put.build().map_err(|error| Fault::invalid(error.to_string()))?;
            writes.push(TransactWriteItem::builder().put(put).build());
        }
        let call = |client: Arc<Client>| {
            client.transact_write_items().set_transact_items(Some(writes.clone())).send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(context)) => match context.err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    lost(cancelled.cancellation_reasons())
                }
                _ => Err(self.fault(&SdkError::ServiceError(context))),
            },
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// What the winner wrote. It is read after the fact, so it can be gone again.
    async fn theirs(&self, group: &[(Address, SecretValue)]) -> Result<Created, StoreError> {
        let addresses: Vec<Address> = group.iter().map(|(address, _)| address.clone()).collect();
        let mut stored = self.get_all(&addresses).await;
        let silence = |address: &Address| StoreError::unmentioned(&address.path);
        let outcomes =
            addresses.iter().map(|address| stored.remove(address).unwrap_or_else(|| Err(silence(address))));
        match whole_group(outcomes)? {
            Some(theirs) => Ok(Created::Theirs(theirs)),
            None => {
                let reason = "somebody else created it and took it away again";
                Err(StoreError::unavailable(&addresses[0].path, reason))
            }
        }
    }

    async fn delete_if(&self, address: &Address, expected: &SecretValue) -> Result<Deleted, StoreError> {
        item::check_key(&address.path)?;
        let (condition, values) = item::is_still(address, &item::write(address, expected)?);
        let key = item::key(address.path.to_string());
        let call = |client: Arc<Client>| {
            let delete = client.delete_item().table_name(&self.table).set_key(Some(key.clone()));
            delete
                .condition_expression(&condition)
                .set_expression_attribute_names(Some(item::names(&condition)))
                .set_expression_attribute_values(Some(values.clone()))
                .send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(Deleted::Gone),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => {
                Ok(Deleted::Changed)
            }
            Err(error) => Err(self.fault(&error).about(&address.path)),
        }
    }

    async fn replace_if(
        &self,
        address: &Address,
        expected: &SecretValue,
        value: &SecretValue,
    ) -> Result<Replaced, StoreError> {
        item::check_key(&address.path)?;
        let text = |value: &SecretValue| item::text(address, value);
        let values = HashMap::from([(":new".to_owned(), text(value)?), (":old".to_owned(), text(expected)?)]);
        let key = item::key(address.path.to_string());
        let call = |client: Arc<Client>| {
            let update = client.update_item().table_name(&self.table).set_key(Some(key.clone()));
            update
                .update_expression(item::SET)
                .condition_expression(item::IS)
                .set_expression_attribute_names(Some(item::names(item::SET)))
                .set_expression_attribute_values(Some(values.clone()))
                .send()
        };
        match self.connection.call(call).await {
            Ok(_) => Ok(Replaced::Done),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => {
                Ok(Replaced::Changed)
            }
            Err(error) => Err(self.fault(&error).about(&address.path)),
        }
    }

    async fn list_all(&self, prefix: &str) -> Result<Vec<StoragePath>, StoreError> {
        let mut paths = Vec::new();
        let mut start = None;
        loop {
            let call = |client: Arc<Client>| {
                let scan =
                    client.scan().table_name(&self.table).consistent_read(true).projection_expression(KEY);
                // An empty text begins every key, but cannot be asked for.
                let scan = if prefix.is_empty() {
                    scan
                } else {
                    scan.filter_expression(format!("begins_with({KEY}, :prefix)"))
                        .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
                };
                scan.set_exclusive_start_key(start.clone()).send()
            };
            let page = self.connection.call(call).await.map_err(|error| self.fault(&error).about(prefix))?;
            let keys = page.items.iter().flatten().filter_map(item::key_of);
            paths.extend(keys.filter_map(|key| StoragePath::read(&key)));
            match page.last_evaluated_key {
                Some(last) if !last.is_empty() => start = Some(last),
                _ => return Ok(paths),
            }
        }
    }
}

/// Whether a transaction was cancelled because an item was there (then it is `Ok(false)`), or for what else.
fn lost(reasons: &[CancellationReason]) -> Result<bool, Fault> {
    let is_there = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    if reasons.iter().any(is_there) {
        return Ok(false);
    }
    let cause = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
    Err(match cause.and_then(CancellationReason::code) {
        Some("TransactionConflict") => Fault::unavailable("somebody else is writing it"),
        code => Fault::answered(code, None, 400),
    })
}

impl Store for DynamoDb {
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes> {
        Box::pin(self.get_all(addresses))
    }

    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>> {
        Box::pin(self.create_group(group))
    }

    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(self.delete_if(address, expected))
    }

    fn replace<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
        value: &'a SecretValue,
    ) -> Answer<'a, Result<Replaced, StoreError>> {
        Box::pin(self.replace_if(address, expected, value))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(self.list_all(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
        codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect()
    }

    #[test]
    fn who_finds_an_item_has_lost_and_who_meets_another_asks_again() {
        assert_eq!(lost(&reasons(&["None", "ConditionalCheckFailed"])), Ok(false));
        assert_eq!(lost(&reasons(&["TransactionConflict", "ConditionalCheckFailed"])), Ok(false));
        for busy in ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"] {
            let fault = lost(&reasons(&["None", busy])).unwrap_err();
            assert!(fault.about("/a").is_worth_waiting_for(), "{busy}");
        }
        let refused = lost(&reasons(&["ValidationError"])).unwrap_err();
        assert_eq!(refused, Fault::invalid("AWS refuses it: ValidationError"));
    }
}
