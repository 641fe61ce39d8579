//! What nobody should send, sent to the running binary over TLS; and after each the next good request.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{CONFIGURATION, KEYSTOW};
use crate::support::hello::tls_11_hello;
use crate::support::https::{self, Answer, read_to_close, within};
use crate::support::metrics;
use crate::support::wait::until;
use crate::support::webhook::Webhook;

const REVIEW: &str = include_str!("../../data/reviews/01-kees-example.json");
const JSON: &str = "application/json";

impl Webhook {
    async fn post(&self, media_type: &str, body: &[u8]) -> Answer {
        https::post(self.address(), &self.ca_pem(), media_type, body).await
    }

    /// Sends a good review, and returns the answer's `response`.
    async fn good(&self, review: &Value) -> Value {
        let answer = self.post(JSON, review.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].take()
    }

    async fn serves_the_next(&self) {
        let response = self.good(&review()).await;
        assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    }

    /// Sends what is refused with `status` and a body that says `error`.
    async fn refuses(&self, media_type: &str, body: &[u8], status: u16, error: &str) {
        let answer = self.post(media_type, body).await;
        let said: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.status, status, "{said}");
        assert!(said["error"].as_str().unwrap().contains(error), "{said} does not say {error}");
        assert!(said["expected"].is_string(), "{said}");
        self.serves_the_next().await;
    }
}

async fn webhook() -> Webhook {
    Webhook::start(KEYSTOW, CONFIGURATION, &[]).await
}

fn review() -> Value {
    serde_json::from_str(REVIEW).unwrap()
}

/// A review with 100,000 more annotations.
fn crowded(prefix: &str, value: &str) -> Value {
    let mut review = review();
    let annotations = review["request"]["object"]["metadata"]["annotations"].as_object_mut().unwrap();
    for index in 0..100_000 {
        annotations.insert(format!("{prefix}{index:05}"), json!(value));
    }
    review
}

#[tokio::test]
async fn a_recorded_review_is_answered_with_a_patch_warnings_and_audit_annotations() {
    let response = webhook().await.good(&review()).await;
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let operations: Vec<Value> = serde_json::from_slice(&patch).unwrap();
    assert!(operations.iter().all(|operation| operation["op"] == "add"), "{operations:?}");
    let warnings = response["warnings"].as_array().unwrap();
    assert!(warnings.len() == 2 && warnings[0].as_str().unwrap().contains("foo"), "{warnings:?}");
    let audit = &response["auditAnnotations"];
    let injected: Vec<&str> = audit["injected"].as_str().unwrap().split(',').collect();
    for name in ["signingKey.v1_public", "signingKey.v1_private", "db.password"] {
        assert!(injected.contains(&name), "{audit}");
    }
    assert_eq!(audit["hash"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_the_next_is_served() {
    let webhook = webhook().await;
    let bytes = REVIEW.trim_end().as_bytes();
    webhook.refuses(JSON, &bytes[..bytes.len() / 2], 400, "ends too early").await;
    webhook.refuses(JSON, b"", 400, "ends too early").await;
    webhook.refuses("text/plain", bytes, 415, "not declared as JSON").await;
    webhook.refuses(JSON, &vec![b' '; 5 << 20], 413, "too large").await;
    webhook.refuses(JSON, &[b'['; 1 << 20], 400, "not an AdmissionReview").await;
    let nested = format!("{}1{}", "{\"kind\":".repeat(100_000), "}".repeat(100_000));
    webhook.refuses(JSON, nested.as_bytes(), 400, "not an AdmissionReview").await;
    let beta = REVIEW.replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    webhook
        .refuses(JSON, beta.as_bytes(), 400, "\"admission.k8s.io/v1beta1\" is not admission.k8s.io/v1")
        .await;
    let other = REVIEW.replace("\"AdmissionReview\"", "\"ConversionReview\"");
    webhook.refuses(JSON, other.as_bytes(), 400, "\"ConversionReview\" is not AdmissionReview").await;
    let counted = |outcome| webhook.requests(Some(outcome));
    assert_eq!((counted("malformed").await, counted("refused").await), (6.0, 1.0));
    assert_eq!((counted("too_large").await, counted("panicked").await), (1.0, 0.0));
}

#[tokio::test]
async fn invalid_utf_8_is_not_json() {
    let webhook = webhook().await;
    // In an annotation, and in a field that nobody reads.
    for text in ["cluster-app-role", "system:masters"] {
        let mut bytes = REVIEW.as_bytes().to_vec();
        bytes[REVIEW.find(text).unwrap()] = 0xff;
        webhook.refuses(JSON, &bytes, 400, "not UTF-8").await;
    }
}

/// In a field that we do not know, where the API server would have let it pass.
#[tokio::test]
async fn deep_nesting_inside_the_pod_is_answered() {
    let webhook = webhook().await;
    let deep = format!("{{\"object\":{{\"x\":{}1{},", "[".repeat(100_000), "]".repeat(100_000));
    let body = REVIEW.replacen(
        "{\"kind\":\"Pod\"",
        &format!("{}\"kind\":\"Pod\"", &deep["{\"object\":".len()..]),
        1,
    );
    assert!(body.len() > 200_000, "the recorded review has another form");
    let answer = webhook.post(JSON, body.as_bytes()).await;
    assert!([200, 400].contains(&answer.status), "{}", answer.status);
    webhook.serves_the_next().await;
}

#[tokio::test]
async fn a_hundred_thousand_annotations_are_answered_in_time() {
    let webhook = webhook().await;
    let started = Instant::now();
    let response = webhook.good(&crowded("example.com/", "x")).await;
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let others = started.elapsed();
    let started = Instant::now();
    let response = webhook.good(&crowded("secret.bsycorp.com/", "kind=X")).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(422)));
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.len() < 20 << 10, "{}", message.len());
    let ours = started.elapsed();
    println!("100,000 annotations of others: {others:?}, of ours: {ours:?}");
    // The longest that an API server waits for a webhook.
    assert!(others.max(ours) < Duration::from_secs(30), "{others:?}, {ours:?}");
    webhook.serves_the_next().await;
}

