//! Private keys are in the Secret and nowhere else.

use super::fixture::{Cluster, private_key};
use crate::support::wait::until;

#[tokio::test]
async fn nothing_of_a_private_key_is_said_or_noted() {
    let Some(cluster) = Cluster::start("leaks").await else { return };
    let annotations =
        [("type", "EC"), ("size", "256"), ("every", "4s"), ("publish", "1s"), ("overlap", "1s")];
    let key = private_key();
    cluster.create("keys", &annotations, &[("old.key", &key)]).await;
    let mut controller = cluster.controller("teller");
    let mut keys: Vec<String> = vec![String::from_utf8(key.expose().to_vec()).unwrap()];
    let turned = until(super::fixture::WITHIN, async || {
        let new = cluster.data("keys").await.get("new.key").cloned()?;
        Some(new)
    });
    keys.push(turned.await.unwrap());
    controller.says(|log| log.contains("is gone").then_some(())).await;
    let secret = cluster.secrets().get("keys").await.unwrap();
    let annotations = format!("{:?}", secret.metadata.annotations);
    let told = cluster.done(&["--secret", "keys", "--format", "json", "--dry-run"]).await;
    let data = cluster.data("keys").await;
    let events = format!("{:?}", cluster.events("keys").await);
    let log = controller.log_text();
    for said in [&annotations, &told, &data["jwks.json"], &data["issuers.yaml"], &events, &log] {
        for key in &keys {
            let lines = key.lines().filter(|line| !line.starts_with('-') && line.len() > 16);
            for line in lines {
                assert!(!said.contains(line), "a line of a private key is in {said}");
            }
        }
    }
    controller.terminate().await;
    assert_eq!(controller.exit_code().await, Some(0));
}
