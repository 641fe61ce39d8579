//! Secrets Manager and the parameter store behind a faulty line: moto, as in `dynamodb`.

use std::marker::PhantomData;

use serde_json::{Value, json};

use super::{NAMES, Served, faults, value};
use crate::pod::Pod;
use crate::support::faults::answers::{aws, aws_throttled};
use crate::support::faults::{Answer, Faults, Seen};
use crate::support::servers::Moto;
use crate::support::servers::moto::REGION;

struct Aws<K> {
    moto: &'static Moto,
    line: Faults,
    prefix: String,
    kind: PhantomData<K>,
}

/// What is different between the two.
trait Kind: Send + Sync + 'static {
    const STORE: &str;
    const READ: &str;
    /// The operation, and what it is given, that makes a secret.
    fn create(name: &str, value: &str) -> (&'static str, Value);
    /// The same for another value.
    fn change(name: &str, value: &str) -> (&'static str, Value);
}

struct Parameters;

impl Kind for Parameters {
    const STORE: &str = "ssm";
    const READ: &str = "GetParameters";

    fn create(name: &str, value: &str) -> (&'static str, Value) {
        ("AmazonSSM.PutParameter", json!({"Name": name, "Value": value, "Type": "SecureString"}))
    }

    fn change(name: &str, value: &str) -> (&'static str, Value) {
        let (target, mut input) = Self::create(name, value);
        input["Overwrite"] = json!(true);
        (target, input)
    }
}

struct Secrets;

impl Kind for Secrets {
    const STORE: &str = "secretsmanager";
    const READ: &str = "BatchGetSecretValue";

    fn create(name: &str, value: &str) -> (&'static str, Value) {
        ("secretsmanager.CreateSecret", json!({"Name": name, "SecretString": value}))
    }

    fn change(name: &str, value: &str) -> (&'static str, Value) {
        ("secretsmanager.PutSecretValue", json!({"SecretId": name, "SecretString": value}))
    }
}

impl<K: Kind> Aws<K> {
    async fn call(&self, name: &str, (target, input): (&'static str, Value)) {
        let answer = self.moto.call(K::STORE, target, &input).await;
        assert!(answer.status.is_success(), "{name}: {answer:?}");
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }
}

impl<K: Kind> Served for Aws<K> {
    async fn start(test: &str) -> Option<Self> {
        let moto = Moto::shared(test).await?;
        let address = moto.address();
        let line = Faults::before(address.trim_start_matches("http://")).served_as(&["127.0.0.1"]);
        let prefix = format!("{}/{}", super::prefix(test), K::STORE);
        let store = Self { moto, line: line.start().await, prefix, kind: PhantomData };
        for name in NAMES {
            store.call(name, K::create(&store.name(name), &value(name))).await;
        }
        Some(store)
    }

    fn line(&self) -> &Faults {
        &self.line
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn pod(&self, annotations: &[(&str, &str)]) -> Pod {
        let settings = json!({K::STORE: {
            "region": REGION, "endpoint": self.line.url(),
            "audience": "sts.amazonaws.com", "roleArn": "arn:aws:iam::123456789012:role/app",
        }});
        let mut pod = Pod::new(&settings.to_string(), annotations);
        pod.give("KEYSTOW_TOKEN_FILE", "token", "a token of the pod");
        pod.give("SSL_CERT_FILE", "ca.crt", self.line.ca_pem());
        pod.set("AWS_ENDPOINT_URL_STS", self.line.url());
        pod
    }

    fn reads(seen: &Seen) -> bool {
        seen.operation == K::READ
    }

    fn throttled() -> Answer {
        aws_throttled()
    }

    fn expired() -> Answer {
        aws(400, "ExpiredTokenException")
    }

    async fn change(&self, value: &str) {
        self.call(NAMES[0], K::change(&self.name(NAMES[0]), value)).await;
    }
}

mod ssm {
    use super::*;

    faults!(Aws<Parameters>:
        a_fault_that_passes_is_not_seen_by_the_application,
        a_fault_that_stays_is_told_for_every_value,
    );
}

mod secretsmanager {
    use super::*;

    faults!(Aws<Secrets>:
        a_fault_that_passes_is_not_seen_by_the_application,
        a_fault_that_stays_is_told_for_every_value,
    );
}
