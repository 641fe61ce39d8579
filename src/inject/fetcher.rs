//! Our init container and what belongs to it: volumes, mounts, variables from files, the refreshing sidecar.

mod container;

use super::changes::{Appender, Changes, Reason};
use super::containers::{Start, Target, init_containers};
use super::parts::{
    self, DownwardApiFile, EnvSource, EnvVarSource, FieldRef, Json, ProjectedSource, VolumeSource,
};
use super::plan::{DenialKind, Findings};
use super::pod::{EnvVar, Pod, PodSecurityContext};
use super::references::{add_variable, mount, reason};
use super::settings::Settings;
use super::views::{self, View};
use crate::domain::{EnvName, Family, FileMode, InitPosition, Layout, Requests, TemplateEnv};
use crate::handover::StoreSettings;
use crate::template;

/// Where the store's token is mounted.
pub(super) const STORE_TOKEN: &str = "/var/run/secrets/keystow";
const STORE_TOKEN_VOLUME: &str = "keystow-token";
/// The lifetime that the kubelet renews at four fifths of; the shortest that every cluster grants is 600 s.
const STORE_TOKEN_SECONDS: u32 = 3600;

/// The user that our containers run as where the pod names none. Also that of distroless images.
const NOBODY: i64 = 65532;

/// The init container of a pod whose manifest was prepared for kees.
pub const KEES_INIT_CONTAINER: &str = "bsycorp-init";

/// The names of our parts in the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) init: &'static str,
    pub(super) refresh: &'static str,
    pub(super) secrets: &'static str,
    pub(super) annotations: &'static str,
}

impl Names {
    pub(super) fn of(layout: Layout) -> Self {
        match layout {
            Layout::Keystow => Self {
                init: "keystow-init",
                refresh: "keystow-refresh",
                secrets: "keystow-secrets",
                annotations: "keystow-annotations",
            },
            Layout::Kees => Self {
                init: KEES_INIT_CONTAINER,
                refresh: "bsycorp-refresh",
                secrets: "init-volume",
                annotations: "podinfo-volume",
            },
        }
    }

    pub(super) fn contains(self, container: &str) -> bool {
        container == self.init || container == self.refresh
    }

    /// The volume of the view with this index.
    fn view_volume(self, index: usize) -> String {
        if index == 0 { self.secrets.to_owned() } else { format!("{}-{}", self.secrets, index + 1) }
    }
}

/// What the parts of one pod have in common.
pub(super) struct Fetcher<'a> {
    pub(super) pod: &'a Pod<'a>,
    pub(super) requests: &'a Requests,
    pub(super) settings: &'a Settings,
    pub(super) store: &'a StoreSettings,
    pub(super) names: Names,
    pub(super) directory: &'a str,
}

