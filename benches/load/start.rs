//! From the start of the process until `/readyz` says 200, as a kubelet with an impatient probe would see it.
//!
//! The time includes that of the small program that starts the webhook, and up to a millisecond between two probes.

use crate::managed::Cluster;
use crate::process::{Contestant, Material, Process};
use crate::screen::{self, Table};
use crate::statistics::Spread;

const STARTS: usize = 20;
/// In milliseconds, of the webhook that reads its certificate from files.
const LONGEST: f64 = 50.0;

pub(crate) async fn measure(material: &Material) {
    screen::title(&format!("From start to ready: {STARTS} starts each; median (lowest-highest)"));
    let mut table = Table::new(["", "ms"]);
    let mut row = |name: &str, times: &[f64]| {
        let spread = Spread::of(times);
        table.row([name.to_owned(), format!("{spread:.1}")]);
        spread.median
    };
    let ours = row("keystow, certificate from files", &files(Contestant::Keystow, material).await);
    row("constant answer, certificate from files", &files(Contestant::Allowed, material).await);
    if let Some(cluster) = Cluster::start().await {
        row("keystow, self-managed, nothing there yet", &managed(&cluster, true, material).await);
        row("keystow, self-managed, the Secret is there", &managed(&cluster, false, material).await);
    }
    table.write();
    screen::budget(&format!("{ours:.1} ms with files, at most {LONGEST} ms"), ours <= LONGEST);
}

async fn files(contestant: Contestant, material: &Material) -> Vec<f64> {
    let mut times = Vec::new();
    for start in 0..STARTS {
        screen::progress(start, STARTS);
        times.push(ready(Process::start(contestant, material).await).await);
    }
    times
}

/// Starts that find what the one before has left, or nothing if `anew`.
async fn managed(cluster: &Cluster, anew: bool, material: &Material) -> Vec<f64> {
    let mut times = Vec::new();
    for start in 0..STARTS {
        screen::progress(start, STARTS);
        if anew {
            cluster.forget().await;
        }
        times.push(ready(Process::start_managed(cluster, material).await).await);
    }
    times
}

/// Ends a webhook, and tells how many milliseconds it took to be ready.
async fn ready(process: Process) -> f64 {
    let took = process.start.as_secs_f64() * 1e3;
    process.end().await;
    took
}
