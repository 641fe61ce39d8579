//! From a request to the decision and back.
//!
//! Flow of `POST /mutate`: media type → place among those in flight → whole body within size and deadline →
//! [`Review::answer`] → one log line, metrics, a span, answer. Everything else is refused with a JSON body that says what was
//! expected.
//!
//! Invariants: a review that could be read is answered with 200 whatever was decided; a panic in the decision is one
//! answer 500 and no more; nothing of the body is logged, whatever the log level.
//!
//! Deliberately absent: sockets and TLS, so that tests call the router as a function.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, Version};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{self, BodyError, Budget, Whole};
use super::deadline;
use super::metrics::{Denial, Measured, RequestMetrics, RequestOutcome};
use super::refusal::Refusal;
use super::review::{Answer, Outcome, Record, Review};
use super::span::ReviewSpan;
use crate::telemetry::traces::Traces;

/// What one request, and all of them together, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBounds {
    /// The largest body, in bytes. The API server's own objects are smaller.
    pub body_bytes: usize,
    /// What all bodies that are being read or reviewed may take together, in bytes.
    pub buffered_bytes: usize,
    /// How many requests may be in flight.
    pub in_flight: usize,
    /// The deadline of a request that does not say how long its sender waits.
    pub default_deadline: Duration,
    /// The longest deadline a request may ask for; the API server's own limit is the same.
    pub longest_deadline: Duration,
}

impl Default for RequestBounds {
    fn default() -> Self {
        Self {
            body_bytes: 4 * 1024 * 1024,
            buffered_bytes: 32 * 1024 * 1024,
            in_flight: 1024,
            default_deadline: Duration::from_secs(10),
            longest_deadline: Duration::from_secs(30),
        }
    }
}

struct App {
    review: Arc<dyn Review>,
    metrics: RequestMetrics,
    traces: Traces,
    bounds: RequestBounds,
    places: Semaphore,
    budget: Budget,
}

/// The webhook's paths.
pub fn router(
    review: Arc<dyn Review>,
    metrics: RequestMetrics,
    traces: Traces,
    bounds: RequestBounds,
) -> Router {
    let app = App {
        review,
        metrics,
        traces,
        places: Semaphore::new(bounds.in_flight.min(Semaphore::MAX_PERMITS)),
        budget: Budget::new(bounds.buffered_bytes),
        bounds,
    };
    Router::new()
        .route("/mutate", post(mutate))
        .method_not_allowed_fallback(wrong_method)
        .fallback(wrong_path)
        .with_state(Arc::new(app))
}

async fn wrong_method(State(app): State<Arc<App>>) -> Refusal {
    app.metrics.refused();
    Refusal::Method
}

async fn wrong_path(State(app): State<Arc<App>>) -> Refusal {
    app.metrics.refused();
    Refusal::Path
}

async fn mutate(State(app): State<Arc<App>>, request: Request) -> Response {
    let measured = app.metrics.begin();
    let span = ReviewSpan::begin(&app.traces, request.headers());
    match app.review(request).await {
        Ok((body, record)) => {
            log_review(&record, measured.reviewed(record.outcome), &span);
            span.reviewed(&record);
            json(body)
        }
        Err(refusal) => {
            log_refusal(&refusal, measured, &span);
            span.refused(&refusal);
            refusal.into_response()
        }
    }
}

