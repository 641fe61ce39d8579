//! Over a bound: an answer that says so, never a hang; and the next good request is served.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{ANSWER, NAME, full, pieces, post, read_to_close, send, start, within};

const FIVE_MIB: usize = 5 * 1024 * 1024;

fn h1_post(target: &str, headers: &str) -> Vec<u8> {
    let head =
        format!("POST {target} HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n{headers}\r\n");
    head.into_bytes()
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_at_the_deadline() {
    let running = start(|_| {}).await;
    let mut request = h1_post("/mutate?timeout=100ms", "content-length: 100\r\n");
    request.extend(b"{\"kind\":");
    let answer = running.client().h1_exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("expected"), "{answer}");

    let (mut sender, _connection) = running.client().h2().await;
    let (piece, body) = pieces();
    piece.send(Bytes::from_static(b"{")).await.unwrap();
    let (status, _, _) = send(&mut sender, post("/mutate?timeout=100ms", body)).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(
        send(&mut sender, post("/mutate", full("{}"))).await.0,
        StatusCode::OK,
        "on the same connection"
    );
    running.counts("webhook_requests_total{outcome=\"timed_out\"} 2").await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_counted_and_forgotten() {
    let running = start(|_| {}).await;
    let mut stream = running.client().connect(&["http/1.1"]).await.unwrap();
    stream.write_all(&h1_post("/mutate", "content-length: 100\r\n")).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    running.counts("webhook_in_flight 1").await;
    drop(stream);
    running.counts("webhook_in_flight 0").await;
    running.counts("webhook_requests_total{outcome=\"abandoned\"} 1").await;
    running.good_request().await;
}

#[tokio::test]
async fn five_mebibytes_are_too_large_over_http1() {
    let running = start(|_| {}).await;
    let mut declared = h1_post("/mutate", &format!("content-length: {FIVE_MIB}\r\nconnection: close\r\n"));
    declared.resize(declared.len() + FIVE_MIB, b' ');
    let answer = running.client().h1_exchange(&declared).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let mut chunked = h1_post("/mutate", "transfer-encoding: chunked\r\nconnection: close\r\n");
    chunked.extend(format!("{FIVE_MIB:x}\r\n").into_bytes());
    chunked.resize(chunked.len() + FIVE_MIB, b' ');
    chunked.extend(b"\r\n0\r\n\r\n");
    let answer = running.client().h1_exchange(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    running.counts("webhook_requests_total{outcome=\"too_large\"} 2").await;
    running.good_request().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let running = start(|_| {}).await;
    let headers = format!("content-length: {FIVE_MIB}\r\nexpect: 100-continue\r\n");
    let answer = running.client().h1_exchange(&h1_post("/mutate", &headers)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn five_mebibytes_are_too_large_over_http2() {
    let running = start(|_| {}).await;
    let (mut sender, _connection) = running.client().h2().await;
    let (status, _, _) = send(&mut sender, post("/mutate", full(vec![b' '; FIVE_MIB]))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "declared");

    let (piece, body) = pieces();
    let writer = tokio::spawn(async move {
        // Fails when the server has had enough, which is the point.
        while piece.send(Bytes::from(vec![b' '; 64 * 1024])).await.is_ok() {}
    });
    let (status, _, _) = send(&mut sender, post("/mutate", body)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "undeclared");
    within("the writer to be told", writer).await.unwrap();
    assert_eq!(
        send(&mut sender, post("/mutate", full("{}"))).await.0,
        StatusCode::OK,
        "on the same connection"
    );
}

#[tokio::test]
async fn a_body_of_four_mebibytes_is_served() {
    let running = start(|_| {}).await;
    let (mut sender, _connection) = running.client().h2().await;
    let (status, _, body) = send(&mut sender, post("/mutate", full(vec![b' '; 4 * 1024 * 1024]))).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ANSWER));
}

#[tokio::test]
async fn headers_over_the_bound_are_too_large() {
    let running = start(|_| {}).await;
    let long = "x".repeat(20 * 1024);
    let answer = running.client().h1_exchange(&h1_post("/mutate", &format!("x-long: {long}\r\n"))).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let (mut sender, _connection) = running.client().h2().await;
    let mut request = post("/mutate", full("{}"));
    request.headers_mut().insert("x-long", long.parse().unwrap());
    assert_eq!(send(&mut sender, request).await.0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(
        send(&mut sender, post("/mutate", full("{}"))).await.0,
        StatusCode::OK,
        "on the same connection"
    );
}

#[tokio::test]
async fn headers_that_do_not_end_are_cut() {
    let running = start(|settings| settings.connections.header_read = Duration::from_millis(100)).await;
    let answer = running.client().h1_exchange(b"POST /mutate HTTP/1.1\r\nhost: k\r\nx-slow:").await;
    assert!(!answer.contains("200"), "{answer}");
    running.good_request().await;
}

#[tokio::test]
async fn wrong_media_type_and_wrong_method() {
    let running = start(|_| {}).await;
    let (mut sender, _connection) = running.client().h2().await;
    let mut request = post("/mutate", full("kind: AdmissionReview"));
    request.headers_mut().insert("content-type", "application/yaml".parse().unwrap());
    let (status, _, body) = send(&mut sender, request).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(body.contains("application/json"), "{body}");

    let request = Request::get(format!("https://{NAME}/mutate")).body(full("")).unwrap();
    let (status, headers, _) = send(&mut sender, request).await;
    assert_eq!((status, &headers["allow"]), (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap()));
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let running = start(|_| {}).await;
    let (mut sender, _connection) = running.client().h2().await;
    assert_eq!(send(&mut sender, post("/mutate", full("panic"))).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(&mut sender, post("/mutate", full("{}"))).await.0, StatusCode::OK);
    running.counts("webhook_requests_total{outcome=\"panicked\"} 1").await;
    running.good_request().await;
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_stop_a_good_request() {
    let running = start(|_| {}).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(running.webhook).await.unwrap());
    }
    let mut shaken = Vec::new();
    for _ in 0..30 {
        shaken.push(running.client().connect(&["h2"]).await.unwrap());
    }
    running.good_request().await;
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed() {
    let running = start(|settings| settings.connections.header_read = Duration::from_millis(100)).await;
    for protocol in ["h2", "http/1.1"] {
        let mut stream = running.client().connect(&[protocol]).await.unwrap();
        read_to_close(&mut stream).await;
    }
    running.counts("webhook_connections 0").await;
}

#[tokio::test]
async fn a_connection_that_only_answers_pings_is_told_to_close() {
    let running = start(|settings| {
        settings.connections.idle = Duration::from_millis(200);
        settings.connections.ping_interval = Duration::from_millis(20);
    })
    .await;
    let (mut sender, connection) = running.client().h2().await;
    assert_eq!(send(&mut sender, post("/mutate", full("{}"))).await.0, StatusCode::OK);
    within("GOAWAY", connection).await.unwrap().unwrap();
    running.counts("webhook_connections 0").await;
}

#[tokio::test]
async fn a_peer_that_ignores_being_told_is_cut() {
    let running = start(|settings| {
        settings.connections.header_read = Duration::from_millis(50);
        settings.connections.linger = Duration::from_millis(50);
    })
    .await;
    let mut stream = running.client().connect(&["h2"]).await.unwrap();
    // The preface and empty settings, then nothing: no settings or pings are acknowledged.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut bytes = Vec::new();
    // Cut means without a farewell of TLS.
    let _ = within("the cut", stream.read_to_end(&mut bytes)).await;
    running.counts("webhook_connections 0").await;
}

#[tokio::test]
async fn connections_over_the_cap_wait_and_are_then_closed() {
    let running = start(|settings| {
        settings.connections.connections = 1;
        settings.connections.waiting = 1;
        settings.connections.wait = Duration::from_millis(200);
    })
    .await;
    let (mut sender, connection) = running.client().h2().await;
    assert_eq!(send(&mut sender, post("/mutate", full("{}"))).await.0, StatusCode::OK);

    let mut waits = TcpStream::connect(running.webhook).await.unwrap();
    let mut no_room = TcpStream::connect(running.webhook).await.unwrap();
    read_to_close(&mut no_room).await;
    read_to_close(&mut waits).await;
    running.counts("webhook_connections_refused_total 2").await;
    assert_eq!(send(&mut sender, post("/mutate", full("{}"))).await.0, StatusCode::OK, "who was in stays in");

    drop(sender);
    within("the first connection to end", connection).await.unwrap().unwrap();
    running.good_request().await;
}

#[tokio::test]
async fn requests_over_the_cap_are_told_to_come_again() {
    let running = start(|settings| settings.requests.in_flight = 1).await;
    let (sender, _connection) = running.client().h2().await;
    let (piece, body) = pieces();
    let mut first = sender.clone();
    let open = tokio::spawn(async move { send(&mut first, post("/mutate", body)).await.0 });
    piece.send(Bytes::from_static(b"{")).await.unwrap();
    running.counts("webhook_in_flight 1").await;
    let (status, headers, _) = send(&mut sender.clone(), post("/mutate", full("{}"))).await;
    assert_eq!((status, &headers["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap()));
    drop(piece);
    assert_eq!(within("the open request", open).await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_over_the_memory_budget_are_told_to_come_again() {
    let running = start(|settings| settings.requests.buffered_bytes = 10).await;
    let (mut sender, _connection) = running.client().h2().await;
    assert_eq!(
        send(&mut sender, post("/mutate", full("more than ten"))).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(send(&mut sender, post("/mutate", full("{}"))).await.0, StatusCode::OK);
}
