//! keystow: gives Kubernetes pods all they need to get their secrets.
//!
//! The crate is built in layers, and a test (`tests/layering.rs`) holds what each may import:
//!
//! | layer | modules | may use |
//! |---|---|---|
//! | domain | [`domain`] | the standard library, `thiserror`, `zeroize`, `base64` |
//! | plan | [`handover`], [`inject`] | domain; serde, JSON Patch, YAML, a digest; pure functions of values |
//! | runtime | [`certs`], [`webhook`], [`readiness`], [`shutdown`], [`telemetry`] | all of those; the servers and the system |

pub mod certs;
pub mod cli;
pub mod config;
pub mod domain;
pub mod handover;
pub mod inject;
mod metrics;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
pub mod webhook;
