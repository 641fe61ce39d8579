//! keystow: gives Kubernetes pods all they need to get their secrets.

pub mod domain;
pub mod generate;
pub mod handover;
pub mod template;
pub mod webhook;
