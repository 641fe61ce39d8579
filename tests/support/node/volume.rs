//! The volumes of a pod, laid out in a directory as kubelet does it.
//!
//! What comes from the API (downwardAPI, secret, configMap, projected) is written as kubelet's atomic writer does:
//! the files are in a directory of their own, `..data` links to it, and the names that the container sees link into
//! `..data`; an update makes a new directory and swaps that one link. An emptyDir is a directory that anybody may
//! write to. With `fsGroup`, all belongs to that group, which may read (an emptyDir: write). Ownership needs root;
//! without it everything belongs to the user who runs the tests.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Volume, VolumeProjection,
};

use super::container::effective_user;
use super::source::{Data, SecretSource};
use super::{NodeError, fields, namespace_of, user_is_root};

const DEFAULT_MODE: i32 = 0o644;

/// A file to be: its content, mode, and owner where it is not root.
struct File {
    content: Vec<u8>,
    mode: i32,
    owner: Option<u32>,
}

/// By path in the volume.
type Payload = BTreeMap<String, File>;

/// Lays out (or, a second time, brings up to date) every volume of `pod` below `directory`, one directory each.
pub(super) async fn lay_out<S: SecretSource>(
    pod: &Pod,
    source: &S,
    directory: &Path,
) -> Result<BTreeMap<String, PathBuf>, NodeError> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let group = fs_group(pod);
    let mut paths = BTreeMap::new();
    for volume in volumes {
        let path = directory.join(&volume.name);
        let failed = |source| NodeError::Io { doing: format!("laying out volume {}", volume.name), source };
        make_directory(&path).map_err(failed)?;
        if volume.empty_dir.is_some() {
            give_to_group(&path, group, 0o2770).map_err(failed)?;
        } else {
            let payload = payload(pod, source, volume).await?;
            write_atomically(&path, &payload, group).map_err(failed)?;
        }
        paths.insert(volume.name.clone(), path);
    }
    Ok(paths)
}

async fn payload<S: SecretSource>(pod: &Pod, source: &S, volume: &Volume) -> Result<Payload, NodeError> {
    let namespace = namespace_of(pod);
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let data = source.secret(namespace, name).await?;
        let of = Object { kind: "Secret", name, optional: secret.optional == Some(true) };
        return of.files(data, secret.items.as_deref(), secret.default_mode.unwrap_or(DEFAULT_MODE));
    }
    if let Some(map) = &volume.config_map {
        let data = source.config_map(namespace, &map.name).await?;
        let of = Object { kind: "ConfigMap", name: &map.name, optional: map.optional == Some(true) };
        return of.files(data, map.items.as_deref(), map.default_mode.unwrap_or(DEFAULT_MODE));
    }
    if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
        return downward_files(pod, downward.items.as_deref(), mode);
    }
    if let Some(projected) = &volume.projected {
        return projected_files(pod, source, projected).await;
    }
    Err(NodeError::Unsupported(format!("the kind of volume {}", volume.name)))
}

async fn projected_files<S: SecretSource>(
    pod: &Pod,
    source: &S,
    projected: &ProjectedVolumeSource,
) -> Result<Payload, NodeError> {
    let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
    let mut files = Payload::new();
    for projection in projected.sources.iter().flatten() {
        files.extend(projection_files(pod, source, projection, mode).await?);
    }
    Ok(files)
}

async fn projection_files<S: SecretSource>(
    pod: &Pod,
    source: &S,
    projection: &VolumeProjection,
    mode: i32,
) -> Result<Payload, NodeError> {
    let namespace = namespace_of(pod);
    if let Some(secret) = &projection.secret {
        let data = source.secret(namespace, &secret.name).await?;
        let of = Object { kind: "Secret", name: &secret.name, optional: secret.optional == Some(true) };
        return of.files(data, secret.items.as_deref(), mode);
    }
    if let Some(map) = &projection.config_map {
        let data = source.config_map(namespace, &map.name).await?;
        let of = Object { kind: "ConfigMap", name: &map.name, optional: map.optional == Some(true) };
        return of.files(data, map.items.as_deref(), mode);
    }
    if let Some(downward) = &projection.downward_api {
        return downward_files(pod, downward.items.as_deref(), mode);
    }
    if let Some(token) = &projection.service_account_token {
        let content = source.token(pod, token.audience.as_deref(), token.expiration_seconds).await?;
        let owner = user_of_all(pod);
        let mode = if owner.is_some() || fs_group(pod).is_some() { 0o600 } else { mode };
        let file = File { content: content.into_bytes(), mode, owner };
        return Ok(Payload::from([(token.path.clone(), file)]));
    }
    Err(NodeError::Unsupported("a projected source that is none of the usual four".into()))
}

