//! A client for the REST interfaces of clouds: JSON over HTTPS, with an access token that is had by logging in.
//!
//! ```text
//! Call ─▶ [`Session`] (log in once, for all who wait) ─▶ [`Client`] (one request) ─▶ Reply, or Trouble by class
//! ```
//!
//! Invariants: connections are those of [`super::http`]; an answer is never longer than [`LONGEST`]; a token that is
//! refused is had anew once; what is sent and received is wiped; an error holds words of the service and of the system,
//! never a body. CAs are those of the system, or of `SSL_CERT_FILE`. Proxies of the environment hold for all but the
//! metadata services, which are on the node.
//!
//! Deliberately absent: asking again. Whoever calls a store does that, by class and up to a deadline.

pub(super) mod login;
mod session;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
#[cfg(feature = "gcp")]
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

pub(super) use super::http::Proxies;
pub(super) use session::{Identity, Session, Token};

use super::http::{self as http_client, Roots};
use super::{StoreError, Surroundings};
use crate::domain::StoragePath;

/// The longest answer, in bytes: a page of a list.
const LONGEST: usize = 8 << 20;
/// Words of a service are not longer.
const LONGEST_WORD: usize = 64;

/// A permission, and the least role that has it.
pub(super) type Right = (&'static str, &'static str);

/// Sends requests.
#[derive(Debug, Clone)]
pub(super) struct Client(reqwest::Client);

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Body>,
    pub(super) headers: HeaderMap,
}

/// What is sent.
#[derive(Clone)]
pub(super) struct Body {
    content: Bytes,
    media_type: &'static str,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.media_type)
    }
}

/// An answer that is neither of a throttling nor of a broken server.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// When the service answered, by its own clock, in seconds since 1970.
    pub(super) date: Option<i64>,
    body: Zeroizing<Vec<u8>>,
}

/// Why there is no such answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Denied { reason: String },
    Unavailable { reason: String, retry_after: Option<Duration> },
}

/// Text that is wiped.
#[derive(Default)]
pub(super) struct Text(pub(super) Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new).map(Self)
    }
}

impl Trouble {
    pub(super) fn denied(reason: impl Into<String>) -> Self {
        Self::Denied { reason: reason.into() }
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }

    /// The error of what was asked for.
    pub(super) fn of(self, path: impl ToString) -> StoreError {
        match self {
            Self::Denied { reason } => StoreError::denied(path, reason),
            Self::Unavailable { reason, retry_after } => {
                StoreError::Unavailable { path: path.to_string(), reason, retry_after }
            }
        }
    }
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, body: None, headers: HeaderMap::new() }
    }

    pub(super) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// With JSON. `longest` is how long it gets, so that nothing is moved while it is written.
    pub(super) fn with_json(mut self, content: &impl Serialize, longest: usize) -> Self {
        let mut text = Zeroizing::new(Vec::with_capacity(longest));
        // Text and maps of text only: it cannot fail.
        if serde_json::to_writer(&mut *text, content).is_ok() {
            self.body = Some(Body { content: Bytes::from_owner(text), media_type: "application/json" });
        }
        self
    }

    /// With the fields of a form.
    pub(super) fn with_form(mut self, fields: &[(&str, &str)]) -> Self {
        let longest = fields.iter().map(|(key, value)| 3 * (key.len() + value.len()) + 2).sum();
        let mut text = Zeroizing::new(String::with_capacity(longest));
        for (key, value) in fields {
            if !text.is_empty() {
                text.push('&');
            }
            percent(key, &mut text);
            text.push('=');
            percent(value, &mut text);
        }
        let content = Bytes::from_owner(Zeroizing::new(std::mem::take(&mut *text).into_bytes()));
        self.body = Some(Body { content, media_type: "application/x-www-form-urlencoded" });
        self
    }
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn percent(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

impl Client {
    /// Connects by what surrounds this process. The reason where it cannot.
    pub(super) fn new(surroundings: &Surroundings, proxies: Proxies) -> Result<Self, String> {
        let file = surroundings.variable("SSL_CERT_FILE").map(Path::new);
        let client = http_client::client(file.map_or(Roots::System, Roots::File), proxies);
        client.map(Self).map_err(|error| error.to_string())
    }

    /// Sends one request, with a token if there is one.
    pub(super) async fn send(&self, call: &Call, token: Option<&Token>) -> Result<Reply, Trouble> {
        let mut request = self.0.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.header(http::header::CONTENT_TYPE, body.media_type).body(body.content.clone());
        }
        if let Some(token) = token {
            request = request.header(http::header::AUTHORIZATION, token.header());
        }
        let lost = |error: &reqwest::Error| Trouble::unavailable(told(&call.url, error));
        let mut response = request.send().await.map_err(|error| lost(&error))?;
        let status = response.status();
        let seconds = |text: &http::HeaderValue| text.to_str().ok().and_then(|text| text.trim().parse().ok());
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds).map(Duration::from_secs);
        let date = response.headers().get(DATE).and_then(|text| unix(text.to_str().ok()?));
        let room = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = Zeroizing::new(Vec::with_capacity(room.unwrap_or(1 << 16).min(LONGEST)));
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if body.len() + chunk.len() > LONGEST {
                let host = call.url.host_str().unwrap_or_default();
                return Err(Trouble::unavailable(format!("the answer of {host} is too long")));
            }
            body.extend_from_slice(&chunk);
        }
        let reply = Reply { status, date, body };
        if is_passing(status) {
            let reason = format!("{} answers {}", call.url.host_str().unwrap_or_default(), status.as_u16());
            return Err(Trouble::Unavailable { reason, retry_after });
        }
        Ok(reply)
    }
}

/// Whether asking again helps.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// What became of a request, without its address, in which names of secrets are.
fn told(url: &Url, error: &reqwest::Error) -> String {
    let remedy = "name the file with its CA in SSL_CERT_FILE";
    format!("{}: {}", url.host_str().unwrap_or_default(), http_client::reason(error, remedy))
}

impl Reply {
    /// Reads the answer. What cannot be read is not quoted: there may be a value in it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Trouble::unavailable("the answer is not the JSON that it should be"))
    }
}

/// A word of a service's error, such as `PERMISSION_DENIED`. What is none is not repeated: errors of services quote
/// what was sent.
pub(super) fn word(text: &str) -> Option<&str> {
    let is_word = !text.is_empty()
        && text.len() <= LONGEST_WORD
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    is_word.then_some(text)
}

/// Refuses a value that the service would not take.
pub(super) fn fits(path: &StoragePath, length: usize, longest: usize) -> Result<(), StoreError> {
    if length <= longest {
        return Ok(());
    }
    Err(StoreError::invalid(
        path,
        format!("it is longer than {longest} bytes, which is all that this store takes"),
    ))
}

/// Seconds since 1970 of a date as HTTP writes it (RFC 9110, whose dates are those of mail): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn unix(date: &str) -> Option<i64> {
    rfc2822::parse(date).ok().map(|time| time.timestamp().as_second())
}

/// Seconds since 1970 of a time of RFC 3339: `1994-11-06T08:49:37.125Z`.
#[cfg(feature = "gcp")]
pub(super) fn rfc3339(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
pub(crate) mod tests;
