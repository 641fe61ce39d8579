//! A pod on the stand-in: its start, its processes, and what can be seen in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::{Output, Stdio};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, VolumeMount};
use tempfile::TempDir;
use tokio::process::Command;

use super::container::{Image, Mount, Sandbox};
use super::env::{Env, Surroundings};
use super::{Node, NodeError, SecretSource, volume};
use crate::support::supervisor::{Program, Supervisor};

/// kubelet's bounds of a termination message, and of the log's end where it takes that instead.
const MESSAGE_LIMIT: usize = 4096;
const MESSAGE_LOG_LIMIT: usize = 2048;
const MESSAGE_LOG_LINES: usize = 80;

/// A process of a container that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// As `kubectl describe pod` would show it.
    pub(crate) termination_message: String,
}

/// What a container sees of its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppView {
    pub(crate) env: Env,
    /// The files of all its mounted volumes, by their path in the container.
    pub(crate) files: BTreeMap<PathBuf, FileView>,
}

/// A file that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileView {
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) content: Vec<u8>,
}

impl FileView {
    /// The content as text; what is no UTF-8 is replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

impl AppView {
    /// The text of the file at `path`.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.files.get(Path::new(path)).map(FileView::text)
    }
}

/// A pod whose init containers have ended. Dropping it kills its sidecars and removes its volumes.
#[derive(Debug)]
pub(crate) struct RunningPod<'n, S> {
    node: &'n Node<S>,
    pod: Pod,
    volumes: BTreeMap<String, PathBuf>,
    finished: BTreeMap<String, Finished>,
    sidecars: BTreeMap<String, Supervisor>,
    // Last: it goes when the sidecars have gone.
    directory: TempDir,
}

impl<'n, S: SecretSource> RunningPod<'n, S> {
    pub(super) async fn start(node: &'n Node<S>, pod: Pod) -> Result<Self, NodeError> {
        let directory = TempDir::with_prefix("pod-").map_err(NodeError::io("making the pod's directory"))?;
        for name in ["root", "volumes", "logs"] {
            fs::create_dir(directory.path().join(name))
                .map_err(NodeError::io("making the pod's directory"))?;
        }
        let volumes = volume::lay_out(&pod, &node.source, &directory.path().join("volumes")).await?;
        let (finished, sidecars) = (BTreeMap::new(), BTreeMap::new());
        let mut running = Self { node, pod, volumes, finished, sidecars, directory };
        let inits = running.spec().init_containers.clone().unwrap_or_default();
        for container in &inits {
            running.start_init(container).await?;
        }
        Ok(running)
    }

    async fn start_init(&mut self, container: &Container) -> Result<(), NodeError> {
        let name = container.name.clone();
        if container.restart_policy.as_deref() == Some("Always") {
            let argv = self.command(container, None).await?;
            let program = Program { argv, log: self.log(&name, "log") };
            let sidecar = Supervisor::start(&[program], None)
                .map_err(NodeError::io(format!("starting container {name}")))?;
            self.sidecars.insert(name, sidecar);
            return Ok(());
        }
        let finished = self.run_in(container, None).await?;
        if finished.code != Some(0) {
            return Err(NodeError::InitFailed { container: name, finished: Box::new(finished) });
        }
        self.finished.insert(name, finished);
        Ok(())
    }

    /// The pod, as it was given or last updated.
    pub(crate) fn pod(&self) -> &Pod {
        &self.pod
    }

    /// How the init container `name` ended.
    pub(crate) fn init(&self, name: &str) -> Option<&Finished> {
        self.finished.get(name)
    }

    /// The processes of the sidecar `name`.
    pub(crate) fn sidecar(&self, name: &str) -> Option<&Supervisor> {
        self.sidecars.get(name)
    }

    /// What the sidecar `name` has written to stdout and stderr so far.
    pub(crate) fn sidecar_log(&self, name: &str) -> String {
        fs::read_to_string(self.log(name, "log")).unwrap_or_default()
    }

    /// Where the volume `name` is on this host.
    pub(crate) fn volume(&self, name: &str) -> Option<&Path> {
        self.volumes.get(name).map(PathBuf::as_path)
    }

    /// What `container` sees: its environment as it would be at a start now, and the files of its mounts as they
    /// are now.
    pub(crate) async fn view(&self, container: &str) -> Result<AppView, NodeError> {
        let container = self.container(container)?;
        let env = self.surroundings().environment(container).await?;
        let mut files = BTreeMap::new();
        for mount in self.mounts(container, &env)? {
            collect_files(&mount.host, &mount.path, &mut files)
                .map_err(NodeError::io(format!("reading what is at {}", mount.path.display())))?;
        }
        Ok(AppView { env, files })
    }

    /// Runs `argv` in the place of `container`, with all that it has, until it ends.
    pub(crate) async fn exec(&self, container: &str, argv: &[&str]) -> Result<Finished, NodeError> {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        self.run_in(self.container(container)?, Some(&argv)).await
    }

    /// Runs the command that `container` itself has, until it ends.
    pub(crate) async fn run_container(&self, container: &str) -> Result<Finished, NodeError> {
        self.run_in(self.container(container)?, None).await
    }

    /// Brings the volumes up to date with `pod` (its annotations may have changed) and with the Secrets as they are
    /// now, as kubelet does about once a minute.
    pub(crate) async fn update(&mut self, pod: Pod) -> Result<(), NodeError> {
        let directory = self.directory.path().join("volumes");
        self.volumes = volume::lay_out(&pod, &self.node.source, &directory).await?;
        self.pod = pod;
        Ok(())
    }

