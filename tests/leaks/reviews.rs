//! Reviews of every kind, with a value wherever one can stand, through the program.
//!
//! Invariant: nothing here passes because nothing happened. Each review must leave its log line, its count and its span.

use std::sync::Arc;

use base64::Engine as _;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keystow::certs::CertificateSource;
use keystow::shutdown;
use keystow::telemetry::{LogFormat, LogSettings, subscriber};
use keystow::webhook::review::{Answer, Operation, Outcome, Record, Review};
use keystow::webhook::run::{Bound, Settings};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::canary::{assert_none, canary, canary_base64, is_seen};
use crate::support::collector::{Behaviour, Collector};
use crate::support::https;
use crate::support::sink::{Sink, keep_lines_on};
use crate::support::webhook::{Webhook, get};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keystow");
const RECORDED: &str = include_str!("../data/reviews/01-kees-example.json");
const CONFIGURATION: &str = "stores: {default: dev, dev: {local: {}}}\nlocalMode: {namespaces: [demo]}\n";
const SECRET: &str = "secret.bsycorp.com/db.password";

/// A request body, and how it is to end.
struct Case {
    name: &'static str,
    outcome: &'static str,
    body: Vec<u8>,
}

impl Case {
    /// Whether both calls ended as they should, by their log lines.
    fn is_logged_twice(&self, log: &str) -> bool {
        let uid = format!("\"uid of {}\"", self.name);
        let outcome = [format!("outcome=\"{}\"", self.outcome), format!("\"outcome\":\"{}\"", self.outcome)];
        let is_of_it =
            |line: &&str| line.contains(&uid) && outcome.iter().any(|outcome| line.contains(outcome));
        log.lines().filter(is_of_it).count() == 2
    }
}

/// A review whose pod has values in all places that keystow has nothing to do with.
fn loaded() -> Value {
    let mut review: Value = serde_json::from_str(RECORDED).expect("a recorded review");
    let request = &mut review["request"];
    request["userInfo"]["extra"] = json!({ "token": [canary("user")] });
    request["oldObject"] = json!({ "data": { "password": canary_base64("old object") } });
    request["options"]["note"] = json!(canary("options"));
    let pod = &mut request["object"];
    let annotations = &mut pod["metadata"]["annotations"];
    annotations["example.com/token"] = json!(canary("another's annotation"));
    annotations["kubectl.kubernetes.io/last-applied-configuration"] =
        json!(json!({ "env": [{ "name": "P", "value": canary("last applied") }] }).to_string());
    annotations["init.bsycorp.com/local-mode"] = json!("true");
    annotations[SECRET] =
        json!(format!("kind=REFERENCE,type=PASSWORD,localModeValue={}", canary_base64("local value")));
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = json!([{ "name": "DB_PASSWORD", "value": canary("env") }]);
    container["command"] = json!(["app", format!("--password={}", canary("command"))]);
    container["args"] = json!([canary("args")]);
    container["livenessProbe"] = json!({ "httpGet": {
        "port": 80, "httpHeaders": [{ "name": "Authorization", "value": canary("probe") }],
    } });
    pod["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"][format!("v:{}", canary("managed"))] = json!({});
    review
}

/// The loaded review, changed. Every one has a uid of its own.
fn changed(name: &'static str, outcome: &'static str, change: impl FnOnce(&mut Value)) -> Case {
    let mut review = loaded();
    review["request"]["uid"] = json!(format!("uid of {name}"));
    change(&mut review["request"]);
    Case { name, outcome, body: review.to_string().into_bytes() }
}

fn annotated(name: &'static str, outcome: &'static str, key: &str, value: Value) -> Case {
    changed(name, outcome, |request| request["object"]["metadata"]["annotations"][key] = value)
}

/// Bodies that can be answered under their uid.
fn reviews() -> Vec<Case> {
    let mut cases = vec![
        changed("good", "injected", |_| {}),
        changed("dry", "injected", |request| request["dryRun"] = json!(true)),
        changed("local mode not allowed", "denied", |request| request["namespace"] = json!("prod")),
        changed("update", "unchanged", |request| request["operation"] = json!("UPDATE")),
        annotated("object for text", "denied", SECRET, json!({ "localModeValue": canary("in an object") })),
        annotated("number for text", "denied", SECRET, json!(7)),
    ];
    for (name, pointer) in [
        ("text for annotations", "/object/metadata/annotations"),
        ("text for env", "/object/spec/containers/0/env"),
        ("text for containers", "/object/spec/containers"),
        ("text for metadata", "/object/metadata"),
        ("text for the pod", "/object"),
    ] {
        cases.push(changed(name, "denied", |request| {
            *request.pointer_mut(pointer).expect(pointer) = json!(canary("in place of something"));
        }));
    }
    cases.extend(annotations());
    cases
}

