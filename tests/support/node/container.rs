//! A container as a process of this host, in a mount namespace of its own.
//!
//! Flow: a shell in a new mount namespace (`unshare`) mounts a tmpfs as the root, binds into it the host's programs
//! and libraries (read-only), a few devices, `/proc`, what the image brings, and the pod's volumes at their mount
//! paths, makes it the root (`pivot_root`), and becomes the container's command (`setpriv`, `env -i`). So paths, users,
//! groups, modes, read-only mounts, `capabilities: {drop: [ALL]}` and a read-only root are what they are in a pod; the
//! network and the process ids are the host's.
//!
//! Without root on the host, the same happens in user namespaces, where there is but one user, who owns everything:
//! then the container's user id is right but ownership and group rights are not tried.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Capabilities, Container, PodSpec, SecurityContext};

use super::env::Env;
use super::{NodeError, user_is_root};
use crate::support::supervisor::quote;

/// The host's directories that every container sees, where the host has them.
const HOST_DIRECTORIES: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix"];
/// And of `/etc` no more than name look-ups, the loader and TLS need, so that a pod may mount beside them.
const HOST_ETC: [&str; 10] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/alternatives",
];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What a container runtime sets where neither image nor pod does.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

/// What the name of an image stands for: the host's programs, and perhaps one more that is its entry point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    program: Option<PathBuf>,
    user: u32,
    env: Env,
}

impl Image {
    /// An image that starts `program`, a file of this host.
    pub(crate) fn program(program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..Self::default() }
    }

    /// An image with the host's programs and no entry point.
    pub(crate) fn host() -> Self {
        Self::default()
    }

    /// The same image, whose user is `user` (where the pod does not say).
    pub(crate) fn with_user(self, user: u32) -> Self {
        Self { user, ..self }
    }

    /// The same image, which sets a variable (where the pod does not).
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The program's path inside.
    fn entry_point(&self) -> Option<String> {
        Some(format!("/image/{}", self.program.as_ref()?.file_name()?.to_string_lossy()))
    }
}

/// A volume, or a part of it, at a path in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) host: PathBuf,
    pub(super) path: PathBuf,
    pub(super) read_only: bool,
}

/// Everything that is needed to start a process in a container.
pub(super) struct Sandbox<'a> {
    pub(super) spec: &'a PodSpec,
    pub(super) container: &'a Container,
    pub(super) image: &'a Image,
    pub(super) mounts: &'a [Mount],
    pub(super) env: &'a Env,
    pub(super) hostname: &'a str,
    /// An empty directory of the host, where the root is mounted.
    pub(super) root: &'a Path,
    /// The file of the host that takes the termination message.
    pub(super) termination_log: &'a Path,
}

