//! Requests to Vault and what its answers mean.
//!
//! ```text
//! Call ─▶ Http::send ─▶ Answer ─▶ content (2xx) · missing (404) · trouble (all else)
//! ```
//!
//! Invariants: what carries a value or a token is wiped when it is dropped, as far as it is ours: what the HTTP library
//! reads and writes in between is not. Vault's words are quoted shortened, and never where they quote a token. What is
//! not of Vault's form, as gateways answer, is never taken for its word that something is absent, and never quoted.
//!
//! Redirects are not followed. A standby forwards requests by itself; one that cannot answers with the address of the
//! active node, to which the token would have to be sent on the word of an answer. It is told instead.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::store::StoreError;
use crate::store::http::reason;

/// Vault takes no longer request either.
const LONGEST_ANSWER: usize = 32 << 20;
/// Of the server's words.
const LONGEST_WORDS: usize = 300;
/// No server is left alone for longer on its own word.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Why Vault did not do what it was asked. The caller knows for which path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// It knows who asks, and refuses.
    #[error("{0}")]
    Denied(String),
    /// It is away, or wants to be left alone.
    #[error("{reason}")]
    Unavailable {
        /// Its words.
        reason: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// A request, without the token.
pub(super) struct Call {
    pub(super) method: Method,
    /// Behind `/v1/`, as policies name it.
    pub(super) path: String,
    pub(super) is_list: bool,
    pub(super) body: Option<Bytes>,
    /// The capabilities that a policy must give.
    pub(super) needs: &'static str,
}

/// Where Vault is.
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    pub(super) address: Url,
    pub(super) namespace: Option<HeaderValue>,
}

/// An answer of any status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Zeroizing<Vec<u8>>,
    retry_after: Option<Duration>,
    location: Option<String>,
    /// Of its `errors`, for people; empty where there are none.
    words: String,
}

/// What is absent, by the word of Vault itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is nothing of that name.
    Absent,
    /// The newest version is deleted: this one.
    Deleted(u64),
}

#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(default)]
    errors: Option<Vec<String>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default, borrow)]
    data: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct Data {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

impl Trouble {
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }

    /// The error for what was asked for.
    pub(super) fn at(self, path: &(impl ToString + ?Sized)) -> StoreError {
        let path = path.to_string();
        match self {
            Self::Denied(reason) => StoreError::Denied { path, reason },
            Self::Unavailable { reason, retry_after } => {
                StoreError::Unavailable { path, reason, retry_after }
            }
            Self::Invalid(reason) => StoreError::Invalid { path, reason },
        }
    }
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, is_list: false, body: None, needs: "\"read\"" }
    }

    pub(super) fn list(path: String) -> Self {
        Self { method: Method::GET, path, is_list: true, body: None, needs: "\"list\"" }
    }

    pub(super) fn post(path: String, body: Zeroizing<Vec<u8>>, needs: &'static str) -> Self {
        Self { method: Method::POST, path, is_list: false, body: Some(Bytes::from_owner(body)), needs }
    }

    pub(super) fn delete(path: String) -> Self {
        Self { method: Method::DELETE, path, is_list: false, body: None, needs: "\"delete\"" }
    }

    /// The line that a policy lacks.
    fn policy(&self) -> String {
        let slash = if self.is_list { "/" } else { "" };
        format!("path \"{}{slash}\" {{ capabilities = [{}] }}", self.path, self.needs)
    }
}

