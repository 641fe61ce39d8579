//! Who gets through the handshake, and who does not.

use keystow::certs::clients::ClientSettings;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hello::tls_11_hello;
use crate::support::{
    ANSWER, Authority, Minted, Running, full, post, read_to_close, send, start, until, within,
};

#[tokio::test]
async fn http2_comes_before_http1() {
    let running = start(|_| {}).await;
    for (offered, chosen) in [(&["http/1.1", "h2"][..], "h2"), (&["http/1.1"], "http/1.1"), (&["h2"], "h2")] {
        let stream = running.client().connect(offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen.as_bytes()));
    }
}

#[tokio::test]
async fn http1_is_served() {
    let running = start(|_| {}).await;
    let request = "POST /mutate?timeout=5s HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n\
                   content-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = running.client().h1_exchange(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(ANSWER), "{answer}");
}

#[tokio::test]
async fn tls_12_and_13_are_served_with_authenticated_suites() {
    let running = start(|_| {}).await;
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = running.client().only(version).connect(&["h2"]).await.unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(expected));
        let suite = format!("{:?}", connection.negotiated_cipher_suite().unwrap().suite());
        assert!(suite.contains("GCM") || suite.contains("POLY1305"), "{suite}");
        assert!(expected == ProtocolVersion::TLSv1_3 || suite.starts_with("TLS_ECDHE"), "{suite}");
    }
}

#[tokio::test]
async fn tls_11_is_refused_with_an_alert() {
    let running = start(|_| {}).await;
    let mut stream = TcpStream::connect(running.webhook).await.unwrap();
    stream.write_all(&tls_11_hello()).await.unwrap();
    let mut answer = Vec::new();
    within("the alert", stream.read_to_end(&mut answer)).await.unwrap();
    let [21, _, _, 0, 2, 2, description] = answer[..] else {
        panic!("not one fatal alert: {answer:?}");
    };
    // handshake_failure or protocol_version: which one depends on what the library misses first.
    assert!(matches!(description, 40 | 70), "alert {description}");
    running.counts("webhook_tls_handshake_failures_total{reason=\"incompatible\"} 1").await;
    running.good_request().await;
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_closed_and_counted() {
    let running = start(|_| {}).await;
    let mut stream = TcpStream::connect(running.webhook).await.unwrap();
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: k\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(!answer.contains("HTTP"), "{answer}");
    running.counts("webhook_tls_handshake_failures_total{reason=\"not_tls\"} 1").await;
    running.good_request().await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_closed_and_counted() {
    let running =
        start(|settings| settings.connections.handshake = std::time::Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(running.webhook).await.unwrap();
    stream.write_all(&tls_11_hello()[..20]).await.unwrap();
    read_to_close(&mut stream).await;
    running.counts("webhook_tls_handshake_failures_total{reason=\"timed_out\"} 1").await;
    running.good_request().await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_counted_as_that() {
    let running = start(|_| {}).await;
    let stranger = crate::support::Client::trusting(&Authority::new().pem(), running.webhook);
    stranger.connect(&["h2"]).await.unwrap_err();
    running.counts("webhook_tls_handshake_failures_total{reason=\"refused_by_client\"} 1").await;
    running.good_request().await;
}

/// A webhook that only lets `kube-apiserver` and `api.example` in, and the authority of clients.
async fn start_with_clients() -> (Running, Authority) {
    let clients = Authority::new();
    let ca = clients.pem();
    let running = start(|settings| {
        let directory = match &settings.certificate {
            keystow::certs::CertificateSource::Files { cert, .. } => {
                cert.as_path().parent().unwrap().to_owned()
            }
            other => unreachable!("started from files: {other:?}"),
        };
        let path = directory.join("clients.crt");
        std::fs::write(&path, ca).unwrap();
        let names = vec!["kube-apiserver".to_owned(), "api.example".to_owned()];
        settings.clients = Some(ClientSettings { ca: path, names });
    })
    .await;
    (running, clients)
}

/// Whether a request with this identity is answered. With TLS 1.3 a client knows only then.
async fn is_let_in(running: &Running, identity: Option<Minted>) -> bool {
    let mut client = running.client();
    if let Some(identity) = identity {
        client = client.identified(identity);
    }
    let Ok(stream) = client.connect(&["h2"]).await else {
        return false;
    };
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let Ok((mut sender, connection)) = hyper::client::conn::http2::handshake(executor, io).await else {
        return false;
    };
    tokio::spawn(connection);
    within("an answer or its refusal", sender.send_request(post("/mutate", full("{}")))).await.is_ok()
}

#[tokio::test]
async fn clients_are_let_in_by_authority_and_name() {
    let (running, clients) = start_with_clients().await;
    assert!(is_let_in(&running, Some(clients.client("kube-apiserver", "x.example"))).await, "common name");
    assert!(is_let_in(&running, Some(clients.client("x", "api.example"))).await, "DNS name");
    assert!(!is_let_in(&running, Some(clients.client("x", "x.example"))).await, "another name");
    assert!(!is_let_in(&running, Some(Authority::new().client("kube-apiserver", "api.example"))).await);
    assert!(!is_let_in(&running, None).await, "no certificate");
    running.counts("webhook_tls_handshake_failures_total{reason=\"client_certificate\"} 3").await;
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let running = start(|_| {}).await;
    let (sender, _connection) = running.client().h2().await;
    let requests = (0..200).map(|_| {
        let mut sender = sender.clone();
        tokio::spawn(async move { send(&mut sender, post("/mutate", full("{}"))).await.0 })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    until("one connection", async || {
        running.admin("/metrics").await.1.contains("keystow_webhook_connections 1\n")
    })
    .await;
    running.counts("webhook_requests_total{outcome=\"injected\"} 200").await;
}
