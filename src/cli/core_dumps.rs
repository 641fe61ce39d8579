//! No image of this process' memory is left anywhere: it holds every secret of a pod.
//!
//! Two locks, since each leaves something open. A limit of 0 forbids core files, and would not stop a node's
//! `core_pattern` that pipes cores to a program; that an undumpable process has no core at all does. Undumpable also means
//! that another process of the same user cannot attach to this one, nor read its memory or environment in `/proc`:
//! containers of a pod that share a process namespace may well run as one user.
//!
//! Here and not in the library, because it is of a whole process and lasts: who calls `init::run` may be more than that.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids both from now on. Where that cannot be it is logged: a kernel that does not know it, or a sandbox that forbids it, is
/// no reason to keep a pod from starting.
pub(super) fn forbid() {
    if let Err(error) = try_to_forbid() {
        tracing::warn!(%error, "cannot forbid dumps of this process' memory");
    }
}

fn try_to_forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
