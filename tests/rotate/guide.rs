//! A token issuer whose guide has people put a new key beside the old one by hand.

use keystow::domain::{Modulus, Recipe};

use super::fixture::{Cluster, issuers, pem_of, private_key};

/// By the guide: the new key is the first issuer and signs, the old one verifies under the issuer that its tokens name, and
/// when they have expired it is taken out.
#[tokio::test]
async fn a_hand_made_old_key_verifies_beside_the_new_one_and_is_pruned() {
    let Some(cluster) = Cluster::start("guide").await else { return };
    let old = pem_of(&Recipe::Rsa(Modulus::Bits2048));
    let annotations = [
        ("type", "RSA"),
        ("size", "2048"),
        ("every", "90d"),
        ("publish", "2s"),
        ("overlap", "5s"),
        ("issuer", "https://demo.example"),
    ];
    let name = "iam-signing-keys";
    cluster.create(name, &annotations, &[("old.key", &old)]).await;
    let secret = format!("{}/{name}", cluster.namespace);
    let told = cluster.done(&["--secret", &secret, "--force"]).await;
    assert!(told.contains("is published, and signs from"), "{told}");
    let (keys, places) = cluster.shape(name).await;
    assert_eq!(keys, ["issuers.yaml", "jwks.json", "next.key", "old.key"]);
    assert_eq!(places, ["old.key", "next.key"], "the old key signs until everybody has seen the next");

    cluster.rotated_until(name, &["issuers.yaml", "jwks.json", "new.key", "old.key"]).await;
    let shown = cluster
        .plane
        .kubectl(&["get", "secret", name, "--namespace", cluster.namespace, "--output", "yaml"], "")
        .await
        .unwrap();
    assert!(shown.contains("\n  new.key: ") && shown.contains("\n  old.key: "), "{shown}");
    let data = cluster.data(name).await;
    assert_eq!(data["old.key"].as_bytes(), old.expose());
    let lines = issuers(&data);
    let [new, old] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&new["signingKey"], &new["algorithm"]), (&"new.key".into(), &"RS256".into()));
    assert_eq!((&old["signingKey"], &old["algorithm"]), (&"old.key".into(), &"RS256".into()));
    assert_eq!(old["name"], "https://demo.example", "tokens that are out name it");
    assert_eq!(new["name"], format!("https://demo.example/{}", new["kid"].as_str().unwrap()));

    cluster.rotated_until(name, &["issuers.yaml", "jwks.json", "new.key"]).await;
    assert_eq!(cluster.data(name).await["new.key"], data["new.key"]);
    let events = cluster.events(name).await;
    for reason in ["KeysAdopted", "KeyPublished", "KeySigns", "KeyRetired"] {
        assert!(events.iter().any(|event| event == reason), "{reason}: {events:?}");
    }
}

/// A value that applications read by a variable: it stays under its name.
#[tokio::test]
async fn a_jwt_secret_turns_over_under_its_name() {
    let Some(cluster) = Cluster::start("jwt-secret").await else { return };
    let annotations =
        [("type", "PASSWORD"), ("size", "256"), ("every", "90d"), ("publish", "1s"), ("overlap", "3s")];
    let first = keystow::domain::SecretValue::new(b"made by hand, long ago".to_vec());
    cluster.create("jwt-secret", &annotations, &[("jwt-secret", &first)]).await;
    cluster.done(&["--secret", "jwt-secret", "--force"]).await;
    cluster.rotated_until("jwt-secret", &["jwt-secret", "jwt-secret.old"]).await;
    let data = cluster.data("jwt-secret").await;
    assert_eq!(data["jwt-secret.old"].as_bytes(), first.expose());
    assert_eq!(data["jwt-secret"].len(), 32);
    cluster.rotated_until("jwt-secret", &["jwt-secret"]).await;
    assert_eq!(cluster.data("jwt-secret").await["jwt-secret"], data["jwt-secret"]);
}

/// What is not keystow's stays.
#[tokio::test]
async fn what_lies_beside_the_keys_is_not_touched() {
    let Some(cluster) = Cluster::start("beside").await else { return };
    let annotations = [("type", "ED25519"), ("every", "90d"), ("publish", "0s"), ("overlap", "1s")];
    let (key, note) = (private_key(), keystow::domain::SecretValue::new(b"mine".to_vec()));
    cluster.create("keys", &annotations, &[("new.key", &key), ("notes.txt", &note)]).await;
    cluster.done(&["--secret", "keys", "--force"]).await;
    cluster.rotated_until("keys", &["issuers.yaml", "jwks.json", "new.key", "notes.txt"]).await;
    let data = cluster.data("keys").await;
    assert_eq!(data["notes.txt"], "mine");
    assert_ne!(data["new.key"].as_bytes(), key.expose());
    assert_eq!(issuers(&data)[0]["algorithm"], "EdDSA", "of the type that is asked for from now on");
}
