//! With the webhook gone, annotated pods of namespaces that opted in are refused, and nobody else notices.

use serde_json::{Value, json};

use super::{Cluster, OPT_IN, kees_pod, pod_with};
use crate::support::webhook::TEST_LABEL;

#[tokio::test]
async fn with_the_webhook_stopped_only_annotated_pods_of_opted_in_namespaces_are_refused() {
    let Some(mut cluster) = Cluster::start("outage").await else { return };
    cluster.opted_in("outage").await;
    cluster.namespace("outage-not", &[]).await;
    for (key, value) in [OPT_IN, (TEST_LABEL, "outage")] {
        let label = format!("{key}={value}");
        cluster.plane.kubectl(&["label", "namespace", "kube-system", &label], "").await.unwrap();
    }
    cluster.plane.service_account("kube-system", "default", &[]).await.unwrap();
    cluster.create("outage", &kees_pod("before")).await.unwrap();

    cluster.webhook.kill().await;
    for manifest in [
        kees_pod("app"),
        pod_with("resource", &json!({"resource.bsycorp.com/db.url": ""})),
        pod_with("lease", &json!({"lease.bsycorp.com/id": "kind=INDEX"})),
        pod_with("account", &json!({"inject.bsycorp.com/service-account": "default"})),
    ] {
        let status = cluster.refusal("outage", &manifest).await;
        assert!(status.message.contains("failed calling webhook \"inject.bsycorp.com\""), "{status:?}");
        assert_eq!(status.code, 500);
    }

    let mut opted_out = kees_pod("opted-out");
    opted_out["metadata"]["annotations"]["inject.bsycorp.com/enabled"] = json!("false");
    let mut mirror = kees_pod("mirror");
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("0123456789abcdef");
    mirror["spec"]["nodeName"] = json!("node-1");
    for (namespace, manifest) in [
        ("outage", pod_with("plain", &Value::Null)),
        ("outage", opted_out),
        ("outage", mirror),
        ("outage-not", kees_pod("app")),
        ("kube-system", kees_pod("app")),
    ] {
        let created = cluster.create(namespace, &manifest).await;
        assert!(created.is_ok(), "{namespace}: {manifest}: {created:?}");
    }
    // A pod that runs can still be changed and deleted.
    let annotate = ["annotate", "pod", "before", "-n", "outage", "resource.bsycorp.com/late="];
    cluster.plane.kubectl(&annotate, "").await.unwrap();
    cluster.delete("outage", "before").await;
}
