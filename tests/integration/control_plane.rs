//! The control plane itself: that it is the one that the tests say they run against.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::support::control_plane::{Binaries, at_address, pinned, shared_or_skip};
use crate::support::wait::until;

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }))
    .expect("a pod")
}

#[tokio::test]
async fn answers_with_the_pinned_version() {
    let Some(plane) = shared_or_skip("answers_with_the_pinned_version").await else { return };
    let version = plane.client().await.unwrap().apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "36"));
    if plane.binaries().etcd.to_string_lossy().contains("/keystow/") {
        assert_eq!(version.git_version.strip_prefix('v'), pinned("k8s.io/kubernetes"));
    }
}

#[tokio::test]
async fn gives_a_pod_its_account_token_and_pull_secrets() {
    let test = "gives_a_pod_its_account_token_and_pull_secrets";
    let Some(plane) = shared_or_skip(test).await else { return };
    plane.namespace("plane-account", &[("team", "one")], &["registry"]).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(plane.client().await.unwrap(), "plane-account");
    let created = pods.create(&PostParams::default(), &pod("one")).await.unwrap();
    let spec = created.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    assert_eq!(spec.image_pull_secrets.unwrap()[0].name, "registry");
    let volumes = spec.volumes.unwrap();
    assert!(volumes[0].name.starts_with("kube-api-access-"), "{volumes:?}");
}

#[tokio::test]
async fn refuses_a_pod_of_an_unknown_account() {
    let Some(plane) = shared_or_skip("refuses_a_pod_of_an_unknown_account").await else { return };
    plane.namespace("plane-unknown", &[], &[]).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(plane.client().await.unwrap(), "plane-unknown");
    let mut pod = pod("one");
    pod.spec.as_mut().unwrap().service_account_name = Some("nobody".into());
    let error = pods.create(&PostParams::default(), &pod).await.unwrap_err().to_string();
    assert!(error.contains("error looking up service account"), "{error}");
}

#[tokio::test]
async fn holds_pods_to_the_pod_security_standard() {
    let Some(plane) = shared_or_skip("holds_pods_to_the_pod_security_standard").await else { return };
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    plane.namespace("plane-restricted", &labels, &[]).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(plane.client().await.unwrap(), "plane-restricted");
    let error = pods.create(&PostParams::default(), &pod("one")).await.unwrap_err().to_string();
    assert!(error.contains("violates PodSecurity"), "{error}");
}

#[tokio::test]
async fn kubectl_applies_what_it_is_given() {
    let Some(plane) = shared_or_skip("kubectl_applies_what_it_is_given").await else { return };
    plane.namespace("plane-kubectl", &[], &[]).await.unwrap();
    let manifest = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, \
                    metadata: {name: reader, namespace: plane-kubectl}, rules: []}";
    let said = plane.kubectl(&["apply", "-f", "-"], manifest).await.unwrap();
    assert_eq!(said, "role.rbac.authorization.k8s.io/reader created\n");
    let roles: Api<Role> = Api::namespaced(plane.client().await.unwrap(), "plane-kubectl");
    assert_eq!(roles.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let error = plane.kubectl(&["get", "pod", "nobody", "-n", "plane-kubectl"], "").await.unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}

#[tokio::test]
async fn asks_a_webhook_at_the_address_it_was_turned_to() {
    let test = "asks_a_webhook_at_the_address_it_was_turned_to";
    let Some(plane) = shared_or_skip(test).await else { return };
    plane.namespace("plane-webhook", &[], &[]).await.unwrap();
    // Free for as long as it is held, and nobody answers there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", nobody.local_addr().unwrap());
    let mut configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "plane-webhook"},
        "webhooks": [{
            "name": "nobody.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "timeoutSeconds": 1, "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "nobody", "namespace": "default", "path": "/mutate"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "plane-webhook"}},
        }],
    });
    at_address(&mut configuration, &address, plane.ca_pem());
    plane.kubectl(&["apply", "-f", "-"], &configuration.to_string()).await.unwrap();

    let pods: Api<Pod> = Api::namespaced(plane.client().await.unwrap(), "plane-webhook");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let refused = async || pods.create(&dry, &pod("one")).await.err();
    let error = until(Duration::from_secs(30), refused).await.expect("a refusal").to_string();
    assert!(error.contains("failed calling webhook"), "{error}");
    assert!(error.contains(&format!("{address}/mutate")), "{error}");
}

#[tokio::test]
async fn shows_its_metrics() {
    let Some(plane) = shared_or_skip("shows_its_metrics").await else { return };
    let metrics = plane.metrics().await.unwrap();
    assert!(metrics.contains("apiserver_request_total"), "no request was counted");
}

#[test]
fn programs_are_found_where_the_environment_says() {
    let directory = tempfile::tempdir().unwrap();
    let variable =
        |name: &str| (name == "KUBEBUILDER_ASSETS").then(|| OsString::from(directory.path().as_os_str()));
    let missing = Binaries::find_with(variable).unwrap_err().to_string();
    assert!(missing.contains(&directory.path().display().to_string()), "{missing}");
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    assert_eq!(Binaries::find_with(variable).unwrap().etcd, directory.path().join("etcd"));
}

#[test]
fn programs_are_found_in_the_cache() {
    // Where the conventional directory has them, they go before any cache.
    if Path::new("/usr/local/kubebuilder/bin/etcd").exists() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let name = format!(
        "kubernetes-{}-etcd-{}",
        pinned("k8s.io/kubernetes").unwrap(),
        pinned("go.etcd.io/etcd/server/v3").unwrap()
    );
    let cache = home.path().join(".cache/keystow/control-plane").join(name);
    fs::create_dir_all(&cache).unwrap();
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        fs::write(cache.join(name), "").unwrap();
    }
    let variable = |name: &str| (name == "HOME").then(|| OsString::from(home.path().as_os_str()));
    assert_eq!(Binaries::find_with(variable).unwrap().kubectl, cache.join("kubectl"));
}

#[test]
fn a_webhook_is_turned_to_loopback_with_its_path() {
    let mut configuration = json!({"webhooks": [
        {"name": "a", "failurePolicy": "Fail", "clientConfig": {"service": {"name": "s", "path": "/mutate"}}},
        {"name": "b", "clientConfig": {"service": {"name": "s"}}},
    ]});
    at_address(&mut configuration, "https://127.0.0.1:8443", "PEM");
    let expected: Value = json!({"webhooks": [
        {"name": "a", "failurePolicy": "Fail",
         "clientConfig": {"url": "https://127.0.0.1:8443/mutate", "caBundle": "UEVN"}},
        {"name": "b", "clientConfig": {"url": "https://127.0.0.1:8443", "caBundle": "UEVN"}},
    ]});
    assert_eq!(configuration, expected);
}
