//! What is shipped to install keystow: the kustomize base and its overlay, the chart, the alerts and the dashboard.
//!
//! `chart` and `monitoring` look at what is rendered, `installation` at what a real API server makes of it. The tools are
//! real too: `kubectl kustomize`, and the Helm that `tests/helm/build.sh` builds.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod beside;
mod chart;
mod creator;
mod installation;
mod monitoring;
mod objects;
mod tools;
mod values;
