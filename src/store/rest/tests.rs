//! Tests of the client, against a server that gives answers as they are written here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::store::Answer;

/// A server that gives these answers, one a connection; what it was asked comes out.
pub(crate) async fn answering(
    answers: &'static [(u16, &'static str)],
) -> (Url, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !is_whole(&asked) {
                assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
            }
            sender.send(String::from_utf8(asked).unwrap()).unwrap();
            let head = format!(
                "HTTP/1.1 {status} X\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    (url, receiver)
}

fn is_whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() == length.unwrap_or(0)
}

pub(crate) fn client() -> Client {
    Client::new(&Surroundings::default(), Proxies::Passed).unwrap()
}

#[derive(Debug)]
struct Counting(Arc<AtomicUsize>, Option<Trouble>);

impl Identity for Counting {
    fn log_in(&self) -> Answer<'_, Result<(Token, Duration), Trouble>> {
        Box::pin(async move {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            match &self.1 {
                Some(trouble) => Err(trouble.clone()),
                None => {
                    let token = Token::new(Zeroizing::new(format!("token{number}"))).unwrap();
                    Ok((token, Duration::from_secs(3600)))
                }
            }
        })
    }

    fn remedy(&self) -> &'static str {
        "do something"
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_had_anew_once() {
    let (url, mut asked) = answering(&[(401, ""), (200, "{}"), (401, ""), (401, "")]).await;
    let session = Session::new(client(), Some(Counting(Arc::default(), None)));
    assert_eq!(session.call(&Call::get(url.clone())).await.map(|reply| reply.status), Ok(StatusCode::OK));
    let refused = session.call(&Call::get(url)).await.map(|reply| reply.status);
    let reason = "127.0.0.1 refuses a fresh token: do something".to_owned();
    assert_eq!(refused, Err(Trouble::Denied { reason }));
    for token in ["token0", "token1", "token1", "token2"] {
        let asked = asked.recv().await.unwrap();
        assert!(asked.contains(&format!("authorization: Bearer {token}\r\n")), "{asked}");
    }
}

#[tokio::test]
async fn of_many_that_wait_for_a_login_that_fails_one_logs_in() {
    let trouble = Trouble::unavailable("away");
    let logins = Arc::new(AtomicUsize::new(0));
    let session = Session::new(client(), Some(Counting(Arc::clone(&logins), Some(trouble.clone()))));
    let call = Call::get(Url::parse("http://127.0.0.1:1/").unwrap());
    let all = futures::future::join_all((0..16).map(|_| session.call(&call))).await;
    assert!(all.into_iter().all(|told| told.err() == Some(trouble.clone())));
    assert_eq!(logins.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn troubles_have_their_classes_and_quote_no_body() {
    let (url, _asked) =
        answering(&[(429, "hunter2"), (503, "hunter2"), (500, ""), (408, ""), (200, "{\"a\":\"hunter2\"}")])
            .await;
    for status in [429, 503, 500, 408] {
        let told = client().send(&Call::get(url.clone()), None).await.map(|reply| reply.status);
        let reason = format!("127.0.0.1 answers {status}");
        assert_eq!(told, Err(Trouble::Unavailable { reason, retry_after: None }));
    }
    let reply = client().send(&Call::get(url), None).await.ok().unwrap();
    assert_eq!(reply.date, Some(784_111_777));
    let unread = reply.read::<Vec<u8>>().unwrap_err();
    assert!(!format!("{unread:?}").contains("hunter2"));
}

#[test]
fn times_are_read() {
    for (text, seconds) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
        ("yesterday", None),
    ] {
        assert_eq!(unix(text), seconds, "{text}");
    }
    #[cfg(feature = "gcp")]
    for (text, seconds) in [
        ("1994-11-06T08:49:37Z", Some(784_111_777)),
        ("2024-02-29T23:59:59.123456789Z", Some(1_709_251_199)),
        ("2024-03-01T00:00:00Z", Some(1_709_251_200)),
        ("2024-02-29T23:59:59+01:00", Some(1_709_247_599)),
        ("", None),
    ] {
        assert_eq!(rfc3339(text), seconds, "{text}");
    }
}

#[test]
fn only_words_of_services_are_repeated() {
    for (text, is_word) in [
        ("PERMISSION_DENIED", true),
        ("ForbiddenByRbac", true),
        ("", false),
        ("Invalid value 'hunter2'", false),
        ("aHVudGVyMg==", false),
        (&"a".repeat(65), false),
    ] {
        assert_eq!(word(text).is_some(), is_word, "{text}");
    }
}

#[test]
fn forms_are_encoded() {
    let url = Url::parse("http://127.0.0.1/").unwrap();
    let call = Call::new(Method::POST, url).with_form(&[("a", "x y/\u{e9}&="), ("b", "~._-")]);
    assert_eq!(call.body.unwrap().content, "a=x%20y%2F%C3%A9%26%3D&b=~._-");
}

#[test]
fn nothing_that_is_sent_is_shown() {
    let url = Url::parse("http://127.0.0.1/").unwrap();
    let call = Call::new(Method::POST, url).with_json(&"hunter2", 16);
    assert_eq!(call.body.as_ref().unwrap().content, "\"hunter2\"");
    let token = Token::new(Zeroizing::new("hunter2".to_owned())).unwrap();
    for shown in [format!("{call:?}"), format!("{token:?}"), format!("{:?}", token.header())] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(Token::new(Zeroizing::new("a\r\nb".to_owned())).is_none());
}
