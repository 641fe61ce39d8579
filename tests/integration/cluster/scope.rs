//! Who reaches the webhook: annotated pods of namespaces that opted in, when they are created, and nobody else.

use serde_json::{Value, json};

use super::{Cluster, OPT_IN, kees_pod, names, pod_with};

/// A pod that would be injected but for `annotation`.
fn exempt(name: &str, annotation: &str, value: &str) -> Value {
    let mut manifest = kees_pod(name);
    manifest["metadata"]["annotations"][annotation] = json!(value);
    manifest
}

/// A static pod's copy. It has a node and no account, as kubelet makes it.
fn mirror(name: &str) -> Value {
    let mut manifest = exempt(name, "kubernetes.io/config.mirror", "0123456789abcdef");
    manifest["spec"]["nodeName"] = json!("node-1");
    manifest
}

/// What has been counted on both sides.
#[derive(Debug, PartialEq)]
struct Counted {
    /// By the API server: calls of the webhook.
    calls: f64,
    /// By the API server: pods of the right namespace that a match condition kept away.
    excluded: f64,
    /// By the webhook.
    requests: f64,
}

impl Cluster {
    async fn both(&self) -> Counted {
        Counted {
            calls: self.calls().await,
            excluded: self.counted("match_condition_exclusions_total").await,
            requests: self.webhook.requests(None).await,
        }
    }

    /// How both sides counted the creation of a pod, which is stored without anything of ours.
    async fn left_alone(&self, namespace: &str, manifest: &Value) -> Counted {
        let before = self.both().await;
        let pod = self.create(namespace, manifest).await.unwrap();
        assert!(names(&pod, "initContainers").is_empty(), "{pod}");
        assert!(!names(&pod, "volumes").contains(&"keystow-secrets"), "{pod}");
        let after = self.both().await;
        Counted {
            calls: after.calls - before.calls,
            excluded: after.excluded - before.excluded,
            requests: after.requests - before.requests,
        }
    }
}

#[tokio::test]
async fn only_annotated_pods_of_namespaces_that_opted_in_reach_the_webhook() {
    let Some(cluster) = Cluster::alone("scope", &[]).await else { return };
    cluster.opted_in("scope").await;
    cluster.namespace("scope-not", &[]).await;
    cluster.namespace("scope-false", &[(OPT_IN.0, "false")]).await;
    // The namespace of keystow itself, whatever its labels say.
    cluster.namespace("keystow", &[OPT_IN]).await;

    // Not asked for at all: the namespace is not selected.
    let never = Counted { calls: 0.0, excluded: 0.0, requests: 0.0 };
    for namespace in ["scope-not", "scope-false", "keystow"] {
        assert_eq!(cluster.left_alone(namespace, &kees_pod("app")).await, never, "{namespace}");
    }
    // Selected, and kept away by a match condition.
    let excluded = Counted { excluded: 1.0, ..never };
    let foreign =
        json!({"secret.example.com/a": "kind=BLAH", "bsycorp.com/secret": "x", "xsecret.bsycorp.com/a": "x"});
    for manifest in [
        pod_with("plain", &Value::Null),
        pod_with("foreign", &foreign),
        exempt("opted-out", "inject.bsycorp.com/enabled", "false"),
        mirror("mirror"),
    ] {
        assert_eq!(cluster.left_alone("scope", &manifest).await, excluded, "{manifest}");
    }

    // And the counters do count: a pod that is meant reaches it.
    let before = cluster.both().await;
    let pod = cluster.create("scope", &kees_pod("app")).await.unwrap();
    assert_eq!(names(&pod, "initContainers"), ["keystow-init"]);
    let after = cluster.both().await;
    let one = Counted { calls: before.calls + 1.0, requests: before.requests + 1.0, ..before };
    assert_eq!(after, one);

    // A change of the pod, and its end, are none of the webhook's business.
    let namespace = ["-n", "scope"];
    let annotate = ["annotate", "pod", "app", "secret.bsycorp.com/late=kind=BLAH"];
    cluster.plane.kubectl(&[&annotate[..], &namespace].concat(), "").await.unwrap();
    cluster.delete("scope", "app").await;
    assert_eq!(cluster.both().await, one);
}
