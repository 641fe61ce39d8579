//! Services of clouds that nobody else can run here: hand-made, in memory, from their vendors' REST references.
//!
//! Flow: [`Fake::serve`] a handler over plain HTTP on loopback → [`super::faults`] before it speaks TLS. Each test has its
//! own; what people do to a service besides keystow is done to it in memory.
//!
//! Invariants: a fake knows nothing of keystow; it refuses what the service refuses, in the service's words: who has no
//! token, who may not, names, sizes, versions of something else. Where a reference leaves something open, such as the
//! order of a list or the host of a link, a fake does what is least convenient.

pub(crate) mod key_vault;
pub(crate) mod login;
pub(crate) mod secret_manager;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The token of somebody who may do everything.
pub(crate) const ALLOWED: &str = "allowed-0123456789";
/// The token of somebody who is known, and may do nothing.
pub(crate) const STRANGER: &str = "stranger-0123456789";

/// A running service; it ends with its value.
pub(crate) struct Fake {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// A request.
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) bearer: Option<String>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer: a status and JSON.
pub(crate) type Told = (u16, Value);

impl Fake {
    pub(crate) async fn serve(handler: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(handler)));
        Self { address, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept<H: Fn(&Asked) -> Told + Send + Sync + 'static>(listener: TcpListener, handler: Arc<H>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let handler = Arc::clone(&handler);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let handler = Arc::clone(&handler);
                async move { Ok::<_, Infallible>(answer(request, &*handler).await) }
            });
            // A client that goes away is no fault of a server.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, handler: impl Fn(&Asked) -> Told) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Response::default() };
    let bearer = parts.headers.get("authorization").and_then(|header| header.to_str().ok());
    let asked = Asked {
        method: parts.method.to_string(),
        path: decoded(parts.uri.path(), false),
        query: form(parts.uri.query().unwrap_or_default()),
        bearer: bearer.and_then(|header| header.strip_prefix("Bearer ")).map(str::to_owned),
        headers: parts.headers,
        body: body.to_bytes(),
    };
    let (status, body) = handler(&asked);
    let response = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    let response = response.header("content-type", "application/json; charset=utf-8");
    response
        .body(Full::from(if body.is_null() { String::new() } else { body.to_string() }))
        .expect("an answer")
}

impl Asked {
    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> HashMap<String, String> {
        form(std::str::from_utf8(&self.body).unwrap_or_default())
    }

    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn form(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decoded(key, true), decoded(value, true))).collect()
}

fn decoded(text: &str, is_form: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).expect("ASCII");
                bytes.push(u8::from_str_radix(hex, 16).expect("two hexadecimal digits"));
            }
            b'+' if is_form => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(since.as_secs()).expect("a time")
}
