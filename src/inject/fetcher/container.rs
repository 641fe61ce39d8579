//! The init container and the refreshing sidecar: image, arguments, environment, mounts, security.

use serde_json::json;

use super::{Fetcher, STORE_TOKEN, STORE_TOKEN_VOLUME};
use crate::domain::{FileMode, Layout};
use crate::handover::{self, variable};
use crate::inject::containers::init_containers;
use crate::inject::parts::{self, EnvSource, EnvVarSource, Json, SecurityContext, VolumeMount};
use crate::inject::views::{self, View};

/// Where the pod's own API token is mounted (Kubernetes `serviceaccount.DefaultAPITokenMountPath`).
const API_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Fetcher<'_> {
    /// The container with this name of ours.
    pub(super) fn container(&self, name: &str, views: &[View<'_>], user: i64, mode: FileMode) -> Json {
        let sidecar = name == self.names.refresh;
        let refresh = self.requests.injection.refresh.filter(|_| sidecar).map(refresh_argument);
        let directories: Vec<(String, String)> = (0..views.len())
            .map(|index| (self.names.view_volume(index), self.view_directory(index)))
            .collect();
        let variables = self.variables(views, mode);
        let fields = [
            (variable::POD_NAME, "metadata.name"),
            (variable::POD_NAMESPACE, "metadata.namespace"),
            (variable::POD_UID, "metadata.uid"),
        ];
        let fields = fields.into_iter().map(|(name, field_path)| parts::EnvVar {
            name,
            source: EnvSource::ValueFrom(EnvVarSource::FieldRef { field_path }),
        });
        let texts =
            variables.iter().map(|(name, value)| parts::EnvVar { name, source: EnvSource::Value(value) });
        Json::of(&parts::Container {
            name,
            image: &self.settings.image,
            args: std::iter::once("init").chain(refresh.as_deref()).collect(),
            restart_policy: sidecar.then_some("Always"),
            env: &fields.chain(texts).collect::<Vec<_>>(),
            resources: &self.settings.resources,
            volume_mounts: &self.mounts(&directories),
            security_context: SecurityContext::of_user(user),
        })
    }

    fn view_directory(&self, index: usize) -> String {
        if index == 0 { self.directory.to_owned() } else { format!("{}-{}", self.directory, index + 1) }
    }

    fn variables(&self, views: &[View<'_>], mode: FileMode) -> Vec<(&'static str, String)> {
        let annotations =
            format!("{}/{}", self.settings.layout.annotations_directory(), Layout::ANNOTATIONS_FILE);
        let mut variables = vec![
            (variable::STORE, json!(self.store).to_string()),
            (variable::ANNOTATION_DOMAIN, self.settings.domain.as_str().to_owned()),
            (variable::ANNOTATIONS_FILE, annotations),
            (variable::LAYOUT, self.settings.layout.word().to_owned()),
            (variable::PATH, self.directory.to_owned()),
            (variable::FILE_MODE, mode.to_string()),
        ];
        if self.store.audience().is_some() {
            variables.push((variable::TOKEN_FILE, format!("{STORE_TOKEN}/token")));
        }
        if views::differ(views, self.requests) {
            let view = |(index, view): (usize, &View<'_>)| handover::View {
                directory: self.view_directory(index),
                secrets: view.secrets.iter().map(|request| request.name.as_str().to_owned()).collect(),
            };
            let views: Vec<_> = views.iter().enumerate().map(view).collect();
            variables.push((variable::VIEWS, json!(views).to_string()));
        }
        variables.extend(self.settings.fetching.variables());
        for (_, value) in &mut variables {
            // The kubelet would expand it.
            if value.contains("$(") {
                *value = value.replace("$(", "$$(");
            }
        }
        variables
    }

    fn mounts<'m>(&'m self, directories: &'m [(String, String)]) -> Vec<VolumeMount<'m>> {
        let mount = |name, mount_path, read_only| VolumeMount { name, mount_path, read_only };
        let mut mounts: Vec<_> =
            directories.iter().map(|(volume, path)| mount(volume.as_str(), path.as_str(), false)).collect();
        mounts.push(mount(self.names.annotations, self.settings.layout.annotations_directory(), true));
        if self.store.audience().is_some() {
            mounts.push(mount(STORE_TOKEN_VOLUME, STORE_TOKEN, true));
        }
        // The ServiceAccount plugin would add this mount after us, and the webhook be called a second time.
        let mut containers = self.pod.spec.containers.iter().chain(init_containers(self.pod));
        let token = containers.find_map(|container| container.mount_at(API_TOKEN));
        if let Some(token) = token.filter(|mount| mount.name.starts_with("kube-api-access-")) {
            mounts.push(mount(&token.name, API_TOKEN, true));
        }
        mounts
    }
}

/// `--refresh=90s`
fn refresh_argument(every: std::time::Duration) -> String {
    if every.subsec_nanos() == 0 {
        format!("--refresh={}s", every.as_secs())
    } else {
        format!("--refresh={}ms", every.as_millis())
    }
}
