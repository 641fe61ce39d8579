//! keystow: gives Kubernetes pods all they need to get their secrets.

pub mod domain;
pub mod generate;
pub mod handover;
pub mod init;
pub mod store;
pub mod template;
pub mod webhook;
