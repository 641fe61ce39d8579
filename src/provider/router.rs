//! From HTTP to a wish, and back.
//!
//! | request | answer |
//! |---|---|
//! | `GET /webhook?key=PATH` | 200 with the value as a JSON string; `HEAD` the same without it |
//! | `PUT` or `POST /webhook?key=PATH`, the value as body | 201, or 200 where something was there |
//! | anything else | 400, 405 |
//!
//! The body is read from who may write, and from nobody else. One of the type `application/json` that is a JSON string is the text in it; any other body is the value as it is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use zeroize::Zeroizing;

use super::metrics::Outcome;
use super::serving::{Desk, Reply, Wish};
use crate::domain::SecretValue;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a Secret takes.
const LONGEST: usize = 1 << 20;

/// The provider's path.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/webhook", get(serve).put(serve).post(serve))
        .method_not_allowed_fallback(|| async { told(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT or POST") })
        // Not 404, by which External Secrets takes a secret for deleted.
        .fallback(|| async { told(StatusCode::BAD_REQUEST, "the only path is /webhook?key=PATH") })
        .with_state(desk)
}

async fn serve(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let wish = match head.method {
        Method::PUT | Method::POST => Wish::Write(value(&head.headers, body)),
        // And HEAD, which a route for GET has too.
        _ => Wish::Read,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    let (token, key) = (bearer(&head.headers), key(&head.uri));
    answer(desk.serve(token, key.as_deref(), wish, now).await)
}

/// The token of `Authorization: Bearer …` (RFC 6750).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    // Of two nobody knows which is meant.
    let given = given.next().filter(|_| given.next().is_none())?;
    let (scheme, token) = given.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

fn key(uri: &Uri) -> Option<String> {
    let mut keys = form_urlencoded::parse(uri.query()?.as_bytes()).filter(|(name, _)| name == "key");
    let key = keys.next()?.1.into_owned();
    // Of two nobody knows which is meant.
    keys.next().is_none().then_some(key)
}

async fn value(headers: &HeaderMap, body: Body) -> Result<SecretValue, Reply> {
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = Limited::new(body, LONGEST);
    // With room for all of it, so that no copy is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(told.unwrap_or(LONGEST).min(LONGEST)));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => Reply::refused(Outcome::TooLarge, "the body has more than 1 MiB"),
            false => Reply::refused(Outcome::Invalid, "the body was cut off; send it again"),
        })?;
        content.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json =
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    let text = is_json.then(|| serde_json::from_slice::<String>(&content).ok()).flatten();
    let value = SecretValue::new(text.map_or_else(|| std::mem::take(&mut *content), String::into_bytes));
    if value.expose().is_empty() {
        return Err(Reply::refused(Outcome::Invalid, "the body is empty; it is the value"));
    }
    Ok(value)
}

fn answer(reply: Reply) -> Response {
    match reply {
        Reply::Value(json) => {
            let headers = [(CONTENT_TYPE, JSON), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            // The owner wipes it when it is sent.
            (headers, Bytes::from_owner(json)).into_response()
        }
        Reply::Stored { is_new } => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            (status, [(CONTENT_TYPE, JSON)], "{}").into_response()
        }
        Reply::Refused { outcome, message } => {
            let mut answer = told(status(outcome), &message);
            let headers = answer.headers_mut();
            match outcome {
                Outcome::Limited | Outcome::Unavailable => {
                    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                Outcome::Unauthenticated => {
                    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                _ => {}
            }
            answer
        }
    }
}

fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Read | Outcome::Written => StatusCode::OK,
        Outcome::Unauthenticated => StatusCode::UNAUTHORIZED,
        Outcome::Forbidden => StatusCode::FORBIDDEN,
        // For External Secrets this is: there is no such secret.
        Outcome::Absent => StatusCode::NOT_FOUND,
        Outcome::Invalid => StatusCode::BAD_REQUEST,
        Outcome::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Limited => StatusCode::TOO_MANY_REQUESTS,
        Outcome::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn told(status: StatusCode, message: &str) -> Response {
    (status, [(CONTENT_TYPE, JSON)], json!({"error": message}).to_string()).into_response()
}
