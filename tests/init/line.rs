//! The faulty line itself, between a client of plain sockets and a server of one page: a fault that did not happen would
//! prove nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::support::faults::answers::{dynamodb_throttled, kubernetes_throttled};
use super::support::faults::{Fault, Faults, Presented, all};
use super::support::https;

const PAGE: &str = r#"{"data":{"a":"0123456789","b":"0123456789"}}"#;

/// A server that answers everything with [`PAGE`].
async fn server() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let page = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(PAGE.as_bytes()))))
        });
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), page));
        }
    });
    (address, tasks)
}

/// What a GET brings until the connection ends, and how that ended.
async fn get(address: SocketAddr, path: &str) -> (String, std::io::Result<()>) {
    let mut stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => return (String::new(), Err(error)),
    };
    exchange(&mut stream, path).await
}

async fn exchange(
    stream: &mut (impl AsyncRead + tokio::io::AsyncWrite + Unpin),
    path: &str,
) -> (String, std::io::Result<()>) {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-amz-target: A_1.Get\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = https::within("an answer", stream.read_to_end(&mut bytes)).await;
    (String::from_utf8(bytes).unwrap(), end.map(drop))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

#[tokio::test]
async fn what_no_fault_is_for_is_passed_on_and_counted() {
    let (address, _server) = server().await;
    let line = Faults::before(address).start().await;
    line.next(|seen| seen.path == "/b", [dynamodb_throttled().into()]);
    assert_eq!(body(&get(line.address(), "/a?x=1").await.0), PAGE);
    let refused = get(line.address(), "/b").await.0;
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("ThrottlingException"), "{refused}");
    assert_eq!(body(&get(line.address(), "/b").await.0), PAGE, "the fault is used up");
    let seen: Vec<_> = line.requests().into_iter().map(|seen| (seen.path, seen.is_faulty)).collect();
    assert_eq!(seen, [("/a?x=1".to_owned(), false), ("/b".to_owned(), true), ("/b".to_owned(), false)]);
    assert_eq!(line.count(|seen| seen.operation == "Get"), 3);
    line.always(all, kubernetes_throttled());
    for _ in 0..2 {
        assert!(get(line.address(), "/").await.0.contains("retry-after: 1\r\n"));
    }
    line.clear();
    assert_eq!(body(&get(line.address(), "/").await.0), PAGE);
}

#[tokio::test]
async fn answers_break_off_as_they_are_told_to() {
    let (address, _server) = server().await;
    let line = Faults::before(address).start().await;
    line.next(all, [Fault::Reset, Fault::Short, Fault::Truncated]);
    let half = &PAGE[..PAGE.len() / 2];
    let full = format!("content-length: {}\r\n", PAGE.len());

    let (answer, end) = get(line.address(), "/").await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(answer.is_empty() || PAGE.starts_with(body(&answer)), "{answer}");

    let (answer, end) = get(line.address(), "/").await;
    end.unwrap();
    assert_eq!((body(&answer), answer.contains(&full)), (half, true), "{answer}");

    let (answer, end) = get(line.address(), "/").await;
    end.unwrap();
    assert_eq!((body(&answer), answer.contains(&full)), (half, false), "{answer}");
    assert_eq!(line.left(), 0);
}

#[tokio::test]
async fn a_stall_ends_by_itself_or_with_the_client() {
    let (address, _server) = server().await;
    let line = Faults::before(address).start().await;
    line.next(all, [Fault::Stall(Duration::from_millis(200)), Fault::Stall(Duration::from_secs(3600))]);
    let start = Instant::now();
    assert_eq!(body(&get(line.address(), "/").await.0), PAGE);
    assert!(start.elapsed() >= Duration::from_millis(200));
    let impatient = tokio::time::timeout(Duration::from_millis(200), get(line.address(), "/")).await;
    assert!(impatient.is_err(), "{impatient:?}");
    assert_eq!(body(&get(line.address(), "/").await.0), PAGE);
}

#[tokio::test]
async fn connections_are_refused_until_they_are_not() {
    let (address, _server) = server().await;
    let line = Faults::before(address).start().await;
    assert_eq!(body(&get(line.address(), "/").await.0), PAGE);
    line.refuse().await;
    let (_, end) = get(line.address(), "/").await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    line.listen().await;
    assert_eq!(body(&get(line.address(), "/").await.0), PAGE);
    assert_eq!(line.requests().len(), 2);
}

#[tokio::test]
async fn certificates_are_as_wrong_as_they_are_told_to_be() {
    let (address, _server) = server().await;
    let inner = Faults::before(address).served_as(&["127.0.0.1"]).start().await;
    let line = Faults::before(inner.address()).tls(inner.ca_pem()).served_as(&["127.0.0.1"]).start().await;
    let mut stream = https::connect(line.address(), line.ca_pem()).await;
    assert_eq!(body(&exchange(&mut stream, "/").await.0), PAGE, "through TLS on both sides");
    for (presented, error) in [
        (Presented::WrongName, "NotValidForName"),
        (Presented::Expired, "Expired"),
        (Presented::Unknown, "UnknownIssuer"),
    ] {
        line.present(presented);
        let refused = https::try_connect(line.address(), line.ca_pem()).await.unwrap_err();
        assert!(format!("{refused:?}").contains(error), "{presented:?}: {refused:?}");
    }
    line.present(Presented::Right);
    let mut stream = https::connect(line.address(), line.ca_pem()).await;
    line.next(all, [Fault::Reset]);
    let (_, end) = exchange(&mut stream, "/").await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
