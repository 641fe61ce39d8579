//! `make demo`: two of the examples, from what an author writes to what the application sees.
//!
//! Flow: a control plane is found, else built. With one, `cluster` starts it and `keystow webhook`, applies the
//! configuration of `webhook-config/`, and creates the pods; without one, `offline` lets `keystow inject` do what the
//! webhook does. Either way `application` runs the pods on the stand-in for a node and shows what they see.
//!
//! Everything that is started ends with this process, whatever happens to it, and nothing is left but what was built.

#[path = "../support/mod.rs"]
mod support;

mod application;
mod cluster;
mod examples;
mod offline;
mod program;
mod screen;

use std::error::Error;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use keystow::telemetry::chain;
use tokio::process::Command;

use application::Stage;
use examples::Example;
use program::Keystow;
use support::control_plane::Binaries;

const BUILD_CONTROL_PLANE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/control-plane/build.sh");

/// A step that did not succeed.
#[derive(Debug)]
struct Failure {
    step: String,
    reason: String,
}

impl Failure {
    fn new(step: impl Into<String>, reason: impl Into<Box<dyn Error>>) -> Self {
        Self { step: step.into(), reason: chain(&*reason.into()) }
    }
}

type Outcome<T> = Result<T, Failure>;

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen::failed(&failure);
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Outcome<()> {
    let began = Instant::now();
    screen::title("keystow: two pods, from their annotations to their secrets");
    let keystow = Keystow::beside_this_program()?;
    let examples = Example::all()?;
    screen::note("secrets come from the store `local`, whose values follow from names: for development only");
    let stage = Stage::find(keystow.path()).await?;
    if let Some(reason) = stage.refusal() {
        screen::warning(&format!(
            "init containers cannot run here, which needs root or user namespaces ({reason}); the rest is shown"
        ));
    }
    match control_plane().await? {
        None => cluster::demo(&keystow, &examples, &stage).await?,
        Some(reason) => {
            screen::warning(&format!(
                "no control plane ({reason}): the same without one, by `keystow inject`"
            ));
            offline::demo(&keystow, &examples, &stage).await?;
        }
    }
    screen::title(&format!("done in {:.1} s; all that was started has ended", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Sees to it that the programs of a control plane are there; the reason, where they cannot be had.
async fn control_plane() -> Outcome<Option<String>> {
    if Binaries::find().is_ok() {
        return Ok(None);
    }
    screen::note(
        "no control plane yet: tests/control-plane/build.sh builds etcd and kube-apiserver, once, in minutes",
    );
    // It tells its progress on stderr itself.
    let build = Command::new(BUILD_CONTROL_PLANE).stdin(Stdio::null()).stdout(Stdio::null()).status().await;
    let status = build.map_err(|error| Failure::new("building a control plane", error))?;
    Ok(match (status.success(), Binaries::find()) {
        (true, Ok(_)) => None,
        (true, Err(missing)) => Some(missing.to_string()),
        (false, _) => Some("tests/control-plane/build.sh says above what it needs".to_owned()),
    })
}
