//! What it means that AWS did not do what it was asked: denied, expired, away, or impossible.
//!
//! By the error's code where the service answered (the codes are those of every service; what only one of them says is
//! told by its store), by the cause where nobody did. A reason quotes the service only where it cannot quote us: who
//! refuses a value may show it.

use std::io;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rustls::CertificateError;

use crate::store::StoreError;

/// What a call to a service comes to.
pub(in crate::store) type Call<T, E> = Result<T, SdkError<E, HttpResponse>>;

/// The errors of an operation.
pub(in crate::store) trait Error:
    std::error::Error + ProvideErrorMetadata + Send + Sync + 'static
{
}

impl<E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static> Error for E {}

/// Cut here: the service's words are shown in one line of a termination log that has 4 KiB.
const LONGEST_REASON: usize = 300;

const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "RegionDisabledException",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "RequestExpired"];

const BUSY: &[&str] = &[
    "BandwidthLimitExceeded",
    "IDPCommunicationError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Denied,
    Expired,
    Unavailable,
    Invalid,
}

/// Why a call failed, without what it was about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(in crate::store) struct Fault {
    class: Class,
    reason: String,
    retry_after: Option<Duration>,
}

impl Fault {
    fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), retry_after: None }
    }

    pub(in crate::store) fn denied(reason: impl Into<String>) -> Self {
        Self::new(Class::Denied, reason)
    }

    pub(in crate::store) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(Class::Unavailable, reason)
    }

    pub(in crate::store) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(Class::Invalid, reason)
    }

    /// Whether it helps to log in again.
    pub(super) fn is_expiry(&self) -> bool {
        self.class == Class::Expired
    }

    /// Whether somebody else's right is missing, so that others may be served.
    pub(in crate::store) fn is_denial(&self) -> bool {
        self.class == Class::Denied
    }

    /// The same, of the login as a role. A token that has expired is renewed by the kubelet.
    pub(super) fn of_role(self, role: &str) -> Self {
        let class = if self.is_expiry() { Class::Unavailable } else { self.class };
        Self { class, reason: format!("assuming {role}: {}", self.reason), ..self }
    }

    /// The error for who asked for this.
    pub(in crate::store) fn about(&self, what: &(impl ToString + ?Sized)) -> StoreError {
        let (path, reason, retry_after) = (what.to_string(), self.reason.clone(), self.retry_after);
        match self.class {
            Class::Denied => StoreError::Denied { path, reason },
            Class::Expired | Class::Unavailable => StoreError::Unavailable { path, reason, retry_after },
            Class::Invalid => StoreError::Invalid { path, reason },
        }
    }

    /// Why this call failed.
    pub(in crate::store) fn of<E: Error>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(context) => {
                let (answer, error) = (context.raw(), context.err());
                let status = answer.status().as_u16();
                let header = |name| answer.headers().get(name).and_then(|text| text.parse::<u64>().ok());
                let retry_after = header("retry-after")
                    .map(Duration::from_secs)
                    .or_else(|| header("x-amz-retry-after").map(Duration::from_millis));
                Self { retry_after, ..Self::answered(error.code(), error.message(), status) }
            }
            SdkError::TimeoutError(_) => Self::unavailable("no answer in time"),
            SdkError::ResponseError(context) => {
                let status = context.raw().status().as_u16();
                Self::unavailable(format!("its answer, HTTP status {status}, cannot be read"))
            }
            _ => Self::on_the_way(error),
        }
    }

    /// What a service means by a code. Others than the four are told by the store that knows them.
    pub(in crate::store) fn answered(code: Option<&str>, message: Option<&str>, status: u16) -> Self {
        let Some(code) = code else {
            return match status {
                429 | 500.. => Self::unavailable(format!("HTTP status {status}")),
                401 | 403 | 407 => Self::denied(format!("HTTP status {status}")),
                // An answer that says that it is one, and is not: it broke off, or somebody in between made it.
                200..300 => Self::unavailable(format!("its answer, HTTP status {status}, cannot be read")),
                _ => Self::invalid(format!("HTTP status {status}: whoever answers is not the service")),
            };
        };
        let class = if DENIED.contains(&code) {
            Class::Denied
        } else if EXPIRED.contains(&code) {
            Class::Expired
        } else if BUSY.contains(&code) || status == 429 || status >= 500 {
            Class::Unavailable
        } else {
            return Self::invalid(format!("AWS refuses it: {}", one_line(code)));
        };
        Self::new(class, one_line(message.filter(|text| !text.is_empty()).unwrap_or(code)))
    }

    /// Nobody answered, or nobody could be asked: there are no credentials, or no connection.
    fn on_the_way(error: &(dyn std::error::Error + 'static)) -> Self {
        type Assume = SdkError<AssumeRoleWithWebIdentityError, HttpResponse>;
        let mut last = None;
        let mut login = "";
        for cause in causes(error) {
            if let Some(fault) = cause.downcast_ref::<Self>() {
                return fault.clone();
            }
            // Not this error itself, where it is the login that failed.
            let assuming = cause.downcast_ref::<Assume>().filter(|_| last.is_some());
            if let Some(assuming) = assuming {
                return Self::of(assuming).of_role("the role of the service account");
            }
            match cause.downcast_ref::<CredentialsError>() {
                Some(CredentialsError::CredentialsNotLoaded(_)) => {
                    return Self::denied(
                        "there are no AWS credentials: give the store an audience and a roleArn, or the pod's service account a \
                         role by EKS Pod Identity or eks.amazonaws.com/role-arn",
                    );
                }
                Some(CredentialsError::ProviderTimedOut(_)) => {
                    return Self::unavailable("AWS credentials did not come in time");
                }
                Some(_) => login = "getting AWS credentials: ",
                None => {}
            }
            if let Some(reason) = known(cause) {
                return Self::unavailable(format!("{login}{reason}"));
            }
            last = Some(cause);
        }
        let reason = last.map(ToString::to_string).unwrap_or_default();
        Self::unavailable(format!("{login}{}", one_line(&reason)))
    }
}

