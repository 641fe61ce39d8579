//! What several test targets and the demo share: a real control plane, a stand-in for a node, the webhook and the
//! creator as processes, what else there is around them in a cluster, and servers that hold secrets.
//!
//! A target that wants it has `#[path = "…/support/mod.rs"] mod support;` at its root, by that name.
//!
//! Invariant: nothing here knows keystow's code. It is the world that keystow is tried in, written from what
//! Kubernetes does, so a mistake in keystow cannot hide in it.

#![allow(dead_code, unused_imports, reason = "each target that includes this uses its own part of it")]

pub(crate) mod balancer;
pub(crate) mod collector;
pub(crate) mod control_plane;
pub(crate) mod creator;
pub(crate) mod fakes;
pub(crate) mod faults;
pub(crate) mod gate;
pub(crate) mod hello;
pub(crate) mod https;
pub(crate) mod installation;
pub(crate) mod judges;
pub(crate) mod measured;
pub(crate) mod metrics;
pub(crate) mod mutator;
pub(crate) mod node;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod random;
pub(crate) mod servers;
pub(crate) mod sink;
pub(crate) mod supervisor;
pub(crate) mod tunnel;
pub(crate) mod wait;
pub(crate) mod webhook;
