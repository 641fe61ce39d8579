//! PushSecret: what is stored by it, read again, and replaced.

use serde_json::Value;

use super::client::{Provider, Signer};
use crate::support::https::Answer;

const OFTEN: &str = "{perSecond: 1000, burst: 1000}";

async fn push(
    provider: &Provider,
    signer: &Signer,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) -> Answer {
    let authorization = format!("Bearer {}", signer.token(&signer.claims()));
    let headers = [("Content-Type", kind), ("Authorization", authorization.as_str())];
    provider.send(&format!("{method} /webhook?key={path}"), &headers, body).await
}

#[tokio::test]
async fn a_pushed_value_is_stored_read_and_replaced() {
    let Some(provider) = Provider::start("provide-pushed", OFTEN).await else { return };
    let signer = provider.signers().await.remove(0);
    let read = async || {
        let answer = provider.read("/veza/pushed/api_token", &signer.token(&signer.claims())).await;
        serde_json::from_str::<Value>(&answer.body).unwrap()
    };
    let path = "/veza/pushed/api_token";
    let steps: [(&str, &str, &[u8], u16, &str); 5] = [
        ("PUT", "text/plain", b"one", 201, "one"),
        ("PUT", "text/plain", b"one", 200, "one"),
        ("POST", "application/json; charset=utf-8", br#""two""#, 200, "two"),
        ("PUT", "application/json", br#"{"user":"a"}"#, 200, r#"{"user":"a"}"#),
        ("PUT", "text/plain", br#""quoted""#, 200, r#""quoted""#),
    ];
    for (method, kind, body, status, expected) in steps {
        let answer = push(&provider, &signer, method, path, kind, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(read().await, expected);
    }
    let log = provider.process.log_text();
    assert!(!log.contains("quoted") && !log.contains("two"), "{log}");
}

#[tokio::test]
async fn what_may_not_be_pushed_is_refused() {
    let Some(provider) = Provider::start("provide-unpushed", OFTEN).await else { return };
    let signer = provider.signers().await.remove(0);
    let cases: [(&str, &[u8], u16); 3] =
        [("/veza/db_password", b"x", 403), ("/veza/pushed/a_b", b"", 400), ("/veza/pushed/../db", b"x", 400)];
    for (path, body, status) in cases {
        let answer = push(&provider, &signer, "PUT", path, "text/plain", body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    let large = vec![b'x'; (1 << 20) + 1];
    let answer = push(&provider, &signer, "PUT", "/veza/pushed/a_b", "text/plain", &large).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    let nobody = provider.send("PUT /webhook?key=/veza/pushed/a_b", &[], b"x").await;
    assert_eq!(nobody.status, 401);
}
