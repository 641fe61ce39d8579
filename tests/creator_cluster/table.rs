//! A table of DynamoDB, as kees laid it out, in a moto: made, looked at and changed without the code under test.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixture::Kept;
use crate::support::servers::Moto;
use crate::support::servers::moto::REGION;

/// What the SDK of AWS finds in the environment of a creator without a token of its own.
pub(crate) const CREDENTIALS: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A table.
#[derive(Clone, Copy)]
pub(crate) struct Table<'m> {
    moto: &'m Moto,
    name: &'static str,
}

impl<'m> Table<'m> {
    /// Makes it.
    pub(crate) async fn new(moto: &'m Moto, name: &'static str) -> Self {
        let table = Self { moto, name };
        let key = json!([{"AttributeName": "secretName", "KeyType": "HASH"}]);
        let attributes = json!([{"AttributeName": "secretName", "AttributeType": "S"}]);
        let more =
            json!({"KeySchema": key, "AttributeDefinitions": attributes, "BillingMode": "PAY_PER_REQUEST"});
        table.call("CreateTable", more).await;
        table
    }

    /// The configuration of a store in it, for those who have their identity from the environment; `endpoint` leads to moto.
    pub(crate) fn configuration(&self, endpoint: &str) -> String {
        let Self { name, .. } = self;
        format!(
            "stores: {{prod: {{dynamodb: {{table: {name}, region: {REGION}, endpoint: '{endpoint}'}}}}}}\n"
        )
    }

    async fn call(&self, operation: &str, mut input: Value) -> Value {
        input["TableName"] = json!(self.name);
        let target = format!("DynamoDB_20120810.{operation}");
        let answer = self.moto.call("dynamodb", &target, &input).await;
        assert!(answer.status.is_success(), "{operation}: {}", answer.body);
        answer.body
    }

    /// The string attributes of each item.
    pub(crate) async fn items(&self) -> Vec<BTreeMap<String, String>> {
        let (mut items, mut input) = (Vec::new(), json!({"ConsistentRead": true}));
        loop {
            let page = self.call("Scan", input.clone()).await;
            for item in page["Items"].as_array().unwrap() {
                let text = |(name, value): (&String, &Value)| {
                    (name.clone(), value["S"].as_str().unwrap().to_owned())
                };
                items.push(item.as_object().unwrap().iter().map(text).collect());
            }
            match page.get("LastEvaluatedKey") {
                Some(last) => input["ExclusiveStartKey"] = last.clone(),
                None => return items,
            }
        }
    }

    /// What it holds: the bytes of secrets, holders of indices as `NAMESPACE/NAME/UID/CLUSTER`, and claims as they are.
    pub(crate) async fn kept(&self) -> Kept {
        let kept = |mut item: BTreeMap<String, String>| {
            let mut take = |name: &str| item.remove(name);
            let (path, text) = (take("secretName").unwrap(), take("secretValue").unwrap());
            let value = match (take("namespace"), take("uid"), take("cluster")) {
                (Some(namespace), Some(uid), Some(cluster)) => {
                    format!("{namespace}/{text}/{uid}/{cluster}").into_bytes()
                }
                _ if path.contains("/leases/") => text.into_bytes(),
                _ => STANDARD.decode(text).expect("base64"),
            };
            (path, value)
        };
        self.items().await.into_iter().map(kept).collect()
    }

    /// Puts the text into an item.
    pub(crate) async fn put(&self, path: &str, text: &str) {
        let item = json!({"secretName": {"S": path}, "secretValue": {"S": text}});
        self.call("PutItem", json!({"Item": item})).await;
    }
}