/// Annotations of ours with a value in them, or in place of them.
fn annotations() -> Vec<Case> {
    const TEMPLATE: &str = "inject.bsycorp.com/template.conf";
    let raw = canary("raw-local-value");
    let huge = canary("huge").repeat(1 << 12);
    let huge_base64 = base64::engine::general_purpose::STANDARD.encode(&huge);
    let values = [
        ("no base64", "injected", format!("localModeValue={raw}")),
        ("comma", "denied", format!("localModeValue=a,{raw},b={raw},{raw}===")),
        ("colon", "injected", format!("localModeValue:{raw}")),
        ("blank", "injected", format!("localModeValue {raw}")),
        ("misspelt", "injected", format!("localmodevalue={raw},value={raw},password={raw}")),
        ("twice", "injected", format!("localModeValue=a,localModeValue={raw}")),
        ("huge", "injected", format!("localModeValue={huge_base64}")),
        ("huge and bad", "denied", format!("localModeValue={}", huge.repeat(8))),
    ];
    let others = [
        ("the value itself", "denied", SECRET, raw.clone()),
        ("another kind", "denied", SECRET, format!("kind=KUBERNETES,localModeValue={raw}")),
        ("status", "injected", "inject.bsycorp.com/status", format!("{{\"hash\":\"{raw}\"}}")),
        ("template", "injected", TEMPLATE, format!("p={raw}\n")),
        ("bad template", "denied", TEMPLATE, format!("p={raw}\n{{{{ ")),
    ];
    let values = values.map(|(name, outcome, value)| {
        annotated(name, outcome, SECRET, json!(format!("kind=REFERENCE,type=PASSWORD,{value}")))
    });
    let others = others.map(|(name, outcome, key, value)| annotated(name, outcome, key, json!(value)));
    values.into_iter().chain(others).collect()
}

/// Bodies that are no reviews, and the status of their answers.
fn malformed() -> Vec<(&'static str, u16, Vec<u8>)> {
    let whole = loaded().to_string().into_bytes();
    let mut not_text = whole.clone();
    not_text[100] = 0xff;
    let with_request = |request: Value| {
        let review = json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request, "x": canary("beside"),
        });
        review.to_string().into_bytes()
    };
    vec![
        ("cut off", 400, whole[..whole.len() - 2].to_vec()),
        ("no text", 400, not_text),
        ("no review", 400, canary("no review").into_bytes()),
        ("a list", 400, json!([canary("a list")]).to_string().into_bytes()),
        ("no request", 400, with_request(Value::Null)),
        ("text for the request", 400, with_request(json!(canary("for the request")))),
        ("too large", 413, canary("too large").repeat(1 << 18).into_bytes()),
    ]
}

/// Headers with tokens in them.
fn headers() -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("authorization", format!("Bearer {}", canary("authorization"))),
        ("cookie", format!("session={}", canary("cookie"))),
        ("x-remote-extra-token", canary("front proxy")),
        ("traceparent", canary("traceparent")),
        ("tracestate", format!("vendor={}", canary("tracestate"))),
        ("baggage", format!("token={}", canary("baggage"))),
        ("user-agent", canary("user agent")),
    ]
}