#[tokio::test]
async fn what_is_not_our_tls_is_closed_and_the_next_is_served() {
    let webhook = webhook().await;
    let mut plain = TcpStream::connect(webhook.address()).await.unwrap();
    let length = REVIEW.len();
    let request = format!(
        "POST /mutate HTTP/1.1\r\nhost: k\r\ncontent-type: {JSON}\r\ncontent-length: {length}\r\n\r\n{REVIEW}"
    );
    plain.write_all(request.as_bytes()).await.unwrap();
    let answer = read_to_close(&mut plain).await;
    assert!(!answer.contains("HTTP") && !answer.contains("uid"), "{answer}");
    webhook.serves_the_next().await;

    let mut old = TcpStream::connect(webhook.address()).await.unwrap();
    old.write_all(&tls_11_hello()).await.unwrap();
    let answer = read_to_close(&mut old).await;
    assert!(answer.starts_with('\u{15}'), "not an alert: {answer:?}");
    webhook.serves_the_next().await;

    let page = webhook.metrics().await;
    for reason in ["not_tls", "incompatible"] {
        let name = "keystow_webhook_tls_handshake_failures_total";
        assert_eq!(metrics::sum(&page, name, &[("reason", reason)]), 1.0, "{reason}");
    }
}

#[tokio::test]
async fn idle_connections_are_closed_and_keep_nobody_out() {
    let webhook = webhook().await;
    let ca = webhook.ca_pem();
    let (mut silent, mut idle, mut begun) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..50 {
        silent.push(TcpStream::connect(webhook.address()).await.unwrap());
        idle.push(https::connect(webhook.address(), &ca).await);
        let mut stream = https::connect(webhook.address(), &ca).await;
        stream.write_all(b"POST /mutate HTTP/1.1\r\nhost:").await.unwrap();
        begun.push(stream);
    }
    webhook.serves_the_next().await;
    within("all to be closed", async {
        for stream in &mut silent {
            assert_eq!(read_to_close(stream).await, "");
        }
        for stream in idle.iter_mut().chain(&mut begun) {
            let said = read_to_close(stream).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
        }
    })
    .await;
    // A client sees the end of its connection a moment before the server has counted it.
    let none_open = async || {
        let open = metrics::sum(&webhook.metrics().await, "keystow_webhook_connections", &[]);
        (open == 0.0).then_some(())
    };
    until(Duration::from_secs(10), none_open).await.expect("connections are left open");
    webhook.serves_the_next().await;
}