/// A Secret or ConfigMap that a volume names.
struct Object<'n> {
    kind: &'static str,
    name: &'n str,
    optional: bool,
}

impl Object<'_> {
    fn files(
        &self,
        data: Option<Data>,
        items: Option<&[KeyToPath]>,
        mode: i32,
    ) -> Result<Payload, NodeError> {
        let mut data = match data {
            Some(data) => data,
            None if self.optional => Data::new(),
            None => return Err(NodeError::no_object(self.kind, self.name)),
        };
        let file = |content, mode| File { content, mode, owner: None };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return Ok(data.into_iter().map(|(key, content)| (key, file(content, mode))).collect());
        };
        let mut files = Payload::new();
        for item in items {
            match data.get_mut(&item.key) {
                Some(content) => {
                    files.insert(item.path.clone(), file(content.clone(), item.mode.unwrap_or(mode)));
                }
                None if self.optional => {}
                None => return Err(NodeError::no_key(self.kind, self.name, &item.key)),
            }
        }
        Ok(files)
    }
}

fn downward_files(
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: i32,
) -> Result<Payload, NodeError> {
    let mut files = Payload::new();
    for item in items.unwrap_or_default() {
        let Some(field) = &item.field_ref else {
            return Err(NodeError::Unsupported(format!("resourceFieldRef of file {}", item.path)));
        };
        let content = fields::field(pod, &field.field_path)?.into_bytes();
        files.insert(item.path.clone(), File { content, mode: item.mode.unwrap_or(mode), owner: None });
    }
    Ok(files)
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// The user that every container and init container says it runs as: the owner of token files.
fn user_of_all(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let mut users = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|container| effective_user(spec, container));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o777))
}

/// Adds the group's permission `mode` to `path`, and makes it `group`'s.
fn give_to_group(path: &Path, group: Option<u32>, mode: u32) -> io::Result<()> {
    let Some(group) = group else { return Ok(()) };
    if user_is_root() {
        lchown(path, None, Some(group))?;
    }
    let now = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(now | mode))
}

fn write_atomically(volume: &Path, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    let link = volume.join("..data");
    let old = fs::read_link(&link).ok();
    let data = tempfile::Builder::new().prefix("..").rand_bytes(10).tempdir_in(volume)?.keep();
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    for (path, file) in payload {
        write_file(&data, &data.join(path), file, group)?;
    }
    give_to_group(&data, group, 0o2550)?;
    give_to_group(volume, group, 0o2550)?;

    let staged = volume.join("..data_tmp");
    symlink(data.file_name().unwrap_or_default(), &staged)?;
    fs::rename(&staged, &link)?;

    let wanted: Vec<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for entry in fs::read_dir(volume)? {
        let name = entry?.file_name();
        let visible = !name.to_string_lossy().starts_with("..");
        if visible && !wanted.iter().any(|wanted| name == **wanted) {
            fs::remove_file(volume.join(name))?;
        }
    }
    for name in wanted {
        if volume.join(name).symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), volume.join(name))?;
        }
    }
    old.map_or(Ok(()), |old| fs::remove_dir_all(volume.join(old)))
}

fn write_file(data: &Path, path: &Path, file: &File, group: Option<u32>) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| *parent != data) {
        fs::create_dir_all(parent)?;
        give_to_group(parent, group, 0o2550)?;
    }
    fs::write(path, &file.content)?;
    fs::set_permissions(path, Permissions::from_mode(file.mode.unsigned_abs()))?;
    if user_is_root() && file.owner.is_some() {
        lchown(path, file.owner, None)?;
    }
    give_to_group(path, group, 0o440)
}
