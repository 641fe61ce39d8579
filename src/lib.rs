//! keystow: gives Kubernetes pods all they need to get their secrets.

pub mod domain;
pub mod handover;
pub mod inject;
pub mod webhook;
