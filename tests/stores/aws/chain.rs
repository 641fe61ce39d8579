//! `keystow init` in kees' manner, as a process with an environment of its own: where the SDK finds credentials, proxies
//! and certificates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

use keystow::domain::StoragePrefix;
use keystow::store::{Address, Created};
use tempfile::TempDir;
use tokio::process::Command;

use super::documents::shown;
use super::{CREATOR, Cloud, arn};
use crate::conformance::{Subject as _, value};
use crate::dynamodb::{TABLE_LABEL, Table};
use crate::support::faults::{Faults, Presented};
use crate::support::servers::moto::REGION;
use crate::support::tunnel::Tunnel;

/// A pod of kees' that wants one secret.
struct Pod {
    cloud: Cloud,
    directory: TempDir,
    environment: BTreeMap<&'static str, String>,
}

impl Pod {
    async fn start(test: &str) -> Option<Self> {
        let Table { cloud, .. } = Table::start(test).await?;
        let at = Address::value(StoragePrefix::new(&format!("/chain/{test}")).unwrap().join("db_password"));
        let store = cloud.as_creator(&cloud.moto.address()).await;
        assert_eq!(store.create(&[(at, value("hunter2"))]).await, Ok(Created::Ours));
        let directory = TempDir::new().unwrap();
        let annotations = format!(
            "init.bsycorp.com/storage-prefix=\"/chain/{test}\"\n\
             secret.bsycorp.com/db_password=\"kind=REFERENCE,type=PASSWORD\"\n"
        );
        std::fs::write(directory.path().join("annotations"), annotations).unwrap();
        let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let environment = BTreeMap::from([
            ("ENV_LABEL", TABLE_LABEL.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("HOME", file("")),
            ("ANNOTATIONS_FILE", file("annotations")),
            ("SECRETS_FILE", file("secrets.properties")),
            ("RESOURCES_FILE", file("resources.properties")),
            ("LEASES_FILE", file("leases.properties")),
            ("RESOURCES_FILE_PATH", file("resources")),
            ("LEASES_FILE_PATH", file("leases")),
            ("KEYSTOW_TERMINATION_LOG", file("termination-log")),
            ("KEYSTOW_DEADLINE", "3s".to_owned()),
        ]);
        // As the kubelet does.
        std::fs::write(directory.path().join("termination-log"), "").unwrap();
        for kind in ["resources", "leases"] {
            std::fs::create_dir(directory.path().join(kind)).unwrap();
        }
        Some(Self { cloud, directory, environment })
    }

    fn set(&mut self, variables: &[(&'static str, String)]) {
        self.environment.extend(variables.iter().cloned());
    }

    /// Credentials, as a process gets them.
    async fn set_credentials(&mut self) {
        let (key, secret, token) = self.cloud.credentials().await;
        self.set(&[
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_SESSION_TOKEN", token),
        ]);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn run(&self) -> Output {
        let mut init = Command::new(env!("CARGO_BIN_EXE_keystow"));
        init.arg("init").env_clear().envs(&self.environment).kill_on_drop(true);
        init.output().await.expect("a run of keystow init")
    }

    async fn runs(&self) {
        let output = self.run().await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let secrets = std::fs::read_to_string(self.file("secrets.properties")).unwrap();
        assert_eq!(secrets, "db_password=aHVudGVyMg==\n");
    }

    /// What is left on the termination log where it fails with this exit code.
    async fn fails(&self, code: i32) -> String {
        let output = self.run().await;
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!self.file("secrets.properties").exists());
        std::fs::read_to_string(self.file("termination-log")).expect("last words")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_environment_are_used() {
    let Some(mut pod) = Pod::start("credentials_of_the_environment").await else { return };
    pod.set(&[("AWS_ENDPOINT", pod.cloud.moto.address())]);
    pod.set_credentials().await;
    pod.runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kees_own_sts_is_asked() {
    let Some(mut pod) = Pod::start("kees_own_sts").await else { return };
    let line = pod.cloud.line().await;
    pod.set(&[
        ("AWS_ENDPOINT", pod.cloud.moto.address()),
        ("AWS_STS_ENDPOINT", line.url()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", pod.cloud.token_file().to_str().unwrap().to_owned()),
        ("AWS_ROLE_ARN", arn(CREATOR)),
        ("POD_NAME", "web-0".to_owned()),
    ]);
    pod.runs().await;
    assert_eq!(line.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_eks_own_webhook_is_assumed() {
    let Some(mut pod) = Pod::start("the_role_of_eks_own_webhook").await else { return };
    let line = pod.cloud.line().await;
    pod.set(&[
        ("AWS_ENDPOINT", pod.cloud.moto.address()),
        ("AWS_ENDPOINT_URL_STS", line.url()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", pod.cloud.token_file().to_str().unwrap().to_owned()),
        ("AWS_ROLE_ARN", arn(CREATOR)),
    ]);
    pod.runs().await;
    assert_eq!(line.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_credentials_is_told_what_to_do() {
    let Some(mut pod) = Pod::start("who_has_no_credentials").await else { return };
    pod.set(&[("AWS_ENDPOINT", pod.cloud.moto.address())]);
    let words = pod.fails(77).await;
    let reason = "there are no AWS credentials: give the store an audience and a roleArn, or the pod's service account a \
                  role by EKS Pod Identity or eks.amazonaws.com/role-arn";
    assert!(words.contains(reason), "{words}");
    shown("dynamodb", reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_region_is_told_what_to_do() {
    let Some(mut pod) = Pod::start("who_has_no_region").await else { return };
    pod.set(&[("AWS_ENDPOINT", pod.cloud.moto.address()), ("AWS_REGION", String::new())]);
    let words = pod.fails(64).await;
    assert!(words.starts_with("keystow init: the store `dynamodb` cannot be used: no region"), "{words}");
    shown("dynamodb", words.trim_end());
}

/// moto as AWS itself: under its own name, by a certificate of a CA that the pod trusts, behind a proxy.
async fn behind_a_proxy(pod: &mut Pod) -> (Faults, Tunnel) {
    let moto = pod.cloud.moto.address();
    let name = format!("dynamodb.{REGION}.amazonaws.com");
    let line = Faults::before(moto.trim_start_matches("http://")).served_as(&[&name]).start().await;
    let tunnel = Tunnel::to(line.address()).await;
    std::fs::write(pod.file("ca.pem"), line.ca_pem()).unwrap();
    let ca = pod.file("ca.pem").to_str().unwrap().to_owned();
    pod.set(&[("HTTPS_PROXY", tunnel.url()), ("SSL_CERT_FILE", ca)]);
    pod.set_credentials().await;
    (line, tunnel)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_for_a_way_to_aws() {
    let Some(mut pod) = Pod::start("a_proxy_is_asked").await else { return };
    let (line, tunnel) = behind_a_proxy(&mut pod).await;
    pod.runs().await;
    assert_eq!(tunnel.asked(), ["dynamodb.eu-west-1.amazonaws.com:443"]);
    assert_eq!(line.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_not_taken() {
    let Some(mut pod) = Pod::start("a_certificate_for_another_name").await else { return };
    let (line, _tunnel) = behind_a_proxy(&mut pod).await;
    for (presented, reason) in [
        (Presented::WrongName, "its certificate is for another name"),
        (Presented::Expired, "its certificate has expired"),
        (Presented::Unknown, "its certificate is by an authority that is not trusted here"),
    ] {
        line.present(presented);
        let words = pod.fails(69).await;
        assert!(words.contains(reason), "{words}");
    }
    assert_eq!(line.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_no_proxy_are_asked_without_one() {
    let Some(mut pod) = Pod::start("hosts_of_no_proxy").await else { return };
    // A port that nobody listens on.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    pod.set(&[("AWS_ENDPOINT", pod.cloud.moto.address()), ("HTTP_PROXY", format!("http://{nobody}"))]);
    pod.set_credentials().await;
    let words = pod.fails(69).await;
    assert!(words.contains("connection refused"), "{words}");
    pod.set(&[("NO_PROXY", "127.0.0.1".to_owned())]);
    pod.runs().await;
}
