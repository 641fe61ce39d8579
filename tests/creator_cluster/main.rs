//! `keystow create` on a real API server and real stores, with the rights that are shipped and no others.
//!
//! | module | what is tried |
//! |---|---|
//! | [`whole`] | every type, from the annotation to what the application reads, with OpenSSL and GnuPG |
//! | [`killed`] | many creators at once that are killed at any instant |
//! | [`indices`] | a thousand pods for a thousand indices, through restarts |
//! | [`watching`] | what is asked of the API server, and what happens when it is away |
//! | [`stores`] | a store that is away; halves, prefixes, values that are there |
//! | [`leases`] | ranges that are full, pods that end, series whose names begin alike |
//! | [`leaks`] | what a creator says and shows |
//!
//! Each test has an installation, namespaces and a domain of annotations of its own, so that no creator sees pods of
//! another test as its own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod fixture;
mod indices;
mod killed;
mod leaks;
mod leases;
mod stores;
#[cfg(feature = "dynamodb")]
mod table;
mod watching;
mod whole;
