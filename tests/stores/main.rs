//! Every store against a server of its kind on loopback: one suite for all (`conformance`), what is particular, and the
//! servers themselves (`servers`).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "dynamodb", feature = "secretsmanager", feature = "ssm"))]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod clouds;
mod conformance;
#[cfg(all(feature = "dynamodb", feature = "secretsmanager", feature = "ssm"))]
mod dynamodb;
#[cfg(feature = "gcp")]
mod gcp;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(all(feature = "dynamodb", feature = "secretsmanager", feature = "ssm"))]
mod secretsmanager;
mod servers;
#[cfg(all(feature = "dynamodb", feature = "secretsmanager", feature = "ssm"))]
mod ssm;
#[cfg(feature = "vault")]
mod vault;
