//! Traces: spans that a collector gets over OTLP, where the standard `OTEL_*` variables name one.
//!
//! Flow: [`Traces::from_environment`] once at start → [`Traces::begin`] for each request, with the parent that its
//! `traceparent` header names → [`Span::set`] → the span ends when it is dropped, and waits in a bounded queue for a
//! thread that sends what has come together → [`Traces::finish`] at the end of the process.
//!
//! Invariants: without an endpoint nothing is made, no thread and no span; nothing of a collector - away, slow, wrong -
//! delays or fails a request: spans are lost instead, and a log line a minute says how many. Of a request's headers
//! only the ids of `traceparent` are read, so that nothing else can be passed on. Mistakes in the variables are a
//! warning that names the variable and not its value, which may hold a token; the process runs without traces.
//!
//! Deliberately absent: spans from log lines (they would carry what libraries put into theirs), metrics and logs over
//! OTLP, gRPC, and `tracestate` and baggage.

#[cfg(not(feature = "otel"))]
#[path = "traces/absent.rs"]
mod pipeline;
#[cfg(feature = "otel")]
#[path = "traces/otlp.rs"]
mod pipeline;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use thiserror::Error;

use self::pipeline::{Open, Pipeline};
use super::chain;

/// How long the end of the process may take for the last spans.
pub const FINISH_WITHIN: Duration = Duration::from_secs(2);

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// Why there are no traces though they were asked for.
#[derive(Debug, Error)]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "only a build with traces makes them"))]
pub enum TracesError {
    /// This build has none.
    #[error("this build has no traces; use one with the cargo feature `otel`, or unset {variable}")]
    Absent {
        /// What asked for them.
        variable: &'static str,
    },
    /// The CA file cannot be used.
    #[error("the file that {variable} names holds no CA certificate in PEM that can be read")]
    Authority {
        /// What names the file.
        variable: &'static str,
    },
    /// The endpoint is none.
    #[error("{variable} is not an http:// or https:// URL; give the collector's address for OTLP over HTTP")]
    Endpoint {
        /// What holds the endpoint.
        variable: &'static str,
    },
    /// Another protocol is asked for.
    #[error("{variable} asks for another protocol than http/protobuf, the only one of this program")]
    Protocol {
        /// What asks.
        variable: &'static str,
    },
    /// The exporter cannot be made.
    #[error("the exporter of traces cannot be made; check the OTEL_EXPORTER_OTLP_* variables")]
    Exporter,
    /// TLS cannot be configured.
    #[error("this build cannot speak TLS 1.2 and 1.3 to a collector; report it")]
    Tls(#[source] rustls::Error),
}

/// The value of an environment variable that is set and says something.
type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// Makes spans, or none at all. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Pipeline>>);

/// One span, from when it began until it is dropped. Where there are no traces it is nothing.
#[derive(Default)]
pub struct Span(Option<Open>);

/// A value of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'v> {
    /// Text; what is longer than any name is cut.
    Text(&'v str),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl Traces {
    /// What the environment asks for. What cannot be had is a log line, and no traces.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        match Self::open(&variable) {
            Ok(traces) => traces,
            Err(error) => {
                tracing::warn!(reason = chain(&error), "no traces are sent");
                Self::default()
            }
        }
    }

    fn open(variable: Lookup<'_>) -> Result<Self, TracesError> {
        let Some(endpoint) = endpoint(variable) else { return Ok(Self::default()) };
        let pipeline = Pipeline::open(endpoint, variable)?;
        tracing::info!(endpoint, "traces are sent to the collector that this variable names");
        Ok(Self(Some(Arc::new(pipeline))))
    }

    /// Begins the span of a request that a server answers.
    #[must_use]
    pub fn begin(&self, name: &'static str, headers: &HeaderMap) -> Span {
        Span(self.0.as_ref().and_then(|pipeline| pipeline.begin(name, headers)))
    }

    /// Sends what still waits, within a bound. Blocks: for the end of the process.
    pub fn finish(&self, within: Duration) {
        if let Some(pipeline) = &self.0 {
            pipeline.finish(within);
        }
    }
}

impl Span {
    /// The id of the trace, by which a log line is found from a span.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(Open::trace_id)
    }

    /// Notes a value.
    pub fn set(&mut self, key: &'static str, value: Value<'_>) {
        if let Some(open) = &mut self.0 {
            open.set(key, value);
        }
    }

    /// Marks that the server failed.
    pub fn fail(&mut self) {
        if let Some(open) = &mut self.0 {
            open.fail();
        }
    }
}

/// The variable that asks for traces, if one does.
fn endpoint(variable: Lookup<'_>) -> Option<&'static str> {
    let says =
        |name: &str, word: &str| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
    if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    [TRACES_ENDPOINT, ENDPOINT].into_iter().find(|name| variable(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)]) -> Option<&'static str> {
        endpoint(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn traces_are_asked_for_by_an_endpoint_alone() {
        let address = "http://collector:4318";
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[("OTEL_SERVICE_NAME", "keystow")]), None);
        assert_eq!(asked(&[(ENDPOINT, address)]), Some(ENDPOINT));
        assert_eq!(asked(&[(ENDPOINT, address), (TRACES_ENDPOINT, address)]), Some(TRACES_ENDPOINT));
        assert_eq!(asked(&[(ENDPOINT, address), ("OTEL_SDK_DISABLED", "True")]), None);
        assert_eq!(asked(&[(ENDPOINT, address), ("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn without_an_endpoint_there_is_nothing() {
        let traces = Traces::open(&|_| None).unwrap();
        assert!(traces.0.is_none());
        let mut span = traces.begin("x", &HeaderMap::new());
        span.set("k", Value::Flag(true));
        assert_eq!(span.trace_id(), None);
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_build_without_traces_says_so() {
        let error =
            Traces::open(&|name| (name == ENDPOINT).then(|| "http://collector:4318".to_owned())).err();
        assert!(matches!(error, Some(TracesError::Absent { variable: ENDPOINT })), "{error:?}");
    }
}
