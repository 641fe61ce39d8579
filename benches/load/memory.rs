//! The memory of the webhook's process: idle, under load, and after ever more pods that never come twice.
//!
//! Each mode of the webhook is an entry of [`MODES`]. The constant answers stand beside it to tell what the server
//! takes, and what the decision.

use std::sync::Arc;

use crate::client::{Client, Until};
use crate::process::{Contestant, Material, Memory, Process};
use crate::reviews::Reviews;
use crate::screen::{self, Table};
use crate::{CONNECTIONS, STREAMS};

/// How many pods were reviewed, in all, when memory is looked at.
const PODS: [usize; 4] = [1_000, 5_000, 20_000, 60_000];
const MOST_IDLE: f64 = 12.0;
const MOST_LOADED: f64 = 24.0;

pub(crate) async fn measure(material: &Material) {
    screen::title(&format!(
        "Memory in MiB, resident (of it private), {CONNECTIONS} connections x {STREAMS} streams"
    ));
    let mut table = Table::new(["", "idle", "1,000 pods", "5,000", "20,000", "60,000", "peak"]);
    let mut worst = (0.0_f64, 0.0_f64);
    for contestant in crate::CONTESTANTS {
        let process = Process::start(contestant, material).await;
        let (idle, loaded) = grow(&process, material).await;
        let peak = loaded.last().map_or(f64::NAN, |memory| memory.peak);
        if contestant == Contestant::Keystow {
            worst = (idle.resident, peak);
        }
        let mut row = vec![contestant.name().to_owned(), shown(idle)];
        row.extend(loaded.iter().copied().map(shown));
        row.push(format!("{peak:.1}"));
        table.row::<7>(row.try_into().expect("a cell for each column"));
    }
    table.write();
    let (idle, peak) = worst;
    screen::budget(&format!("{idle:.1} idle, at most {MOST_IDLE}"), idle <= MOST_IDLE);
    screen::budget(&format!("{peak:.1} at the peak, at most {MOST_LOADED}"), peak <= MOST_LOADED);
}

fn shown(memory: Memory) -> String {
    format!("{:.1} ({:.1})", memory.resident, memory.private)
}

/// Memory before the first connection, and after each number of pods.
async fn grow(process: &Process, material: &Material) -> (Memory, Vec<Memory>) {
    let idle = process.memory();
    let client = Client::connect(process.address, &material.ca_pem(), CONNECTIONS).await;
    let reviews = Arc::new(Reviews::distinct());
    let mut done = 0;
    let mut loaded = Vec::new();
    for pods in PODS {
        client.load(STREAMS, &reviews, Until::Answered(pods - done)).await;
        done = pods;
        loaded.push(process.memory());
    }
    (idle, loaded)
}
