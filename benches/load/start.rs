//! From the start of the process until `/readyz` says 200, as a kubelet with an impatient probe would see it.
//!
//! The time includes that of the small program that starts the webhook, and up to a millisecond between two probes.

use crate::process::{Contestant, Material, Process};
use crate::screen::{self, Table};
use crate::statistics::Spread;

const STARTS: usize = 20;
const LONGEST: f64 = 50.0;

pub(crate) async fn measure(material: &Material) {
    screen::title(&format!(
        "From start to ready, certificate from files: {STARTS} starts; median (lowest-highest)"
    ));
    let mut table = Table::new(["", "ms"]);
    let mut ours = f64::NAN;
    for contestant in [Contestant::Keystow, Contestant::Allowed] {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let process = Process::start(contestant, material).await;
            times.push(process.start.as_secs_f64() * 1e3);
        }
        let spread = Spread::of(&times);
        if contestant == Contestant::Keystow {
            ours = spread.median;
        }
        table.row([contestant.name().to_owned(), format!("{spread:.1}")]);
    }
    table.write();
    screen::budget(&format!("{ours:.1} ms, at most {LONGEST} ms"), ours <= LONGEST);
}
