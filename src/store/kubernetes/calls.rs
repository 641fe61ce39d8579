//! The API server: one request each, and why one failed.
//!
//! ```text
//! request ─▶ attempt ─▶ 2xx          the object
//!               │    └▶ 401          once more, with the token as it is in its file now
//!               └─────▶ any other    Failure, by the Status that the API server sends
//! ```
//!
//! Invariants: each attempt has a bound of its own, so that a server that stalls costs one attempt; only a `Status` of
//! the API server itself says that something is absent, and no other answer is quoted; what cannot be read is told
//! without its content.
//!
//! Deliberately absent: trying again, which is the caller's business (the client's own way of it is switched off).

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::client::Body;
use kube::{Client, Config};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::super::StoreError;
use super::object::{Found, Page, shows};
use crate::domain::SecretValue;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Entries of a page.
const PAGE: usize = 500;
/// Who writes, as `metadata.managedFields` tells people.
const MANAGER: &str = "fieldManager=keystow";
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Why a request did not do what it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such Secret.
    Absent,
    /// Somebody else wrote in between, or was first.
    Conflict,
    /// The rest of a list cannot be had any more.
    Expired,
    /// The API server does not know who asks.
    Unknown,
    /// It knows, and refuses.
    Denied(String),
    /// It is not there, or not now.
    Away { reason: String, retry_after: Option<Duration> },
    /// It cannot be.
    Invalid(String),
}

impl Failure {
    fn away(reason: impl Into<String>) -> Self {
        Self::Away { reason: reason.into(), retry_after: None }
    }

    pub(super) fn at(self, path: impl ToString) -> StoreError {
        match self {
            Self::Absent => StoreError::unavailable(path, "the Secret went in between"),
            Self::Conflict | Self::Expired => StoreError::unavailable(path, "somebody else wrote in between"),
            Self::Unknown => StoreError::denied(
                path,
                "the API server does not accept the service account's token, not even as it is in its file now",
            ),
            Self::Denied(reason) => StoreError::denied(path, reason),
            Self::Away { reason, retry_after } => {
                StoreError::Unavailable { path: path.to_string(), reason, retry_after }
            }
            Self::Invalid(reason) => StoreError::invalid(path, reason),
        }
    }

    /// The same, without the API server's words where they show one of these values.
    pub(super) fn without<'v>(self, mut values: impl Iterator<Item = &'v SecretValue>) -> Self {
        match self {
            Self::Denied(reason) if values.any(|value| shows(&reason, value)) => {
                Self::Denied("the API server refuses it in words that show the value".to_owned())
            }
            Self::Invalid(reason) if values.any(|value| shows(&reason, value)) => {
                Self::Invalid("the API server refuses it in words that show the value".to_owned())
            }
            other => other,
        }
    }
}

/// A request, and the right that it needs.
struct Call<'c> {
    method: Method,
    /// Behind `/secrets` of the namespace.
    target: String,
    accept: &'static str,
    content_type: &'static str,
    body: &'c [u8],
    /// The verb of the right, and the Secret's name where a Role can be confined to it.
    right: (&'static str, Option<&'c str>),
}

/// The client of an API server, and what it is made anew from.
pub(super) struct Line {
    config: Config,
    client: Mutex<Client>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration may hold a token.
        f.debug_struct("Line").field("server", &self.config.cluster_url).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(mut config: Config) -> Result<Self, kube::Error> {
        config.proxy_url = None;
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_WITHIN);
        let client = Mutex::new(Client::try_from(config.clone())?);
        Ok(Self { config, client })
    }

    async fn client(&self) -> Client {
        self.client.lock().await.clone()
    }

    /// A client that reads the token as it is now: a client keeps one for a while, and the kubelet may have written
    /// another.
    async fn renewed(&self) -> Result<Client, Failure> {
        let fresh = Client::try_from(self.config.clone())
            .map_err(|error| Failure::away(format!("no new connection: {}", root_cause(&error))))?;
        self.client.lock().await.clone_from(&fresh);
        Ok(fresh)
    }
}

/// Secret objects of one namespace.
#[derive(Debug)]
pub(super) struct Api {
    line: Arc<Line>,
    namespace: String,
}

impl Api {
    pub(super) fn new(line: Arc<Line>, namespace: &str) -> Self {
        Self { line, namespace: namespace.to_owned() }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) async fn get(&self, name: &str) -> Result<Found, Failure> {
        self.read(name).await.map(|(found, _)| found)
    }

