//! keystow: gives Kubernetes pods all they need to get their secrets.

pub mod certs;
mod metrics;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
pub mod webhook;
