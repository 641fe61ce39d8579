//! Which request meets which fault, and what came.

use std::collections::VecDeque;

use http::HeaderMap;
use http::request::Parts;

use super::Fault;

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// The last part of `X-Amz-Target`, or nothing: the operation of services whose path says none.
    pub(crate) operation: String,
    pub(crate) headers: HeaderMap,
    /// Whether a fault became of it.
    pub(crate) is_faulty: bool,
}

impl Seen {
    pub(super) fn new(parts: &Parts) -> Self {
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default();
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            operation: operation.to_owned(),
            headers: parts.headers.clone(),
            is_faulty: false,
        }
    }
}

pub(super) type Filter = Box<dyn Fn(&Seen) -> bool + Send>;

enum Meant {
    Next(VecDeque<Fault>),
    Always(Fault),
}

/// What is scripted, and what came.
#[derive(Default)]
pub(super) struct Script {
    entries: Vec<(Filter, Meant)>,
    seen: Vec<Seen>,
}

impl Script {
    pub(super) fn next(&mut self, filter: Filter, faults: VecDeque<Fault>) {
        self.entries.push((filter, Meant::Next(faults)));
    }

    pub(super) fn always(&mut self, filter: Filter, fault: Fault) {
        self.entries.push((filter, Meant::Always(fault)));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn left(&self) -> usize {
        let left = |(_, meant): &(Filter, Meant)| match meant {
            Meant::Next(faults) => faults.len(),
            Meant::Always(_) => 0,
        };
        self.entries.iter().map(left).sum()
    }

    pub(super) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Counts a request, and says what is to become of it.
    pub(super) fn take(&mut self, mut seen: Seen) -> Option<Fault> {
        let mut meant = self.entries.iter_mut().filter(|(filter, _)| filter(&seen));
        let fault = meant.find_map(|(_, meant)| match meant {
            Meant::Next(faults) => faults.pop_front(),
            Meant::Always(fault) => Some(fault.clone()),
        });
        seen.is_faulty = fault.is_some();
        self.seen.push(seen);
        fault
    }
}
