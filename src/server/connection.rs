//! One connection, from its place to its end.
//!
//! Flow: a place → the TLS handshake → HTTP, driven until it ends by itself, is idle for too long, or the server
//! closes.
//!
//! Invariants: each wait has a bound. hyper bounds the headers of HTTP/1 and asks silent HTTP/2 peers whether they
//! live; what it does not bound - a connection that says nothing at all, or answers pings for ever without a request -
//! is bounded here by [`Activity`]. A connection that was told to close is given a little time, then dropped.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::{AlertDescription, Error as TlsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service as _;

use super::metrics::{ConnectionMetrics, HandshakeFailure};
use super::{ConnectionBounds, Transport};
use crate::telemetry::Sparingly;

/// hyper panics below this.
const SMALLEST_HEADER_BYTES: usize = 8 * 1024;
/// How often a failed handshake is a log line: whoever reaches the socket can make them fail as often as they like.
const HANDSHAKE_LINES: Duration = Duration::from_secs(1);

/// What all connections of a server share.
pub(super) struct Shared {
    transport: Transport,
    router: Router,
    bounds: ConnectionBounds,
    http: Builder<TokioExecutor>,
    places: Semaphore,
    handshake_lines: Sparingly,
    pub(super) metrics: ConnectionMetrics,
}

impl Shared {
    pub(super) fn new(
        transport: Transport,
        router: Router,
        bounds: ConnectionBounds,
        metrics: ConnectionMetrics,
    ) -> Self {
        let places = Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS));
        let handshake_lines = Sparingly::new(HANDSHAKE_LINES);
        Self { transport, router, http: http_builder(&bounds), places, handshake_lines, bounds, metrics }
    }

    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut closing: watch::Receiver<bool>,
    ) {
        let place = tokio::select! {
            place = timeout(self.bounds.wait, self.places.acquire()) => place,
            () = closed(&mut closing) => return,
        };
        let Ok(Ok(_place)) = place else {
            self.metrics.refused();
            return;
        };
        let _open = self.metrics.open();
        match &self.transport {
            Transport::Plain => self.drive(stream, closing).await,
            Transport::Tls(acceptor) => match self.handshake(acceptor, stream).await {
                Ok(stream) => self.drive(stream, closing).await,
                Err(reason) => {
                    self.log_failed_handshake(reason, peer);
                    self.metrics.handshake_failed(reason);
                }
            },
        }
    }

    fn log_failed_handshake(&self, reason: HandshakeFailure, peer: SocketAddr) {
        if reason == HandshakeFailure::Closed {
            // So do load balancers and probes that only look whether somebody listens, every few seconds.
            tracing::debug!(reason = reason.as_str(), %peer, "TLS handshake failed");
        } else if let Some(held_back) = self.handshake_lines.admit(std::time::Instant::now()) {
            tracing::info!(reason = reason.as_str(), %peer, held_back, "TLS handshake failed");
        }
    }

    async fn handshake(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
        match timeout(self.bounds.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(handshake_failure(&error)),
            Err(_) => Err(HandshakeFailure::TimedOut),
        }
    }

    async fn drive<S>(&self, stream: S, mut closing: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new());
        let service = service_fn(|request| answer(self.router.clone(), Arc::clone(&activity), request));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut told_to_close = false;
        let mut wake = activity.idle_at(&self.bounds);
        loop {
            tokio::select! {
                // How a connection ends is the client's business; what matters was counted by request.
                _ = connection.as_mut() => return,
                // From here the server's grace period is the bound.
                () = closed(&mut closing), if !told_to_close => {
                    told_to_close = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    let idle_at = activity.idle_at(&self.bounds);
                    if idle_at > now {
                        wake = idle_at;
                    } else if told_to_close {
                        return;
                    } else {
                        told_to_close = true;
                        wake = now + self.bounds.linger;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}

fn http_builder(bounds: &ConnectionBounds) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_read)
        .max_buf_size(bounds.header_bytes.max(SMALLEST_HEADER_BYTES));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(bounds.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(bounds.streams)
        .keep_alive_interval(bounds.ping_interval)
        .keep_alive_timeout(bounds.ping_timeout);
    http
}

async fn answer(
    mut router: Router,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let _request = activity.begin();
    router.call(request.map(Body::new)).await
}

/// Returns once the server closes; a server that is gone is closing, too.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that the server is gone.
    let _ = closing.wait_for(|closing| *closing).await;
}

fn handshake_failure(error: &std::io::Error) -> HandshakeFailure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        None => HandshakeFailure::Closed,
        Some(TlsError::InvalidMessage(_)) => HandshakeFailure::NotTls,
        Some(TlsError::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
        Some(TlsError::NoCertificatesPresented | TlsError::InvalidCertificate(_)) => {
            HandshakeFailure::ClientCertificate
        }
        Some(TlsError::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled)) => {
            HandshakeFailure::Closed
        }
        Some(TlsError::AlertReceived(_)) => HandshakeFailure::RefusedByClient,
        Some(_) => HandshakeFailure::Other,
    }
}

