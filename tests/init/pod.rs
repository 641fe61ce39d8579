//! What a pod gives to its init container, in a directory of this host, and what the container left there.
//!
//! Invariant: a container gets nothing of this process' environment, and ends with its value, or this process at the
//! latest.

#![allow(dead_code, reason = "each target that includes this uses its own part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::node::go_quote::quote;

/// No run of a test takes longer.
pub(crate) const BOUND: Duration = Duration::from_secs(90);

const PROGRAM: &str = env!("CARGO_BIN_EXE_keystow");

/// A pod that is there without a cluster.
pub(crate) struct Pod {
    directory: TempDir,
    environment: BTreeMap<String, String>,
    before: Vec<String>,
    arguments: Vec<String>,
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
    pub(crate) last_words: String,
    pub(crate) took: Duration,
}

/// What an application finds in a directory: each file's mode and content, by its path below it.
pub(crate) type Tree = BTreeMap<String, (u32, Vec<u8>)>;

impl Pod {
    /// A pod with these annotations, whose secrets are in the store of these settings.
    pub(crate) fn new(store: &str, annotations: &[(&str, &str)]) -> Self {
        let directory = TempDir::with_prefix("pod-").expect("a directory for a pod");
        let (environment, arguments) = (BTreeMap::new(), vec!["init".to_owned()]);
        let mut pod = Self { directory, environment, before: Vec::new(), arguments };
        pod.annotate(annotations);
        fs::write(pod.path("termination-log"), "").expect("a termination log");
        pod.set("KEYSTOW_STORE", store);
        pod.set("POD_NAME", "web-0");
        pod.set("POD_NAMESPACE", "default");
        for (name, path) in [
            ("KEYSTOW_ANNOTATIONS_FILE", "annotations"),
            ("KEYSTOW_PATH", "secret"),
            ("KEYSTOW_TERMINATION_LOG", "termination-log"),
        ] {
            let path = pod.path(path).display().to_string();
            pod.set(name, path);
        }
        pod
    }

    /// A variable of the container.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    /// A variable that names a file with this text.
    pub(crate) fn give(&mut self, variable: &str, name: &str, text: &str) {
        self.write(name, text);
        let path = self.path(name).display().to_string();
        self.set(variable, path);
    }

    /// A file with this text.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file of the pod");
    }

    /// One more argument of the container.
    pub(crate) fn argue(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
    }

    /// A line of shell that is run before the program, in its process.
    pub(crate) fn prepare(&mut self, line: &str) {
        self.before = ["sh", "-euc", &format!("{line}\nexec \"$@\""), "sh"].map(String::from).to_vec();
    }

    /// The container runs as this user, who owns its volume, and is in this group beside the own one.
    pub(crate) fn run_as(&mut self, user: u32, group: u32) {
        for name in ["", "secret", "termination-log"] {
            let path = self.path(name);
            let _ = fs::create_dir(&path);
            std::os::unix::fs::chown(&path, Some(user), Some(user)).expect("a test that runs as root");
        }
        self.before = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
            .map(String::from)
            .into_iter()
            .chain(["reuid", "regid"].map(|option| format!("--{option}={user}")))
            .chain([format!("--groups={group}"), "--".to_owned()])
            .collect();
    }

    /// The annotations change, as the kubelet does it: at once.
    pub(crate) fn annotate(&self, annotations: &[(&str, &str)]) {
        let text: String =
            annotations.iter().map(|(key, value)| format!("{key}={}\n", quote(value))).collect();
        fs::write(self.path("annotations.new"), text).expect("a file of annotations");
        fs::rename(self.path("annotations.new"), self.path("annotations")).expect("new annotations");
    }

    /// A file or directory of the pod.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The container's command, to be started.
    pub(crate) fn command(&self) -> std::process::Command {
        // Killed by the kernel should this process be killed: a test that is interrupted leaves nothing behind.
        let mut command = std::process::Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.before).arg(PROGRAM);
        self.complete(command)
    }

    /// The same with nothing before the program, and nothing that ends it with this process.
    pub(crate) fn plain_command(&self) -> std::process::Command {
        self.complete(std::process::Command::new(PROGRAM))
    }

    fn complete(&self, mut command: std::process::Command) -> std::process::Command {
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the container to its end.
    pub(crate) async fn run(&self) -> Ended {
        let start = Instant::now();
        let mut command = tokio::process::Command::from(self.command());
        let child = command.kill_on_drop(true).spawn().expect("a started container");
        let output = tokio::time::timeout(BOUND, child.wait_with_output()).await;
        let output =
            output.unwrap_or_else(|_| panic!("no end within {BOUND:?}")).expect("a container that ended");
        Ended {
            code: output.status.code(),
            log: String::from_utf8(output.stderr).expect("a log in UTF-8"),
            last_words: self.last_words(),
            took: start.elapsed(),
        }
    }

    /// Starts the container.
    pub(crate) fn start(&self) -> Running<'_> {
        let log = fs::File::create(self.path("log")).expect("a log file");
        let mut command = tokio::process::Command::from(self.command());
        let child = command.stderr(log).kill_on_drop(true).spawn().expect("a started container");
        Running { pod: self, child }
    }

    /// What stands in the termination log.
    pub(crate) fn last_words(&self) -> String {
        fs::read_to_string(self.path("termination-log")).expect("the termination log")
    }

    /// What an application finds in the usual directory.
    pub(crate) fn tree(&self) -> Tree {
        tree(&self.path("secret"))
    }

    /// The content of one file there.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("secret").join(name)).expect(name)
    }

    /// Nothing was left on the volume but perhaps an empty directory.
    #[track_caller]
    pub(crate) fn assert_nothing_is_written(&self) {
        let names = names(&self.path("secret"));
        assert!(names.is_empty(), "{names:?}");
    }
}

/// A container that runs; it ends with its value.
pub(crate) struct Running<'p> {
    pod: &'p Pod,
    child: tokio::process::Child,
}

impl Running<'_> {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.pod.path("log")).expect("a log")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a process that has not ended")
    }

    /// Waits for its end, whatever brings it.
    pub(crate) async fn status(mut self) -> std::process::ExitStatus {
        tokio::time::timeout(BOUND, self.child.wait()).await.expect("an end").expect("a child")
    }

    /// Sends it SIGTERM, and waits for its end, which is what is timed.
    pub(crate) async fn terminate(mut self) -> Ended {
        let start = Instant::now();
        let pid = self.pid().to_string();
        let sent = tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.expect("a started kill").success(), "process {pid} was not there any more");
        let status = tokio::time::timeout(BOUND, self.child.wait()).await.expect("an end").expect("a child");
        Ended {
            code: status.code(),
            log: self.log(),
            last_words: self.pod.last_words(),
            took: start.elapsed(),
        }
    }
}

/// All names in a directory, hidden ones too, in order; none where there is no such directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("a name in UTF-8")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// What can be reached by names that do not begin with two dots. Names that lead nowhere are no files.
pub(crate) fn tree(directory: &Path) -> Tree {
    let mut tree = Tree::new();
    for name in names(directory) {
        if !name.starts_with("..") {
            gather(&directory.join(&name), &name, &mut tree).expect("files that can be read");
        }
    }
    tree
}

/// Adds a file, or those in a directory.
pub(crate) fn gather(path: &Path, name: &str, tree: &mut Tree) -> io::Result<()> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if metadata.is_dir() {
        for inner in names(path) {
            gather(&path.join(&inner), &format!("{name}/{inner}"), tree)?;
        }
    } else {
        tree.insert(name.to_owned(), (metadata.permissions().mode() & 0o7777, fs::read(path)?));
    }
    Ok(())
}