impl Fetcher<'_> {
    /// Adds everything that fetching needs.
    pub(super) fn plan(
        &self,
        targets: &mut [Target<'_>],
        volumes: &mut Appender,
        changes: &mut Changes,
        findings: &mut Findings<'_>,
    ) {
        let views = views::of(self.requests, targets);
        self.add_volumes(views.len(), volumes, changes, findings);
        for (index, view) in views.iter().enumerate() {
            let volume = self.names.view_volume(index);
            for target in &view.targets {
                let target = &mut targets[*target];
                mount(target, &volume, self.directory, Reason::Fetch, changes, findings);
                add_variables(view, &volume, target, changes, findings);
                self.add_template_variables(view, &volume, target, changes, findings);
            }
        }
        if self.requests.injection.containers.is_some() {
            // They were chosen by name; those that are served because all are get no word.
            for target in targets.iter().filter(|target| !target.sees_files()) {
                let message =
                    format!("{} ends before the init container fetches: no file for it", target.name());
                findings.warn_of(Family::Inject, "containers", &message);
            }
        }
        if !self.store.is_carried() {
            let kind = self.store.kind();
            let message = format!("the init container of this build does not read stores of the kind {kind}");
            findings.warn_of(Family::Inject, "store", &message);
        }
        let (user, mode) = self.reader(&views, targets);
        self.place(&views, user, mode, changes, findings);
    }

    fn add_volumes(
        &self,
        views: usize,
        volumes: &mut Appender,
        changes: &mut Changes,
        findings: &mut Findings<'_>,
    ) {
        let existing =
            |name: &str| self.pod.spec.volumes.iter().flatten().find(|volume| &*volume.name == name);
        let mut need = |name: &str, is_ours: bool, source: VolumeSource<'_>| match existing(name) {
            Some(_) if is_ours => {}
            Some(_) => {
                findings.fault(
                    DenialKind::Clash,
                    format!("the pod has another volume {name}, which keystow needs"),
                );
            }
            None => volumes.push(changes, &Json::of(&parts::Volume { name, source }), Reason::Fetch),
        };
        for index in 0..views {
            let name = self.names.view_volume(index);
            let ours = existing(&name).is_some_and(|volume| volume.empty_dir.is_some());
            let (medium, size_limit) = (&self.settings.volume.medium, &self.settings.volume.size_limit);
            need(&name, ours, VolumeSource::EmptyDir { medium, size_limit });
        }
        let name = self.names.annotations;
        let ours = existing(name).is_some_and(|volume| volume.downward_api.is_some());
        let field_ref = FieldRef { field_path: "metadata.annotations" };
        let items = [DownwardApiFile { path: Layout::ANNOTATIONS_FILE, field_ref }];
        need(name, ours, VolumeSource::DownwardApi { items });
        if let Some(audience) = self.store.audience() {
            let ours = existing(STORE_TOKEN_VOLUME).is_some_and(|volume| volume.projected.is_some());
            let expiration_seconds = STORE_TOKEN_SECONDS;
            let token = ProjectedSource::ServiceAccountToken { path: "token", audience, expiration_seconds };
            let source = VolumeSource::Projected { default_mode: FileMode::ALL, sources: vec![token] };
            need(STORE_TOKEN_VOLUME, ours, source);
        }
    }

    /// Who our container runs as, and the mode that lets the readers read.
    fn reader(&self, views: &[View<'_>], targets: &[Target<'_>]) -> (i64, FileMode) {
        let pod: PodSecurityContext = self.pod.security();
        let readers =
            views.iter().flat_map(|view| &view.targets).map(|index| targets[*index].container.user(pod));
        let mut users: Vec<Option<i64>> = readers.collect();
        users.sort_unstable();
        users.dedup();
        let agreed = match users.as_slice() {
            [only] => *only,
            _ => None,
        };
        // Root may read every file, but need not: a container without capabilities is held to the modes.
        let user = pod.run_as_user.or(agreed).filter(|user| *user != 0).unwrap_or(NOBODY);
        let mode = if agreed == Some(user) {
            FileMode::OWNER
        } else if pod.fs_group.is_some() {
            FileMode::GROUP
        } else {
            FileMode::ALL
        };
        (user, mode)
    }

    /// Puts our containers where the pod wants them; those that are there are moved, not made again.
    fn place(
        &self,
        views: &[View<'_>],
        user: i64,
        mode: FileMode,
        changes: &mut Changes,
        findings: &mut Findings<'_>,
    ) {
        let present = init_containers(self.pod);
        let named_like_ours = present.iter().chain(&self.pod.spec.containers);
        for container in named_like_ours.filter(|container| self.names.contains(&container.name)) {
            let mounts = |volume: &str| container.mounts().iter().any(|mount| *mount.name == *volume);
            let name = &*container.name;
            if !mounts(self.names.secrets) {
                let message = format!("the pod has another container {name}, which keystow needs");
                return findings.fault(DenialKind::Clash, message);
            }
            if !(0..views.len()).all(|index| mounts(&self.names.view_volume(index))) {
                let message = format!(
                    "container {name} was injected for other annotations than the pod has: inject the original manifest"
                );
                return findings.fault(DenialKind::Clash, message);
            }
        }
        let mut ours = vec![(self.names.init, Reason::Fetch)];
        if self.requests.injection.refresh.is_some() {
            ours.push((self.names.refresh, Reason::Refresh));
        }
        let wanted: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
        let mut order: Vec<&str> = present.iter().map(|container| &*container.name).collect();
        let first = self.requests.injection.init_position == InitPosition::First;
        if if first { order.starts_with(&wanted) } else { order.ends_with(&wanted) } {
            return;
        }
        let list = "/spec/initContainers";
        let mut exists = self.pod.spec.init_containers.is_some();
        for (rank, (name, reason)) in ours.into_iter().enumerate() {
            let at = order.iter().position(|other| *other == name);
            if let Some(at) = at {
                order.remove(at);
            }
            let to = if first { rank } else { order.len() };
            order.insert(to, name);
            let place = format!("{list}/{to}");
            match at {
                Some(at) if at == to => {}
                Some(at) => changes.relocate(format!("{list}/{at}"), place, Reason::Position),
                None => {
                    let container = self.container(name, views, user, mode);
                    if exists {
                        changes.add(place, container, reason);
                    } else {
                        changes.add(list.to_owned(), container.in_list(), reason);
                        exists = true;
                    }
                }
            }
        }
    }
}

