//! A build with traces, against collectors that take them, refuse them, stall, and are not there.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::support::collector::{Behaviour, Collector, attribute};
use crate::support::https::{self, Answer};
use crate::support::wait::until;
use crate::support::webhook::Webhook;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keystow");
const REVIEW: &str = include_str!("../data/reviews/01-kees-example.json");
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const NO_DRAIN: [&str; 2] = ["--drain-delay", "0s"];
/// What the process may take beyond the two seconds that the last spans have.
const END_WITHIN: Duration = Duration::from_secs(10);

async fn start(environment: &[(&str, &str)]) -> Webhook {
    // Spans go out soon; the specification's own delay is five seconds.
    let soon = [("OTEL_BSP_SCHEDULE_DELAY", "50")];
    Webhook::start_in(PROGRAM, "", &[&soon, environment].concat(), &NO_DRAIN).await
}

async fn review(webhook: &Webhook, traceparent: Option<&str>, body: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(traceparent.map(|value| ("traceparent", value)));
    https::post_with(webhook.address(), &webhook.ca_pem(), &headers, body.as_bytes()).await
}

/// Ends the process; yields how long that took.
async fn end(webhook: &mut Webhook) -> Duration {
    let started = Instant::now();
    webhook.terminate().await;
    assert_eq!(webhook.exit_code().await, Some(0), "{}", webhook.log_text());
    started.elapsed()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_review_is_a_span_below_the_caller_s() {
    let collector = Collector::start(Behaviour::Takes).await;
    let endpoint = collector.endpoint();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20for-the-collector"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let webhook = start(&environment).await;
    let answer = review(&webhook, Some(&format!("00-{TRACE_ID}-{PARENT_ID}-01")), REVIEW).await;
    assert_eq!(answer.status, 200);
    let span = until(END_WITHIN, async || collector.spans().into_iter().next()).await.expect("a span");

    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE_ID.into(), PARENT_ID.into()));
    assert_eq!((span.name.as_str(), span.kind()), ("POST /mutate", SpanKind::Server));
    for (key, value) in [
        ("keystow.review.uid", "71119856-28bd-43a4-953e-e04c3fd50b6e"),
        ("keystow.review.namespace", "demo"),
        ("keystow.review.pod", "kees-example"),
        ("keystow.review.operation", "CREATE"),
        ("keystow.review.dry_run", "false"),
        ("keystow.review.outcome", "injected"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(value), "{key}: {span:?}");
    }
    assert!(span.events.is_empty() && span.links.is_empty() && span.trace_state.is_empty(), "{span:?}");

    let [resource] = &collector.resources()[..] else { panic!("not one resource") };
    let of_process = &resource.resource.as_ref().expect("a resource").attributes;
    for (key, value) in [
        ("service.name", "keystow"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(attribute(of_process, key).as_deref(), Some(value), "{key}: {of_process:?}");
    }
    let received = &collector.received()[0];
    assert_eq!(
        (received.path.as_str(), &received.headers["content-type"]),
        ("/v1/traces", &"application/x-protobuf".parse().unwrap())
    );
    assert_eq!(received.headers["authorization"], "Bearer for-the-collector");
    let line = webhook.log().into_iter().find(|line| line["message"] == "reviewed").expect("a line");
    assert_eq!(line["trace_id"], TRACE_ID, "{line}");
}

#[tokio::test]
async fn what_is_decided_otherwise_is_a_span_too() {
    let collector = Collector::start(Behaviour::Takes).await;
    // The address of the traces alone is taken as it is.
    let endpoint = format!("{}/of/traces", collector.endpoint());
    let environment =
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()), ("OTEL_SERVICE_NAME", "named")];
    let webhook = start(&environment).await;
    review(&webhook, None, include_str!("../data/reviews/05-bad.json")).await;
    review(&webhook, Some("no traceparent"), include_str!("../data/reviews/07-dry.json")).await;
    review(&webhook, None, "no review").await;
    let spans = until(END_WITHIN, async || Some(collector.spans()).filter(|spans| spans.len() == 3));
    let spans = spans.await.expect("three spans");
    let values = |key: &str| {
        let mut all: Vec<_> = spans.iter().map(|span| attribute(&span.attributes, key)).collect();
        all.sort();
        all.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(values("keystow.review.outcome"), ["denied", "injected", "malformed"]);
    assert_eq!(values("keystow.review.dry_run"), ["false", "true"]);
    assert_eq!(values("keystow.review.reason"), ["invalid_annotation"]);
    assert_eq!(values("http.response.status_code"), ["200", "200", "400"]);
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty()), "{spans:?}");
    assert!(collector.received().iter().all(|received| received.path == "/of/traces"));
    let named = |resource: &opentelemetry_proto::tonic::resource::v1::Resource| {
        attribute(&resource.attributes, "service.name").as_deref() == Some("named")
    };
    assert!(collector.resources().iter().all(|spans| spans.resource.as_ref().is_some_and(named)));
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_end() {
    let collector = Collector::start(Behaviour::Takes).await;
    let endpoint = collector.endpoint();
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let mut webhook = Webhook::start_in(PROGRAM, "", &environment, &NO_DRAIN).await;
    for _ in 0..3 {
        review(&webhook, None, REVIEW).await;
    }
    end(&mut webhook).await;
    assert_eq!(collector.spans().len(), 3);
}

