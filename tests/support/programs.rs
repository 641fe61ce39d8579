//! Programs that the `build.sh` beside a go.mod builds into the cache or that the system has, and tests that are skipped
//! where they are not there.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The cache of the project, in the environment that `variable` tells of: as `tests/go-programs.sh` finds it.
pub(crate) fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    variable("KEYSTOW_CACHE").map(PathBuf::from).or_else(|| {
        let user = variable("XDG_CACHE_HOME").map(PathBuf::from);
        Some(user.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))?.join("keystow"))
    })
}

/// The version of `module` in the text of a go.mod, without the v.
pub(crate) fn pinned<'m>(go_mod: &'m str, module: &str) -> Option<&'m str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(module)).then(|| words.next()?.strip_prefix('v')).flatten()
    })
}

/// Whether the system has `program`, which is in Debian's `package`. Says where not that `test` is skipped.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
pub(crate) fn has(test: &str, program: &str, package: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !is_there {
        skip(test, program, format!("no {program} in PATH; on Debian it is in the package {package}"));
    }
    is_there
}

/// Says that `test` is skipped for want of `what`, which is `missing`: on stderr itself, not through the macros whose
/// output libtest keeps to itself; each reason only once.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
pub(crate) fn skip(test: &str, what: &str, missing: impl Display) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: {missing}");
    let missing = missing.to_string();
    let mut lines = format!("skipped (no {what}): {test}\n");
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(missing.clone()) {
        lines.insert_str(0, &format!("{missing}\n"));
    }
    // In one piece, since others write at the same time. A closed stderr is no reason to fail.
    drop(std::io::stderr().write_all(lines.as_bytes()));
}
