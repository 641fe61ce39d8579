//! Which containers of the pod receive secrets, and when they start.

use std::collections::HashSet;

use super::changes::{Appender, ContainerList, List};
use super::fetcher::Names;
use super::pod::{Container, Pod};
use super::status::Status;
use crate::domain::{ContainerName, InitPosition, SecretRequest};

/// A container that receives secrets, with the lists of it that get something appended.
#[derive(Debug)]
pub(super) struct Target<'p> {
    pub(super) container: &'p Container<'p>,
    pub(super) start: Start,
    pub(super) env: Appender,
    pub(super) env_from: Appender,
    pub(super) mounts: Appender,
}

/// When a container starts, seen from our init container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// After it: files and variables are there.
    After,
    /// Before it, and keeps running: the files appear later.
    BeforeAndStays,
    /// Before it, and ends: it never sees a file.
    BeforeAndEnds,
}

impl<'p> Target<'p> {
    fn new(list: ContainerList, index: usize, container: &'p Container<'p>, start: Start) -> Self {
        let appender = |field, exists| Appender::new(List::OfContainer(list, index, field), exists);
        Self {
            container,
            start,
            env: appender("env", container.env.is_some()),
            env_from: appender("envFrom", container.env_from.is_some()),
            mounts: appender("volumeMounts", container.volume_mounts.is_some()),
        }
    }

    pub(super) fn name(&self) -> &'p str {
        &self.container.name
    }

    pub(super) fn receives(&self, request: &SecretRequest) -> bool {
        match &request.containers {
            None => true,
            Some(containers) => containers.iter().any(|name| name.as_str() == self.name()),
        }
    }

    pub(super) fn sees_files(&self) -> bool {
        self.start != Start::BeforeAndEnds
    }
}

/// Every container of the pod that is not ours, regular ones first.
pub(super) fn all<'p>(pod: &'p Pod<'p>, names: Names, position: InitPosition) -> Vec<Target<'p>> {
    let regular = pod.spec.containers.iter().enumerate();
    let regular = regular.map(|(index, c)| Target::new(ContainerList::Containers, index, c, Start::After));
    // Whatever stands behind ours now is moved before it.
    let start = |container: &Container<'_>| match position {
        InitPosition::First => Start::After,
        InitPosition::Last if container.is_sidecar() => Start::BeforeAndStays,
        InitPosition::Last => Start::BeforeAndEnds,
    };
    let init = init_containers(pod).iter().enumerate();
    let init = init.map(|(index, c)| Target::new(ContainerList::InitContainers, index, c, start(c)));
    regular.chain(init).filter(|target| !names.contains(target.name())).collect()
}

pub(super) fn init_containers<'p>(pod: &'p Pod<'p>) -> &'p [Container<'p>] {
    pod.spec.init_containers.as_deref().unwrap_or_default()
}

/// The containers that an earlier call chose, where all of them are still there.
pub(super) fn claimed(all: &[Target<'_>], status: &Status) -> Option<HashSet<String>> {
    let there = |name: &String| all.iter().any(|target| target.name() == name);
    status.containers.iter().all(there).then(|| status.containers.iter().cloned().collect())
}

/// The names that the pod's annotations give and no container has.
pub(super) fn unknown<'n>(all: &[Target<'_>], names: &'n [ContainerName]) -> Vec<&'n ContainerName> {
    names.iter().filter(|name| !all.iter().any(|target| target.name() == name.as_str())).collect()
}