    /// The same with what the API server's clock says.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<(T, Option<Timestamp>), Failure> {
        self.call(&Call {
            method: Method::GET,
            target: format!("/{name}"),
            accept: JSON,
            content_type: JSON,
            body: &[],
            right: ("get", Some(name)),
        })
        .await
    }

    pub(super) async fn create(&self, body: &[u8]) -> Result<(), Failure> {
        let call = Call {
            method: Method::POST,
            target: format!("?{MANAGER}"),
            accept: JSON,
            content_type: JSON,
            body,
            right: ("create", None),
        };
        self.call::<IgnoredAny>(&call).await.map(drop)
    }

    pub(super) async fn patch(&self, name: &str, body: &[u8]) -> Result<(), Failure> {
        let call = Call {
            method: Method::PATCH,
            target: format!("/{name}?{MANAGER}"),
            accept: JSON,
            content_type: MERGE_PATCH,
            body,
            right: ("patch", Some(name)),
        };
        self.call::<IgnoredAny>(&call).await.map(drop)
    }

    pub(super) async fn delete(&self, name: &str, options: &[u8]) -> Result<(), Failure> {
        let call = Call {
            method: Method::DELETE,
            target: format!("/{name}"),
            accept: JSON,
            content_type: JSON,
            body: options,
            right: ("delete", Some(name)),
        };
        self.call::<IgnoredAny>(&call).await.map(drop)
    }

    /// A page of the list of what has these labels; the first where `next` is empty.
    pub(super) async fn list(&self, selector: &str, next: &str) -> Result<Page, Failure> {
        self.call(&Call {
            method: Method::GET,
            target: format!("?labelSelector={selector}&limit={PAGE}&continue={next}"),
            accept: METADATA,
            content_type: JSON,
            body: &[],
            right: ("list", None),
        })
        .await
        .map(|(page, _)| page)
    }

    async fn call<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<(T, Option<Timestamp>), Failure> {
        match self.bounded(&self.line.client().await, call).await {
            Err(Failure::Unknown) => self.bounded(&self.line.renewed().await?, call).await,
            answer => answer,
        }
    }

    async fn bounded<T: DeserializeOwned>(
        &self,
        client: &Client,
        call: &Call<'_>,
    ) -> Result<(T, Option<Timestamp>), Failure> {
        let attempt = tokio::time::timeout(ANSWER_WITHIN, self.attempt(client, call));
        let late = || Err(Failure::away(format!("the API server did not answer within {ANSWER_WITHIN:?}")));
        attempt.await.unwrap_or_else(|_| late())
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        client: &Client,
        call: &Call<'_>,
    ) -> Result<(T, Option<Timestamp>), Failure> {
        let unreached = |error: &dyn StdError| {
            Failure::away(format!("the API server cannot be reached: {}", root_cause(error)))
        };
        let request = Request::builder()
            .method(call.method.clone())
            .uri(format!("/api/v1/namespaces/{}/secrets{}", self.namespace, call.target))
            .header(ACCEPT, call.accept)
            .header(CONTENT_TYPE, call.content_type)
            .body(Body::from(call.body.to_vec()))
            .map_err(|_| Failure::Invalid("its name does not fit into a request".to_owned()))?;
        let answer = client.send(request).await.map_err(|error| unreached(&error))?;
        let (head, mut body) = answer.into_parts();
        let mut content = Zeroizing::new(Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreached(&error))?;
            content.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        if head.status.is_success() {
            let unreadable =
                |_| Failure::away("the API server's answer cannot be read; it may have been cut off");
            let value = serde_json::from_slice(&content).map_err(unreadable)?;
            return Ok((value, time_of(&head.headers)));
        }
        let status = serde_json::from_slice(&content).ok();
        Err(failure(head.status, &head.headers, status, call.right, &self.namespace))
    }
}

/// When it was answered, by the API server's clock (RFC 9110, `Date`).
fn time_of(headers: &HeaderMap) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(headers.get(DATE)?.as_bytes()).ok()
}

