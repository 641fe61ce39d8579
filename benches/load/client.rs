//! A client as the API server is one: HTTP/2 over TLS, several requests open on each of a few connections.
//!
//! The loop is closed: each stream sends its next review when it has its answer. So the rate is what the webhook and
//! this client make of the machine together, and a latency is one at that load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::reviews::Reviews;

/// How long an answer may take, as the API server waits for one.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// When the load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After a time.
    Over(Duration),
    /// When this many reviews were answered.
    Answered(usize),
}

/// Some connections to a webhook.
pub(crate) struct Client {
    connections: Vec<SendRequest<Full<Bytes>>>,
    uri: String,
}

/// What was measured.
pub(crate) struct Load {
    pub(crate) elapsed: Duration,
    /// Of each answer, in microseconds.
    pub(crate) latencies: Vec<f64>,
}

impl Load {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, ca_pem: &str, connections: usize) -> Self {
        let tls = TlsConnector::from(Arc::new(tls(ca_pem)));
        let mut opened = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("an option of a socket");
            let name = ServerName::IpAddress(address.ip().into());
            let stream = tls.connect(name, stream).await.expect("a handshake");
            let io = TokioIo::new(stream);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            opened.push(sender);
        }
        Self { connections: opened, uri: format!("https://{address}/mutate?timeout=10s") }
    }

    /// Sends one review, and returns the answer.
    pub(crate) async fn ask(&self, review: Bytes) -> serde_json::Value {
        let answer = post(&mut self.connections[0].clone(), &self.uri, review).await;
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// Sends reviews by this many streams on each connection.
    pub(crate) async fn load(&self, streams: usize, reviews: &Arc<Reviews>, until: Until) -> Load {
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let is_over = move |index: usize| match until {
            Until::Over(time) => began.elapsed() >= time,
            Until::Answered(count) => index >= count,
        };
        let mut tasks = JoinSet::new();
        for connection in &self.connections {
            for _ in 0..streams {
                let (mut sender, uri) = (connection.clone(), self.uri.clone());
                let (next, reviews) = (Arc::clone(&next), Arc::clone(reviews));
                tasks.spawn(async move {
                    let mut latencies = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if is_over(index) {
                            return latencies;
                        }
                        let review = reviews.get(index);
                        let sent = Instant::now();
                        post(&mut sender, &uri, review).await;
                        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
                    }
                });
            }
        }
        let latencies = tasks.join_all().await.concat();
        Load { elapsed: began.elapsed(), latencies }
    }
}

fn tls(ca_pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a CA in PEM");
    roots.add(ca).expect("a CA certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, uri: &str, review: Bytes) -> Bytes {
    let request = Request::post(uri).header("content-type", "application/json").body(Full::new(review));
    let answer = async {
        let response = sender.send_request(request.expect("a request")).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("the answer's body").to_bytes()
    };
    timeout(ANSWER_WITHIN, answer).await.expect("an answer in time")
}
