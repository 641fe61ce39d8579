//! What an injected pod costs: calls of the webhook, as the API server counts them.

use serde_json::{Value, json};

use super::{Cluster, kees_pod, names, pod_with};

const PODS: u32 = 50;

impl Cluster {
    /// Creates pods of this kind, and returns how many calls each cost; the last pod too.
    async fn calls_per_pod(&self, namespace: &str, manifest: &Value) -> (f64, Value) {
        let (before, asked) = (self.calls().await, self.webhook.requests(None).await);
        let mut last = Value::Null;
        for index in 0..PODS {
            let mut manifest = manifest.clone();
            let name = manifest["metadata"]["name"].as_str().unwrap();
            manifest["metadata"]["name"] = json!(format!("{name}-{index}"));
            last = self.create(namespace, &manifest).await.unwrap();
        }
        let calls = self.calls().await - before;
        assert_eq!(self.webhook.requests(None).await - asked, calls, "both sides count alike");
        (calls / f64::from(PODS), last)
    }
}

fn with(mut manifest: Value, annotation: &str, value: &str) -> Value {
    manifest["metadata"]["annotations"][annotation] = json!(value);
    manifest
}

#[tokio::test]
async fn an_injected_pod_costs_one_call() {
    let Some(cluster) = Cluster::alone("calls", &[]).await else { return };
    cluster.opted_in("calls").await;
    cluster.plane.service_account("calls", "own", &[]).await.unwrap();
    cluster.plane.service_account("calls", "own-pull", &["own"]).await.unwrap();

    let (calls, pod) = cluster.calls_per_pod("calls", &kees_pod("init")).await;
    assert_eq!(names(&pod, "initContainers"), ["keystow-init"]);
    assert!(names(&pod, "volumes")[0].starts_with("kube-api-access-"), "with an API token: {pod}");
    assert_eq!(calls, 1.0, "with the init container");

    let refreshed = with(kees_pod("refresh"), "inject.bsycorp.com/refresh", "5m");
    let (calls, pod) = cluster.calls_per_pod("calls", &refreshed).await;
    assert_eq!(names(&pod, "initContainers"), ["keystow-init", "keystow-refresh"]);
    assert_eq!(calls, 1.0, "with the refreshing sidecar");

    let reference = "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT_SECRET_KEY";
    let native = pod_with("native", &json!({"secret.bsycorp.com/jwt": reference}));
    let (calls, pod) = cluster.calls_per_pod("calls", &native).await;
    assert!(names(&pod, "initContainers").is_empty());
    assert_eq!(calls, 1.0, "with references alone");

    let mut tokenless = kees_pod("tokenless");
    tokenless["spec"]["automountServiceAccountToken"] = json!(false);
    let (calls, pod) = cluster.calls_per_pod("calls", &tokenless).await;
    assert!(!names(&pod, "volumes").iter().any(|name| name.starts_with("kube-api-access-")), "{pod}");
    assert_eq!(calls, 1.0, "without an API token");
}

/// The ServiceAccount plugin fills the list of pull secrets after us, which is a change that others may care for.
#[tokio::test]
async fn a_changed_account_costs_a_second_call_where_it_has_pull_secrets() {
    let Some(cluster) = Cluster::alone("calls-account", &[]).await else { return };
    cluster.opted_in("calls-account").await;
    for (account, pull_secrets) in [("none", &[][..]), ("some", &["own"])] {
        cluster.plane.service_account("calls-account", account, pull_secrets).await.unwrap();
    }
    for (account, expected) in [("none", 1.0), ("some", 2.0)] {
        let manifest = with(kees_pod(account), "inject.bsycorp.com/service-account", account);
        let (calls, pod) = cluster.calls_per_pod("calls-account", &manifest).await;
        assert_eq!(pod["spec"]["serviceAccountName"], account);
        assert_eq!(names(&pod, "initContainers"), ["keystow-init"], "once");
        assert_eq!(calls, expected, "account {account}");
    }
}