/// What an answer other than success means.
fn failure(
    code: StatusCode,
    headers: &HeaderMap,
    status: Option<Status>,
    (verb, name): (&str, Option<&str>),
    namespace: &str,
) -> Failure {
    let number = || format!("the API server said {}", code.as_u16());
    let status = status.unwrap_or_default();
    let message = status.message.filter(|message| !message.is_empty()).unwrap_or_else(number);
    let details = status.details.unwrap_or_default();
    let reason = status.reason.as_deref().unwrap_or_default();
    let has_cause =
        |cause: &str| details.causes.iter().flatten().any(|found| found.reason.as_deref() == Some(cause));
    match code.as_u16() {
        // The API server does not redirect; whoever did is not followed with the token.
        300..=399 => Failure::away(number()),
        401 => Failure::Unknown,
        403 if has_cause("NamespaceTerminating") => {
            Failure::Invalid(format!("namespace {namespace} is being deleted, and takes nothing new"))
        }
        // RBAC's own words; a quota or a policy that says no is not helped by a Role.
        403 if message.contains(" cannot ") => {
            let which = name.map_or(String::new(), |name| format!(" with resourceNames [{name}]"));
            Failure::Denied(format!("{message}; a Role must allow `{verb}` of secrets{which}"))
        }
        403 => Failure::Denied(message),
        404 if reason != "NotFound" => Failure::away(number()),
        404 if details.kind.as_deref() == Some("namespaces") => {
            Failure::Invalid(format!("there is no namespace {namespace}"))
        }
        404 => Failure::Absent,
        409 => Failure::Conflict,
        410 => Failure::Expired,
        408 | 429 | 500.. => {
            let told = headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
            let told = told.or_else(|| u64::try_from(details.retry_after_seconds?).ok());
            Failure::Away {
                reason: message,
                retry_after: told.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            }
        }
        _ => Failure::Invalid(message),
    }
}

/// The first of the errors that led to this one: the client tells the same several times over.
fn root_cause(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn failed(code: u16, status: Value) -> Failure {
        let code = StatusCode::from_u16(code).unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "3".parse().unwrap())]);
        failure(code, &headers, serde_json::from_value(status).ok(), ("get", Some("db")), "app")
    }

    fn status(reason: &str, message: &str, details: &Value) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": reason, "message": message, "details": details,
        })
    }

    #[test]
    fn only_the_api_server_says_that_there_is_nothing() {
        let absent =
            status("NotFound", "secrets \"db\" not found", &json!({"name": "db", "kind": "secrets"}));
        assert_eq!(failed(404, absent), Failure::Absent);
        assert_eq!(failed(404, json!("404 page not found")), Failure::away("the API server said 404"));
        let nowhere = status("NotFound", "namespaces \"app\" not found", &json!({"kind": "namespaces"}));
        assert_eq!(failed(404, nowhere), Failure::Invalid("there is no namespace app".to_owned()));
    }

    #[test]
    fn a_missing_right_is_named_and_other_refusals_are_quoted() {
        let message = "secrets \"db\" is forbidden: User \"web\" cannot get resource \"secrets\"";
        let Failure::Denied(reason) = failed(403, status("Forbidden", message, &json!({}))) else { panic!() };
        assert_eq!(reason, format!("{message}; a Role must allow `get` of secrets with resourceNames [db]"));
        let quota = "secrets \"db\" is forbidden: exceeded quota: few";
        assert_eq!(failed(403, status("Forbidden", quota, &json!({}))), Failure::Denied(quota.to_owned()));
        let going = json!({"causes": [{"reason": "NamespaceTerminating"}]});
        assert!(matches!(failed(403, status("Forbidden", "unable to create", &going)), Failure::Invalid(_)));
    }

    #[test]
    fn who_is_throttled_learns_for_how_long() {
        for code in [429, 500, 503] {
            let Failure::Away { retry_after, reason } = failed(code, json!("Too many requests")) else {
                panic!()
            };
            assert_eq!(retry_after, Some(Duration::from_secs(3)));
            assert_eq!(reason, format!("the API server said {code}"));
        }
    }

    #[test]
    fn other_answers_have_their_class() {
        assert_eq!(failed(307, json!(null)), Failure::away("the API server said 307"));
        assert_eq!(failed(401, json!(null)), Failure::Unknown);
        assert_eq!(failed(409, json!(null)), Failure::Conflict);
        assert_eq!(failed(410, json!(null)), Failure::Expired);
        let immutable = status("Invalid", "data: Forbidden: field is immutable", &json!({}));
        assert_eq!(
            failed(422, immutable),
            Failure::Invalid("data: Forbidden: field is immutable".to_owned())
        );
    }

    #[test]
    fn words_that_show_a_value_are_kept_back() {
        let value = SecretValue::new(b"hunter2".to_vec());
        let told = Failure::Invalid("policy: hunter2 is weak".to_owned()).without([&value].into_iter());
        assert!(!format!("{told:?}").contains("hunter2"));
        let other = Failure::Denied("policy: no".to_owned());
        assert_eq!(other.clone().without([&value].into_iter()), other);
    }
}
