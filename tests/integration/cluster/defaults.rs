//! Pods that are admitted start: with the default format and encoding, and the annotations that kees' users write.

use serde_json::json;

use super::{Cluster, pod_with};

/// The recorded pod as it is: its REFERENCE names no size, as kees' users write it.
#[tokio::test]
async fn the_recorded_kees_pod_starts_with_the_local_store() {
    let Some(cluster) = Cluster::start("seed").await else { return };
    cluster.opted_in("seed").await;
    let annotations = json!({
        "secret.bsycorp.com/signingKey.v1_public": "kind=DYNAMIC,type=RSA,size=2048,foo=bar",
        "secret.bsycorp.com/signingKey.v1_private": "kind=DYNAMIC,type=RSA,size=2048,foo=bar",
        "secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD",
    });
    let node = cluster.node();
    let running = cluster.run(&node, "seed", &pod_with("kees-example", &annotations)).await.unwrap();
    let view = running.view("app").await.unwrap();
    assert!(view.text("/secret/secret").unwrap().contains("db.password="));
}

/// The secret of the recorded locked-app: random bytes, for which nobody asked for another encoding.
#[tokio::test]
async fn a_random_secret_is_delivered_by_default() {
    let Some(cluster) = Cluster::start("random").await else { return };
    cluster.opted_in("random").await;
    let name = "secret.bsycorp.com/api-key.service-c.v1_consumer";
    let annotations = json!({name: "kind=DYNAMIC,type=RANDOM,size=128,env=API_KEY"});
    let node = cluster.node();
    let running = cluster.run(&node, "random", &pod_with("app", &annotations)).await.unwrap();
    let view = running.view("app").await.unwrap();
    assert!(view.text("/secret/secret").unwrap().starts_with("api-key.service-c.v1_consumer="));
    assert!(view.env.get("API_KEY").is_some_and(|value| !value.is_empty()));
}
