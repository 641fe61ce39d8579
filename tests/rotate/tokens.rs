//! Secrets that hold a token: fresh, and by the key that signs.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::fixture::{Cluster, WITHIN, issuers};
use crate::support::wait::until;

/// The key that signed the token of the Secret, whose claims are as they were asked for.
async fn signed_by(cluster: &Cluster) -> Option<String> {
    let token = cluster.data("eso").await.remove("token")?;
    let data = cluster.data("keys").await;
    let header = decode_header(&token).unwrap();
    let id = header.kid.unwrap();
    let keys: JwkSet = serde_json::from_str(&data["jwks.json"]).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&["keystow"]);
    let issuer = issuers(&data).into_iter().find(|line| line["kid"] == id.as_str())?;
    validation.set_issuer(&[issuer["name"].as_str().unwrap()]);
    let key = DecodingKey::from_jwk(keys.find(&id)?).unwrap();
    let claims = decode::<Value>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "external-secrets");
    Some(id)
}

const TOKEN: [(&str, &str); 4] = [
    ("token-of", "keys"),
    ("token-audience", "keystow"),
    ("token-subject", "external-secrets"),
    ("token-lifetime", "5m"),
];

const FOR: (&str, &str) = ("tokens-for", "external-*");

/// Of every type of key: made at once, and anew when another key signs or the one that signed is revoked.
#[tokio::test]
async fn a_token_follows_the_key_that_signs() {
    for (test, kind, size) in
        [("token-rsa", "RSA", "2048"), ("token-ec", "EC", "384"), ("token-ed", "ED25519", "")]
    {
        let Some(cluster) = Cluster::start(test).await else { return };
        let sized = [("size", size)];
        let sized = if size.is_empty() { &[][..] } else { &sized };
        let annotations =
            [&[("type", kind), ("every", "90d"), ("publish", "1s"), ("overlap", "10m"), FOR], sized].concat();
        cluster.create("eso", &TOKEN, &[]).await;
        cluster.create("keys", &annotations, &[]).await;
        let mut controller = cluster.controller("issuer");
        let first = until(WITHIN, async || signed_by(&cluster).await).await;
        let first = first.unwrap_or_else(|| panic!("{}", controller.log_text()));
        cluster.done(&["--secret", "keys", "--force"]).await;
        let next = async || signed_by(&cluster).await.filter(|id| *id != first);
        let second = until(WITHIN, next).await;
        let second = second.unwrap_or_else(|| panic!("{}", controller.log_text()));
        cluster.done(&["--secret", "keys", "--revoke", &second]).await;
        let third = until(WITHIN, async || signed_by(&cluster).await.filter(|id| *id != second)).await;
        assert!(third.is_some(), "{}", controller.log_text());
        let token = cluster.data("eso").await.remove("token").unwrap();
        let told = cluster.done(&["--once"]).await;
        assert!(told.contains(&format!("{test}/eso\n  nothing is due\n  next token: ")), "{told}");
        assert!(!controller.log_text().contains(&token) && !told.contains(&token));
        controller.terminate().await;
        assert_eq!(controller.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn a_token_that_would_outlive_its_key_is_not_made() {
    let Some(cluster) = Cluster::start("token-life").await else { return };
    let annotations = [("type", "ED25519"), ("every", "90d"), ("overlap", "1m"), FOR];
    cluster.create("keys", &annotations, &[]).await;
    cluster.create("eso", &TOKEN, &[]).await;
    let (code, told) = cluster.refused(&["--once"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("token-life/eso: a token of 300s outlives the overlap of its keys, 60s"), "{told}");
    assert!(cluster.data("eso").await.is_empty());
}

#[tokio::test]
async fn a_token_without_keys_waits_and_says_so() {
    let Some(cluster) = Cluster::start("token-keys").await else { return };
    cluster.create("eso", &TOKEN, &[]).await;
    let (code, told) = cluster.refused(&["--once"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("Secret keys has no key pairs that keystow keeps"), "{told}");
}

/// Who may write a Secret beside the keys may not be whoever it likes.
#[tokio::test]
async fn a_token_is_made_for_whom_the_keys_name_and_for_nobody_else() {
    let Some(cluster) = Cluster::start("token-for").await else { return };
    let annotations = [("type", "ED25519"), ("every", "90d"), ("overlap", "10m"), ("tokens-for", "somebody")];
    cluster.create("keys", &annotations, &[]).await;
    cluster.create("eso", &TOKEN, &[]).await;
    let (code, told) = cluster.refused(&["--once"]).await;
    assert_eq!(code, 65);
    assert!(told.contains("Secret keys signs no token for external-secrets; name it there"), "{told}");
    assert!(cluster.data("eso").await.is_empty());
}
