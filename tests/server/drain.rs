//! The end of the process, seen from outside.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use hyper::client::conn::http2::SendRequest;
use keystow::shutdown::{self, Stage};
use keystow::webhook::run::RunError;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{ANSWER, Running, TestBody, full, pieces, post, send, start, until, within};

/// A request whose body is not whole yet.
struct Open {
    piece: mpsc::Sender<Bytes>,
    answer: JoinHandle<(StatusCode, String)>,
}

async fn open_request(running: &Running, sender: &SendRequest<TestBody>) -> Open {
    let (piece, body) = pieces();
    let mut sender = sender.clone();
    let answer = tokio::spawn(async move {
        let (status, _, body) = send(&mut sender, post("/mutate?timeout=30s", body)).await;
        (status, body)
    });
    piece.send(Bytes::from_static(b"{")).await.unwrap();
    running.counts("webhook_in_flight 1").await;
    Open { piece, answer }
}

#[tokio::test]
async fn drains_in_order() {
    let mut running = start(|settings| settings.drain_delay = Duration::from_secs(1)).await;
    let (mut sender, connection) = running.client().h2().await;
    let open = open_request(&running, &sender).await;
    until("readiness", async || running.admin("/readyz").await.0 == StatusCode::OK).await;

    running.trigger.drain();
    until("not ready", async || running.admin("/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(running.admin("/readyz").await.1.contains("draining"));
    // Endpoints have not caught up, so new connections still come and are served.
    running.good_request().await;

    // GOAWAY: the connection takes no new request while one is in flight.
    until("GOAWAY", async || {
        let again =
            within("an answer or its refusal", sender.send_request(post("/mutate", full("{}")))).await;
        again.is_err()
    })
    .await;
    until("new connections refused", async || TcpStream::connect(running.webhook).await.is_err()).await;
    assert_eq!(running.admin("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE, "to the last");
    assert!(!running.end.is_finished(), "a request is in flight");

    open.piece.send(Bytes::from_static(b"}")).await.unwrap();
    drop(open.piece);
    let (status, body) = within("the request in flight", open.answer).await.unwrap();
    assert_eq!((status, body.as_str()), (StatusCode::OK, ANSWER));
    running.ended().await.unwrap();
    within("the connection's end", connection).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.admin).await.is_err(), "nothing is left");
}

#[tokio::test]
async fn idle_connections_do_not_hold_the_drain() {
    let mut running = start(|_| {}).await;
    let (sender, connection) = running.client().h2().await;
    let mut h1 = running.client().connect(&["http/1.1"]).await.unwrap();
    running.counts("webhook_connections 2").await;
    running.trigger.drain();
    running.ended().await.unwrap();
    within("GOAWAY", connection).await.unwrap().unwrap();
    crate::support::read_to_close(&mut h1).await;
    drop(sender);
}

#[tokio::test]
async fn a_second_signal_aborts() {
    let mut running = start(|settings| settings.drain_delay = Duration::from_secs(600)).await;
    let (sender, _connection) = running.client().h2().await;
    let open = open_request(&running, &sender).await;
    running.trigger.drain();
    until("not ready", async || running.admin("/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    running.trigger.abort();
    assert!(matches!(running.ended().await, Err(RunError::Aborted)));
    assert!(within("the cut", open.answer).await.is_err(), "the request in flight is cut");
}

#[tokio::test]
async fn what_outlives_the_grace_period_is_cut() {
    let mut running = start(|settings| settings.grace = Duration::from_millis(100)).await;
    let (sender, _connection) = running.client().h2().await;
    let open = open_request(&running, &sender).await;
    running.trigger.drain();
    running.ended().await.unwrap();
    assert!(within("the cut", open.answer).await.is_err());
}

#[tokio::test]
async fn signals_drain_and_then_abort() {
    let terminate =
        || assert!(Command::new("sh").args(["-c", "kill -TERM $PPID"]).status().unwrap().success());
    let shutdown = shutdown::on_signals().unwrap();
    assert_eq!(shutdown.stage(), Stage::Running);
    terminate();
    within("the drain", shutdown.draining()).await;
    assert_eq!(shutdown.stage(), Stage::Draining);
    terminate();
    within("the abort", shutdown.aborted()).await;
}