/// An error and what caused it. An I/O error hides the one that it was made of.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside {
            Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
            None => error.source(),
        }
    })
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(rustls::Error::InvalidCertificate(error)) = cause.downcast_ref::<rustls::Error>() {
        return Some(match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is by an authority that is not trusted here"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            _ => "its certificate is not valid",
        });
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Some("connection reset"),
        io::ErrorKind::UnexpectedEof => Some("the connection broke off"),
        io::ErrorKind::TimedOut => Some("no connection in time"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some("it cannot be reached"),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    text.chars().take(LONGEST_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: Option<&str>, status: u16) -> Class {
        Fault::answered(code, Some("words"), status).class
    }

    #[test]
    fn codes_have_classes() {
        for (code, status, expected) in [
            (Some("AccessDeniedException"), 400, Class::Denied),
            (Some("UnrecognizedClientException"), 400, Class::Denied),
            (Some("ExpiredTokenException"), 400, Class::Expired),
            (Some("ThrottlingException"), 400, Class::Unavailable),
            (Some("ProvisionedThroughputExceededException"), 400, Class::Unavailable),
            (Some("SomethingNew"), 503, Class::Unavailable),
            (Some("ValidationException"), 400, Class::Invalid),
            (None, 500, Class::Unavailable),
            (None, 403, Class::Denied),
            (None, 404, Class::Invalid),
        ] {
            assert_eq!(class(code, status), expected, "{code:?} {status}");
        }
    }

    #[test]
    fn who_refuses_what_we_sent_is_not_quoted() {
        let message = Some("Value 'hunter2' at 'secretString' failed to satisfy constraint");
        let fault = Fault::answered(Some("ValidationException"), message, 400);
        assert_eq!(fault.to_string(), "AWS refuses it: ValidationException");
        let fault = Fault::answered(Some("AccessDenied"), Some("not\nauthorized"), 400);
        assert_eq!(fault.to_string(), "not authorized");
    }

    #[test]
    fn what_an_io_error_hides_is_found() {
        let hidden = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        let error = io::Error::other(io::Error::other(hidden));
        assert_eq!(Fault::on_the_way(&error), Fault::unavailable("its certificate is for another name"));
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(Fault::on_the_way(&refused), Fault::unavailable("connection refused"));
    }

    #[test]
    fn without_credentials_it_is_told_what_to_do() {
        let error = io::Error::other(CredentialsError::not_loaded("no providers"));
        let StoreError::Denied { reason, .. } = Fault::on_the_way(&error).about("/db") else { panic!() };
        assert!(reason.contains("roleArn"), "{reason}");
    }

    #[test]
    fn an_expired_token_is_waited_for() {
        let fault = Fault::answered(Some("ExpiredTokenException"), Some("expired"), 400);
        assert!(fault.is_expiry());
        let fault = fault.of_role("r");
        assert!(!fault.is_expiry() && fault.about("/db").is_worth_waiting_for());
    }
}
