//! The supervisor: what it starts ends with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::supervisor::{Program, Supervisor};

const SOON: Duration = Duration::from_secs(30);

fn shell(script: &str, directory: &Path) -> Program {
    Program { argv: ["/bin/sh", "-c", script].map(Into::into).into(), log: directory.join("log") }
}

#[test]
fn programs_and_their_directory_go_when_it_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let program = || shell("exec tail -f /dev/null", directory.path());
    let supervisor = Supervisor::start(&[program(), program()], Some(directory.path())).unwrap();
    assert!(supervisor.all_running());
    let processes: Vec<String> = supervisor.pids().iter().map(|pid| format!("/proc/{pid}")).collect();
    assert_eq!(processes.len(), 2);
    drop(supervisor);
    assert!(!processes.iter().any(|process| Path::new(process).exists()));
    assert!(!directory.path().exists());
}

#[tokio::test]
async fn a_program_may_end_by_itself_or_by_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(&[shell("echo \"it's over\"", directory.path())], None).unwrap();
    assert!(supervisor.ended_within(SOON).await);
    assert_eq!(fs::read_to_string(directory.path().join("log")).unwrap(), "it's over\n");

    let supervisor = Supervisor::start(&[shell("exec tail -f /dev/null", directory.path())], None).unwrap();
    assert!(!supervisor.ended_within(Duration::ZERO).await);
    supervisor.terminate().unwrap();
    assert!(supervisor.ended_within(SOON).await);
}