impl Sandbox<'_> {
    /// The command of the container's own, with `$(NAME)` replaced by `expand`.
    pub(super) fn own_command(&self, expand: impl Fn(&str) -> String) -> Result<Vec<String>, NodeError> {
        let command = self.container.command.clone().filter(|command| !command.is_empty());
        let command = command.map_or_else(
            || self.image.entry_point().into_iter().collect(),
            |command| command.iter().map(|word| expand(word)).collect::<Vec<String>>(),
        );
        let arguments = self.container.args.iter().flatten().map(|word| expand(word));
        let argv: Vec<String> = command.into_iter().chain(arguments).collect();
        if argv.is_empty() {
            return Err(NodeError::NoCommand(self.container.name.clone()));
        }
        Ok(argv)
    }

    /// The host's command that runs `argv` in the container, without changing its process id.
    pub(super) fn host_command(&self, argv: &[String]) -> Result<Vec<OsString>, NodeError> {
        let mut command: Vec<OsString> = vec!["unshare".into(), "--mount".into()];
        if !user_is_root() {
            command.push("--map-root-user".into());
        }
        command.extend(["--", "/bin/sh", "-euc"].map(OsString::from));
        command.push(self.script().into());
        command.push("container".into());
        command.extend(self.identity()?.into_iter().map(OsString::from));
        let directory = self.container.working_dir.as_deref().unwrap_or("/");
        command.extend(["env", "-i", "-C", directory].map(OsString::from));
        let defaults = [("PATH", DEFAULT_PATH), ("HOME", "/"), ("HOSTNAME", self.hostname)];
        let image = self.image.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let defaults = defaults.into_iter().chain(image).filter(|(name, _)| !self.env.contains_key(*name));
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        command.extend(defaults.chain(env).map(|(name, value)| format!("{name}={value}").into()));
        command.extend(argv.iter().map(OsString::from));
        Ok(command)
    }

    fn security(&self) -> Option<&SecurityContext> {
        self.container.security_context.as_ref()
    }

    fn user(&self) -> Result<u32, NodeError> {
        let user = effective_user(self.spec, self.container).unwrap_or(self.image.user);
        let pod = self.spec.security_context.as_ref();
        let own = self.security().and_then(|security| security.run_as_non_root);
        let non_root = own.or_else(|| pod.and_then(|pod| pod.run_as_non_root)).unwrap_or(false);
        if non_root && user == 0 {
            return Err(NodeError::RunsAsRoot(self.container.name.clone()));
        }
        Ok(user)
    }

    /// The command that takes on the container's user, groups and capabilities.
    fn identity(&self) -> Result<Vec<String>, NodeError> {
        let pod = self.spec.security_context.as_ref();
        let user = self.user()?;
        let group = self
            .security()
            .and_then(|security| security.run_as_group)
            .or_else(|| pod.and_then(|pod| pod.run_as_group))
            .unwrap_or(0);
        let mut identity: Vec<String> = Vec::new();
        if user_is_root() {
            let extra = pod.and_then(|pod| pod.supplemental_groups.clone()).unwrap_or_default();
            let groups: Vec<String> =
                extra.into_iter().chain(pod.and_then(|pod| pod.fs_group)).map(|id| id.to_string()).collect();
            identity.extend(["setpriv".into(), format!("--reuid={user}"), format!("--regid={group}")]);
            identity.push(match groups.is_empty() {
                true => "--clear-groups".into(),
                false => format!("--groups={}", groups.join(",")),
            });
            if self.security().and_then(|security| security.capabilities.as_ref()).is_some_and(drops_all) {
                identity.extend(["--inh-caps=-all", "--bounding-set=-all"].map(String::from));
            }
        } else {
            let maps = [format!("--map-user={user}"), format!("--map-group={group}")];
            identity.extend(["unshare".into(), "--user".into()].into_iter().chain(maps));
            identity.extend(["--", "setpriv"].map(String::from));
        }
        if self.security().and_then(|security| security.allow_privilege_escalation) == Some(false) {
            identity.push("--no-new-privs".into());
        }
        Ok(identity)
    }

    /// The shell script that makes the container's root and becomes its arguments.
    fn script(&self) -> String {
        let mut script = Script::new(self.root);
        for directory in HOST_DIRECTORIES.iter().chain(&HOST_ETC) {
            script.host(directory);
        }
        script.line("mkdir -p \"$root/proc\" \"$root/dev/shm\" \"$root/.host\"");
        script.line("mkdir -m 1777 -p \"$root/tmp\"; chmod 1777 \"$root/dev/shm\"");
        script.line("mount --rbind /proc \"$root/proc\"");
        for device in DEVICES {
            script.bind(Path::new("/dev").join(device).as_path(), &format!("/dev/{device}"), false);
        }
        for (link, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
            script.line(&format!("ln -s /proc/self/{target} \"$root/dev/{link}\""));
        }
        if let (Some(program), Some(path)) = (&self.image.program, self.image.entry_point()) {
            script.bind(program, &path, true);
        }
        let log = self.container.termination_message_path.as_deref().unwrap_or(DEFAULT_TERMINATION_LOG);
        script.bind(self.termination_log, log, false);
        let mut mounts: Vec<&Mount> = self.mounts.iter().collect();
        mounts.sort_by(|one, other| one.path.cmp(&other.path));
        for mount in mounts {
            script.bind(&mount.host, &mount.path.to_string_lossy(), mount.read_only);
        }
        script.line("cd \"$root\"; pivot_root . .host; cd /; umount -l /.host; rmdir /.host");
        if self.security().and_then(|security| security.read_only_root_filesystem) == Some(true) {
            script.line("mount -o remount,bind,ro none /");
        }
        script.line("exec \"$@\"");
        script.0
    }
}

/// The user that pod or container names; a container's goes before the pod's.
pub(super) fn effective_user(spec: &PodSpec, container: &Container) -> Option<u32> {
    let own = container.security_context.as_ref().and_then(|security| security.run_as_user);
    let user = own.or_else(|| spec.security_context.as_ref()?.run_as_user)?;
    u32::try_from(user).ok()
}

fn drops_all(capabilities: &Capabilities) -> bool {
    capabilities.drop.iter().flatten().any(|name| name == "ALL")
}

/// Lines of shell that build a root at `$root`.
struct Script(String);

impl Script {
    fn new(root: &Path) -> Self {
        let mut script = Self(String::new());
        script.line("PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH; umask 022");
        script.line(&format!("root={}", quote(&root.to_string_lossy())));
        script.line("mount -t tmpfs -o mode=0755 container \"$root\"");
        // A user namespace may not drop the flags that the host's mounts have, so it names what it may have to keep.
        script.line(
            "read_only() { mount -o remount,bind,ro none \"$1\" 2>/dev/null || \
             mount -o remount,bind,ro,nosuid,nodev none \"$1\" 2>/dev/null || \
             mount -o remount,bind,ro,nosuid,nodev,noexec none \"$1\"; }",
        );
        script
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Something of the host at its own path, where the host has it; a link stays a link.
    fn host(&mut self, path: &str) {
        self.line(&format!("path={path}; inside=\"$root$path\""));
        self.line("if [ -L \"$path\" ]; then mkdir -p \"${inside%/*}\"; cp -P \"$path\" \"$inside\"");
        self.line("elif [ -e \"$path\" ]; then");
        self.line("  if [ -d \"$path\" ]; then mkdir -p \"$inside\"");
        self.line("  else mkdir -p \"${inside%/*}\"; : >\"$inside\"; fi");
        self.line("  mount --rbind \"$path\" \"$inside\"; read_only \"$inside\"");
        self.line("fi");
    }

    /// `host`, a file or a directory, at `path`.
    fn bind(&mut self, host: &Path, path: &str, read_only: bool) {
        let host = quote(&host.to_string_lossy());
        let path = format!("\"$root\"{}", quote(path));
        self.line(&format!("if [ -d {host} ]; then mkdir -p {path}"));
        self.line(&format!("else mkdir -p \"$(dirname {path})\"; [ -e {path} ] || : >{path}; fi"));
        self.line(&format!("mount --bind {host} {path}"));
        if read_only {
            self.line(&format!("read_only {path}"));
        }
    }
}
