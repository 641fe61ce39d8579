//! Pod Security: what we inject is within the restricted standard by itself.

use serde_json::{Value, json};

use super::{Cluster, OPT_IN, element, kees_pod};

const RESTRICTED: (&str, &str) = ("pod-security.kubernetes.io/enforce", "restricted");

/// A pod within the standard, whose container has all of it itself: nothing of the pod covers our container.
fn careful() -> Value {
    let mut manifest = kees_pod("careful");
    manifest["spec"]["containers"][0]["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 10001, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    manifest
}

#[tokio::test]
async fn an_injected_pod_is_within_the_restricted_standard() {
    let Some(cluster) = Cluster::start("restricted").await else { return };
    cluster.namespace("restricted", &[OPT_IN, RESTRICTED]).await;
    // The same standard where nobody injects.
    cluster.namespace("restricted-only", &[RESTRICTED]).await;

    let pod = cluster.create("restricted", &careful()).await.unwrap();
    element(&pod, "initContainers", "keystow-init");

    // A careless author's pod is refused for its own container, and not for ours.
    let status = cluster.refusal("restricted", &kees_pod("careless")).await;
    assert!(status.message.contains("violates PodSecurity \"restricted:latest\""), "{status:?}");
    assert!(status.message.contains("\"app\"") && !status.message.contains("keystow"), "{status:?}");

    // The standard does look at our container: without one of its settings the same pod is refused for it.
    let again = |name: &str| json!({"metadata": {"name": name}, "spec": pod["spec"]});
    cluster.create("restricted-only", &again("whole")).await.unwrap();
    for setting in ["seccompProfile", "allowPrivilegeEscalation", "capabilities"] {
        let mut manifest = again("part");
        let container = &mut manifest["spec"]["initContainers"][0];
        assert_eq!(container["name"], "keystow-init");
        container["securityContext"].as_object_mut().unwrap().remove(setting).unwrap();
        let status = cluster.refusal("restricted-only", &manifest).await;
        assert!(
            status.message.contains("\"keystow-init\"") && status.message.contains(setting),
            "{status:?}"
        );
    }
}
