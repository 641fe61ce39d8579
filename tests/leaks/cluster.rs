//! What an API server sends, and what is sent to it: Secrets, tokens, private keys.
//!
//! The API server is a stand-in that answers as a broken one does, or something between it and us: with Secrets that are
//! no Secrets, cut off, not JSON, with what it was sent. The client library logs such answers as they are; that it does
//! is a test, too, since the ceiling of its log is for that.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Secret;
use keystow::telemetry::{LogFormat, LogSettings, chain, subscriber};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::canary::{assert_no_key, assert_none, canary, canary_base64, is_seen};
use crate::support::https::within;
use crate::support::sink::{Sink, keep_lines_on};
use crate::support::wait::until;
use crate::support::webhook::{Files, Webhook};

const BOUND: Duration = Duration::from_secs(60);

/// An API server that answers badly; it ends with its value.
struct ApiServer {
    address: SocketAddr,
    /// How often each kind of thing was asked for.
    asked: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    /// The Events that it was sent.
    events: Arc<Mutex<Vec<Bytes>>>,
    task: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::<Mutex<BTreeMap<&'static str, usize>>>::default();
        let events = Arc::<Mutex<Vec<Bytes>>>::default();
        let (counted, kept) = (Arc::clone(&asked), Arc::clone(&events));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (counted, kept) = (Arc::clone(&counted), Arc::clone(&kept));
                let answer =
                    service_fn(move |request| answer(request, Arc::clone(&counted), Arc::clone(&kept)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, asked, events, task }
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().expect("the counts").get(what).copied().unwrap_or_default()
    }

    /// Credentials with a token that must not be shown either.
    fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "u", "user": { "token": canary("bearer") } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u", "namespace": "keystow" } }],
            "current-context": "c",
        })
        .to_string()
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    events: Arc<Mutex<Vec<Bytes>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let sent = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path();
    let is_read = parts.method == Method::GET;
    let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
    let what = match path {
        path if path.ends_with("/secrets") && is_read && !is_watch => "secrets",
        path if path.contains("/secrets/") && is_read => "secret",
        path if path.contains("/secrets") && is_read => "watched secrets",
        path if path.contains("/secrets") => "written secret",
        path if path.contains("/leases") && is_read => "lease",
        path if path.contains("/leases") => "written lease",
        path if path.ends_with("/inject-keystow") => "configuration",
        path if path.contains("/events") => "event",
        _ => "other",
    };
    let turn = {
        let mut asked = asked.lock().expect("the counts");
        let turns = asked.entry(what).or_default();
        *turns += 1;
        *turns - 1
    };
    let (status, text) = match what {
        "secrets" => bad_secrets(turn),
        "secret" if turn < 2 => bad_secret(turn),
        "watched secrets" => (StatusCode::OK, watched(turn)),
        "configuration" => (StatusCode::OK, configuration()),
        // Cut off: what reads it cannot, and has it whole.
        "written secret" => (StatusCode::CREATED, sent[..sent.len() - 1].to_vec()),
        "written lease" => (StatusCode::CREATED, sent.to_vec()),
        "event" => {
            events.lock().expect("the Events").push(sent.clone());
            (StatusCode::CREATED, sent.to_vec())
        }
        _ => (StatusCode::NOT_FOUND, not_found()),
    };
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn not_found() -> Vec<u8> {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 })
        .to_string()
        .into_bytes()
}

/// What has a `caBundle`.
fn configuration() -> Vec<u8> {
    let webhook = json!({
        "name": "inject.keystow.example", "clientConfig": { "url": "https://127.0.0.1:1/mutate" },
        "admissionReviewVersions": ["v1"], "sideEffects": "None",
    });
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "inject-keystow", "resourceVersion": "1" }, "webhooks": [webhook],
    })
    .to_string()
    .into_bytes()
}

/// One Secret that cannot be read.
fn bad_secret(turn: usize) -> (StatusCode, Vec<u8>) {
    let data = if turn == 0 { json!(canary("text for data")) } else { json!([canary("a list for data")]) };
    let metadata = json!({ "name": "keystow-webhook-tls", "namespace": "keystow", "resourceVersion": "1" });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data });
    (StatusCode::OK, secret.to_string().into_bytes())
}

/// Events of a watch that cannot be read.
fn watched(turn: usize) -> Vec<u8> {
    let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": canary("watched") });
    let event = json!({ "type": "MODIFIED", "object": object }).to_string();
    match turn % 3 {
        0 => format!("{event}\n"),
        1 => format!("{}\n", canary("no event")),
        _ => event[..event.len() - 4].to_owned(),
    }
    .into_bytes()
}