/// Variables from `secret.env`, for containers that start when it is there.
fn add_variables(
    view: &View<'_>,
    volume: &str,
    target: &mut Target<'_>,
    changes: &mut Changes,
    findings: &mut Findings<'_>,
) {
    for request in &view.secrets {
        if let Some(env) = request.env() {
            add_file_variable(volume, reason(request), env, target, changes, findings);
        }
    }
}

impl Fetcher<'_> {
    /// The same for templates. Where the container may not see a secret that a template names, the init container does
    /// not render it.
    fn add_template_variables(
        &self,
        view: &View<'_>,
        volume: &str,
        target: &mut Target<'_>,
        changes: &mut Changes,
        findings: &mut Findings<'_>,
    ) {
        let injection = &self.requests.injection;
        for TemplateEnv { template: name, env } in &injection.template_envs {
            let reason = Reason::TemplateEnv(name.to_string());
            let Some(template) = injection.templates.iter().find(|known| known.name == *name) else {
                continue;
            };
            let named = template::names(&template.source);
            let sees = |name: &str| view.secrets.iter().any(|shown| shown.name.as_str() == name);
            let hidden = self
                .requests
                .stored()
                .map(|(request, _)| request.name.as_str())
                .find(|secret| !sees(secret) && named.iter().any(|named| named.is_secret(secret)));
            if let Some(secret) = hidden {
                let message =
                    format!("container {} may not see {secret}, so there is no {env} in it", target.name());
                findings.warn_of_variable(&reason, &message);
                continue;
            }
            add_file_variable(volume, reason, env, target, changes, findings);
        }
    }
}

/// A variable that the kubelet reads from `secret.env`.
fn add_file_variable(
    volume: &str,
    reason: Reason,
    env: &EnvName,
    target: &mut Target<'_>,
    changes: &mut Changes,
    findings: &mut Findings<'_>,
) {
    if target.start != Start::After {
        let message = format!("container {} starts before the value is there: no {env} in it", target.name());
        return findings.warn_of_variable(&reason, &message);
    }
    let (path, key) = (Layout::ENVIRONMENT_FILE, env.as_str());
    let source = EnvSource::ValueFrom(EnvVarSource::FileKeyRef { volume_name: volume, path, key });
    let variable = Json::of(&parts::EnvVar { name: env.as_str(), source });
    let is_ours = |found: &EnvVar<'_>| {
        let reference = found.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref());
        reference.is_some_and(|found| &*found.volume_name == volume && &*found.key == env.as_str())
    };
    add_variable(target, reason, env, &variable, is_ours, changes, findings);
}