/// A token as a header that is wiped and never printed; `None` where it cannot be one.
pub(super) fn sensitive(text: Zeroizing<Vec<u8>>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Http {
    /// Asks once. `secret` is what must not be in the server's words: the token, or what is logged in with.
    pub(super) async fn send(
        &self,
        call: &Call,
        token: Option<&HeaderValue>,
        secret: &[u8],
    ) -> Result<Answer, Trouble> {
        let mut headers = HeaderMap::new();
        // Agents and proxies of Vault's own want it, against requests that a browser is tricked into.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert("x-vault-namespace", namespace.clone());
        }
        if let Some(token) = token {
            headers.insert("x-vault-token", token.clone());
        }
        let request = self.client.request(call.method.clone(), self.url(call)).headers(headers);
        let request = match &call.body {
            Some(body) => request.header("content-type", "application/json").body(body.clone()),
            None => request,
        };
        let away = |error: reqwest::Error| {
            Trouble::unavailable(reason(&error, "set caCertificate of the store to that CA"))
        };
        let mut response = request.send().await.map_err(away)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let seconds = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_REST));
        let location = header(LOCATION).and_then(|text| Url::parse(text).ok());
        let location = location.map(|url| url.origin().ascii_serialization());
        let status = response.status();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Trouble::Invalid(format!("the answer is longer than {LONGEST_ANSWER} bytes")));
            }
            append(&mut body, &chunk);
        }
        let words = if status.is_success() { String::new() } else { words(&body, secret) };
        Ok(Answer { status, body, retry_after, location, words })
    }

    /// Each segment is encoded, so that no path leads elsewhere than its policy says.
    fn url(&self, call: &Call) -> Url {
        let mut url = self.address.clone();
        // Only an address without a host has no segments, and such a one is not opened.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(call.path.split('/'));
        }
        url.set_query(call.is_list.then_some("list=true"));
        url
    }
}

/// A vector that grows by itself leaves what it held behind.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * body.capacity())));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

fn words(body: &[u8], secret: &[u8]) -> String {
    let Ok(Envelope { errors: Some(errors), .. }) = serde_json::from_slice(body) else {
        return String::new();
    };
    let joined = errors.join("; ");
    let is_told = !secret.is_empty() && joined.as_bytes().windows(secret.len()).any(|part| part == secret);
    if is_told {
        return "its words quote the token".to_owned();
    }
    let plain: String = joined.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    // One error among one says so in front of it.
    let plain = plain.strip_prefix("1 error occurred: * ").unwrap_or(&plain);
    let shown: String = plain.chars().take(LONGEST_WORDS).collect();
    if shown.len() < plain.len() { format!("{shown}…") } else { shown }
}

impl Answer {
    /// The status, and Vault's words.
    pub(super) fn told(&self) -> String {
        match self.words.as_str() {
            "" => format!("HTTP {}, without a word of Vault", self.status.as_u16()),
            words => format!("HTTP {}: {words}", self.status.as_u16()),
        }
    }

    /// Whether these are among Vault's words.
    pub(super) fn says(&self, words: &str) -> bool {
        self.words.contains(words)
    }

    /// What is absent, where it is; else what is wrong.
    pub(super) fn missing(&self, call: &Call) -> Result<Missing, Trouble> {
        if self.status != StatusCode::NOT_FOUND {
            return Err(self.trouble(call));
        }
        let Ok(Envelope { errors, warnings, data }) = serde_json::from_slice(&self.body) else {
            return Err(not_vault(self.status));
        };
        let warnings = warnings.unwrap_or_default();
        if warnings.iter().any(|warning| warning.contains("versioned K/V")) {
            return Err(Trouble::Invalid(
                "the engine is of version 2, and kvVersion of the store is 1; set it to 2".to_owned(),
            ));
        }
        match (data, errors) {
            (Some(data), _) => match serde_json::from_str::<Data>(data.get()) {
                Ok(data) => Ok(Missing::Deleted(data.metadata.version)),
                Err(_) => Err(not_vault(self.status)),
            },
            (None, Some(errors)) if errors.is_empty() => Ok(Missing::Absent),
            (None, Some(_)) => Err(Trouble::Invalid(format!(
                "nothing is there to answer for {}: {}; check mount, kvVersion and namespace of the store",
                call.path, self.words
            ))),
            (None, None) => Err(not_vault(self.status)),
        }
    }

