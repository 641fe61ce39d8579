//! moto, which stands in for AWS: DynamoDB, Secrets Manager, Systems Manager, STS, IAM, all at one address.
//!
//! It takes any credentials and any signature, and holds each region and account apart from the others. It does not look
//! at a web identity token, refuses nobody for want of a right unless it is started with roles, and never throttles. A
//! SecureString that is read without decryption comes back as `kms:KEY:` and the plain text.
//!
//! `tests/moto/serve.py` has it do one thing at a time, which it would not do right otherwise.

use std::ffi::OsStr;
use std::path::Path;

use ::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{Answer, Server, command, forget, python_or_skip};

/// Pins what `tests/moto/build.sh` installs.
const REQUIREMENTS: &str = include_str!("../../moto/requirements.txt");
/// Starts it.
const SERVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/moto/serve.py");
/// The region that [`Moto::call`] speaks of.
pub(crate) const REGION: &str = "eu-west-1";

/// A running moto.
#[derive(Debug)]
pub(crate) struct Moto(Server);

impl Moto {
    /// Starts one of its own; where it was not set up, says that `test` is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let python = python_or_skip(test, "moto", REQUIREMENTS)?;
        Some(Self::started_by(&python, &[]).await)
    }

    /// One of this test process that knows these roles and the actions that they may do, and refuses all others. Its
    /// tests keep to names of their own, and do not reset it.
    pub(crate) async fn shared_with_roles(test: &str, roles: &[(&str, &[&str])]) -> Option<&'static Self> {
        static SHARED: OnceCell<Moto> = OnceCell::const_new();
        let python = python_or_skip(test, "moto", REQUIREMENTS)?;
        Some(SHARED.get_or_init(|| Self::started_by(&python, roles)).await)
    }

    /// The one of this test process. Its tests keep to names of their own, and do not reset it.
    pub(crate) async fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceCell<Moto> = OnceCell::const_new();
        let python = python_or_skip(test, "moto", REQUIREMENTS)?;
        Some(SHARED.get_or_init(|| Self::started_by(&python, &[])).await)
    }

    async fn started_by(python: &OsStr, roles: &[(&str, &[&str])]) -> Self {
        let roles: Vec<String> = roles
            .iter()
            .flat_map(|(name, actions)| ["--role".to_owned(), format!("{name}={}", actions.join(","))])
            .collect();
        let argv = |port: u16, directory: &Path| {
            let port = port.to_string();
            let recording = format!("MOTO_RECORDER_FILEPATH={}", directory.join("recording").display());
            let fixed = [SERVE, "-H", "127.0.0.1", "-p", &port];
            let arguments: Vec<&str> = fixed.into_iter().chain(roles.iter().map(String::as_str)).collect();
            let mut argv = command("env", &[&recording]);
            argv.extend(command(python, &arguments));
            argv
        };
        Self(Server::start("moto", "/moto-api/data.json", argv).await)
    }

    /// The endpoint of every service.
    pub(crate) fn address(&self) -> String {
        self.0.url()
    }

    /// Calls an operation of a service that speaks JSON: `call("ssm", "AmazonSSM.PutParameter", …)`.
    pub(crate) async fn call(&self, service: &str, target: &str, input: &Value) -> Answer {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
        ];
        self.0.request(&Method::POST, "/", &headers, Some(input)).await.expect("an answer of moto")
    }

    /// Creates a table as kees' is, empty.
    pub(crate) async fn create_table(&self, name: &str) {
        let table = json!({
            "TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "secretName", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "secretName", "AttributeType": "S"}],
        });
        let answer = self.call("dynamodb", "DynamoDB_20120810.CreateTable", &table).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }

    /// Puts an item there as kees' creator and its users do.
    pub(crate) async fn put_item(&self, table: &str, key: &str, text: &str) {
        let item =
            json!({"TableName": table, "Item": {"secretName": {"S": key}, "secretValue": {"S": text}}});
        let answer = self.call("dynamodb", "DynamoDB_20120810.PutItem", &item).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }

    /// Begins to write down what it is asked.
    pub(crate) async fn record(&self) {
        forget(&self.0, "/moto-api/recorder/reset-recording").await;
        forget(&self.0, "/moto-api/recorder/start-recording").await;
    }

    /// What it was asked since: the operation, as `x-amz-target` has it, and the input.
    pub(crate) async fn recorded(&self) -> Vec<(String, Value)> {
        let path = "/moto-api/recorder/download-recording";
        let answer = self.0.request(&Method::GET, path, &[], None).await.expect("a recording");
        let requests: Vec<Value> = match answer.body {
            // A line is a request.
            Value::String(lines) => {
                lines.lines().map(|line| serde_json::from_str(line).expect("a recorded request")).collect()
            }
            Value::Null => Vec::new(),
            one => vec![one],
        };
        let read = |request: Value| {
            let target = request["headers"]["X-Amz-Target"].as_str()?.to_owned();
            let body = STANDARD.decode(request["body"].as_str()?).expect("a body in base64");
            Some((target, serde_json::from_slice(&body).expect("an input in JSON")))
        };
        requests.into_iter().filter_map(read).collect()
    }

    /// Makes it forget everything.
    pub(crate) async fn reset(&self) {
        forget(&self.0, "/moto-api/reset").await;
    }
}
