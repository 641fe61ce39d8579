//! What is due, forced, revoked and dry; what is wrong, and the exit codes.

use serde_json::Value;

use super::fixture::{Cluster, issuers, private_key};

const FAST: [(&str, &str); 4] =
    [("type", "ED25519"), ("every", "90d"), ("publish", "1s"), ("overlap", "600s")];

#[tokio::test]
async fn an_empty_secret_gets_its_first_key_and_a_second_run_does_nothing() {
    let Some(cluster) = Cluster::start("first").await else { return };
    cluster.create("keys", &FAST, &[]).await;
    let told = cluster.done(&["--once"]).await;
    assert!(told.contains("signs from now on"), "{told}");
    let before = cluster.secrets().get("keys").await.unwrap();
    assert!(cluster.done(&["--once"]).await.contains("nothing is due"));
    let after = cluster.secrets().get("keys").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let Some(cluster) = Cluster::start("dry").await else { return };
    let key = private_key();
    cluster.create("keys", &FAST, &[("old.key", &key)]).await;
    let before = cluster.secrets().get("keys").await.unwrap();
    let plan = cluster.done(&["--secret", "keys", "--force", "--dry-run", "--format", "json"]).await;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let changes = plan["secrets"][0]["changes"].as_array().unwrap();
    assert_eq!((&changes[0]["change"], &changes[1]["change"]), (&"adopted".into(), &"published".into()));
    assert_eq!(changes[1]["id"], "NEW", "the id of a key that is never seen again would mislead");
    let after = cluster.secrets().get("keys").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
    assert!(cluster.events("keys").await.is_empty());
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_refused() {
    let Some(cluster) = Cluster::start("dry-immutable").await else { return };
    cluster.create("keys", &FAST, &[]).await;
    let patch = kube::api::Patch::Merge(serde_json::json!({"immutable": true}));
    cluster.secrets().patch("keys", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let (code, told) = cluster.refused(&["--once", "--dry-run"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("it is immutable"), "{told}");
}

#[tokio::test]
async fn a_leaked_key_is_gone_at_once_and_another_signs() {
    let Some(cluster) = Cluster::start("revoked").await else { return };
    let key = private_key();
    cluster.create("keys", &FAST, &[("new.key", &key)]).await;
    cluster.done(&["--once"]).await;
    let leaked = issuers(&cluster.data("keys").await)[0]["kid"].as_str().unwrap().to_owned();
    let told = cluster.done(&["--secret", "keys", "--revoke", &leaked]).await;
    assert!(told.contains(&format!("key {leaked} is revoked")), "{told}");
    let data = cluster.data("keys").await;
    assert!(!data["jwks.json"].contains(&leaked), "{}", data["jwks.json"]);
    assert_eq!(cluster.shape("keys").await.1, ["new.key"]);
    let (code, told) = cluster.refused(&["--secret", "keys", "--revoke", &leaked]).await;
    assert_eq!(code, 65);
    assert!(told.contains(&format!("there is no key {leaked} in the set")), "{told}");
    assert!(cluster.events("keys").await.iter().any(|reason| reason == "KeyRevoked"));
}

#[tokio::test]
async fn a_rotation_that_is_under_way_or_full_is_not_forced() {
    let Some(cluster) = Cluster::start("forced").await else { return };
    let annotations = [&FAST[..2], &[("publish", "600s"), ("overlap", "600s")]].concat();
    cluster.create("keys", &annotations, &[]).await;
    cluster.done(&["--secret", "keys", "--force"]).await;
    let (code, told) = cluster.refused(&["--secret", "keys", "--force"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("a rotation is under way"), "{told}");
}

#[tokio::test]
async fn each_mistake_has_its_exit_code_and_says_what_to_do() {
    let Some(cluster) = Cluster::start("mistakes").await else { return };
    let note = keystow::domain::SecretValue::new(b"hunter2".to_vec());
    cluster
        .create("weak", &[("type", "RSA"), ("size", "1024"), ("every", "90d"), ("overlap", "1h")], &[])
        .await;
    cluster.create("unreadable", &FAST, &[("new.key", &note)]).await;
    cluster.create("unasked", &[], &[]).await;
    let cases = [
        ("weak", 65, "rotate.bsycorp.com/size: size=1024 is not 2048, 3072 or 4096"),
        ("unreadable", 65, "new.key: it holds no private key in PEM; mend it"),
        ("unasked", 65, "it has no annotation rotate.DOMAIN/type"),
        ("nowhere", 66, "there is no such Secret"),
        ("kube-system/other", 77, "a Role must allow `get` of secrets"),
    ];
    for (secret, expected, message) in cases {
        let (code, told) = cluster.refused(&["--secret", secret]).await;
        assert_eq!(code, expected, "{told}");
        assert!(told.contains(message) && !told.contains("hunter2"), "{told}");
    }
    let (code, told) = cluster.refused(&["--once"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("mistakes/weak: ") && told.contains("mistakes/unreadable: "), "{told}");
    assert_eq!(cluster.events("unreadable").await, ["RotationFailed"]);
    assert_eq!(cluster.refused(&["--force"]).await.0, 64);
}

#[tokio::test]
async fn an_immutable_secret_says_so() {
    let Some(cluster) = Cluster::start("immutable").await else { return };
    cluster.create("keys", &FAST, &[]).await;
    let patch = kube::api::Patch::Merge(serde_json::json!({"immutable": true}));
    cluster.secrets().patch("keys", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let (code, told) = cluster.refused(&["--secret", "keys"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("it is immutable; make it anew"), "{told}");
}

#[tokio::test]
async fn an_immutable_secret_is_refused_before_anything_is_due() {
    let Some(cluster) = Cluster::start("immutable-later").await else { return };
    cluster.create("keys", &FAST, &[]).await;
    cluster.done(&["--secret", "keys"]).await;
    let patch = kube::api::Patch::Merge(serde_json::json!({"immutable": true}));
    cluster.secrets().patch("keys", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let (code, told) = cluster.refused(&["--secret", "keys", "--dry-run"]).await;
    assert!(code == 65 && told.contains("it is immutable"), "{code}: {told}");
}

#[tokio::test]
async fn a_key_is_revoked_whatever_the_schedule_and_its_id_begins_with() {
    let Some(cluster) = Cluster::start("revoked-anyway").await else { return };
    cluster.create("keys", &FAST, &[]).await;
    cluster.done(&["--once"]).await;
    let leaked = issuers(&cluster.data("keys").await)[0]["kid"].as_str().unwrap().to_owned();
    // Each is right, and they do not go together.
    let annotations =
        serde_json::json!({"rotate.bsycorp.com/every": "10m", "rotate.bsycorp.com/overlap": "9h"});
    let patch = kube::api::Patch::Merge(serde_json::json!({"metadata": {"annotations": annotations}}));
    cluster.secrets().patch("keys", &kube::api::PatchParams::default(), &patch).await.unwrap();
    assert_eq!(cluster.refused(&["--secret", "keys"]).await.0, 65);
    let (code, told) = cluster.refused(&["--secret", "keys", "--revoke", "-unknown"]).await;
    assert!(code == 65 && told.contains("there is no key -unknown in the set"), "{code}: {told}");
    cluster.done(&["--secret", "keys", "--revoke", &leaked]).await;
    assert!(!cluster.data("keys").await["jwks.json"].contains(&leaked));
}

/// Of many that work at once one wins each step, and nobody's key is lost or doubled.
#[tokio::test]
async fn many_at_once_make_one_key() {
    let Some(cluster) = Cluster::start("many").await else { return };
    cluster.create("keys", &FAST, &[]).await;
    let runs = (0..8).map(|_| cluster.done(&["--once"]));
    let told = futures::future::join_all(runs).await;
    let signed = told.iter().filter(|told| told.contains("signs from now on")).count();
    assert_eq!(signed, 1, "{told:?}");
    assert_eq!(issuers(&cluster.data("keys").await).len(), 1);
}
