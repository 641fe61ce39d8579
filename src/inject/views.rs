//! Views: containers that may see the same stored secrets share a volume, others get one of their own.
//!
//! With no `containers=` on any secret there is one view, and its volume is mounted where the design says. With
//! them, the init container writes each view into a volume of its own, so that no container finds a file of a
//! secret that was not meant for it.

use super::containers::Target;
use crate::domain::{Requests, SecretRequest};

/// A set of stored secrets, and who sees them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View<'r> {
    pub(super) secrets: Vec<&'r SecretRequest>,
    /// Indices of targets.
    pub(super) targets: Vec<usize>,
}

/// The views of a pod, in the order of their first container; at least one where something is fetched.
pub(super) fn of<'r>(requests: &'r Requests, targets: &[Target<'_>]) -> Vec<View<'r>> {
    let shared = !requests.resources.is_empty()
        || !requests.leases.is_empty()
        || !requests.injection.templates.is_empty();
    let all: Vec<_> = requests.stored().map(|(request, _)| request).collect();
    let narrowed = all.iter().any(|request| request.containers.is_some());
    let mut views: Vec<View<'r>> = Vec::new();
    for (index, target) in targets.iter().enumerate().filter(|(_, target)| target.sees_files()) {
        let visible: Vec<_> = if narrowed {
            all.iter().copied().filter(|request| target.receives(request)).collect()
        } else {
            all.clone()
        };
        if visible.is_empty() && !shared {
            continue;
        }
        match views.iter_mut().find(|view| !narrowed || view.secrets == visible) {
            Some(view) => view.targets.push(index),
            None => views.push(View { secrets: visible, targets: vec![index] }),
        }
    }
    if views.is_empty() {
        views.push(View { secrets: all, targets: Vec::new() });
    }
    views
}

/// Whether some view lacks a stored secret, so that the init container must be told which has what.
pub(super) fn differ(views: &[View<'_>], requests: &Requests) -> bool {
    let all = requests.stored().count();
    views.len() > 1 || views.iter().any(|view| view.secrets.len() != all)
}