/// A list of Secrets, worse each time, and in the end one without any, so that one is made.
fn bad_secrets(turn: usize) -> (StatusCode, Vec<u8>) {
    let list = |items: Value| json!({ "kind": "SecretList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items });
    let secret = |data: Value| {
        let metadata =
            json!({ "name": "keystow-webhook-tls", "namespace": "keystow", "resourceVersion": "1" });
        list(json!([{ "metadata": metadata, "type": "kubernetes.io/tls", "data": data }])).to_string()
    };
    let pem = |label: &str| {
        STANDARD.encode(format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            canary_base64("in a Secret")
        ))
    };
    let keys = json!({
        "tls.crt": pem("CERTIFICATE"), "tls.key": pem("PRIVATE KEY"), "ca.crt": pem("CERTIFICATE"),
        "ca.key": pem("PRIVATE KEY"), "next-ca.crt": canary_base64("no PEM"), "next-ca.key": canary_base64("no key"),
        "retired.crt": canary_base64("retired"),
    });
    let text = match turn {
        0 => secret(json!(canary("text for data"))),
        1 => secret(keys),
        2 => secret(json!({ "tls.key": canary("no base64!") })),
        3 => secret(json!({ "tls.key": [canary("a list")] })),
        4 => {
            let whole = secret(keys);
            whole[..whole.len() - 3].to_owned()
        }
        5 => canary("no JSON"),
        6 => return (StatusCode::INTERNAL_SERVER_ERROR, canary("an error").into_bytes()),
        7 => return (StatusCode::FORBIDDEN, canary("no status").into_bytes()),
        _ => list(json!([])).to_string(),
    };
    (StatusCode::OK, text.into_bytes())
}

/// Asks for each of the bad Secrets; yields what the errors say.
async fn read_all(server: &ApiServer) -> String {
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.expect("a configuration")).expect("a client");
    let secrets: Api<Secret> = Api::namespaced(client, "keystow");
    let mut said = String::new();
    for _ in 0..8 {
        if let Err(error) = within("an answer", secrets.list(&Default::default())).await {
            said += &format!("{}\n", chain(&error));
        }
    }
    assert!(said.lines().count() >= 6, "too few errors: {said}");
    said
}

#[tokio::test]
async fn the_client_library_tells_and_its_ceiling_holds_it_back() {
    keep_lines_on();
    let sink = Sink::default();
    let writer = sink.clone();
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    read_all(&ApiServer::start().await).await;
    drop(guard);
    assert!(is_seen(sink.text()), "it tells nothing any more; is its ceiling still needed? {}", sink.text());

    for format in [LogFormat::Json, LogFormat::Text] {
        let sink = Sink::default();
        let writer = sink.clone();
        let settings = LogSettings { format, filter: "trace,kube_client=trace".to_owned() };
        let guard = tracing::subscriber::set_default(
            subscriber(&settings, move || writer.clone(), false).expect("a filter"),
        );
        let said = read_all(&ApiServer::start().await).await;
        tracing::info!(target: "keystow", said, "what errors say");
        drop(guard);
        assert!(sink.text().contains("what errors say"), "nothing was logged: {}", sink.text());
        assert_none("the log of the client library, and its errors", sink.text());
    }
}

#[tokio::test]
async fn self_managed_certificates_show_no_key_in_json_logs() {
    no_key_is_shown("json").await;
}

#[tokio::test]
async fn self_managed_certificates_show_no_key_in_text_logs() {
    no_key_is_shown("text").await;
}

/// Neither those that were read nor those that were made, whatever the API server does.
async fn no_key_is_shown(format: &str) {
    let server = ApiServer::start().await;
    let files = Files::new(env!("CARGO_BIN_EXE_keystow"), "");
    let kubeconfig = files.path("kubeconfig");
    fs::write(&kubeconfig, server.kubeconfig()).expect("a written kubeconfig");
    let filter =
        "trace,kube=trace,kube_client=trace,kube_runtime=trace,hyper=trace,tower=trace,tower_http=trace";
    let flags = ["--self-managed", "--drain-delay=0s", "--pod-name=keystow-0", "--log", filter];
    let flags = [&flags[..], &["--log-format", format]].concat();
    let environment = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
    let mut webhook = Webhook::spawn(files, "log", &flags, &environment).await;
    let came_far = || server.asked("watched secrets") > 1 && server.asked("written secret") > 0;
    let through = until(BOUND, async || came_far().then_some(())).await;
    through.unwrap_or_else(|| panic!("it did not come that far: {:?} {}", server.asked, webhook.log_text()));
    webhook.terminate().await;
    assert_eq!(webhook.exit_code().await, Some(0), "{}", webhook.log_text());
    let log = webhook.log_text();
    assert!(log.contains("cannot be watched"), "nothing was said of it: {log}");
    let events = server.events.lock().expect("the Events").concat();
    assert!(!events.is_empty(), "no Event came: {log}");
    assert_none("the Events", &events);
    assert_no_key("the Events", &events);
    assert_none("the log", &log);
    assert_no_key("the log", &log);
}

#[tokio::test]
async fn a_kubeconfig_with_a_mistake_is_told_without_its_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kubeconfig");
    for text in [
        format!("users:\n- name: u\n  user: {{token: {}\n", canary("open")),
        format!("users:\n- name: u\n  user: {}\n", canary("text for a user")),
        format!("clusters: {{}}\nusers:\n- name: u\n  user: {{token: {}}}\n", canary("beside a mistake")),
        canary("no kubeconfig"),
    ] {
        fs::write(&file, text).expect("a written kubeconfig");
        let output = Command::new(env!("CARGO_BIN_EXE_keystow"))
            .args([
                "webhook",
                "--self-managed",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--log",
                "trace",
            ])
            .env("KUBECONFIG", &file)
            .stdin(Stdio::null())
            .output();
        let output = within("its end", output).await.expect("a started webhook");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("KUBECONFIG"), "{said}");
        assert_none("what is said of a kubeconfig", said.as_bytes());
    }
}