    async fn run_in(&self, container: &Container, argv: Option<&[String]>) -> Result<Finished, NodeError> {
        let command = self.command(container, argv).await?;
        let running = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        let limit = self.node.deadline;
        let output = tokio::time::timeout(limit, running)
            .await
            .map_err(|_| NodeError::TimedOut { container: container.name.clone(), limit })?
            .map_err(NodeError::io(format!("starting container {}", container.name)))?;
        let message = fs::read(self.log(&container.name, "termination")).unwrap_or_default();
        Ok(finished(container, &output, &message))
    }

    /// The host's command for `argv` in `container`, or for the container's own command.
    async fn command(
        &self,
        container: &Container,
        argv: Option<&[String]>,
    ) -> Result<Vec<std::ffi::OsString>, NodeError> {
        let surroundings = self.surroundings();
        let env = surroundings.environment(container).await?;
        let mounts = self.mounts(container, &env)?;
        let termination_log = self.log(&container.name, "termination");
        fs::write(&termination_log, "")
            .and_then(|()| fs::set_permissions(&termination_log, fs::Permissions::from_mode(0o666)))
            .map_err(NodeError::io("making the termination log"))?;
        let host = Image::host();
        let name = container.image.as_deref().unwrap_or_default();
        let image = match (self.node.images.get(name), argv) {
            (Some(image), _) => image,
            (None, Some(_)) => &host,
            (None, None) => {
                let container = container.name.clone();
                return Err(NodeError::UnknownImage { container, image: name.into() });
            }
        };
        let sandbox = Sandbox {
            spec: self.spec(),
            container,
            image,
            mounts: &mounts,
            env: &env,
            hostname: self.pod.metadata.name.as_deref().unwrap_or_default(),
            root: &self.directory.path().join("root"),
            termination_log: &termination_log,
        };
        let own;
        let argv = match argv {
            Some(argv) => argv,
            None => {
                own = sandbox.own_command(|text| surroundings.expand(text, &env))?;
                &own
            }
        };
        sandbox.host_command(argv)
    }

    fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().unwrap_or(&EMPTY_SPEC)
    }

    fn container(&self, name: &str) -> Result<&Container, NodeError> {
        let spec = self.spec();
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        all.find(|container| container.name == name).ok_or_else(|| NodeError::NoContainer(name.into()))
    }

    fn surroundings(&self) -> Surroundings<'_, S> {
        Surroundings {
            pod: &self.pod,
            source: &self.node.source,
            volumes: &self.volumes,
            services: &self.node.services,
        }
    }

    fn log(&self, container: &str, extension: &str) -> PathBuf {
        self.directory.path().join("logs").join(format!("{container}.{extension}"))
    }

    fn mounts(&self, container: &Container, env: &Env) -> Result<Vec<Mount>, NodeError> {
        let mounts = container.volume_mounts.iter().flatten();
        mounts.map(|mount| self.mount(mount, env)).collect()
    }

    fn mount(&self, mount: &VolumeMount, env: &Env) -> Result<Mount, NodeError> {
        let volume = self.volumes.get(&mount.name).ok_or_else(|| {
            NodeError::Unsupported(format!("a mount of {}, which is no volume of the pod", mount.name))
        })?;
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => self.surroundings().expand(path, env),
            (None, None) => String::new(),
        };
        if !Path::new(&sub_path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(NodeError::Unsupported(format!("subPath {sub_path}")));
        }
        let host = volume.join(&sub_path);
        if !host.exists() {
            fs::create_dir_all(&host).map_err(NodeError::io(format!("making subPath {sub_path}")))?;
        }
        // A part of a volume is bound itself, so an update of the volume does not reach it: as in Kubernetes.
        let host = host.canonicalize().map_err(NodeError::io(format!("finding subPath {sub_path}")))?;
        let read_only = mount.read_only == Some(true) || self.is_from_api(&mount.name);
        Ok(Mount { host, path: PathBuf::from(&mount.mount_path), read_only })
    }

    /// Whether volume `name` is made from the API, so that no container may write to it.
    fn is_from_api(&self, name: &str) -> bool {
        let volumes = self.spec().volumes.iter().flatten();
        volumes.filter(|volume| volume.name == name).any(|volume| volume.empty_dir.is_none())
    }
}

static EMPTY_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);

fn finished(container: &Container, output: &Output, message: &[u8]) -> Finished {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut message = tail(&String::from_utf8_lossy(message), MESSAGE_LIMIT).to_string();
    let to_log = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if message.is_empty() && to_log && !output.status.success() {
        let log = format!("{stdout}{stderr}");
        let lines: Vec<&str> = log.split_inclusive('\n').collect();
        let last = lines[lines.len().saturating_sub(MESSAGE_LOG_LINES)..].concat();
        message = tail(&last, MESSAGE_LOG_LIMIT).to_string();
    }
    Finished { code: output.status.code(), stdout, stderr, termination_message: message }
}

/// The last `limit` bytes of `text`, less where that would cut a character.
fn tail(text: &str, limit: usize) -> &str {
    let start = (text.len().saturating_sub(limit)..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[start.unwrap_or(text.len())..]
}

/// Adds the files at `host`, a file or a directory, which the container sees at `path`. Links are followed, and
/// kubelet's own directories (`..data` and its like) are left out.
fn collect_files(host: &Path, path: &Path, files: &mut BTreeMap<PathBuf, FileView>) -> std::io::Result<()> {
    let metadata = fs::metadata(host)?;
    if !metadata.is_dir() {
        let mode = metadata.permissions().mode() & 0o7777;
        let content = fs::read(host)?;
        files.insert(path.into(), FileView { mode, uid: metadata.uid(), gid: metadata.gid(), content });
        return Ok(());
    }
    for entry in fs::read_dir(host)? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with("..") {
            collect_files(&host.join(&name), &path.join(&name), files)?;
        }
    }
    Ok(())
}
