//! `keystow init` with the local store: how long a pod waits for it, and what memory it takes.
//!
//! Flow: a pod of 50 secrets without keys → whole runs, each a process from its start to its end → the median; then a
//! sidecar that has written the same files, whose peak the kernel tells. Local values cost next to nothing, so this is what
//! every store's init costs besides its requests.
//!
//! Beside it stands `keystow --version`, which starts and does nothing: what is between both is init's own.

#[path = "../../tests/init/pod.rs"]
mod pod;
#[path = "../load/screen.rs"]
mod screen;
#[path = "../load/statistics.rs"]
mod statistics;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use pod::Pod;
use screen::Table;
use statistics::Spread;

const SECRETS: usize = 50;
const RUNS: usize = 50;
/// In milliseconds.
const LONGEST: f64 = 20.0;
/// In MiB.
const LARGEST: f64 = 16.0;

fn main() -> ExitCode {
    let mut pod = pod();
    screen::title(&format!(
        "init, local store, {SECRETS} secrets: {RUNS} runs each; median (lowest-highest)"
    ));
    let mut table = Table::new(["", "ms from start to end"]);
    let version = times("keystow --version", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keystow"));
        command.arg("--version").env_clear();
        command
    });
    table.row(["keystow --version".to_owned(), format!("{version:.1}")]);
    let init = times("keystow init", || pod.plain_command());
    assert_eq!(pod.read("secret").lines().count(), SECRETS, "all secrets were written");
    table.row(["keystow init".to_owned(), format!("{init:.1}")]);
    table.write();
    screen::budget(&format!("{:.1} ms, at most {LONGEST} ms", init.median), init.median <= LONGEST);
    pod.argue("--refresh=1h");
    let peak = peak(&pod);
    screen::remark(&format!("peak of memory: {peak:.1} MiB"));
    screen::budget(&format!("{peak:.1} MiB, at most {LARGEST} MiB"), peak <= LARGEST);
    ExitCode::SUCCESS
}

fn pod() -> Pod {
    let kinds = ["type=PASSWORD,size=256", "type=RANDOM,size=256"];
    let annotations: Vec<(String, String)> = (0..SECRETS)
        .map(|n| (format!("secret.bsycorp.com/service.part-{n}"), format!("kind=DYNAMIC,{}", kinds[n % 2])))
        .collect();
    let annotations: Vec<_> = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Pod::new(r#"{"local":{}}"#, &annotations)
}

/// How many milliseconds each run takes.
fn times(what: &str, command: impl Fn() -> Command) -> Spread {
    let mut times = Vec::new();
    for run in 0..RUNS {
        screen::progress(run, RUNS);
        let mut command = command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().expect("a started program");
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(status.success(), "{what}: {status}");
    }
    Spread::of(&times)
}

/// The most that a process has had in memory when it has written its files, in MiB.
fn peak(pod: &Pod) -> f64 {
    let mut child = pod.plain_command().stderr(Stdio::null()).spawn().expect("a started sidecar");
    let begun = Instant::now();
    let version = || std::fs::read_link(pod.path("secret/..data")).ok();
    let before = version();
    while version() == before {
        assert!(begun.elapsed() < pod::BOUND, "no files within {:?}", pod::BOUND);
        std::thread::yield_now();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a running process");
    child.kill().expect("a killed sidecar");
    child.wait().expect("a child");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    peak / 1024.0
}
