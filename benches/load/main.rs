//! The webhook under load: what it costs beside a constant answer of the same server, and what it needs of the machine.
//!
//! Flow: each section starts webhooks as processes of their own ([`process`]), puts load on them - by a client in this
//! process ([`client`]), or by a real API server - and writes a table. The webhook that a figure is compared with is
//! this very program, started again: [`constant`] serves by the same library, built with the same profile, and only
//! decides nothing.
//!
//! | section | what it measures |
//! |---|---|
//! | [`throughput`] | answers a second over HTTPS, their latency, the processor time of each |
//! | [`memory`] | memory: idle, under that load, after many pods |
//! | [`start`] | the time from start to ready |
//! | [`admission`] | the latency as an API server measures it, and its calls |
//!
//! The names of sections as arguments choose some of them. Everything is on loopback, is bounded and ends with this
//! process. Tables are on stdout, progress is on stderr; figures go into `benches/RESULTS.md` by hand. Contestants take turns
//! within one run, and ratios are made turn by turn, so that whatever else the machine does weighs on both alike.

#[path = "../../tests/support/mod.rs"]
mod support;

mod admission;
mod client;
mod constant;
mod managed;
mod memory;
mod process;
mod reviews;
mod screen;
mod start;
mod statistics;
mod throughput;

use std::process::ExitCode;
use std::time::Duration;

use process::{Contestant, Material};

/// Those that take turns: keystow, and what it is compared with.
const CONTESTANTS: [Contestant; 3] = [Contestant::Keystow, Contestant::SameAnswer, Contestant::Allowed];
/// What the API server holds open is fewer; this is what a busy cluster's several API servers might be.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 16;

/// For everything: it takes a few minutes on a quiet machine.
const BOUND: Duration = Duration::from_secs(20 * 60);
const SECTIONS: [&str; 4] = ["throughput", "memory", "start", "admission"];
const USAGE: &str = "usage: cargo bench --all-features --bench load [-- SECTION...]\n\
    sections: throughput, memory, start, admission; without one, all of them";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "webhook") {
        return constant::main(arguments);
    }
    // Cargo says `--bench`.
    let chosen: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .filter(|argument| argument != "--bench")
        .collect();
    if !chosen.iter().all(|section| SECTIONS.contains(&section.as_str())) {
        screen::error(USAGE);
        return ExitCode::from(64);
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let measured = runtime.block_on(async { tokio::time::timeout(BOUND, measure(&chosen)).await });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            screen::error(&format!("not done within {BOUND:?}; what was measured is above"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(chosen: &[String]) {
    let material = Material::make();
    for section in SECTIONS {
        if !chosen.is_empty() && !chosen.iter().any(|name| name == section) {
            continue;
        }
        match section {
            "throughput" => throughput::measure(&material).await,
            "memory" => memory::measure(&material).await,
            "start" => start::measure(&material).await,
            _ => admission::measure(&material).await,
        }
    }
}
