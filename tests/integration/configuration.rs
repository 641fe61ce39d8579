//! What the configuration refuses and takes, against the API server that would meet it in every pod; and the version that
//! is asked for.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use k8s_openapi::api::core::v1::Pod;
use keystow::cluster::ClusterSettings;
use keystow::config::{self, Kubernetes, settle};
use keystow::domain::Quantity;
use keystow::inject::KubernetesVersion;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::webhook::Webhook;

const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");

/// Whether the API server would create a pod with these resources.
async fn takes(pods: &Api<Pod>, resources: &Value) -> bool {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "quantities"},
        "spec": {"containers": [{"name": "app", "image": "app:1", "resources": resources}]},
    }))
    .unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&dry_run, &pod).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => false,
        Err(error) => panic!("{resources}: {error}"),
    }
}

/// The pods of a namespace that is made for the test.
async fn pods(plane: &ControlPlane, namespace: &str) -> Api<Pod> {
    plane.namespace(namespace, &[], &[]).await.unwrap();
    Api::namespaced(plane.client().await.unwrap(), namespace)
}

#[tokio::test]
async fn quantities_are_those_of_the_api_server() {
    let Some(plane) = shared_or_skip("quantities_are_those_of_the_api_server").await else { return };
    let pods = pods(plane, "configuration-quantities").await;
    let mut differ = Vec::new();
    for text in [
        "0", "1", "+1", "1.", ".5", "0.1", "007", "100m", "1n", "1u", "1k", "1M", "1G", "1T", "1P", "1E",
        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", "1e3", "1E3", "1e+3", "1500e-3", "1.5Mi", "16Ei", "1e30",
        "-1", "-0", "", "-", "1K", "1ki", "1MB", "1mi", "1g", "1i", "1e", "1e+", "1e3m", "1.1.M", "aoeu",
        " 1", "1 ", "1 Mi", "1,5", "0x10", "--1", "1e3.5",
    ] {
        let ours = Quantity::new(text).is_ok_and(|quantity| !quantity.is_negative());
        if takes(&pods, &json!({"limits": {"cpu": text}})).await != ours {
            differ.push(text);
        }
    }
    // Its parser takes a sign alone for nothing, and blanks at the ends off. Nobody means the one or should rely on the other.
    assert_eq!(differ, ["-", " 1", "1 "]);
}

#[tokio::test]
async fn a_request_above_its_limit_is_what_the_api_server_refuses() {
    let Some(plane) = shared_or_skip("a_request_above_its_limit_is_what_the_api_server_refuses").await else {
        return;
    };
    let pods = pods(plane, "configuration-limits").await;
    for (request, limit) in [
        ("1Gi", "1G"),
        ("1G", "1Gi"),
        ("1000k", "1M"),
        ("1001k", "1M"),
        ("1e6", "1M"),
        ("1Ki", "1k"),
        ("1", "0.5k"),
    ] {
        let resources = json!({"requests": {"memory": request}, "limits": {"memory": limit}});
        let ours = config::read(&json!({"injection": {"resources": resources}}).to_string()).is_ok();
        assert_eq!(takes(&pods, &resources).await, ours, "{resources}");
    }
}

/// The program asks before it serves, and says what it was told.
#[tokio::test]
async fn auto_is_the_version_of_the_api_server() {
    let Some(plane) = shared_or_skip("auto_is_the_version_of_the_api_server").await else { return };
    let kubeconfig = plane.kubeconfig().to_str().unwrap();
    let files = crate::support::webhook::Files::new(KEYSTOW, "kubernetesVersion: auto\n");
    let directory = files.path("tls");
    let flags = ["--self-signed-name", "127.0.0.1", "--self-signed", directory.to_str().unwrap()];
    let mut webhook = Webhook::spawn(files, "auto.log", &flags, &[("KUBECONFIG", kubeconfig)]).await;
    let log = webhook.log();
    let told = log.iter().find_map(|line| line.get("version").or_else(|| line.pointer("/fields/version")));
    assert!(told.is_some_and(|version| version == "1.36"), "{log:?}");
    webhook.kill().await;
}

/// A version that is configured is settled without an API server: there are no credentials here.
#[tokio::test]
async fn a_fixed_version_asks_nobody() {
    let configuration = config::read("kubernetesVersion: \"1.30\"").unwrap();
    assert_eq!(configuration.kubernetes(), Kubernetes::Fixed(KubernetesVersion(30)));
    let settings = settle(configuration, &ClusterSettings::default()).await.unwrap();
    assert_eq!(settings.kubernetes, KubernetesVersion(30));
}