/// The status and the body of an answer over HTTP/2.
async fn send(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: &[u8]) -> (u16, Bytes) {
    let mut request = Request::post(format!("https://127.0.0.1{path}"));
    for (name, value) in headers() {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
    let answer = https::within("an answer", sender.send_request(request)).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = https::within("its body", answer.into_body().collect()).await.expect("a body");
    (status, body.to_bytes())
}

async fn http2(address: std::net::SocketAddr, ca_pem: &str) -> SendRequest<Full<Bytes>> {
    let stream = https::connect(address, ca_pem).await;
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// Searches an answer, and its patch beneath the base64.
fn search_answer(name: &str, body: &[u8]) {
    assert_none(&format!("the answer to {name}"), body);
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(patch) = answer["response"]["patch"].as_str() {
        let patch = base64::engine::general_purpose::STANDARD.decode(patch).expect("base64");
        assert_none(&format!("the patch of {name}"), patch);
    }
}

/// Does everything there is to do over either protocol.
async fn call(webhook: &Webhook) {
    let (address, ca) = (webhook.address(), webhook.ca_pem());
    let headers = headers();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut sender = http2(address, &ca).await;
    for Case { name, body, .. } in reviews() {
        let (status, answer) = send(&mut sender, "/mutate?timeout=5s", &body).await;
        assert_eq!(status, 200, "{name}");
        search_answer(name, &answer);
        let again = https::post_with(address, &ca, &headers, &body).await;
        assert_eq!(again.status, 200, "{name}");
        search_answer(name, again.body.as_bytes());
    }
    for (name, expected, body) in malformed() {
        // A stream of its own: a body over the bound may end the connection.
        let (status, answer) = send(&mut http2(address, &ca).await, "/mutate", &body).await;
        assert_eq!(status, expected, "{name}");
        search_answer(name, &answer);
    }
    let body = canary("a-body");
    for path in [format!("/mutate?timeout={body}"), format!("/{body}"), format!("/mutate?{body}")] {
        search_answer(&path.replace(&body, "…"), &send(&mut sender, &path, body.as_bytes()).await.1);
    }
    let media = format!("text/{}", canary("media-type"));
    let answer = https::post_with(address, &ca, &[("content-type", &media)], body.as_bytes()).await;
    assert_eq!(answer.status, 415);
    search_answer("another media type", answer.body.as_bytes());
    // And what never gets through the handshake.
    let mut plain = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET / HTTP/1.1\r\nauthorization: {}\r\n\r\n", canary("plain HTTP"));
    plain.write_all(request.as_bytes()).await.expect("a written request");
    https::read_to_close(&mut plain).await;
}

/// Runs it all with every log target at `trace`, and searches what the program said.
async fn nothing_is_shown(format: &str) {
    let collector = Collector::start(Behaviour::Takes).await;
    let endpoint = collector.endpoint();
    let token = format!("authorization={}", canary("collector"));
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", token.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let filter =
        "trace,kube=trace,hyper=trace,h2=trace,rustls=trace,tower=trace,opentelemetry=trace,reqwest=trace";
    let flags = ["--log", filter, "--log-format", format, "--drain-delay", "0s"];
    let mut webhook = Webhook::start_in(PROGRAM, CONFIGURATION, &environment, &flags).await;
    call(&webhook).await;
    let mut pages = String::new();
    for path in ["/metrics", "/readyz", "/livez", &format!("/{}", canary("path"))] {
        pages += &get(webhook.admin(), path).await.expect("an answer of the admin listener").1;
    }
    for outcome in ["injected", "denied", "unchanged", "malformed", "refused"] {
        assert!(webhook.requests(Some(outcome)).await > 0.0, "no request was {outcome}:\n{pages}");
    }
    webhook.terminate().await;
    assert_eq!(webhook.exit_code().await, Some(0));

    let log = webhook.log_text();
    let wrong: Vec<_> =
        reviews().iter().filter(|case| !case.is_logged_twice(&log)).map(|case| case.name).collect();
    assert!(wrong.is_empty(), "not as expected: {wrong:?}\n{log}");
    assert!(log.contains("TLS handshake failed"), "{log}");
    assert_none("the log", &log);
    assert_none("the admin listener", &pages);
    if cfg!(feature = "otel") {
        assert!(collector.spans().len() >= 2 * reviews().len(), "{} spans", collector.spans().len());
    }
    for received in collector.received() {
        assert_none("what the collector gets", &received.body);
    }
    assert_none("the spans", format!("{:?}", collector.resources()));
}

#[tokio::test]
async fn nothing_of_a_review_is_shown_in_json_logs() {
    nothing_is_shown("json").await;
}

#[tokio::test]
async fn nothing_of_a_review_is_shown_in_text_logs() {
    nothing_is_shown("text").await;
}

/// Tells what it must not.
struct Telltale;

impl Review for Telltale {
    fn answer(&self, body: &[u8]) -> Answer {
        tracing::debug!(target: "keystow::telltale", body = ?body, "reviewing");
        let record = Record {
            uid: "u".to_owned(),
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            operation: Operation::Create,
            dry_run: false,
            outcome: Outcome::Unchanged,
            operations: 0,
            warnings: 0,
        };
        Answer::Reviewed { body: body.to_vec(), record }
    }
}

/// The same search finds what a decision tells that should not: once in the log, once in the answer.
#[tokio::test]
async fn a_review_that_tells_is_found_out() {
    keep_lines_on();
    for format in [LogFormat::Json, LogFormat::Text] {
        let sink = Sink::default();
        let writer = sink.clone();
        let settings = LogSettings { format, filter: "trace".to_owned() };
        // One thread has the test and the server both.
        let _guard =
            tracing::subscriber::set_default(subscriber(&settings, move || writer.clone(), false).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let source = CertificateSource::SelfSigned { directory: directory.path().to_owned(), names };
        let mut settings = Settings::new(source);
        settings.listen = ([127, 0, 0, 1], 0).into();
        settings.admin = ([127, 0, 0, 1], 0).into();
        let bound = Bound::new(settings).await.unwrap();
        let address = bound.webhook_address();
        let (_trigger, shutdown) = shutdown::channel();
        let server = tokio::spawn(bound.serve(Arc::new(Telltale), shutdown));
        let ca = std::fs::read_to_string(directory.path().join("ca.crt")).unwrap();
        let answer = https::post(address, &ca, "application/json", canary("told").as_bytes()).await;
        server.abort();
        let log = sink.text();
        assert!(is_seen(&log), "{log}");
        assert!(std::panic::catch_unwind(|| search_answer("it", answer.body.as_bytes())).is_err());
    }
}
