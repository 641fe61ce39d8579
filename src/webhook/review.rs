//! What the server asks of the decision, and what it is told back.

use std::fmt;

/// Turns the bytes of an `AdmissionReview` into the bytes of its answer.
///
/// Implementations do no I/O, take no lock and never block: the server calls them on its async threads.
pub trait Review: Send + Sync + 'static {
    /// Decides one review.
    fn answer(&self, body: &[u8]) -> Answer;
}

/// The decision on one request body. `Debug` leaves the patch out: it is part of a pod.
pub enum Answer {
    /// A review that could be read: HTTP 200 with this JSON, whatever was decided.
    Reviewed {
        /// The `AdmissionReview` response as JSON.
        body: Vec<u8>,
        /// What to log and count. Never an object, never a value.
        record: Record,
    },
    /// Bytes that are no `admission.k8s.io/v1` review: HTTP 400 with this message in a JSON body.
    Malformed(String),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reviewed { body, record } => f
                .debug_struct("Reviewed")
                .field("body", &format_args!("<{} bytes>", body.len()))
                .field("record", record)
                .finish(),
            Self::Malformed(error) => f.debug_tuple("Malformed").field(error).finish(),
        }
    }
}

/// What is logged and counted of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `request.uid`.
    pub uid: String,
    /// `request.namespace`.
    pub namespace: String,
    /// The pod's name, or its `generateName`.
    pub pod: String,
    /// What is done with the pod.
    pub operation: Operation,
    /// Whether nothing is kept of it.
    pub dry_run: bool,
    /// What was decided.
    pub outcome: Outcome,
    /// How many patch operations the answer carries.
    pub operations: usize,
    /// How many warnings the answer carries.
    pub warnings: usize,
}

/// `request.operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `CREATE`.
    Create,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
    /// A word that Kubernetes does not have.
    Other,
}

impl Operation {
    /// Reads Kubernetes' word.
    #[must_use]
    pub fn read(word: &str) -> Self {
        let all = [Self::Create, Self::Update, Self::Delete, Self::Connect];
        all.into_iter().find(|operation| operation.as_str() == word).unwrap_or(Self::Other)
    }

    /// Kubernetes' word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Other => "OTHER",
        }
    }
}

/// What was decided. A closed set: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Allowed with a patch.
    Injected,
    /// Allowed as it is.
    Unchanged,
    /// Refused.
    Denied(DenialReason),
}

/// Why a pod was refused. A closed set: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// An annotation that could never be served.
    InvalidAnnotation,
    /// Something of the pod is in the place of something of ours.
    Clash,
    /// The operator's configuration does not allow it.
    NotAllowed,
    /// The cluster or the pod's operating system cannot do it.
    Unsupported,
    /// The pod in the review could not be read.
    Unreadable,
}
