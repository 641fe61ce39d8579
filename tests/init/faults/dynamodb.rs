//! DynamoDB behind a faulty line: moto, with a session by web identity, which passes the line too.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::sync::OnceCell;

use super::{NAMES, Served, faults, value};
use crate::pod::Pod;
use crate::support::faults::answers::{dynamodb_expired, dynamodb_throttled};
use crate::support::faults::{Answer, Fault, Faults, Seen, all};
use crate::support::servers::Moto;
use crate::support::servers::moto::REGION;

pub(crate) const TABLE: &str = "faulty-kube-secret";

pub(crate) struct Table {
    moto: &'static Moto,
    line: Faults,
    prefix: String,
}

impl Table {
    async fn put(&self, name: &str, value: &str) {
        self.moto.put_item(TABLE, &format!("{}/{name}", self.prefix), &STANDARD.encode(value)).await;
    }
}

impl Served for Table {
    async fn start(test: &str) -> Option<Self> {
        static CREATED: OnceCell<()> = OnceCell::const_new();
        let moto = Moto::shared(test).await?;
        CREATED.get_or_init(|| moto.create_table(TABLE)).await;
        let address = moto.address();
        let line = Faults::before(address.trim_start_matches("http://")).served_as(&["127.0.0.1"]);
        let table = Self { moto, line: line.start().await, prefix: super::prefix(test) };
        for name in NAMES {
            table.put(name, &value(name)).await;
        }
        Some(table)
    }

    fn line(&self) -> &Faults {
        &self.line
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn pod(&self, annotations: &[(&str, &str)]) -> Pod {
        let store = json!({"dynamodb": {
            "table": TABLE, "region": REGION, "endpoint": self.line.url(),
            "audience": "sts.amazonaws.com", "roleArn": "arn:aws:iam::123456789012:role/app",
        }});
        let mut pod = Pod::new(&store.to_string(), annotations);
        pod.give("KEYSTOW_TOKEN_FILE", "token", "a token of the pod");
        pod.give("SSL_CERT_FILE", "ca.crt", self.line.ca_pem());
        pod.set("AWS_ENDPOINT_URL_STS", self.line.url());
        pod
    }

    fn reads(seen: &Seen) -> bool {
        seen.operation == "BatchGetItem"
    }

    fn throttled() -> Answer {
        dynamodb_throttled()
    }

    fn expired() -> Answer {
        dynamodb_expired()
    }

    async fn change(&self, value: &str) {
        self.put(NAMES[0], value).await;
    }
}

faults!(Table);

/// Only who configures no region asks anybody before the store is asked, and not for longer than the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stalls_ends_with_the_deadline() {
    let Some(table) = Table::start("a_node_that_stalls_ends_with_the_deadline").await else { return };
    let node = Faults::before("127.0.0.1:9").start().await;
    node.always(all, Fault::Stall(Duration::from_secs(60)));
    let store = json!({"dynamodb": {"table": TABLE, "endpoint": table.line.url()}});
    let mut pod = Pod::new(&store.to_string(), &super::ANNOTATIONS);
    pod.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", node.url());
    pod.set("KEYSTOW_DEADLINE", "1s");
    let ended = pod.run().await;
    super::assert_failed("a stalling node", &pod, &ended, &[super::UNAVAILABLE]);
    assert!(ended.took < Duration::from_secs(1) + super::SLACK / 2, "{ended:?}");
    assert!(!node.requests().is_empty(), "the node was not asked");
}

/// The client of the vendor logs an answer of STS that it cannot read, credentials and all.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_session_is_not_logged() {
    let Some(table) = Table::start("half_of_a_session_is_not_logged").await else { return };
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionTok",
        value("session")
    );
    let headers = vec![("content-type", "text/xml".to_owned())];
    let half = Answer { status: 200, headers, body: body.into() };
    table.line.always(|seen| seen.operation.is_empty(), half);
    let pod = super::pod(&table, Duration::from_secs(2));
    let ended = pod.run().await;
    eprintln!("{:?}", table.line.requests());
    super::assert_failed("half of a session", &pod, &ended, &[super::UNAVAILABLE]);
}
