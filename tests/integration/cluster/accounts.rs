//! Service accounts: the one that is asked for, its pull secrets, and the one that is not there.

use serde_json::{Value, json};

use super::{Cluster, pod_with};

/// A pod that asks for `account`.
fn asking_for(account: &str, name: &str) -> Value {
    pod_with(name, &json!({"inject.bsycorp.com/service-account": account}))
}

fn pull_secrets(pod: &Value) -> Vec<&str> {
    let secrets = pod["spec"]["imagePullSecrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    secrets.iter().map(|secret| secret["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_account_that_is_not_there_is_refused_in_the_api_servers_words() {
    let Some(cluster) = Cluster::start("nobody").await else { return };
    cluster.opted_in("nobody").await;
    let status = cluster.refusal("nobody", &asking_for("nobody-at-all", "app")).await;
    let message =
        "error looking up service account nobody/nobody-at-all: serviceaccount \"nobody-at-all\" not found";
    assert!(status.message.contains(message), "{status:?}");
    assert_eq!(status.code, 403);
    // It is the account and nothing else that is in the way.
    cluster.plane.service_account("nobody", "nobody-at-all", &[]).await.unwrap();
    let pod = cluster.create("nobody", &asking_for("nobody-at-all", "app")).await.unwrap();
    assert_eq!(pod["spec"]["serviceAccountName"], "nobody-at-all");
}

#[tokio::test]
async fn pull_secrets_follow_the_account_unless_the_author_chose_them() {
    let Some(cluster) = Cluster::start("pull").await else { return };
    cluster.opted_in("pull").await;
    cluster.plane.service_account("pull", "with", &["own-pull", "second-pull"]).await.unwrap();
    cluster.plane.service_account("pull", "without", &[]).await.unwrap();

    let kept = cluster.create("pull", &pod_with("kept", &json!({}))).await.unwrap();
    assert_eq!(pull_secrets(&kept), ["default-pull"], "what there is to replace");
    let replaced = cluster.create("pull", &asking_for("with", "replaced")).await.unwrap();
    assert_eq!(pull_secrets(&replaced), ["own-pull", "second-pull"]);
    assert_eq!(replaced["spec"]["serviceAccount"], "with");
    let none = cluster.create("pull", &asking_for("without", "none")).await.unwrap();
    assert_eq!(pull_secrets(&none), Vec::<&str>::new());

    let mut authored = asking_for("with", "authored");
    authored["spec"]["imagePullSecrets"] = json!([{"name": "authors"}]);
    let authored = cluster.create("pull", &authored).await.unwrap();
    assert_eq!(pull_secrets(&authored), ["authors"]);
    assert_eq!(authored["spec"]["serviceAccountName"], "with");
}

#[tokio::test]
async fn an_account_that_the_author_chose_stays() {
    let Some(cluster) = Cluster::start("chosen").await else { return };
    cluster.opted_in("chosen").await;
    for name in ["chosen", "asked-for"] {
        cluster.plane.service_account("chosen", name, &[]).await.unwrap();
    }
    let mut manifest = asking_for("asked-for", "app");
    manifest["spec"]["serviceAccountName"] = json!("chosen");
    let pod = cluster.create("chosen", &manifest).await.unwrap();
    assert_eq!(pod["spec"]["serviceAccountName"], "chosen");
}
