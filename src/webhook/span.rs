//! The span of a review: what a trace tells of it.
//!
//! Invariants: the same names as in the log line, under `keystow.review.`, and never a value; a request whose client is
//! gone before the answer is a span all the same, as it is counted.

use http::HeaderMap;

use super::metrics::{Denial, RequestOutcome};
use super::refusal::Refusal;
use super::review::{Outcome, Record};
use crate::telemetry::traces::{Span, Traces, Value};

/// The span of one `POST /mutate`.
pub(super) struct ReviewSpan {
    span: Span,
    outcome: RequestOutcome,
}

impl ReviewSpan {
    pub(super) fn begin(traces: &Traces, headers: &HeaderMap) -> Self {
        let mut span = traces.begin("POST /mutate", headers);
        span.set("http.request.method", Value::Text("POST"));
        span.set("http.route", Value::Text("/mutate"));
        Self { span, outcome: RequestOutcome::Abandoned }
    }

    /// The id of the trace, for the log line.
    pub(super) fn trace_id(&self) -> Option<String> {
        self.span.trace_id()
    }

    /// Ends with what was decided.
    pub(super) fn reviewed(mut self, record: &Record) {
        let mut set = |key, value| self.span.set(key, value);
        set("keystow.review.uid", Value::Text(&record.uid));
        set("keystow.review.namespace", Value::Text(&record.namespace));
        set("keystow.review.pod", Value::Text(&record.pod));
        set("keystow.review.operation", Value::Text(record.operation.as_str()));
        set("keystow.review.dry_run", Value::Flag(record.dry_run));
        set("keystow.review.patch_operations", Value::Number(number(record.operations)));
        set("keystow.review.warnings", Value::Number(number(record.warnings)));
        if let Outcome::Denied(reason) = record.outcome {
            set("keystow.review.reason", Value::Text(Denial::from(reason).as_str()));
        }
        set("http.response.status_code", Value::Number(200));
        self.outcome = record.outcome.into();
    }

    /// Ends with why there was no decision.
    pub(super) fn refused(mut self, refusal: &Refusal) {
        let status = refusal.status();
        self.span.set("http.response.status_code", Value::Number(status.as_u16().into()));
        if status.is_server_error() {
            self.span.fail();
        }
        self.outcome = refusal.outcome();
    }
}

impl Drop for ReviewSpan {
    fn drop(&mut self) {
        self.span.set("keystow.review.outcome", Value::Text(self.outcome.as_str()));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
