//! Integration tests: one target, one module for each thing that is tried.

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod configuration;
mod control_plane;
mod node_stand_in;
mod supervisor;
mod uninjected;
