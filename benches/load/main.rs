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
//! process. Nothing is written but the tables: figures go into `benches/RESULTS.md` by hand. Contestants take turns
//! within one run, and ratios are made turn by turn, so that whatever else the machine does weighs on both alike.

#[path = "../../tests/support/mod.rs"]
mod support;

mod admission;
mod client;
mod constant;
mod memory;
mod process;
mod reviews;
mod screen;
mod start;
mod statistics;
mod throughput;

use std::process::ExitCode;

use process::{Contestant, Material};

/// As the program keystow has it: the constant answers are of this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Those that take turns: keystow, and what it is compared with.
const CONTESTANTS: [Contestant; 3] = [Contestant::Keystow, Contestant::SameAnswer, Contestant::Allowed];
/// What the API server holds open is fewer; this is what a busy cluster's several API servers might be.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 16;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "webhook") {
        return constant::main(arguments);
    }
    // Cargo says `--bench`.
    let sections: Vec<String> = arguments
        .filter_map(|argument| argument.into_string().ok())
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(measure(&sections));
    ExitCode::SUCCESS
}

async fn measure(sections: &[String]) {
    let is_wanted = |name: &str| sections.is_empty() || sections.iter().any(|section| section == name);
    let material = Material::make();
    if is_wanted("throughput") {
        throughput::measure(&material).await;
    }
    if is_wanted("memory") {
        memory::measure(&material).await;
    }
    if is_wanted("start") {
        start::measure(&material).await;
    }
    if is_wanted("admission") {
        admission::measure(&material).await;
    }
}
