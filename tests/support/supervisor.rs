//! Programs that live no longer than whoever started them, whatever happens to that one.
//!
//! A small shell starts the programs, prints their process ids, and then reads its stdin, which is a pipe from this
//! process. When the pipe closes - by drop, by panic, or because the kernel closed it after a SIGKILL - it kills the
//! programs by id, each with the group that it leads if it leads one, and removes the directory it was given. It ignores
//! the terminal's signals, so that an interrupted test run is cleaned up the same way.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::wait::until;

/// A program to start: its arguments (the program first), and the file that takes its output.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) argv: Vec<OsString>,
    pub(crate) log: PathBuf,
}

/// Running programs; they are killed when this is dropped, or when this process ends in any way.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    pids: Vec<u32>,
}

impl Supervisor {
    /// Starts `programs`; `remove` is a directory that goes when they have gone.
    pub(crate) fn start(programs: &[Program], remove: Option<&Path>) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(script(programs, remove))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let Some(stdout) = shell.stdout.take() else {
            return Err(io::Error::other("the supervisor has no stdout"));
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let pids: Vec<u32> = line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        let supervisor = Self { shell, pids };
        if supervisor.pids.len() != programs.len() {
            return Err(io::Error::other(format!("the supervisor answered {line:?}")));
        }
        Ok(supervisor)
    }

    /// The programs' process ids, in the order they were given.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Whether every program still runs.
    pub(crate) fn all_running(&self) -> bool {
        self.pids.iter().all(|pid| is_running(*pid))
    }

    /// Sends every program SIGTERM, as kubelet does when a pod ends.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        let pids = self.pids.iter().map(ToString::to_string);
        let kill = "kill -TERM \"$@\" 2>/dev/null";
        Command::new("/bin/sh").args(["-c", kill, "kill"]).args(pids).status()?;
        Ok(())
    }

    /// Waits until no program runs any more; false when that takes longer than `limit`.
    pub(crate) async fn ended_within(&self, limit: Duration) -> bool {
        let running = || self.pids.iter().any(|pid| is_running(*pid));
        until(limit, async || (!running()).then_some(())).await.is_some()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell kills with SIGKILL, so this does not wait for anybody's good will.
        let _ = self.shell.wait();
    }
}

/// Whether process `pid` exists and has not ended (a zombie has).
fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

fn script(programs: &[Program], remove: Option<&Path>) -> String {
    let mut script = String::from("pids=\n");
    for program in programs {
        let argv: Vec<String> = program.argv.iter().map(|word| quote(&word.to_string_lossy())).collect();
        let log = quote(&program.log.to_string_lossy());
        script += &format!("{} >{log} 2>&1 </dev/null &\npids=\"$pids $!\"\n", argv.join(" "));
    }
    // The traps come after the starts: a signal ignored here would be ignored there too.
    script += "trap '' HUP INT TERM\necho $pids\nexec >/dev/null\nwhile read -r _; do :; done\n";
    // One that leads a group of processes, as `setsid` makes it, takes the group with it.
    script += "for pid in $pids; do kill -KILL $pid; kill -KILL -$pid; done 2>/dev/null\nwait\n";
    if let Some(directory) = remove {
        script += &format!("rm -rf -- {}\n", quote(&directory.to_string_lossy()));
    }
    script
}

/// `word` as one word of a shell command.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
