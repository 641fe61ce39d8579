//! Why the API server did not do what it was asked, as a person wants to read it.
//!
//! The client's own errors tell the same thing three times over, and all of a `Status`; Events have room for 1,024 bytes.

use std::error::Error as StdError;
use std::fmt;

use kube::core::Status;
use kube::runtime::watcher;

use crate::telemetry::is_raw;

/// A request that failed: its `Display` is the API server's message where it gave one.
#[derive(Debug)]
pub struct ApiError(Cause);

#[derive(Debug)]
enum Cause {
    Client(kube::Error),
    /// A watch that the API server ended.
    Ended(Box<Status>),
    /// A watch of what cannot be watched.
    NoVersion,
}

impl ApiError {
    /// Whether there is no such object, or no such kind.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// Whether somebody else wrote in between (409).
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    /// Whether the right is missing (403).
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status().is_some_and(|status| status.code == 403)
    }

    /// Whether the object cannot be written like that (422).
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.status().is_some_and(|status| status.code == 422)
    }

    /// Whether the API server answered, and that it would not.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status().is_some()
    }

    fn status(&self) -> Option<&Status> {
        match &self.0 {
            Cause::Client(kube::Error::Api(status)) | Cause::Ended(status) => Some(status),
            Cause::Client(_) | Cause::NoVersion => None,
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        Self(Cause::Client(error))
    }
}

impl From<watcher::Error> for ApiError {
    fn from(error: watcher::Error) -> Self {
        use watcher::Error;
        Self(match error {
            Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
                Cause::Client(error)
            }
            Error::WatchError(status) => Cause::Ended(status),
            Error::NoResourceVersion => Cause::NoVersion,
        })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status(), &self.0) {
            (Some(status), _) if status.message.is_empty() || is_raw(status) => {
                write!(f, "the API server said {}", status.code)
            }
            (Some(status), _) => f.write_str(&status.message),
            (None, Cause::Client(error)) => error.fmt(f),
            (None, _) => f.write_str("the API server gives no resourceVersion; it cannot be watched"),
        }
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Cause::Client(kube::Error::Api(_)) | Cause::Ended(_) | Cause::NoVersion => None,
            Cause::Client(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::chain;

    #[test]
    fn a_refusal_is_the_api_servers_message_once() {
        let status = || Box::new(Status::failure("secrets \"x\" is forbidden", "Forbidden").with_code(403));
        for error in [
            ApiError::from(kube::Error::Api(status())),
            ApiError::from(watcher::Error::InitialListFailed(kube::Error::Api(status()))),
            ApiError::from(watcher::Error::WatchError(status())),
        ] {
            assert_eq!(chain(&error), "secrets \"x\" is forbidden");
            assert!(!error.is_conflict());
        }
        assert!(
            ApiError::from(kube::Error::Api(Box::new(Status::failure("x", "Conflict").with_code(409))))
                .is_conflict()
        );
    }

    #[test]
    fn an_answer_that_could_not_be_read_is_not_quoted() {
        let raw = Status::failure("hunter2", "Failed to parse error data").with_code(502);
        let error = ApiError::from(kube::Error::Api(Box::new(raw)));
        assert_eq!(chain(&error), "the API server said 502");
    }

    #[test]
    fn a_refusal_without_words_has_its_number() {
        let status = Status { code: 500, ..Status::default() };
        assert_eq!(chain(&ApiError::from(kube::Error::Api(Box::new(status)))), "the API server said 500");
    }
}
