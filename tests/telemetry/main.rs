//! What `keystow webhook` tells a collector of traces, and that a bad collector harms nothing.
//!
//! The program runs as a process with the standard variables, since they are all it is configured by. Without the
//! feature `otel` one test stays: that such a build says so.

#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "otel")]
mod traces;

#[cfg(not(feature = "otel"))]
#[tokio::test]
async fn a_build_without_traces_says_so_once() {
    let program = env!("CARGO_BIN_EXE_keystow");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let webhook = support::webhook::Webhook::start_in(program, "", &environment, &[]).await;
    let log = webhook.log_text();
    assert_eq!(log.matches("this build has no traces").count(), 1, "{log}");
}
