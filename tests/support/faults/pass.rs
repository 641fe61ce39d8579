//! One connection: each request meets its fault, or is passed on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::script::Seen;
use super::{Answer, Fault, Shared, headers};
use crate::support::https::connector;

type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// The server.
pub(super) struct Upstream {
    address: String,
    tls: Option<TlsConnector>,
    host: Option<HeaderValue>,
}

impl Upstream {
    pub(super) fn new(address: String, ca_pem: Option<&str>, host: Option<String>) -> Self {
        let host = host.map(|host| host.parse().expect("a host"));
        Self { address, tls: ca_pem.map(connector), host }
    }

    /// Sends it a request, on a connection of its own.
    async fn send(&self, mut request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
                let name = ServerName::try_from(host.to_owned()).expect("a name or an address");
                exchange(tls.connect(name, stream).await?, request).await
            }
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Incoming>,
) -> io::Result<Response<Incoming>> {
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the answer's body.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(io::Error::other)
}

/// Serves a connection until it ends, by a fault or in order.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    is_reset: Arc<AtomicBool>,
) {
    let answer = service_fn(move |request| {
        let (shared, is_reset) = (Arc::clone(&shared), Arc::clone(&is_reset));
        async move { Ok::<_, io::Error>(answer(&shared, &is_reset, request).await) }
    });
    let mut http = server::Builder::new();
    http.timer(TokioTimer::new());
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(shared: &Shared, is_reset: &AtomicBool, request: Request<Incoming>) -> Response<AnyBody> {
    let (parts, body) = request.into_parts();
    let fault = shared.script.lock().expect("no panic").take(Seen::new(&parts));
    let request = Request::from_parts(parts, body);
    let answered = match fault {
        None => shared.upstream.send(request).await.map(whole),
        Some(Fault::Answer(answer)) => {
            // A client may want to be rid of its request before it reads.
            let _ = request.into_body().collect().await;
            Ok(scripted(&answer))
        }
        Some(Fault::Stall(time)) => {
            tokio::time::sleep(time).await;
            shared.upstream.send(request).await.map(whole)
        }
        Some(Fault::Truncated) => half(shared, request).await.map(|(mut response, half, _)| {
            response.headers_mut().insert(CONTENT_LENGTH, half.len().into());
            response.map(|()| boxed(Full::new(half)))
        }),
        Some(broken @ (Fault::Short | Fault::Reset)) => {
            half(shared, request).await.map(|(mut response, half, length)| {
                is_reset.store(matches!(broken, Fault::Reset), Ordering::Relaxed);
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                response.map(|()| boxed(Broken { half: Some(half), length, is_sent: false }))
            })
        }
    };
    answered.unwrap_or_else(|error| {
        let mut response = Response::new(boxed(Full::from(format!("no answer from the server: {error}"))));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

fn scripted(answer: &Answer) -> Response<AnyBody> {
    let mut response = Response::new(boxed(Full::new(answer.body.clone())));
    *response.status_mut() = answer.status.try_into().expect("a status");
    *response.headers_mut() = headers(&answer.headers);
    response
}

fn whole(response: Response<Incoming>) -> Response<AnyBody> {
    response.map(|body| body.map_err(io::Error::other).boxed_unsync())
}

/// The server's answer, the first half of its body, and how long that is as a whole.
async fn half(shared: &Shared, request: Request<Incoming>) -> io::Result<(Response<()>, Bytes, u64)> {
    let (mut parts, body) = shared.upstream.send(request).await?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    parts.headers.remove(TRANSFER_ENCODING);
    Ok((Response::from_parts(parts, ()), body.slice(..body.len() / 2), body.len() as u64))
}

fn boxed(body: impl Body<Data = Bytes, Error: std::fmt::Display> + Send + 'static) -> AnyBody {
    body.map_err(|error| io::Error::other(error.to_string())).boxed_unsync()
}

/// A body that fails after its first half, once that has been sent.
struct Broken {
    half: Option<Bytes>,
    length: u64,
    is_sent: bool,
}

impl Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.is_sent {
            // The server sends what it has when nothing more is to be had at once.
            self.is_sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("broken on purpose"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
