//! One exchange over HTTP/1.1 with a server on loopback, JSON both ways.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// No exchange takes longer.
const BOUND: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// A text where it is no JSON, null where it is empty.
    pub(crate) body: Value,
}

/// There was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no connection")]
    Connect(#[from] std::io::Error),
    #[error("no request")]
    Request(#[from] http::Error),
    #[error("no answer")]
    Exchange(#[from] hyper::Error),
    #[error("no answer in {BOUND:?}")]
    TooLong(#[from] tokio::time::error::Elapsed),
}

/// Sends a request on a connection of its own.
pub(super) async fn exchange(
    address: SocketAddr,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer, HttpError> {
    tokio::time::timeout(BOUND, send(address, method, path, headers, body)).await?
}

async fn send(
    address: SocketAddr,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer, HttpError> {
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = request.body(Full::new(body))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        Ok::<_, hyper::Error>((status, bytes))
    };
    // How the connection ends does not matter once there is an answer.
    let (exchanged, _) = tokio::join!(exchange, connection);
    let (status, bytes) = exchanged?;
    Ok(Answer { status, body: value(&bytes) })
}

fn value(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}
