//! The store `dynamodb` against moto: the suite, kees' own items, budgets of requests, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest,
    ScalarAttributeType, WriteRequest,
};
use bytes::Bytes;
use keystow::domain::StoragePath;
use keystow::handover::{AwsSettings, DynamoDbSettings, StoreSettings};
use keystow::store::{Address, Created, Deleted, Store, StoreError};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::aws::documents::{self, shown};
use crate::aws::{Cloud, failure};
use crate::conformance::{Asker, Limits, Subject, address, conformance, get, path, value};
use crate::support::faults::answers::{dynamodb, dynamodb_exceeded};
use crate::support::faults::{Answer, Fault, Faults, Seen};

const TABLE: &str = "test-kube-secret";
/// What kees calls the environment of this table.
pub(crate) const TABLE_LABEL: &str = "test";
/// Items of one BatchWriteItem.
const WRITE_BATCH: usize = 25;

pub(crate) struct Table {
    pub(crate) cloud: Cloud,
    client: Client,
}

impl Subject for Table {
    async fn start(test: &str) -> Option<Self> {
        static CREATED: OnceCell<()> = OnceCell::const_new();
        let cloud = Cloud::start(test, settings).await?;
        let client = Client::new(&cloud.sdk().await);
        CREATED.get_or_init(|| create_table(&client)).await;
        Some(Self { cloud, client })
    }

    async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        self.cloud.open(asker).await
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    async fn fill(&self, paths: &[StoragePath]) {
        for paths in paths.chunks(WRITE_BATCH) {
            let writes = paths.iter().map(|path| {
                let put = PutRequest::builder().set_item(Some(item(path, "MQ=="))).build().expect("a put");
                WriteRequest::builder().put_request(put).build()
            });
            let batch = self.client.batch_write_item().request_items(TABLE, writes.collect());
            batch.send().await.expect("written items");
        }
    }
}

conformance!(Table);

fn settings(aws: AwsSettings) -> StoreSettings {
    let AwsSettings { region, audience, role_arn, endpoint } = aws;
    StoreSettings::DynamoDb(DynamoDbSettings {
        table: TABLE.to_owned(),
        region,
        audience,
        role_arn,
        endpoint,
    })
}

async fn create_table(client: &Client) {
    let name = "secretName";
    let key = KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build();
    let attribute =
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    let create = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let create =
        create.key_schema(key.expect("a key")).attribute_definitions(attribute.build().expect("a type"));
    create.send().await.expect("a table");
}

fn item(path: &StoragePath, text: &str) -> std::collections::HashMap<String, AttributeValue> {
    [("secretName", path.as_str()), ("secretValue", text)]
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .into()
}

fn is_read(seen: &Seen) -> bool {
    seen.operation == "BatchGetItem"
}

/// DynamoDB's answer that it got to none of these keys.
fn unprocessed(paths: &[&StoragePath]) -> Fault {
    let keys: Vec<_> = paths.iter().map(|path| json!({"secretName": {"S": path.as_str()}})).collect();
    let body = json!({"Responses": {TABLE: []}, "UnprocessedKeys": {TABLE: {"Keys": keys}}});
    let headers = vec![("content-type", "application/x-amz-json-1.0".to_owned())];
    Fault::Answer(Answer { status: 200, headers, body: Bytes::from(body.to_string()) })
}

