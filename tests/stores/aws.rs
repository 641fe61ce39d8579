//! What the stores of AWS have in common under test: moto, sessions by web identity, and what is between.
//!
//! moto is started with rights: it looks at signatures and at the policies of roles. It never throttles; the faulty line
//! before it does, which the suite's output says.

mod chain;
pub(crate) mod documents;
mod sessions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use keystow::handover::{AwsSettings, StoreSettings};
use keystow::store::{Address, OpenError, Store, StoreError, Surroundings, open};
use tempfile::TempDir;

use crate::conformance::Asker;
use crate::support::faults::answers::aws_throttled;
use crate::support::faults::{Fault, Faults, all};
use crate::support::measured::simulated;
use crate::support::servers::Moto;
use crate::support::servers::moto::REGION;

/// May do all that the three stores do.
const CREATOR: &str = "creator";
/// Is known, and may do nothing.
const STRANGER: &str = "stranger";

/// AWS has no such action, and grants a transaction by those of what is in it. Moto has.
const OF_MOTO_ALONE: &str = "dynamodb:TransactWriteItems";

/// The rights of the roles.
const ROLES: &[(&str, &[&str])] = &[
    (CREATOR, &["dynamodb:*", "secretsmanager:*", "ssm:*"]),
    (STRANGER, &[]),
    ("init-dynamodb", &["dynamodb:BatchGetItem"]),
    ("init-secretsmanager", &["secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"]),
    ("init-ssm", &["ssm:GetParameters"]),
    (
        "creator-dynamodb",
        &["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:DeleteItem", OF_MOTO_ALONE],
    ),
    (
        "creator-secretsmanager",
        &[
            "secretsmanager:BatchGetSecretValue",
            "secretsmanager:GetSecretValue",
            "secretsmanager:CreateSecret",
        ],
    ),
    ("creator-ssm", &["ssm:GetParameters", "ssm:PutParameter"]),
];

/// How long a request is held up while something else is done; less than the store waits.
pub(crate) const STALL: Duration = Duration::from_secs(4);
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Makes the settings of one of the stores.
pub(crate) type Kind = fn(AwsSettings) -> StoreSettings;

fn arn(role: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{role}")
}

/// An account of moto's, and a pod with a token.
pub(crate) struct Cloud {
    pub(crate) moto: &'static Moto,
    kind: Kind,
    pod: TempDir,
    lines: Mutex<Vec<Faults>>,
}

impl Cloud {
    /// Shares the moto of this process; `None` where there is none, which has been told.
    pub(crate) async fn start(test: &str, kind: Kind) -> Option<Self> {
        let moto = Moto::shared_with_roles(test, ROLES).await?;
        let pod = TempDir::new().expect("a directory");
        std::fs::write(pod.path().join("token"), "a token of the pod\n").expect("a token");
        Some(Self { moto, kind, pod, lines: Mutex::default() })
    }

    /// Where the pod's token is.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.pod.path().join("token")
    }

    /// A session of one who may do all: key, secret and token.
    pub(crate) async fn credentials(&self) -> (String, String, String) {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url(self.moto.address());
        let login = aws_sdk_sts::Client::from_conf(config.build()).assume_role_with_web_identity();
        let login = login.role_arn(arn(CREATOR)).role_session_name("test").web_identity_token("token");
        let issued = login.send().await.expect("a session").credentials.expect("credentials");
        (issued.access_key_id, issued.secret_access_key, issued.session_token)
    }

    /// What makes clients of services that are not the code under test.
    pub(crate) async fn sdk(&self) -> SdkConfig {
        let (key, secret, token) = self.credentials().await;
        let credentials = Credentials::new(key, secret, Some(token), None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url(self.moto.address())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// A line to moto that does as it is told.
    pub(crate) async fn line(&self) -> Faults {
        Faults::before(self.moto.address().trim_start_matches("http://")).start().await
    }

    pub(crate) fn settings(&self, role: &str, endpoint: &str) -> StoreSettings {
        (self.kind)(AwsSettings {
            region: Some(REGION.to_owned()),
            audience: Some("sts.amazonaws.com".to_owned()),
            role_arn: Some(arn(role)),
            endpoint: Some(endpoint.to_owned()),
        })
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            token_file: Some(self.token_file()),
            pod_name: Some("web-0".to_owned()),
            aws_sts_endpoint: Some(self.moto.address()),
            ..Surroundings::default()
        }
    }

    /// The store as this role sees it, at this endpoint.
    pub(crate) async fn as_role(&self, role: &str, endpoint: &str) -> Arc<dyn Store> {
        self.opened(&self.settings(role, endpoint), &self.surroundings()).await.expect("a store")
    }

    /// The store as one who may do all.
    pub(crate) async fn as_creator(&self, endpoint: &str) -> Arc<dyn Store> {
        self.as_role(CREATOR, endpoint).await
    }

    pub(crate) async fn opened(
        &self,
        settings: &StoreSettings,
        surroundings: &Surroundings,
    ) -> Result<Arc<dyn Store>, OpenError> {
        open(settings, surroundings).await
    }

    /// The store as the suite asks for it.
    pub(crate) async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        match asker {
            Asker::Allowed => self.as_creator(&self.moto.address()).await,
            Asker::Stranger => self.as_role(STRANGER, &self.moto.address()).await,
            Asker::Throttled(times) => {
                simulated(format_args!("throttling by AWS: moto does not throttle, a line before it does"));
                let line = self.line().await;
                line.next(all, std::iter::repeat_with(|| Fault::Answer(aws_throttled())).take(times));
                let store = self.as_creator(&line.url()).await;
                self.lines.lock().expect("no panic").push(line);
                store
            }
        }
    }
}

/// The one outcome of one address.
pub(crate) async fn failure(store: &Arc<dyn Store>, address: &Address) -> StoreError {
    crate::conformance::get(store, address).await.expect_err("a failure")
}
