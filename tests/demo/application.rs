//! The pod on the stand-in for a node: its init container is run, and what its application sees is shown.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use k8s_openapi::api::core::v1::{Container, Pod};
use tempfile::TempDir;
use tokio::process::Command;

use super::examples::Example;
use super::program::IMAGE;
use super::support::node::{AppView, Finished, Image, Node, NodeError, RunningPod, SecretSource};
use super::{Failure, Outcome, screen};

/// Where the API server's token and keystow's own input are; neither is a secret that was asked for.
const NOT_SHOWN: [&str; 2] = ["/var/run/secrets/kubernetes.io", "/annotations"];
/// Characters of a value that are shown.
const SHOWN: usize = 24;

/// Whether containers can be run on this machine.
pub(crate) struct Stage {
    keystow: Image,
    refusal: Option<String>,
}

impl Stage {
    /// Tries what the stand-in needs: a mount namespace, and without root a user in a namespace of its own.
    pub(crate) async fn find(keystow: &Path) -> Outcome<Self> {
        let step = "trying whether init containers can run";
        let directory = TempDir::with_prefix("keystow-probe-").map_err(|error| Failure::new(step, error))?;
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let (options, user): (&[&str], &str) = match is_root {
            true => (&["--mount"], "setpriv --clear-groups true"),
            false => (&["--mount", "--map-root-user"], "unshare --user --map-user=65532 -- setpriv true"),
        };
        let probe = Command::new("unshare")
            .args(options)
            .args(["--", "/bin/sh", "-euc", &format!("mount -t tmpfs probe \"$1\"; {user}"), "probe"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .output()
            .await;
        let refusal = match probe {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(format!("unshare, of util-linux: {error}")),
        };
        Ok(Self { keystow: Image::program(keystow), refusal })
    }

    /// Why not.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// A node that has keystow's image, and for the application one with the programs of this machine.
    pub(crate) fn node<S: SecretSource>(&self, source: S) -> Place<'_, S> {
        let node = Node::new(source).with_image(IMAGE, self.keystow.clone());
        Place { node: node.with_image("busybox:1.36", Image::host()), stage: self }
    }
}

/// A node, and what can be done on it.
pub(crate) struct Place<'s, S> {
    node: Node<S>,
    stage: &'s Stage,
}

impl<S: SecretSource> Place<'_, S> {
    pub(crate) fn with_api_server(self, port: u16) -> Self {
        Self { node: self.node.with_api_server(port), ..self }
    }
}

/// Runs `pod` and shows what the application sees; fails where that is not what `example` is about.
pub(crate) async fn show<S: SecretSource>(place: Place<'_, S>, pod: Pod, example: &Example) -> Outcome<()> {
    let spec = pod.spec.clone().unwrap_or_default();
    let inits: Vec<&str> = spec.init_containers.iter().flatten().map(|init| init.name.as_str()).collect();
    if !inits.is_empty() && place.stage.refusal.is_some() {
        screen::warning(&format!("{} is not run, nor what comes after it", inits.join(", ")));
        return Ok(());
    }
    let what = match inits.as_slice() {
        [] => "lay out the pod's volumes; there is no init container to run".to_owned(),
        inits => format!("lay out the pod's volumes, run {}", inits.join(", ")),
    };
    let start = async { place.node.run(pod).await.map_err(refused) };
    let running = screen::step(&what, start).await?;
    for container in &spec.containers {
        screen::note(&format!("what {} sees:", container.name));
        let view = running.view(&container.name).await.map_err(refused)?;
        show_files(&view);
        show_variables(container, &view);
        expect(&view, example)?;
        if place.stage.refusal.is_none() {
            read_as_application(&running, container, &view).await?;
        }
    }
    Ok(())
}

fn refused(error: NodeError) -> Failure {
    let step = "running the pod";
    match error {
        NodeError::InitFailed { container, finished } => {
            let Finished { code, stderr, termination_message, .. } = *finished;
            let said = if termination_message.is_empty() { stderr } else { termination_message };
            let code = code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
            Failure::new(step, format!("{container} ended {code} and said:\n{}", said.trim_end()))
        }
        error => Failure::new(step, error),
    }
}

fn show_files(view: &AppView) {
    let shown = |path: &Path| !NOT_SHOWN.iter().any(|directory| path.starts_with(directory));
    for (path, file) in view.files.iter().filter(|(path, _)| shown(path)) {
        let owner = format!("user {}, group {}", file.uid, file.gid);
        let text = format!("mode {:04o}, {owner}, {} bytes", file.mode, file.content.len());
        screen::entry(&path.to_string_lossy(), &text);
        for line in file.text().lines() {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            screen::entry(&format!("  {name}"), &shortened(value));
        }
    }
}

fn show_variables(container: &Container, view: &AppView) {
    for variable in container.env.iter().flatten() {
        let value = view.env.get(&variable.name).map_or("not set", String::as_str);
        screen::entry(&format!("${}", variable.name), &shortened(value));
    }
}

/// The beginning of a value, and how long it is.
fn shortened(value: &str) -> String {
    match value.chars().count() {
        length if length <= SHOWN => value.to_owned(),
        length => format!("{}… ({length} characters)", value.chars().take(SHOWN).collect::<String>()),
    }
}

fn expect(view: &AppView, example: &Example) -> Outcome<()> {
    let secrets = view.text("/secret/secret").unwrap_or_default();
    let names: Vec<&str> = secrets.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    if names != example.names {
        let problem = format!("/secret/secret has {names:?} instead of {:?}", example.names);
        return Err(Failure::new(example.name(), problem));
    }
    for name in example.variables {
        if view.env.get(*name).is_none_or(String::is_empty) {
            return Err(Failure::new(example.name(), format!("the variable {name} is not set")));
        }
    }
    Ok(())
}

/// Lets a process in the application's place read the files, as the application's user and below its mounts.
async fn read_as_application<S: SecretSource>(
    running: &RunningPod<'_, S>,
    container: &Container,
    view: &AppView,
) -> Outcome<()> {
    let Some(file) = view.files.get(Path::new("/secret/secret")) else { return Ok(()) };
    let what = "read /secret/secret as a process of the application";
    let read = async {
        let finished = running.exec(&container.name, &["cat", "/secret/secret"]).await;
        let finished = finished.map_err(refused)?;
        match finished.code == Some(0) && finished.stdout.as_bytes() == file.content {
            true => Ok(()),
            false => Err(Failure::new(what, finished.stderr)),
        }
    };
    screen::step(what, read).await
}

/// A value that nobody else has: 32 hexadecimal digits.
pub(crate) fn made_up_value() -> Outcome<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| Failure::new("reading /dev/urandom", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
