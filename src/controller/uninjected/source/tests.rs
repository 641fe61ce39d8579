//! The source before an API server that is written down.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;

/// What was asked for: the path and the query of each request.
type Asked = Arc<Mutex<Vec<String>>>;

/// A client of a server that refuses to stream lists with this status, and has two pages of pods.
fn client(refusal: u16) -> (Client, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri().to_string();
        seen.lock().unwrap().push(uri.clone());
        async move {
            let answer = if uri.contains("sendInitialEvents=true") {
                let status = json!({"kind": "Status", "status": "Failure", "message": "no", "code": refusal});
                Some((refusal, status))
            } else if uri.contains("watch=true") {
                None
            } else if uri.contains("/namespaces") {
                Some((200, list("", &["shop"])))
            } else if uri.contains("continue=next") {
                Some((200, list("", &["three"])))
            } else {
                Some((200, list("next", &["one", "two"])))
            };
            let Some((code, body)) = answer else { return std::future::pending().await };
            Ok::<_, tower::BoxError>(
                Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    (Client::new(service, "default"), asked)
}

fn list(next: &str, names: &[&str]) -> Value {
    let items: Vec<_> =
        names.iter().map(|name| json!({"metadata": {"name": name, "resourceVersion": "1"}})).collect();
    json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "1", "continue": next}, "items": items,
    })
}

#[tokio::test]
async fn an_api_server_that_does_not_stream_lists_is_asked_for_pages() {
    let (client, asked) = client(422);
    let mut source = Source::new(client);
    source.begin();
    let (mut names, mut done) = (Vec::new(), 0);
    while done < 2 {
        match source.next().await {
            (_, Ok(Event::Init)) => {}
            (_, Ok(Event::InitApply(object))) => names.push(object.name.unwrap()),
            (_, Ok(Event::InitDone)) => done += 1,
            other => panic!("{other:?}"),
        }
    }
    names.sort_unstable();
    assert_eq!(names, ["one", "shop", "three", "two"]);
    let asked = asked.lock().unwrap();
    let lists: Vec<_> = asked.iter().filter(|uri| !uri.contains("watch=true")).collect();
    assert_eq!(lists.len(), 3, "{asked:?}");
    assert!(lists.iter().all(|uri| uri.contains("limit=50")), "{asked:?}");
    let is_running = |uri: &&&String| uri.contains("fieldSelector=status.phase%21%3DSucceeded");
    assert_eq!(lists.iter().filter(is_running).count(), 2, "{asked:?}");
}

#[tokio::test]
async fn a_list_that_is_forbidden_is_a_failure() {
    let (client, asked) = client(403);
    let mut source = Source::new(client);
    source.begin();
    let failure = loop {
        if let (_, Err(error)) = source.next().await {
            break error;
        }
    };
    assert!(failure.to_string().contains("failed to start watching"), "{failure}");
    assert!(asked.lock().unwrap().iter().all(|uri| uri.contains("sendInitialEvents=true")));
}
