//! The image as a running container, with no more around it than a node gives.
//!
//! Flow: the image's files are unpacked; a shell in a mount namespace of its own binds the volumes into them and makes the
//! whole read-only; `setpriv` takes on the image's user and gives up capabilities; `unshare --root` makes the files the
//! root, which it may in a user namespace, and becomes the entry point.
//!
//! Without root on the host the user in the namespace is right, and the host's user stands behind it.
//!
//! Invariants: the process is the entry point itself, so signals and the exit code are its own; it ends with its value, and
//! with the thread that started it. Of the host it sees the network and the volumes: no `/proc`, no `/dev`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::layout::{Layout, open};
use super::support::node::user_is_root;
use super::support::wait::until;

/// How long a process may take to serve, and to end.
const BOUND: Duration = Duration::from_secs(60);

/// `$1` is the root, and then come pairs of a volume and its path in the root, up to `--` and the command.
const SCRIPT: &str = r#"
root=$1; shift
mount --bind "$root" "$root"
read_only() {
  mount -o "remount,bind,ro" none "$1" 2>/dev/null || mount -o "remount,bind,ro,nosuid,nodev" none "$1"
}
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$2"
  shift 2
done
shift
read_only "$root"
exec "$@"
"#;

/// A container that is yet to be started.
pub(crate) struct Container<'i> {
    image: &'i Layout,
    root: TempDir,
    volumes: Vec<(PathBuf, String)>,
    variables: Vec<(&'static str, String)>,
}

impl<'i> Container<'i> {
    pub(crate) fn new(image: &'i Layout) -> Self {
        Self { image, root: image.unpack(), volumes: Vec::new(), variables: Vec::new() }
    }

    /// Mounts `volume`, a file or a directory of the host, at `path`.
    pub(crate) fn mount(&mut self, volume: &Path, path: &str) {
        let inside = self.root.path().join(path.trim_start_matches('/'));
        // What a runtime does for a pod's volumes.
        if volume.is_dir() {
            fs::create_dir_all(&inside).unwrap();
        } else {
            fs::create_dir_all(inside.parent().unwrap()).unwrap();
            File::create(&inside).unwrap();
        }
        self.volumes.push((volume.to_owned(), path.to_owned()));
    }

    pub(crate) fn variable(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    /// Starts it with these arguments behind its entry point.
    pub(crate) fn start(self, arguments: &[&str]) -> Running {
        let log = TempDir::with_prefix("image-log-").unwrap();
        let stderr = File::create(log.path().join("stderr")).unwrap();
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !user_is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--", "/bin/sh", "-euc", SCRIPT, "container"]).arg(self.root.path());
        for (volume, path) in &self.volumes {
            command.arg(volume).arg(path);
        }
        command
            .arg("--")
            .args(self.identity())
            .arg(format!("--root={}", self.root.path().display()))
            .arg("--");
        let child = command
            .args(self.image.entry_point())
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        Running { child, pid, log, _root: self.root }
    }

    /// The command that takes on the image's user; it ends where the new root is to be named.
    fn identity(&self) -> Vec<String> {
        let (user, group) = self.image.user();
        let mut words: Vec<String> =
            ["setpriv", "--no-new-privs", "--pdeathsig", "KILL"].map(String::from).into();
        if user_is_root() {
            words.extend([format!("--reuid={user}"), format!("--regid={group}")]);
            words.extend(["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"].map(String::from));
        }
        words.extend(["--", "unshare", "--user"].map(String::from));
        words.extend([format!("--map-user={user}"), format!("--map-group={group}")]);
        words
    }
}

/// A container that was started.
pub(crate) struct Running {
    child: Child,
    pid: u32,
    log: TempDir,
    _root: TempDir,
}

impl Running {
    /// Where it serves the API server, and where health: as its log says.
    pub(crate) async fn addresses(&mut self) -> (SocketAddr, SocketAddr) {
        let found = until(BOUND, || {
            let addresses = self.lines().iter().find_map(serving);
            let ended = self.child.try_wait().unwrap();
            std::future::ready(addresses.map(Ok).or_else(|| ended.map(Err)))
        });
        match found.await {
            Some(Ok(addresses)) => addresses,
            Some(Err(status)) => panic!("it ended with {status}: {}", self.log()),
            None => panic!("it did not serve within {BOUND:?}: {}", self.log()),
        }
    }

    fn lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path().join("stderr")).unwrap()
    }

    /// What the kernel says of the process, by the name of the line.
    pub(crate) fn status(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    }

    /// The options of the mount that is its root.
    pub(crate) fn root_options(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).unwrap();
        let mut mounts = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|fields| fields[4] == "/");
        root.unwrap_or_else(|| panic!("no root: {text}"))[5].to_owned()
    }

    /// Sends it SIGTERM, as kubelet does when a pod ends, and returns its exit code; none when a signal ended it.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await.unwrap();
        assert!(sent.success(), "it was not there any more: {}", self.log());
        let ended = tokio::time::timeout(BOUND, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it did not end within {BOUND:?}: {}", self.log())).unwrap().code()
    }
}

/// A directory that any user of a container may write, as an emptyDir is.
pub(crate) fn empty_volume() -> TempDir {
    let volume = TempDir::with_prefix("image-volume-").unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(volume.path(), everybody).unwrap();
    volume
}

/// A directory with these files, which any user of a container may read.
pub(crate) fn volume(files: &[(&str, &str)]) -> TempDir {
    let volume = TempDir::with_prefix("image-volume-").unwrap();
    open(volume.path());
    for (name, text) in files {
        fs::write(volume.path().join(name), text).unwrap();
    }
    volume
}

/// The addresses in the log line that names them.
fn serving(line: &Value) -> Option<(SocketAddr, SocketAddr)> {
    let address = |field: &str| line.get(field)?.as_str()?.parse().ok();
    Some((address("webhook")?, address("admin")?))
}