    /// What an answer means that is no success.
    pub(super) fn trouble(&self, call: &Call) -> Trouble {
        let status = self.status;
        if status.is_success() {
            return not_vault(status);
        }
        // 412: this standby has not seen yet what the request relies on; 472, 473: it is one that serves nobody.
        let is_away = status.is_server_error() || matches!(status.as_u16(), 408 | 412 | 429 | 472 | 473);
        if is_away || self.says("Upgrading from non-versioned") {
            return Trouble::Unavailable { reason: self.told(), retry_after: self.retry_after };
        }
        if status.is_redirection() {
            let place = self.location.as_deref().unwrap_or("another address");
            return Trouble::unavailable(format!(
                "HTTP {}: it sends to {place}, and a token is not sent after that; write an address that answers itself",
                status.as_u16()
            ));
        }
        if matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) {
            return Trouble::Denied(format!("{}; its policy needs {}", self.told(), call.policy()));
        }
        Trouble::Invalid(self.told())
    }
}

/// An answer that Vault does not give.
pub(super) fn not_vault(status: StatusCode) -> Trouble {
    Trouble::unavailable(format!("HTTP {}, and the answer is not one of Vault's", status.as_u16()))
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::http::{Proxies, Roots, client};

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
            retry_after: None,
            location: None,
            words: words(body.as_bytes(), b"hvs.token"),
        }
    }

    /// Whoever falls back to local values relies on this.
    #[test]
    fn only_vaults_own_word_says_that_something_is_absent() {
        let call = Call::get("secret/data/a".to_owned());
        for (body, missing) in [
            (r#"{"errors": []}"#, Missing::Absent),
            (
                r#"{"data": {"data": null, "metadata": {"version": 3, "destroyed": true}}}"#,
                Missing::Deleted(3),
            ),
        ] {
            assert_eq!(answer(404, body).missing(&call), Ok(missing), "{body}");
            assert!(answer(400, body).missing(&call).is_err(), "{body}");
        }
        for body in ["", "[]", "null", "{}", "<html>", r#"{"data": {}}"#, r#"{"errors": null}"#] {
            let told = answer(404, body).missing(&call);
            assert!(matches!(told, Err(Trouble::Unavailable { .. })), "{body}: {told:?}");
        }
        let told = answer(404, r#"{"errors": ["no handler for route"]}"#).missing(&call);
        assert!(matches!(told, Err(Trouble::Invalid(_))), "{told:?}");
    }

    #[test]
    fn words_are_shortened_and_hide_the_token() {
        let words = |errors: &[&str]| {
            words(serde_json::json!({"errors": errors}).to_string().as_bytes(), b"hvs.token")
        };
        let told = words(&["1 error occurred:\n\t* permission denied\n\n"]);
        assert_eq!(told, "permission denied");
        assert_eq!(words(&["a", "b"]), "a; b");
        assert_eq!(words(&["it is hvs.token"]), "its words quote the token");
        assert_eq!(words(&["\u{e9}".repeat(LONGEST_WORDS + 1).as_str()]).chars().count(), LONGEST_WORDS + 1);
        assert_eq!(super::words(b"hvs.token", b"hvs.token"), "");
    }

    #[test]
    fn every_segment_is_encoded() {
        let http = Http {
            client: client(Roots::System, Proxies::Used).unwrap(),
            address: Url::parse("https://vault.example/base/").unwrap(),
            namespace: None,
        };
        for (path, encoded) in [
            ("secret/data/a b", "secret/data/a%20b"),
            ("secret/data/a%2Fb", "secret/data/a%252Fb"),
            ("secret/data/a?b#c", "secret/data/a%3Fb%23c"),
            ("secret/data/\u{e9}", "secret/data/%C3%A9"),
            ("secret/data/a\\b", "secret/data/a%5Cb"),
        ] {
            let url = http.url(&Call::get(path.to_owned()));
            assert_eq!(url.as_str(), format!("https://vault.example/base/v1/{encoded}"));
        }
        let list = http.url(&Call::list("secret/metadata".to_owned()));
        assert_eq!(list.as_str(), "https://vault.example/base/v1/secret/metadata?list=true");
    }
}
