//! `kind=KUBERNETES`: references to Secret objects that the kubelet resolves.

use std::collections::BTreeMap;

use super::changes::{Appender, Changes, Reason};
use super::containers::Target;
use super::parts::{
    self, EnvSource, EnvVarSource, Json, KeyToPath, ProjectedSource, SecretRef, VolumeSource,
};
use super::plan::{DenialKind, Findings};
use super::pod::{EnvVar, Pod, Volume};
use crate::domain::{
    Delivery, EnvName, FileMode, KubernetesSecret, KubernetesTarget, MountPath, Requests, SecretKey,
    SecretRequest,
};

/// One request for files of a Secret.
struct FileRequest<'r> {
    request: &'r SecretRequest,
    secret: &'r KubernetesSecret,
    key: Option<&'r SecretKey>,
    mode: FileMode,
}

/// Adds what KUBERNETES requests need to the containers that receive them.
pub(super) fn plan(
    pod: &Pod<'_>,
    requests: &Requests,
    targets: &mut [Target<'_>],
    volumes: &mut Appender,
    changes: &mut Changes,
    findings: &mut Findings<'_>,
) {
    let mut directories: BTreeMap<&MountPath, Vec<FileRequest<'_>>> = BTreeMap::new();
    for request in &requests.secrets {
        let Delivery::Kubernetes(secret) = &request.delivery else { continue };
        match &secret.target {
            KubernetesTarget::Env { key, env } => {
                let (name, key_name, optional) = (secret.secret.as_str(), key.as_str(), secret.optional);
                let source = EnvVarSource::SecretKeyRef { name, key: key_name, optional };
                let source = EnvSource::ValueFrom(source);
                let variable = Json::of(&parts::EnvVar { name: env.as_str(), source });
                let is_ours = |found: &EnvVar<'_>| refers_to(found, secret, key);
                for target in targets.iter_mut().filter(|target| target.receives(request)) {
                    add_variable(target, reason(request), env, &variable, is_ours, changes, findings);
                }
            }
            KubernetesTarget::EnvFrom { prefix } => {
                for target in targets.iter_mut().filter(|target| target.receives(request)) {
                    add_env_from(target, request, secret, prefix.as_ref(), changes);
                }
            }
            KubernetesTarget::Path { path, key, mode } => {
                let file = FileRequest { request, secret, key: key.as_ref(), mode: *mode };
                directories.entry(path).or_default().push(file);
            }
        }
    }
    for (path, files) in &directories {
        add_directory(pod, path, files, targets, volumes, changes, findings);
    }
}

fn refers_to(found: &EnvVar<'_>, secret: &KubernetesSecret, key: &SecretKey) -> bool {
    let reference = found.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
    reference.is_some_and(|reference| {
        reference.name.as_deref() == Some(secret.secret.as_str()) && &*reference.key == key.as_str()
    })
}

/// Adds a variable unless the container has it. The container's own wins over ours, with a warning.
pub(super) fn add_variable(
    target: &mut Target<'_>,
    reason: Reason,
    env: &EnvName,
    variable: &Json,
    is_ours: impl Fn(&EnvVar<'_>) -> bool,
    changes: &mut Changes,
    findings: &mut Findings<'_>,
) {
    let existing = target.container.env.iter().flatten().find(|found| &*found.name == env.as_str());
    match existing {
        Some(found) if is_ours(found) => {}
        Some(_) => {
            let message = format!("container {} sets {env} itself, and that stays", target.name());
            findings.warn_of_variable(&reason, &message);
        }
        None => target.env.push(changes, variable, reason),
    }
}

fn add_env_from(
    target: &mut Target<'_>,
    request: &SecretRequest,
    secret: &KubernetesSecret,
    prefix: Option<&EnvName>,
    changes: &mut Changes,
) {
    let prefix = prefix.map(EnvName::as_str);
    let present = target.container.env_from.iter().flatten().any(|source| {
        let name = source.secret_ref.as_ref().and_then(|reference| reference.name.as_deref());
        name == Some(secret.secret.as_str()) && source.prefix.as_deref().filter(|p| !p.is_empty()) == prefix
    });
    if present {
        return;
    }
    let secret_ref = SecretRef { name: secret.secret.as_str(), optional: secret.optional };
    let source = Json::of(&parts::EnvFrom { secret_ref, prefix });
    target.env_from.push(changes, &source, reason(request));
}

fn add_directory(
    pod: &Pod<'_>,
    path: &MountPath,
    files: &[FileRequest<'_>],
    targets: &mut [Target<'_>],
    volumes: &mut Appender,
    changes: &mut Changes,
    findings: &mut Findings<'_>,
) {
    // Requests for one directory have the same readers: the domain sees to that.
    let request = files[0].request;
    let name = volume_name(request.name.as_str());
    match pod.spec.volumes.iter().flatten().find(|volume| *volume.name == *name) {
        Some(found) if is_of_secrets(found, files) => {}
        Some(_) => {
            let message =
                format!("the pod has another volume {name}, which keystow needs for {}", request.name);
            findings.fault(DenialKind::Clash, message);
        }
        None => volumes.push(changes, &volume(&name, files), reason(request)),
    }
    let mut warned = false;
    for target in targets.iter_mut().filter(|target| target.receives(request)) {
        mount(target, &name, path.as_str(), reason(request), changes, findings);
        if !warned && pod.security().fs_group.is_none() && target.container.is_non_root(pod.security()) {
            for file in files.iter().filter(|file| !file.mode.lets_others_read()) {
                warned = true;
                let message = format!(
                    "container {} does not run as root, and mode={} without an fsGroup lets only root read {path}: \
                     set securityContext.fsGroup, or mode=0444",
                    target.name(),
                    file.mode
                );
                findings.warn_of_secret(&file.request.name, &message);
            }
        }
    }
}

/// Mounts a volume of ours read-only, unless it is; anything else in that place is a clash.
pub(super) fn mount(
    target: &mut Target<'_>,
    volume: &str,
    path: &str,
    reason: Reason,
    changes: &mut Changes,
    findings: &mut Findings<'_>,
) {
    match target.container.mount_at(path) {
        Some(mount) if &*mount.name == volume => {}
        Some(mount) => {
            let other = &*mount.name;
            let message = format!("container {} already mounts volume {other} at {path}", target.name());
            findings.fault(DenialKind::Clash, message);
        }
        None => {
            // A mount point cannot be made inside a volume that is mounted read-only.
            let inside = |mount: &&super::pod::VolumeMount<'_>| {
                mount.path().strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
            };
            if let Some(mount) = target.container.mounts().iter().find(inside) {
                let message = format!(
                    "container {} mounts {} below {path}, which is mounted read-only",
                    target.name(),
                    mount.path()
                );
                findings.fault(DenialKind::Clash, message);
            }
            let mount = parts::VolumeMount { name: volume, mount_path: path, read_only: true };
            target.mounts.push(changes, &Json::of(&mount), reason);
        }
    }
}

pub(super) fn reason(request: &SecretRequest) -> Reason {
    Reason::Secret(request.name.as_str().to_owned())
}

/// Whether a volume of our name shows what ours would.
fn is_of_secrets(found: &Volume<'_>, files: &[FileRequest<'_>]) -> bool {
    match &found.secret {
        Some(secret) => {
            files.iter().all(|file| secret.secret_name.as_deref() == Some(file.secret.secret.as_str()))
        }
        None => found.projected.is_some(),
    }
}

fn volume(name: &str, files: &[FileRequest<'_>]) -> Json {
    let mut sources: BTreeMap<&str, Vec<&FileRequest<'_>>> = BTreeMap::new();
    for file in files {
        sources.entry(file.secret.secret.as_str()).or_default().push(file);
    }
    let whole = files.iter().filter(|file| file.key.is_none()).map(|file| file.mode);
    let default_mode = whole.min().or(files.iter().map(|file| file.mode).min()).unwrap_or(FileMode::OWNER);
    let is_optional = |files: &[&FileRequest<'_>]| files.iter().all(|file| file.secret.optional);
    let source = match sources.first_key_value() {
        Some((secret_name, files)) if sources.len() == 1 => {
            let (items, optional) = (items(files), is_optional(files));
            VolumeSource::Secret { secret_name, default_mode, items, optional }
        }
        _ => {
            let sources = sources.iter().map(|(name, files)| ProjectedSource::Secret {
                name,
                items: items(files),
                optional: is_optional(files),
            });
            VolumeSource::Projected { default_mode, sources: sources.collect() }
        }
    };
    Json::of(&parts::Volume { name, source })
}

/// The keys of one Secret that were asked for; none, which means all, if one request asks for all.
fn items<'r>(files: &[&FileRequest<'r>]) -> Vec<KeyToPath<'r>> {
    let keys: Option<BTreeMap<&SecretKey, FileMode>> =
        files.iter().map(|file| file.key.map(|key| (key, file.mode))).collect();
    let item =
        |(key, mode): (&'r SecretKey, FileMode)| KeyToPath { key: key.as_str(), path: key.as_str(), mode };
    keys.into_iter().flatten().map(item).collect()
}

/// The request's name as a DNS label behind a prefix that no other volume of ours has; where letters had to change,
/// a digest keeps names apart.
fn volume_name(request: &str) -> String {
    const PREFIX: &str = "keystow-secret-";
    const LONGEST: usize = 63 - PREFIX.len();
    let slug: String =
        request.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    if slug == request && slug.len() <= LONGEST {
        return format!("{PREFIX}{slug}");
    }
    let digest = &super::status::hash_of(std::iter::once((request, "")))[..8];
    let kept = &slug[..slug.len().min(LONGEST - 9)];
    format!("{PREFIX}{}-{digest}", kept.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_names_are_labels_and_stay_apart() {
        assert_eq!(volume_name("jwt"), "keystow-secret-jwt");
        let (dot, dash, upper) = (volume_name("a.b"), volume_name("a-b"), volume_name("A-b"));
        assert!(dash == "keystow-secret-a-b" && dot != dash && upper != dash && upper != dot);
        // A request of this name must not take the place of the volume of fetched files.
        assert_ne!(volume_name("secrets"), "keystow-secrets");
        let long = volume_name(&"x.".repeat(31));
        assert!(long.len() <= 63 && crate::domain::ContainerName::new(&long).is_ok(), "{long}");
    }
}