impl App {
    async fn review(&self, request: Request) -> Result<(Vec<u8>, Record), Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::MediaType);
        }
        let _place = self.places.try_acquire().map_err(|_| Refusal::Overloaded)?;
        let body = self.read(request).await.map_err(Refusal::Body)?;
        let decide = || self.review.answer(body.bytes());
        // The decision holds no lock and changes nothing, so nothing is left half done by a panic.
        match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Answer::Reviewed { body, record }) => Ok((body, record)),
            Ok(Answer::Malformed(error)) => Err(Refusal::Malformed(error)),
            Err(_) => Err(Refusal::Panicked),
        }
    }

    async fn read(&self, request: Request) -> Result<Whole, BodyError> {
        let RequestBounds { body_bytes, default_deadline, longest_deadline, .. } = self.bounds;
        let allowed = deadline::of_query(request.uri().query(), default_deadline, longest_deadline);
        // An HTTP/1 client that does not wait to be asked is writing already.
        let is_writing = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        let mut body = request.into_body();
        let whole = body::read(&mut body, body_bytes, &self.budget, Instant::now() + allowed).await;
        if is_writing && matches!(whole, Err(BodyError::TooLarge)) {
            body::discard(&mut body).await;
        }
        whole
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn log_review(record: &Record, took: Duration, span: &ReviewSpan) {
    let reason = match record.outcome {
        Outcome::Denied(reason) => Some(Denial::from(reason).as_str()),
        Outcome::Injected | Outcome::Unchanged => None,
    };
    tracing::info!(
        uid = record.uid,
        namespace = record.namespace,
        pod = record.pod,
        outcome = RequestOutcome::from(record.outcome).as_str(),
        reason,
        operations = record.operations,
        warnings = record.warnings,
        micros = micros(took),
        trace_id = span.trace_id(),
        "reviewed",
    );
}

fn log_refusal(refusal: &Refusal, measured: Measured, span: &ReviewSpan) {
    let outcome = refusal.outcome();
    let took = measured.finish(outcome);
    let status = refusal.status().as_u16();
    tracing::info!(
        outcome = outcome.as_str(),
        status,
        micros = micros(took),
        trace_id = span.trace_id(),
        "not reviewed"
    );
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http::header::ALLOW;
    use http_body_util::BodyExt as _;
    use prometheus_client::registry::Registry;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::{LogSettings, subscriber};
    use crate::webhook::metrics::WebhookMetrics;
    use crate::webhook::review::{DenialReason, Operation};

    const ANSWER: &str = r#"{"kind":"AdmissionReview"}"#;

    struct Double;

    impl Review for Double {
        fn answer(&self, body: &[u8]) -> Answer {
            let outcome = match body {
                b"panic" => panic!("as the test asked"),
                b"malformed" => return Answer::Malformed("kind is not AdmissionReview".to_owned()),
                b"denied" => Outcome::Denied(DenialReason::NotAllowed),
                b"unchanged" => Outcome::Unchanged,
                _ => Outcome::Injected,
            };
            let record = Record {
                uid: "u".to_owned(),
                namespace: "n".to_owned(),
                pod: "p".to_owned(),
                operation: Operation::Create,
                dry_run: false,
                outcome,
                operations: 1,
                warnings: 0,
            };
            Answer::Reviewed { body: ANSWER.into(), record }
        }
    }

    struct Called {
        router: Router,
        registry: Registry,
    }

    impl Called {
        fn with(bounds: RequestBounds) -> Self {
            let mut registry = Registry::default();
            let metrics = WebhookMetrics::register(&mut registry);
            Self { router: router(Arc::new(Double), metrics.requests, Traces::default(), bounds), registry }
        }

        async fn call(&self, request: Request) -> (StatusCode, HeaderMap, String) {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
        }

        async fn post(&self, media: &str, body: &'static str) -> (StatusCode, String) {
            let request = Request::post("/mutate?timeout=5s")
                .header(CONTENT_TYPE, media)
                .body(Body::from(body))
                .unwrap();
            let (status, headers, body) = self.call(request).await;
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
            (status, body)
        }

        fn counts(&self, line: &str) -> bool {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
            text.lines().any(|found| found == format!("keystow_webhook_{line}"))
        }
    }

    #[tokio::test]
    async fn a_review_is_answered_with_200_whatever_was_decided() {
        let called = Called::with(RequestBounds::default());
        for (body, outcome) in [("review", "injected"), ("denied", "denied"), ("unchanged", "unchanged")] {
            let (status, answer) = called.post("application/json; charset=utf-8", body).await;
            assert_eq!((status, answer.as_str()), (StatusCode::OK, ANSWER));
            assert!(called.counts(&format!("requests_total{{outcome=\"{outcome}\"}} 1")));
        }
        assert!(called.counts("denials_total{reason=\"not_allowed\"} 1"));
        assert!(called.counts("in_flight 0"));
    }

    #[tokio::test]
    async fn what_is_no_review_is_told_what_was_expected() {
        let called = Called::with(RequestBounds::default());
        let (status, body) = called.post("application/json", "malformed").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            body.contains("kind is not AdmissionReview") && body.contains("admission.k8s.io/v1"),
            "{body}"
        );
        assert!(called.counts("requests_total{outcome=\"malformed\"} 1"));
    }

    #[tokio::test]
    async fn another_media_type_is_refused() {
        let called = Called::with(RequestBounds::default());
        for media in ["text/plain", "application/jsonx", "", "application/yaml"] {
            let (status, body) = called.post(media, "review").await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media}");
            assert!(body.contains("application/json"), "{body}");
        }
        assert!(called.counts("requests_total{outcome=\"refused\"} 4"));
    }

    #[tokio::test]
    async fn another_method_or_path_is_refused() {
        let called = Called::with(RequestBounds::default());
        for (method, path, expected) in [
            ("GET", "/mutate", StatusCode::METHOD_NOT_ALLOWED),
            ("PUT", "/mutate", StatusCode::METHOD_NOT_ALLOWED),
            ("POST", "/", StatusCode::NOT_FOUND),
            ("POST", "/mutate/", StatusCode::NOT_FOUND),
            ("GET", "/metrics", StatusCode::NOT_FOUND),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let (status, headers, body) = called.call(request).await;
            assert_eq!(status, expected, "{method} {path}");
            assert!(body.contains(r#""expected":"POST /mutate""#), "{body}");
            if status == StatusCode::METHOD_NOT_ALLOWED {
                assert_eq!(headers.get_all(ALLOW).iter().collect::<Vec<_>>(), ["POST"]);
            }
        }
        assert!(called.counts("requests_total{outcome=\"refused\"} 5"));
    }

    #[tokio::test]
    async fn a_panic_is_one_answer() {
        let called = Called::with(RequestBounds::default());
        let (status, body) = called.post("application/json", "panic").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!body.contains("as the test asked"), "the message of a panic may quote a value: {body}");
        assert_eq!(called.post("application/json", "review").await.0, StatusCode::OK);
        assert!(called.counts("requests_total{outcome=\"panicked\"} 1"));
        assert!(called.counts("in_flight 0"));
    }

    #[tokio::test]
    async fn no_place_left_is_said_so() {
        let called = Called::with(RequestBounds { in_flight: 0, ..RequestBounds::default() });
        let request =
            Request::post("/mutate").header(CONTENT_TYPE, "application/json").body(Body::empty()).unwrap();
        let (status, headers, _) = called.call(request).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(headers["retry-after"], "1");
        assert!(called.counts("requests_total{outcome=\"overloaded\"} 1"));
    }

    /// What is logged at every level while a body goes through the router.
    async fn logged(body: &'static str) -> String {
        #[derive(Clone, Default)]
        struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

        impl std::io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let sink = Sink::default();
        let writer = sink.clone();
        let settings = LogSettings { filter: "trace".to_owned(), ..LogSettings::default() };
        let subscriber = subscriber(&settings, move || writer.clone(), false).unwrap();
        crate::telemetry::keep_lines_on();
        let guard = tracing::subscriber::set_default(subscriber);
        Called::with(RequestBounds::default()).post("application/json", body).await;
        drop(guard);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_review_is_one_log_line_without_its_body() {
        let log = logged("hunter2").await;
        assert_eq!(log.lines().count(), 1, "{log}");
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        for (field, value) in
            [("uid", "u"), ("namespace", "n"), ("pod", "p"), ("outcome", "injected"), ("message", "reviewed")]
        {
            assert_eq!(line[field], value, "{log}");
        }
        assert_eq!((&line["operations"], &line["warnings"]), (&1.into(), &0.into()), "{log}");
        assert!(line["micros"].is_u64() && line.get("reason").is_none(), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }

    #[tokio::test]
    async fn a_denial_is_logged_with_its_reason_and_a_refusal_without_its_text() {
        assert!(logged("denied").await.contains(r#""reason":"not_allowed""#));
        let log = logged("malformed").await;
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(r#""outcome":"malformed""#) && !log.contains("kind is not"), "{log}");
    }
}
