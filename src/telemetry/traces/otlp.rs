//! A build with the feature `otel`: OTLP over HTTP, in protobuf.
//!
//! Flow: a span ends → [`Bounded`] takes it while fewer than the queue holds are waiting → the SDK's thread takes what
//! has come together → [`Reporting`] sends it by a blocking client.
//!
//! Invariants: a span that ends never waits for a place in the queue; every span that is lost is counted and told; the
//! TLS of the client is made of the same cryptography as all TLS here, and its redirects are not followed, since the
//! headers for the collector may hold a token.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Uri};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{Lookup, TracesError, Value};
use crate::certs::tls::provider;
use crate::telemetry::Sparingly;

/// The waiting spans of an operator who says nothing, as the specification has it.
const QUEUE: usize = 2048;
/// How long the collector may take, likewise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often lost spans are told of.
const COMPLAINTS: Duration = Duration::from_secs(60);
/// No name of Kubernetes is longer; a label value is shorter still.
const LONGEST_TEXT: usize = 253;

/// What makes spans and sends them.
pub(super) struct Pipeline {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    backlog: Arc<Backlog>,
}

/// A span that has not ended.
pub(super) struct Open(Span);

impl Pipeline {
    /// Not to be called on an async thread: the client starts a thread of its own, and waits for it.
    pub(super) fn open(endpoint: &'static str, variable: Lookup<'_>) -> Result<Self, TracesError> {
        let is_tls = check_endpoint(endpoint, variable)?;
        check_protocol(variable)?;
        let client = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout(variable))
            .tls_backend_preconfigured(tls(is_tls, variable)?)
            .build()
            .map_err(|_| TracesError::Exporter)?;
        // Endpoint, headers and the rest are read by the exporter itself. Its error would quote them.
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|_| TracesError::Exporter)?;
        let queue = number(variable, &["OTEL_BSP_MAX_QUEUE_SIZE"]).filter(|size| *size > 0);
        let backlog = Arc::new(Backlog::of(queue.unwrap_or(QUEUE)));
        let batches = BatchConfigBuilder::default().with_max_queue_size(backlog.places).build();
        let reporting = Reporting { exporter, backlog: Arc::clone(&backlog) };
        let batch = BatchSpanProcessor::builder(reporting).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { batch, backlog: Arc::clone(&backlog) })
            .with_resource(resource(variable))
            .build();
        let scope = InstrumentationScope::builder("keystow").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { tracer: provider.tracer_with_scope(scope), provider, backlog })
    }

    /// Nothing where the sampler says so.
    pub(super) fn begin(&self, name: &'static str, headers: &HeaderMap) -> Option<Open> {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &TraceParent(headers));
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        Some(Open(self.tracer.build_with_context(builder, &parent))).filter(|open| open.0.is_recording())
    }

    pub(super) fn finish(&self, within: Duration) {
        // How it ended is seen by what is left.
        let _ = self.provider.shutdown_with_timeout(within);
        let lost = self.backlog.left();
        if lost > 0 {
            tracing::warn!(
                lost,
                "spans were lost: the collector of traces did not take the last ones in time"
            );
        }
    }
}

impl Open {
    pub(super) fn trace_id(&self) -> String {
        self.0.span_context().trace_id().to_string()
    }

    pub(super) fn set(&mut self, key: &'static str, value: Value<'_>) {
        self.0.set_attribute(match value {
            Value::Text(text) => KeyValue::new(key, cut(text)),
            Value::Number(number) => KeyValue::new(key, number),
            Value::Flag(flag) => KeyValue::new(key, flag),
        });
    }