#[tokio::test]
async fn a_caller_that_does_not_sample_is_followed_and_so_is_the_operator() {
    let collector = Collector::start(Behaviour::Takes).await;
    let endpoint = collector.endpoint();
    let asked = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    let unsampled = format!("00-{TRACE_ID}-{PARENT_ID}-00");
    for (more, traceparent) in [
        (&[][..], Some(unsampled.as_str())),
        (&[("OTEL_TRACES_SAMPLER", "always_off")], None),
        (&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")], None),
        (&[("OTEL_SDK_DISABLED", "true")], None),
    ] {
        let mut webhook = start(&[&[asked], more].concat()).await;
        assert_eq!(review(&webhook, traceparent, REVIEW).await.status, 200);
        end(&mut webhook).await;
    }
    assert!(collector.received().is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_over_tls_is_trusted_by_a_file() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let collector = Collector::start_tls(Behaviour::Takes, TlsAcceptor::from(Arc::new(tls))).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    fs::write(&file, ca.pem()).unwrap();
    let endpoint = format!("https://{}", collector.address());
    let file = file.to_str().unwrap();
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_CERTIFICATE", file)];
    let mut webhook = start(&environment).await;
    review(&webhook, None, REVIEW).await;
    end(&mut webhook).await;
    assert_eq!(collector.spans().len(), 1, "{}", webhook.log_text());

    // The system's CAs did not sign it.
    let mut stranger = start(&environment[..1]).await;
    assert_eq!(review(&stranger, None, REVIEW).await.status, 200);
    end(&mut stranger).await;
    assert_eq!(collector.spans().len(), 1);
}

/// Reviews are answered; the process ends in time and with 0; what was lost is told, once.
async fn is_harmless(endpoint: &str) {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
        // Whoever waited for the collector would wait for long.
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
    ];
    let mut webhook = start(&environment).await;
    for _ in 0..20 {
        assert_eq!(review(&webhook, None, REVIEW).await.status, 200);
    }
    let told = until(END_WITHIN, async || webhook.log_text().contains("spans were lost").then_some(())).await;
    told.unwrap_or_else(|| panic!("nobody was told: {}", webhook.log_text()));
    let took = end(&mut webhook).await;
    assert!(took < END_WITHIN, "it took {took:?}");
    let log = webhook.log_text();
    // One while it ran, and one of the rest at the end.
    assert!((1..=2).contains(&log.matches("spans were lost").count()), "{log}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_harmless() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    is_harmless(&endpoint).await;
}

#[tokio::test]
async fn a_collector_that_refuses_is_harmless() {
    let collector = Collector::start(Behaviour::Refuses("no")).await;
    is_harmless(&collector.endpoint()).await;
}

#[tokio::test]
async fn a_collector_that_stalls_is_harmless() {
    let collector = Collector::start(Behaviour::Stalls).await;
    is_harmless(&collector.endpoint()).await;
    assert!(!collector.received().is_empty(), "it was not asked");
}

#[tokio::test]
async fn a_mistake_in_the_variables_is_one_warning_and_no_end() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector-without-scheme:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ] {
        let good = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let webhook = start(&[good, (name, value)]).await;
        assert_eq!(review(&webhook, None, REVIEW).await.status, 200);
        let log = webhook.log_text();
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("no traces are sent")).collect();
        assert!(matches!(warnings[..], [line] if line.contains(name) && !line.contains(value)), "{log}");
    }
}
