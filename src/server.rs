//! Connections: accepted, bounded, drained.
//!
//! Flow: [`Server::run`] accepts on a listener that the caller bound, and each connection is a task of its own
//! ([`connection`]): it waits for one of a bounded number of places, shakes hands, and serves HTTP/1.1 or 2. When the
//! caller's `stop` comes, nothing new is accepted, every connection is told to finish (GOAWAY, or the close of
//! HTTP/1's keep-alive), and what is in flight has the grace period.
//!
//! Invariants: the accept loop does nothing that a client could make slow; whatever happens to a connection, the loop
//! goes on; when `run` returns or is dropped, no task of it is left.
//!
//! Deliberately absent: signals, readiness and addresses. The caller has them, so tests bind port 0 and stop when they
//! like.

mod connection;
pub mod metrics;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::connection::Shared;
use self::metrics::ConnectionMetrics;

/// How long accepting rests when the process is out of file descriptors: trying again at once would only burn time.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What is spoken below HTTP.
#[derive(Clone)]
pub enum Transport {
    /// Nothing: plain HTTP.
    Plain,
    /// TLS.
    Tls(TlsAcceptor),
}

/// What one connection, and all of them together, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// How many are served at once.
    pub connections: usize,
    /// How many more may wait for a place; the next one is closed at once.
    pub waiting: usize,
    /// How long one may wait for a place.
    pub wait: Duration,
    /// How long the TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's headers may take, how long the first request may be in coming, and how long an HTTP/1
    /// connection may rest between two.
    pub header_read: Duration,
    /// The largest header of a request, in bytes; at least 8 KiB.
    pub header_bytes: usize,
    /// How many requests may be open on one HTTP/2 connection.
    pub streams: u32,
    /// How long an HTTP/2 connection may be silent before it is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long it may take to answer that.
    pub ping_timeout: Duration,
    /// How long a connection may be without a request before it is told to close. Longer than the API server's own 90
    /// seconds, so that it is the API server that closes, and no request meets a closing connection.
    pub idle: Duration,
    /// How long a connection that was told to close for being idle may take to do so.
    pub linger: Duration,
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self {
            connections: 512,
            waiting: 128,
            wait: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            header_read: Duration::from_secs(5),
            header_bytes: 16 * 1024,
            streams: 250,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            linger: Duration::from_secs(5),
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Connections that were not done within the grace period and were cut.
    pub cut: usize,
}

/// Serves a router on a listener.
pub struct Server {
    /// Where connections come from.
    pub listener: TcpListener,
    /// What is spoken below HTTP.
    pub transport: Transport,
    /// What answers requests.
    pub router: Router,
    /// What connections may take.
    pub bounds: ConnectionBounds,
    /// What counts them.
    pub metrics: ConnectionMetrics,
}

impl Server {
    /// Serves until `stop`, then lets what is in flight finish within `grace`.
    pub async fn run(self, stop: impl Future<Output = ()>, grace: Duration) -> Drained {
        let Self { listener, transport, router, bounds, metrics } = self;
        let all = bounds.connections.saturating_add(bounds.waiting).min(Semaphore::MAX_PERMITS);
        let entry = Arc::new(Semaphore::new(all));
        let shared = Arc::new(Shared::new(transport, router, bounds, metrics));
        let (closing, seen) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                // A connection that panicked is over like any other.
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let Some((stream, peer)) = usable(accepted).await else {
                continue;
            };
            match Arc::clone(&entry).try_acquire_owned() {
                Ok(place) => {
                    let serve = Arc::clone(&shared).serve(stream, peer, seen.clone());
                    connections.spawn(async move {
                        serve.await;
                        drop(place);
                    });
                }
                Err(_) => shared.metrics.refused(),
            }
        }
        drop(listener);
        closing.send_replace(true);
        finish(connections, grace).await
    }
}

/// The connection, unless there is none; rests where trying again at once would fail the same way.
async fn usable(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok((stream, peer)) => {
            // Without it an answer waits for the client's acknowledgement of the headers, some 40 ms.
            stream.set_nodelay(true).ok()?;
            Some((stream, peer))
        }
        Err(error) if is_the_clients(&error) => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections; resting before the next try");
            tokio::time::sleep(ACCEPT_REST).await;
            None
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

async fn finish(mut connections: JoinSet<()>, grace: Duration) -> Drained {
    let all_done = async { while connections.join_next().await.is_some() {} };
    let cut = match tokio::time::timeout(grace, all_done).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    };
    connections.shutdown().await;
    Drained { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_answer_waits_for_an_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = usable(listener.accept().await).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_rests_when_trying_again_would_fail_the_same_way() {
        let started = tokio::time::Instant::now();
        assert!(usable(Err(io::ErrorKind::ConnectionAborted.into())).await.is_none());
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert!(usable(Err(io::Error::other("too many open files"))).await.is_none());
        assert_eq!(started.elapsed(), ACCEPT_REST);
    }
}
