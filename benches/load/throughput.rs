//! Answers a second over HTTPS and HTTP/2, and the latency of each, beside constant answers.
//!
//! The client shares the machine with the webhook, and whatever else runs there weighs on the rate. The processor time
//! that an answer costs is told apart, for the webhook's process and for the client: the rate that a quiet machine would
//! have goes by their sum.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Until};
use crate::process::{Contestant, Material, Process, own_processor};
use crate::reviews::Reviews;
use crate::screen::{self, Table};
use crate::statistics::{Spread, median, quantile};
use crate::{CONNECTIONS, CONTESTANTS, STREAMS};

/// How often each has its turn.
const ROUNDS: usize = 9;
/// How long a turn is.
const TURN: Duration = Duration::from_secs(2);
/// Before the first turn: connections, allocator and branch predictor as they will be.
const WARM_UP: Duration = Duration::from_millis(500);
const LEAST_RATIO: f64 = 0.6;

/// One contestant and what its turns yielded.
struct Entry {
    contestant: Contestant,
    process: Process,
    client: Client,
    rates: Vec<f64>,
    /// Microseconds of processor time for an answer, of the webhook and of the client.
    server: Vec<f64>,
    client_side: Vec<f64>,
    latencies: Vec<f64>,
}

impl Entry {
    async fn start(contestant: Contestant, material: &Material, connections: usize) -> Self {
        let process = Process::start(contestant, material).await;
        let client = Client::connect(process.address, &material.ca_pem(), connections).await;
        Self {
            contestant,
            process,
            client,
            rates: Vec::new(),
            server: Vec::new(),
            client_side: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// The constant answer is that to the first review, so it is sent alone; and it is looked at, once.
    async fn warm_up(&self, streams: usize, reviews: &Arc<Reviews>) {
        let review = reviews.get(0);
        let asked: serde_json::Value = serde_json::from_slice(&review).expect("JSON");
        let answer = self.client.ask(review).await;
        let response = &answer["response"];
        assert_eq!(response["uid"], asked["request"]["uid"]);
        assert_eq!(response["allowed"], true);
        assert_eq!(response["patch"].is_string(), self.contestant != Contestant::Allowed);
        self.client.load(streams, reviews, Until::Over(WARM_UP)).await;
    }

    async fn turn(&mut self, streams: usize, reviews: &Arc<Reviews>) {
        let before = [self.process.processor(), own_processor()];
        let load = self.client.load(streams, reviews, Until::Over(TURN)).await;
        let each = 1e6 / load.latencies.len() as f64;
        self.server.push((self.process.processor() - before[0]) * each);
        self.client_side.push((own_processor() - before[1]) * each);
        self.rates.push(load.rate());
        self.latencies.extend(load.latencies);
    }
}

pub(crate) async fn measure(material: &Material) {
    screen::title(&format!(
        "HTTPS, HTTP/2, recorded reviews: {ROUNDS} turns of {} s each; medians (lowest-highest)",
        TURN.as_secs()
    ));
    let ratio = contest(material, CONNECTIONS, STREAMS).await;
    screen::budget(
        &format!("{ratio:.2} of the constant answer, at least {LEAST_RATIO}"),
        ratio >= LEAST_RATIO,
    );
    contest(material, 1, 1).await;
}

/// Returns the ratio of answers a second of keystow to those of the quickest constant answer.
async fn contest(material: &Material, connections: usize, streams: usize) -> f64 {
    let reviews = Arc::new(Reviews::recorded());
    let mut entries = Vec::new();
    for contestant in CONTESTANTS {
        let entry = Entry::start(contestant, material, connections).await;
        entry.warm_up(streams, &reviews).await;
        entries.push(entry);
    }
    for round in 0..ROUNDS {
        screen::progress(round, ROUNDS);
        for turn in 0..entries.len() {
            let next = (round + turn) % entries.len();
            entries[next].turn(streams, &reviews).await;
        }
    }
    let mut table = Table::new([
        &format!("{connections} connections x {streams} streams"),
        "answers/s",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "webhook's processor µs",
        "client's",
        "keystow's rate to it",
    ]);
    let mut least = f64::INFINITY;
    for entry in &entries {
        let ratios: Vec<f64> =
            entries[0].rates.iter().zip(&entry.rates).map(|(ours, its)| ours / its).collect();
        let ratio = Spread::of(&ratios);
        least = least.min(ratio.median);
        let latency = |share| format!("{:.0}", quantile(&entry.latencies, share));
        table.row([
            entry.contestant.name().to_owned(),
            format!("{:.0}", Spread::of(&entry.rates)),
            latency(0.5),
            latency(0.9),
            latency(0.99),
            format!("{:.1}", median(&entry.server)),
            format!("{:.1}", median(&entry.client_side)),
            if entry.contestant == Contestant::Keystow { String::new() } else { format!("{ratio:.2}") },
        ]);
    }
    table.write();
    least
}
