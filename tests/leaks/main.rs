//! No secret value reaches logs, metrics, spans, error answers, messages of errors, or `Debug`.
//!
//! Canaries stand wherever a value can stand ([`canary`] says how they are found again, in every encoding); then the
//! program does what it does, with every log target at `trace`, and everything that it says is searched:
//!
//! | module | what is done |
//! |---|---|
//! | [`reviews`] | reviews of every kind through `keystow webhook`, in both log formats, with a collector of traces |
//! | [`cluster`] | `keystow webhook --self-managed` with an API server that answers badly, and the client library alone |
//! | [`inits`] | `keystow init` with values in every place, and what others see of its process |
//! | [`printed`] | `Debug` and `Display` of what holds secrets, texts of mistakes, panics |
//!
//! What may hold a value is the pod itself, as its author wrote it: nothing here looks into a request. The patch is no
//! exception, since it only adds what is keystow's.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../init/pod.rs"]
mod pod;

mod canary;
mod cluster;
mod inits;
mod printed;
mod reviews;
