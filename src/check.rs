//! What would go wrong, said before it does: the faults of manifests, or of a live namespace.
//!
//! ```text
//! files ──────────▶ World ─▶ questions (who may do what?) ─▶ Answers ─▶ judge ─▶ findings ─▶ text, JSON, SARIF
//! namespace ─ survey ─┘              └──── SubjectAccessReviews ───┘
//! ```
//!
//! Invariants: pure functions of what was seen; what could not be looked at is told as that and is never taken for a fault
//! or for health; no finding carries a value of a Secret; a namespace in which everything is right has no finding at all.
//!
//! Deliberately absent: mending. A finding says what to do, and somebody does it.

mod accounts;
mod annotations;
mod code;
mod external;
mod files;
mod finding;
mod judge;
mod keys;
mod namespace;
mod pods;
mod production;
mod references;
pub mod render;
mod rotation;
mod seen;
mod stored;
mod times;
mod values;
mod words;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::inject::Settings;

pub use code::Code;
pub use files::read_file;
pub use finding::{Finding, Place, Severity};
pub use times::seconds;
pub use world::{Answers, Known, Located, Question, SecretObject, World};

/// What a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How old a secret may become about which nothing says how old it may become.
    pub max_age: Duration,
    /// Whether to add the checklist for production.
    pub production: bool,
}

/// What the API server should be asked before this world is judged.
pub fn questions(world: &World, settings: &Settings) -> BTreeSet<Question> {
    let subjects = judge::subjects(world, settings);
    let mut questions = accounts::questions(world, &subjects);
    questions.extend(stored::questions(world, &subjects));
    questions
}

/// Every fault, sorted by place; none is told twice.
pub fn judge(world: &World, answers: &Answers, settings: &Settings, options: &Options) -> Vec<Finding> {
    let subjects = judge::subjects(world, settings);
    let findings = world.unreadable.clone();
    let mut judge = judge::Judge { world, answers, settings, options, subjects, findings };
    for rules in [
        seen::rules,
        namespace::rules,
        annotations::rules,
        pods::rules,
        references::rules,
        values::rules,
        accounts::rules,
        stored::rules,
        rotation::rules,
        external::rules,
        production::rules,
    ] {
        rules(&mut judge);
    }
    let mut findings = judge.findings;
    findings.sort();
    findings.dedup();
    findings
}