/// What requests there are on a connection, and since when there are none.
struct Activity(Mutex<Requests>);

struct Requests {
    in_flight: usize,
    any_yet: bool,
    quiet_since: Instant,
}

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Requests { in_flight: 0, any_yet: false, quiet_since: Instant::now() }))
    }

    fn begin(self: &Arc<Self>) -> InFlight {
        let mut requests = self.lock();
        requests.in_flight += 1;
        requests.any_yet = true;
        drop(requests);
        InFlight(Arc::clone(self))
    }

    /// When the connection will have been idle for too long, if nothing comes until then. While a request is in
    /// flight that is one bound from now: time enough to look again.
    fn idle_at(&self, bounds: &ConnectionBounds) -> Instant {
        let requests = self.lock();
        if requests.in_flight > 0 {
            Instant::now() + bounds.idle
        } else if requests.any_yet {
            requests.quiet_since + bounds.idle
        } else {
            requests.quiet_since + bounds.header_read.min(bounds.idle)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // Numbers are whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.in_flight -= 1;
        requests.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_its_last_request_was_long_ago() {
        let bounds = ConnectionBounds::default();
        let activity = Arc::new(Activity::new());
        let start = Instant::now();
        assert_eq!(activity.idle_at(&bounds), start + bounds.header_read, "the first request comes soon");
        let first = activity.begin();
        let second = activity.begin();
        tokio::time::advance(Duration::from_secs(1000)).await;
        drop(first);
        assert!(activity.idle_at(&bounds) > Instant::now(), "one is still in flight");
        drop(second);
        assert_eq!(activity.idle_at(&bounds), Instant::now() + bounds.idle);
    }

    #[test]
    fn failures_have_a_reason_each() {
        use std::io::{Error, ErrorKind};

        use rustls::{CertificateError, InvalidMessage, PeerIncompatible};

        let tls = |error: TlsError| handshake_failure(&Error::new(ErrorKind::InvalidData, error));
        let table = [
            (handshake_failure(&ErrorKind::UnexpectedEof.into()), HandshakeFailure::Closed),
            (tls(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)), HandshakeFailure::NotTls),
            (
                tls(TlsError::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)),
                HandshakeFailure::Incompatible,
            ),
            (tls(TlsError::NoCertificatesPresented), HandshakeFailure::ClientCertificate),
            (
                tls(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)),
                HandshakeFailure::ClientCertificate,
            ),
            (tls(TlsError::AlertReceived(AlertDescription::UnknownCA)), HandshakeFailure::RefusedByClient),
            (tls(TlsError::AlertReceived(AlertDescription::UserCanceled)), HandshakeFailure::Closed),
            (tls(TlsError::DecryptError), HandshakeFailure::Other),
        ];
        for (found, expected) in table {
            assert_eq!(found, expected);
        }
    }
}