    pub(super) fn fail(&mut self) {
        self.0.set_status(Status::error(Cow::Borrowed("")));
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// The one header that is read.
struct TraceParent<'h>(&'h HeaderMap);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then(|| self.0.get(key)?.to_str().ok()).flatten()
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Whether the endpoint is one for TLS.
fn check_endpoint(name: &'static str, variable: Lookup<'_>) -> Result<bool, TracesError> {
    let endpoint = variable(name).and_then(|text| text.parse::<Uri>().ok());
    match endpoint.as_ref().filter(|endpoint| endpoint.host().is_some()).and_then(Uri::scheme_str) {
        Some("http") => Ok(false),
        Some("https") => Ok(true),
        _ => Err(TracesError::Endpoint { variable: name }),
    }
}

fn check_protocol(variable: Lookup<'_>) -> Result<(), TracesError> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let found = names.into_iter().find_map(|name| Some((name, variable(name)?)));
    match found {
        Some((variable, protocol)) if protocol != "http/protobuf" => Err(TracesError::Protocol { variable }),
        _ => Ok(()),
    }
}

fn number<N: std::str::FromStr>(variable: Lookup<'_>, names: &[&str]) -> Option<N> {
    names.iter().find_map(|name| variable(name))?.trim().parse().ok()
}

fn timeout(variable: Lookup<'_>) -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    number(variable, &names).map_or(TIMEOUT, Duration::from_millis)
}

/// TLS that trusts the CAs of the file that a variable names, else those of the system.
fn tls(is_used: bool, variable: Lookup<'_>) -> Result<ClientConfig, TracesError> {
    let mut roots = RootCertStore::empty();
    if is_used {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
        match names.into_iter().find_map(|name| Some((name, variable(name)?))) {
            Some((variable, file)) => {
                let unusable = || TracesError::Authority { variable };
                let certificates = CertificateDer::pem_file_iter(file).map_err(|_| unusable())?;
                for certificate in certificates {
                    roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
                }
                if roots.is_empty() {
                    return Err(unusable());
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(TracesError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What the variables say of this process, and its name and version.
fn resource(variable: Lookup<'_>) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let detected = Resource::builder().with_attribute(version);
    let names_itself = variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    if names_itself || variable("OTEL_SERVICE_NAME").is_some() {
        return detected.build();
    }
    detected.with_service_name("keystow").build()
}

/// How many spans wait or are being sent, and how many were lost since that was told last.
#[derive(Debug)]
struct Backlog {
    places: usize,
    taken: AtomicUsize,
    lost: AtomicU64,
    complaints: Sparingly,
}

impl Backlog {
    fn of(places: usize) -> Self {
        let complaints = Sparingly::new(COMPLAINTS);
        Self { places, taken: AtomicUsize::default(), lost: AtomicU64::default(), complaints }
    }

    fn enter(&self) -> bool {
        let more = |taken: usize| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    fn leave(&self, spans: usize) {
        self.taken.fetch_sub(spans, Ordering::AcqRel);
    }

    fn lose(&self, spans: usize, reason: &dyn fmt::Display) {
        self.lost.fetch_add(spans as u64, Ordering::AcqRel);
        if self.complaints.admit(Instant::now()).is_some() {
            let lost = self.lost.swap(0, Ordering::AcqRel);
            tracing::warn!(lost, %reason, "spans were lost; reviews go on, look at the collector of traces");
        }
    }

    /// What nobody was told of, and what was not sent.
    fn left(&self) -> u64 {
        self.lost.load(Ordering::Acquire) + self.taken.load(Ordering::Acquire) as u64
    }
}

/// Lets no more spans wait than there are places.
#[derive(Debug)]
struct Bounded {
    batch: BatchSpanProcessor,
    backlog: Arc<Backlog>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batch.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.backlog.enter() {
            self.batch.on_end(span);
        } else {
            self.backlog.lose(1, &"the queue is full");
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batch.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batch.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batch.set_resource(resource);
    }
}

/// Tells of what could not be sent.
#[derive(Debug)]
struct Reporting {
    exporter: SpanExporter,
    backlog: Arc<Backlog>,
}

impl opentelemetry_sdk::trace::SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        self.backlog.leave(spans);
        if let Err(error) = &sent {
            self.backlog.lose(spans, error);
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    fn refused(variables: &[(&str, &str)]) -> TracesError {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Pipeline::open(ENDPOINT, &lookup).err().unwrap()
    }

    #[test]
    fn a_mistake_names_its_variable_and_not_what_it_holds() {
        for endpoint in ["collector:4318", "hunter2", "ftp://u:hunter2@collector", "http://", "/hunter2"] {
            let error = refused(&[(ENDPOINT, endpoint)]);
            assert!(matches!(error, TracesError::Endpoint { variable: ENDPOINT }), "{endpoint}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let good = (ENDPOINT, "https://collector:4318");
        let error = refused(&[good, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(matches!(error, TracesError::Protocol { .. }), "{error}");
        let error = refused(&[good, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "no/such/file")]);
        assert!(matches!(error, TracesError::Authority { .. }), "{error}");
    }

    #[test]
    fn no_more_wait_than_there_are_places() {
        let backlog = Backlog::of(2);
        assert_eq!([backlog.enter(), backlog.enter(), backlog.enter()], [true, true, false]);
        backlog.leave(1);
        assert!(backlog.enter() && !backlog.enter());
        backlog.lose(3, &"told");
        backlog.lose(4, &"not told, it is too soon");
        assert_eq!(backlog.left(), 2 + 4);
    }

    #[test]
    fn of_the_headers_only_the_parent_is_read() {
        let mut headers = HeaderMap::new();
        for name in ["traceparent", "tracestate", "baggage", "authorization"] {
            headers.insert(name, http::HeaderValue::from_static("x"));
        }
        let read = TraceParent(&headers);
        assert_eq!(read.get("traceparent"), Some("x"));
        assert_eq!([read.get("tracestate"), read.get("baggage"), read.get("authorization")], [None; 3]);
    }
}
