//! What the cluster asks a process about itself, on a listener of its own and off any Service.
//!
//! | path | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process can answer at all |
//! | `GET /readyz` | 200 when nothing is missing, else 503 with what is missing, one a line |
//! | `GET /metrics` | OpenMetrics |
//!
//! Deliberately absent: a liveness that depends on anything outside the process - restarting it would not help.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::readiness::Readiness;
use crate::server::metrics::ConnectionMetrics;
use crate::server::{ConnectionBounds, Server, Transport};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    registry: Arc<Registry>,
}

/// The admin listener's paths.
pub fn router(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin { readiness, registry })
}

/// A listener that is bound and serves nothing yet.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds it.
    ///
    /// # Errors
    ///
    /// When the address is taken or not of this machine.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens; tells the port where the settings left it open.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub async fn serve(self, readiness: Readiness, registry: Registry) {
        let server = Server {
            listener: self.listener,
            transport: Transport::Plain,
            router: router(readiness, Arc::new(registry)),
            // Probes and scrapes are few; everything else there is a mistake.
            bounds: ConnectionBounds { connections: 64, waiting: 16, ..ConnectionBounds::default() },
            metrics: ConnectionMetrics::default(),
        };
        let _ = server.run(std::future::pending(), Duration::ZERO).await;
    }
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let missing = admin.readiness.missing();
    let (status, body) = if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
    };
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "a metric cannot be written as text\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(router: &Router, path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let media = response.headers().get(CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, media.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_lists_what_is_missing_and_ends_at_drain() {
        let readiness = Readiness::new();
        let router = router(readiness.clone(), Arc::new(Registry::default()));
        let certificate = readiness.condition("certificate");
        let socket = readiness.condition("socket");
        let (status, _, body) = get(&router, "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "certificate\nsocket\n"));
        certificate.release();
        socket.release();
        assert_eq!(get(&router, "/readyz").await.0, StatusCode::OK);
        readiness.begin_drain();
        let (status, _, body) = get(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.starts_with("draining"), "{body}");
        assert_eq!(get(&router, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let router = router(Readiness::new(), Arc::new(Registry::default()));
        let (status, media, body) = get(&router, "/metrics").await;
        assert_eq!((status, media.as_str(), body.as_str()), (StatusCode::OK, OPEN_METRICS, "# EOF\n"));
    }

    #[tokio::test]
    async fn other_paths_are_not_there() {
        let router = router(Readiness::new(), Arc::new(Registry::default()));
        assert_eq!(get(&router, "/mutate").await.0, StatusCode::NOT_FOUND);
    }
}