async fn with_line(test: &str) -> Option<(Table, Faults, Arc<dyn Store>)> {
    let table = Table::start(test).await?;
    let line = table.cloud.line().await;
    let store = table.cloud.as_creator(&line.url()).await;
    Some((table, line, store))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kees_wrote_is_read_and_what_we_write_kees_could_read() {
    let Some(table) = Table::start("what_kees_wrote_is_read").await else { return };
    let store = table.cloud.open(Asker::Allowed).await;
    let (secret, lease) = (path("kees", "db_password"), path("kees", "leases/snowflake.7"));
    for (path, text) in [(&secret, "aHVudGVyMg=="), (&lease, "web-0")] {
        let put = table.client.put_item().table_name(TABLE).set_item(Some(item(path, text)));
        put.item("anything", AttributeValue::N("1".to_owned())).send().await.unwrap();
    }
    assert_eq!(get(&store, &Address::value(secret.clone())).await, Ok(value("hunter2")));
    assert_eq!(get(&store, &Address::lease(lease.clone())).await, Ok(value("web-0")));
    let (ours, held) = (path("kees", "key"), path("kees", "leases/snowflake.8"));
    let group = [(Address::value(ours.clone()), value(b"\x00\xff"))];
    assert_eq!(store.create(&group).await, Ok(Created::Ours));
    let group = [(Address::lease(held.clone()), value("web-1"))];
    assert_eq!(store.create(&group).await, Ok(Created::Ours));
    for (path, text) in [(ours, "AP8="), (held, "web-1")] {
        let key = AttributeValue::S(path.to_string());
        let stored = table.client.get_item().table_name(TABLE).key("secretName", key).send().await.unwrap();
        assert_eq!(stored.item, Some(item(&path, text)));
    }
    // Kees' init container looks for the name of its pod, and finds it.
    let full = Address::lease(path("kees", "leases/snowflake.9"));
    assert_eq!(store.create(&[(full.clone(), value("veza/web-2/8d4a/c1"))]).await, Ok(Created::Ours));
    let key = AttributeValue::S(full.path.to_string());
    let stored = table.client.get_item().table_name(TABLE).key("secretName", key).send().await.unwrap();
    let mut expected = item(&full.path, "web-2");
    for (name, text) in [("namespace", "veza"), ("uid", "8d4a"), ("cluster", "c1")] {
        expected.insert(name.to_owned(), AttributeValue::S(text.to_owned()));
    }
    assert_eq!(stored.item, Some(expected));
    let group = [(address("kees", "key_private"), value("1")), (address("kees", "key_public"), value("2"))];
    assert_eq!(store.create(&group).await, Ok(Created::Ours));
    // Kees' lease, which has more attributes than ours, is deleted like ours.
    let lease = Address::lease(lease);
    assert_eq!(store.delete(&lease, &value("web-9")).await, Ok(Deleted::Changed));
    assert_eq!(store.delete(&lease, &value("web-0")).await, Ok(Deleted::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_items_take_ten_requests() {
    let Some((table, line, store)) = with_line("a_thousand_items_take_ten_requests").await else { return };
    let paths: Vec<StoragePath> = (0..1000).map(|index| path("thousand", &format!("item.{index}"))).collect();
    table.fill(&paths).await;
    let mut addresses: Vec<Address> = paths.iter().cloned().map(Address::value).collect();
    // The same item asked for as two kinds of thing is one key: two of the same are refused.
    addresses.push(Address::lease(paths[0].clone()));
    let outcomes = store.get(&addresses).await;
    assert_eq!(outcomes.len(), 1001);
    for (address, outcome) in outcomes {
        let expected = if address == addresses[1000] { "MQ==" } else { "1" };
        assert_eq!(outcome, Ok(value(expected)), "{address:?}");
    }
    assert_eq!(line.count(is_read), 10);
    assert_eq!(line.requests().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_left_out_are_asked_for_again_but_not_for_ever() {
    let Some((table, line, store)) = with_line("keys_that_were_left_out").await else { return };
    let there = path("left-out", "there");
    table.fill(std::slice::from_ref(&there)).await;
    let absent = path("left-out", "absent");
    line.next(is_read, [unprocessed(&[&there, &absent]), unprocessed(&[&there, &absent])]);
    let addresses = [Address::value(there.clone()), Address::value(absent.clone())];
    let outcomes = store.get(&addresses).await;
    assert_eq!(outcomes[&addresses[0]], Ok(value("1")));
    assert!(matches!(outcomes[&addresses[1]], Err(StoreError::NotFound { .. })), "{outcomes:?}");
    assert_eq!(line.count(is_read), 3);

    line.always(is_read, unprocessed(&[&there]));
    let outcomes = store.get(&addresses[..1]).await;
    let Err(StoreError::Unavailable { reason, .. }) = &outcomes[&addresses[0]] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(reason, "the table's throughput is used up");
    assert_eq!(line.count(is_read), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_that_is_not_granted_is_denied_alone() {
    let Some((table, line, store)) = with_line("one_key_that_is_not_granted").await else { return };
    let there = path("granted", "there");
    table.fill(std::slice::from_ref(&there)).await;
    let addresses = [Address::value(there), Address::value(path("granted", "absent"))];
    // The batch, and then the first of the two.
    line.next(
        is_read,
        [
            Fault::Answer(dynamodb(400, "AccessDeniedException")),
            Fault::Answer(dynamodb(400, "AccessDeniedException")),
        ],
    );
    let outcomes = store.get(&addresses).await;
    let kinds: BTreeMap<&str, usize> = outcomes.values().fold(BTreeMap::new(), |mut kinds, outcome| {
        let kind = match outcome {
            Err(StoreError::Denied { .. }) => "denied",
            Err(StoreError::NotFound { .. }) | Ok(_) => "told",
            Err(_) => "other",
        };
        *kinds.entry(kind).or_default() += 1;
        kinds
    });
    assert_eq!(kinds, BTreeMap::from([("denied", 1), ("told", 1)]), "{outcomes:?}");
    assert_eq!(line.count(is_read), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_is_no_absent_secret() {
    let Some(table) = Table::start("a_table_that_is_not_there").await else { return };
    let StoreSettings::DynamoDb(mut other) = table.cloud.settings("creator", &table.cloud.moto.address())
    else {
        panic!("another store")
    };
    other.table = "nobodys-kube-secret".to_owned();
    let mut elsewhere = other.clone();
    (elsewhere.table, elsewhere.region) = (TABLE.to_owned(), Some("us-west-2".to_owned()));
    for (settings, named) in
        [(other, "nobodys-kube-secret in eu-west-1"), (elsewhere, "test-kube-secret in us-west-2")]
    {
        let settings = StoreSettings::DynamoDb(settings);
        let store = table.cloud.opened(&settings, &table.cloud.surroundings()).await.unwrap();
        let (at, group) = (address("no-table", "db"), [(address("no-table", "db"), value("1"))]);
        let pair =
            [(address("no-table", "a_private"), value("1")), (address("no-table", "a_public"), value("2"))];
        for error in [
            failure(&store, &at).await,
            store.create(&group).await.unwrap_err(),
            store.create(&pair).await.unwrap_err(),
            store.delete(&at, &value("1")).await.unwrap_err(),
            store.list("/").await.unwrap_err(),
        ] {
            let StoreError::Invalid { reason, .. } = &error else { panic!("{error:?}") };
            assert!(reason.contains(named), "{reason}");
            let rest = reason.split_once(named).map(|(_, rest)| rest).unwrap_or_default();
            shown("dynamodb", rest);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_winner_that_is_gone_again_is_nobody() {
    let Some((_table, line, store)) = with_line("a_winner_that_is_gone_again").await else { return };
    let pair = [(address("gone", "a_private"), value("1")), (address("gone", "a_public"), value("2"))];
    let lost = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": "No.",
        "CancellationReasons": [{"Code": "ConditionalCheckFailed", "Message": "No."}, {"Code": "None"}],
    });
    let headers = vec![("content-type", "application/x-amz-json-1.0".to_owned())];
    let lost = Answer { status: 400, headers, body: Bytes::from(lost.to_string()) };
    line.next(|seen| seen.operation == "TransactWriteItems", [Fault::Answer(lost)]);
    let told = store.create(&pair).await;
    assert!(matches!(told, Err(StoreError::Unavailable { .. })), "{told:?}");
    assert_eq!(store.create(&pair).await, Ok(Created::Ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_creation_that_is_lost_creates_once() {
    let Some((_table, line, store)) = with_line("an_answer_to_a_creation_that_is_lost").await else { return };
    let pair = [(address("lost", "a_private"), value("1")), (address("lost", "a_public"), value("2"))];
    line.next(|seen| seen.operation == "TransactWriteItems", [Fault::Reset]);
    // moto does not know the token by which AWS tells a second attempt from a second creator.
    match store.create(&pair).await {
        Ok(Created::Ours) => {}
        Ok(Created::Theirs(values)) => assert_eq!(values, [value("1"), value("2")]),
        other => panic!("{other:?}"),
    }
    assert_eq!(get(&store, &pair[0].0).await, Ok(value("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_table_is_waited_for() {
    let Some((_table, line, store)) = with_line("an_overloaded_table").await else { return };
    line.always(|_| true, dynamodb_exceeded());
    let error = failure(&store, &address("overloaded", "db")).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(line.requests().len() <= 3, "{}", line.requests().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_base64_is_told_without_being_shown() {
    let Some(table) = Table::start("what_is_no_base64").await else { return };
    let store = table.cloud.open(Asker::Allowed).await;
    let at = path("base64", "db");
    let put = table.client.put_item().table_name(TABLE).set_item(Some(item(&at, "hunter2!")));
    put.send().await.unwrap();
    let error = failure(&store, &Address::value(at)).await;
    assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let StoreError::Invalid { reason, .. } = error else { panic!("{error:?}") };
    shown("dynamodb", &reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_longer_than_an_item_are_refused_before_any_call() {
    let Some((_table, line, store)) = with_line("values_longer_than_an_item").await else { return };
    let group = [(address("long", "db"), value(vec![b'v'; 310 * 1024]))];
    let Err(StoreError::Invalid { reason, .. }) = store.create(&group).await else {
        panic!("it was created")
    };
    assert!(reason.contains("longer than"), "{reason}");
    assert_eq!(line.requests().len(), 0);
    let group = [(address("long", "db"), value(vec![b'v'; 290 * 1024]))];
    assert_eq!(store.create(&group).await, Ok(Created::Ours));
    assert_eq!(get(&store, &group[0].0).await, Ok(group[0].1.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_that_init_needs_is_enough() {
    let Some(table) = Table::start("the_right_that_init_needs").await else { return };
    let at = path("rights", "db");
    table.fill(std::slice::from_ref(&at)).await;
    let store = table.cloud.as_role("init-dynamodb", &table.cloud.moto.address()).await;
    assert_eq!(get(&store, &Address::value(at.clone())).await, Ok(value("1")));
    let denied = store.delete(&Address::value(at), &value("1")).await;
    assert!(matches!(denied, Err(StoreError::Denied { .. })), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_creators_rights_suffice() {
    let Some(table) = Table::start("the_creators_rights_suffice_for_dynamodb").await else { return };
    documents::the_creators_rights_suffice(&table.cloud, "creator-dynamodb", true).await;
}
