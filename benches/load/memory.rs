//! The memory of the webhook's process: idle, under load, and after ever more pods that never come twice.
//!
//! Both ways of keystow to its certificate are looked at. A constant answer stands beside them to tell what the server
//! takes, and what the decision.

use std::sync::Arc;

use crate::client::{Client, Until};
use crate::managed::Cluster;
use crate::process::{Contestant, Material, Memory, Process};
use crate::reviews::Reviews;
use crate::screen::{self, Table};
use crate::{CONNECTIONS, STREAMS};

/// How many pods were reviewed, in all, when memory is looked at.
const PODS: [usize; 4] = [1_000, 5_000, 20_000, 60_000];
const MOST_IDLE: f64 = 12.0;
const MOST_LOADED: f64 = 24.0;
/// What may come and go between two looks at memory that does not grow.
const NOISE: f64 = 1.0;

/// What was seen of one process.
struct Seen {
    idle: Memory,
    /// After each number of [`PODS`].
    loaded: [Memory; PODS.len()],
}

pub(crate) async fn measure(material: &Material) {
    screen::title(&format!(
        "Memory in MiB, resident (of it no file's), {CONNECTIONS} connections x {STREAMS} streams, distinct pods"
    ));
    let mut table = Table::new(["", "idle", "1,000 pods", "5,000", "20,000", "60,000", "peak"]);
    let process = Process::start(Contestant::Allowed, material).await;
    Seen::of(process, &material.ca_pem()).await.row("constant answer, certificate from files", &mut table);

    let process = Process::start(Contestant::Keystow, material).await;
    let mut ours = vec![Seen::of(process, &material.ca_pem()).await];
    ours[0].row("keystow, certificate from files", &mut table);
    if let Some(cluster) = Cluster::start().await {
        let process = Process::start_managed(&cluster, material).await;
        let seen = Seen::of(process, &cluster.ca_pem().await).await;
        seen.row("keystow, self-managed", &mut table);
        ours.push(seen);
    }
    table.write();
    for seen in &ours {
        seen.judge();
    }
}

impl Seen {
    /// Looks before the first connection, and while ever more pods come over those that stay open; then ends it.
    async fn of(process: Process, ca_pem: &str) -> Self {
        let idle = process.memory();
        let client = Client::connect(process.address, ca_pem, CONNECTIONS).await;
        let reviews = Arc::new(Reviews::distinct());
        let mut loaded = [idle; PODS.len()];
        let mut done = 0;
        for (step, (pods, memory)) in PODS.into_iter().zip(&mut loaded).enumerate() {
            screen::progress(step, PODS.len());
            client.load(STREAMS, &reviews, Until::Answered(pods - done)).await;
            done = pods;
            *memory = process.memory();
        }
        process.end().await;
        Self { idle, loaded }
    }

    fn peak(&self) -> f64 {
        self.loaded[PODS.len() - 1].peak
    }

    fn row(&self, name: &str, table: &mut Table) {
        let shown = |memory: Memory| format!("{:.1} ({:.1})", memory.resident, memory.anonymous);
        let [first, second, third, last] = self.loaded.map(shown);
        table.row([
            name.to_owned(),
            shown(self.idle),
            first,
            second,
            third,
            last,
            format!("{:.1}", self.peak()),
        ]);
    }

    fn judge(&self) {
        let Self { idle: Memory { resident: idle, .. }, loaded: [.., before, last] } = self;
        let (peak, grown) = (self.peak(), last.resident - before.resident);
        screen::budget(&format!("{idle:.1} MiB idle, at most {MOST_IDLE}"), *idle <= MOST_IDLE);
        screen::budget(&format!("{peak:.1} MiB at the peak, at most {MOST_LOADED}"), peak <= MOST_LOADED);
        screen::budget(
            &format!("{grown:.1} MiB more after the last 40,000 pods, at most {NOISE}"),
            grown <= NOISE,
        );
    }
}
