//! What a client is told when its request cannot be reviewed.
//!
//! The one place where a cause becomes a status code, a text and a metric label. Every body is JSON with the same two
//! members, `error` and `expected`; no body quotes the request.

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::body::BodyError;
use super::metrics::RequestOutcome;

/// Why a request is not reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body could not be read.
    Body(BodyError),
    /// The body is no review; the text says what was expected.
    Malformed(String),
    /// Not JSON, by the request's own word.
    MediaType,
    /// Not a method of this path.
    Method,
    /// As many requests as allowed are in flight.
    Overloaded,
    /// The decision panicked.
    Panicked,
    /// Not a path of this server.
    Path,
}

impl Refusal {
    pub(super) fn outcome(&self) -> RequestOutcome {
        match self {
            Self::Body(BodyError::Broken) => RequestOutcome::Abandoned,
            Self::Body(BodyError::Overloaded) | Self::Overloaded => RequestOutcome::Overloaded,
            Self::Body(BodyError::TooLarge) => RequestOutcome::TooLarge,
            Self::Body(BodyError::TooSlow) => RequestOutcome::TimedOut,
            Self::Malformed(_) => RequestOutcome::Malformed,
            Self::Panicked => RequestOutcome::Panicked,
            Self::MediaType | Self::Method | Self::Path => RequestOutcome::Refused,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Body(BodyError::Broken) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Body(BodyError::Overloaded) | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Path => StatusCode::NOT_FOUND,
        }
    }

    fn error(&self) -> &str {
        match self {
            Self::Body(BodyError::Broken) => "the body ended before it was whole",
            Self::Body(BodyError::Overloaded) | Self::Overloaded => "too many requests at once",
            Self::Body(BodyError::TooLarge) => "the body is too large",
            Self::Body(BodyError::TooSlow) => "the body did not come in time",
            Self::Malformed(error) => error,
            Self::MediaType => "the body is not declared as JSON",
            Self::Method => "this path is not asked in this way",
            Self::Panicked => "the review failed inside the webhook; its log names the place",
            Self::Path => "there is nothing at this path",
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Body(BodyError::TooLarge) => "an admission review within the size bound",
            Self::Body(BodyError::Broken | BodyError::TooSlow) => "a whole body within the request's timeout",
            Self::Body(BodyError::Overloaded) | Self::Overloaded => "the same request again, a little later",
            Self::Malformed(_) => "an AdmissionReview of admission.k8s.io/v1 as JSON",
            Self::MediaType => "content-type: application/json",
            Self::Method | Self::Path => "POST /mutate",
            Self::Panicked => "a report of that log line",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error(), "expected": self.expected() }).to_string();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.outcome() == RequestOutcome::Overloaded {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == Self::Method {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
