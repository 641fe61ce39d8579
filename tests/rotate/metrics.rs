//! What a controller tells in numbers.

use super::fixture::{Cluster, WITHIN};
use crate::support::process::{self, addresses};
use crate::support::wait::until;

#[tokio::test]
async fn a_secret_has_its_numbers_until_it_is_gone() {
    let Some(cluster) = Cluster::start("numbers").await else { return };
    let annotations = [("type", "ED25519"), ("every", "90d"), ("overlap", "1h")];
    cluster.create("keys", &annotations, &[]).await;
    cluster.create("broken", &[("type", "RSA")], &[]).await;
    let mut controller = cluster.controller("counter");
    let [admin] = controller.says(|log| addresses(log, ["admin"])).await;
    let sample = |metric: &str, secret: &str| {
        format!("keystow_rotation_{metric}{{secret_namespace=\"numbers\",secret=\"{secret}\"}} ")
    };
    let value = async |metric: &str, secret: &str| {
        let page = process::metrics(admin).await;
        let line =
            page.lines().find_map(|line| line.strip_prefix(&sample(metric, secret)).map(str::to_owned));
        line.map(|value| value.parse::<f64>().unwrap())
    };
    let failing = until(WITHIN, async || value("failing", "broken").await).await;
    assert_eq!(failing, Some(1.0));
    let keys = until(WITHIN, async || value("keys", "keys").await).await;
    assert_eq!(keys, Some(1.0));
    let since = value("signing_since_timestamp_seconds", "keys").await.unwrap();
    let next = value("next_change_timestamp_seconds", "keys").await.unwrap();
    // Published ten minutes before it signs.
    assert!((next - since - (90.0 * 86_400.0 - 600.0)).abs() < 2.0, "{since} {next}");
    assert_eq!(value("failing", "keys").await, Some(0.0));

    cluster.secrets().delete("keys", &kube::api::DeleteParams::default()).await.unwrap();
    let gone = until(WITHIN, async || value("keys", "keys").await.is_none().then_some(()));
    assert!(gone.await.is_some(), "{}", controller.log_text());
}
