//! What a ClusterSecretStore sends, and what it is answered; what is refused.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::client::{KEYS, Provider, VALUE, now};
use crate::support::process::get;

const OFTEN: &str = "{perSecond: 1000, burst: 1000}";

fn with(claims: &Value, field: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[field] = value;
    claims
}

#[tokio::test]
async fn what_external_secrets_sends_is_answered_with_the_value() {
    let Some(provider) = Provider::start("provide-asked", OFTEN).await else { return };
    provider.store("veza--db", "password", VALUE).await;
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    for path in ["/veza/db_password", "%2Fveza%2Fdb_password"] {
        let answer = provider.read(path, &token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        // `result.jsonPath: $` yields a JSON string's text.
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), VALUE);
    }
    let line = provider.process.log().into_iter().find(|line| line["message"] == "access").unwrap();
    let said =
        ["subject", "path", "verb", "outcome", "key"].map(|name| line[name].as_str().unwrap().to_owned());
    assert_eq!(said, ["external-secrets", "/veza/db_password", "read", "read", signer.id.as_str()]);
    assert!(provider.counted("requests_total", &[("outcome", "read")]).await > 1.5);

    // Neither the value nor the token is anywhere else.
    let (log, page) = (provider.process.log_text(), get(provider.admin, "/metrics").await.unwrap().1);
    for secret in ["kölsch", token.as_str(), token.rsplit('.').next().unwrap()] {
        assert!(!log.contains(secret) && !page.contains(secret));
    }
}

#[tokio::test]
async fn a_value_that_is_no_text_is_answered_in_base64() {
    let Some(provider) = Provider::start("provide-binary", OFTEN).await else { return };
    let metadata = json!({"name": "veza--blob"});
    let secret = json!({"metadata": metadata, "data": {"value": "/wD+"}});
    let secret = serde_json::from_value(secret).unwrap();
    provider.cluster.secrets().create(&kube::api::PostParams::default(), &secret).await.unwrap();
    let signer = provider.signers().await.remove(0);
    let answer = provider.read("/veza/blob", &signer.token(&signer.claims())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "\"/wD+\""));
}

#[tokio::test]
async fn what_is_not_believed_is_refused_in_the_same_words() {
    let Some(provider) = Provider::start("provide-refused", OFTEN).await else { return };
    provider.store("veza--db", "password", VALUE).await;
    let signer = provider.signers().await.remove(0);
    let claims = signer.claims();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let forged = |alg: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let text = format!("{}.{}", part(&json!({"alg": alg, "kid": signer.id})), part(&claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign(text.as_bytes())))
    };
    let jwks = provider.cluster.data(KEYS).await["jwks.json"].clone();
    let hmac_of = |secret: &[u8], text: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref().to_vec()
    };
    let set: Value = serde_json::from_str(&jwks).unwrap();
    let public = set["keys"][0].to_string();
    let refused = [
        ("expired", signer.token(&with(&claims, "exp", json!(now() - 60)))),
        ("audience", signer.token(&with(&claims, "aud", json!("vault")))),
        ("issuer", signer.token(&with(&claims, "iss", json!("https://elsewhere.example")))),
        ("not_yet", signer.token(&with(&claims, "nbf", json!(now() + 600)))),
        ("malformed", forged("none", &|_| Vec::new())),
        ("algorithm", forged("HS256", &|text| hmac_of(jwks.as_bytes(), text))),
        ("algorithm", forged("HS256", &|text| hmac_of(public.as_bytes(), text))),
        ("signature", forged("ES256", &|_| vec![1; 64])),
        ("malformed", "not-a-token".to_owned()),
    ];
    let mut words = Vec::new();
    for (reason, token) in refused {
        let before = provider.counted("verification_failures_total", &[("reason", reason)]).await;
        let answer = provider.read("/veza/db_password", &token).await;
        assert_eq!(answer.status, 401, "{reason}: {}", answer.body);
        let after = provider.counted("verification_failures_total", &[("reason", reason)]).await;
        assert!(after > before + 0.5, "{reason} was not counted");
        words.push(answer.body);
    }
    let none = provider.send("GET /webhook?key=/veza/db_password", &[], b"").await;
    assert_eq!(none.status, 401);
    words.push(none.body);
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
}

#[tokio::test]
async fn a_caller_has_its_own_paths_and_no_others() {
    let Some(provider) = Provider::start("provide-paths", OFTEN).await else { return };
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    let team = signer.token(&with(&signer.claims(), "sub", json!("team-a")));
    let nobody = signer.token(&with(&signer.claims(), "sub", json!("somebody")));
    let cases = [
        (&token, "/veza/absent", 404),
        (&token, "/vezandra/db", 403),
        (&token, "/team/db", 403),
        (&token, "/veza/../team/db", 400),
        (&token, "/veza/%2e%2e/team/db", 400),
        (&token, "veza/db", 400),
        (&token, "", 400),
        (&token, "/veza/leases/db/0", 400),
        (&token, "/veza/db%00", 400),
        (&token, "/veza/a&key=/veza/b", 400),
        (&team, "/team/absent", 404),
        (&team, "/veza/db", 403),
        (&nobody, "/veza/db", 403),
    ];
    for (token, path, status) in cases {
        let answer = provider.read(path, token).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    assert_eq!(
        provider.send("GET /other", &[], b"").await.status,
        400,
        "not 404: that is a secret that is gone"
    );
    assert_eq!(provider.send("DELETE /webhook?key=/veza/db", &[], b"").await.status, 405);
}

/// HEAD was taken for a write.
#[tokio::test]
async fn head_reads_and_never_writes() {
    let Some(provider) = Provider::start("provide-head", OFTEN).await else { return };
    let signer = provider.signers().await.remove(0);
    let authorization = format!("Bearer {}", signer.token(&signer.claims()));
    let head = async |body: &[u8]| {
        provider.send("HEAD /webhook?key=/veza/pushed/a", &[("Authorization", &authorization)], body).await
    };
    assert_eq!(head(b"a value").await.status, 404);
    provider.store("veza--pushed--a", "value", VALUE).await;
    let answer = head(b"").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

/// The first of them would be believed here, and the last by a proxy before it.
#[tokio::test]
async fn two_tokens_are_none() {
    let Some(provider) = Provider::start("provide-two", OFTEN).await else { return };
    let signer = provider.signers().await.remove(0);
    let token = format!("Bearer {}", signer.token(&signer.claims()));
    let headers = [("Authorization", token.as_str()), ("Authorization", token.as_str())];
    assert_eq!(provider.send("GET /webhook?key=/veza/a", &headers, b"").await.status, 401);
}

#[tokio::test]
async fn more_than_the_rate_is_refused_and_others_are_not() {
    let Some(provider) = Provider::start("provide-rate", "{perSecond: 1, burst: 3}").await else { return };
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    let mut answered = Vec::new();
    for _ in 0..12 {
        answered.push(provider.read("/veza/absent", &token).await.status);
    }
    assert!(answered.starts_with(&[404, 404, 404]) && answered.contains(&429), "{answered:?}");
    let team = signer.token(&with(&signer.claims(), "sub", json!("team-a")));
    assert_eq!(provider.read("/team/absent", &team).await.status, 404);
    for _ in 0..12 {
        answered.push(provider.read("/veza/absent", "forged").await.status);
    }
    assert!(answered.ends_with(&[429]), "{answered:?}");
}
