//! A collector of traces on loopback: OTLP over HTTP in protobuf, as an exporter meets it.
//!
//! Flow: [`Collector::start`] with how it behaves → requests come → [`Collector::spans`]. It keeps what it received as
//! bytes, too, so that a test can look for what must not be in them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it does with requests.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    /// Takes them.
    Takes,
    /// Refuses them with this text.
    Refuses(&'static str),
    /// Reads them and never answers.
    Stalls,
}

/// A request that came.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A running collector; it ends with its value.
pub(crate) struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// Plain HTTP.
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::listen(behaviour, None).await
    }

    /// HTTPS.
    pub(crate) async fn start_tls(behaviour: Behaviour, tls: TlsAcceptor) -> Self {
        Self::listen(behaviour, Some(tls)).await
    }

    async fn listen(behaviour: Behaviour, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let received = Arc::default();
        let task = tokio::spawn(accept(listener, behaviour, tls, Arc::clone(&received)));
        Self { address, received, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("what was received").clone()
    }

    /// What the requests hold: the spans of each process that sent some.
    pub(crate) fn resources(&self) -> Vec<ResourceSpans> {
        let decode = |received: &Received| {
            let request = ExportTraceServiceRequest::decode(received.body.clone());
            request.expect("a request to export traces").resource_spans
        };
        self.received().iter().flat_map(decode).collect()
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let scopes = self.resources().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// An attribute as text, whatever its type.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()? {
        AnyValue { value: Some(Value::StringValue(text)) } => Some(text.clone()),
        AnyValue { value: Some(Value::BoolValue(flag)) } => Some(flag.to_string()),
        AnyValue { value: Some(Value::IntValue(number)) } => Some(number.to_string()),
        other => panic!("{key} is of another type: {other:?}"),
    }
}

async fn accept(
    listener: TcpListener,
    behaviour: Behaviour,
    tls: Option<TlsAcceptor>,
    received: Arc<Mutex<Vec<Received>>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, received) = (tls.clone(), Arc::clone(&received));
        tokio::spawn(async move {
            match tls {
                None => serve(stream, behaviour, received).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, behaviour, received).await;
                    }
                }
            }
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    behaviour: Behaviour,
    received: Arc<Mutex<Vec<Received>>>,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let received = Arc::clone(&received);
        async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await else { return Ok::<_, Infallible>(Response::default()) };
            let request =
                Received { path: parts.uri.path().to_owned(), headers: parts.headers, body: body.to_bytes() };
            received.lock().expect("what was received").push(request);
            let mut response = Response::new(Full::default());
            match behaviour {
                Behaviour::Takes => {}
                Behaviour::Refuses(text) => {
                    *response.status_mut() = http::StatusCode::FORBIDDEN;
                    *response.body_mut() = Full::new(Bytes::from_static(text.as_bytes()));
                }
                Behaviour::Stalls => std::future::pending().await,
            }
            Ok(response)
        }
    });
    // How a connection ends is the exporter's business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
