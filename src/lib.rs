//! keystow: gives Kubernetes pods all they need to get their secrets.
//!
//! The crate is built in layers, and a test (`tests/layering.rs`) holds what each may import:
//!
//! | layer | modules | may use |
//! |---|---|---|
//! | domain | [`domain`] | the standard library, `thiserror`, `zeroize`, `base64` |
//! | plan | [`check`], [`export`], [`handover`], [`sysexits`], [`inject`], [`rotation`], [`template`], [`workload`], [`yaml`] | domain; serde, JSON Patch, YAML, templates, a digest; pure functions of values |
//! | store | [`store`], [`generate`] | domain, handover; keys, SDKs, async |
//! | runtime | [`admin`], [`certs`], [`cluster`], [`config`], [`controller`], [`init`], [`leader`], [`provider`], [`readiness`], [`server`], [`shutdown`], [`survey`], [`telemetry`], [`webhook`] | all of those; servers and the system |
//! | command line | [`cli`] | runtime, `clap` |

pub mod admin;
mod bucket;
pub mod certs;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod controller;
pub mod domain;
pub mod export;
pub mod generate;
pub mod handover;
pub mod init;
pub mod inject;
pub mod leader;
mod metrics;
pub mod provider;
pub mod readiness;
pub mod rotation;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod survey;
pub mod sysexits;
pub mod telemetry;
pub mod template;
pub mod webhook;
pub mod workload;
pub mod yaml;
