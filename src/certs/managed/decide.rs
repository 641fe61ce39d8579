//! What is to be done next about the certificates: a function of what is there, of the time, and of what this keeper has
//! seen so far.
//!
//! ```text
//! nothing ─▶ Prepare a CA ─▶ Publish it ─▶ (settle) ─▶ Promote it: it signs the leaf
//!                 ▲                                        │
//!                 └── the CA is at 2/3 of its life ◀───────┴──▶ Renew the leaf at 2/3 of its life
//!                                                          └──▶ Forget retired CAs, whose last leaf has expired
//! ```
//!
//! Invariants: a CA is in the `caBundle` before it signs, and stays there while a leaf of it lives. What others put into
//! the `caBundle` stays for a while: replicas of before may serve with it (certificates from files, or a Secret that
//! was lost). One step at a time: each is whole in itself, so a keeper that dies between two leaves nothing half done.
//!
//! Deliberately absent: any reading, writing, signing and clock.

use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::bundle::{Bundle, CaCertificate};
use super::material::{Current, Material};
use crate::certs::load::Validity;

/// The least that a leaf may live: a leader that died is followed, and a leaf renewed, in what is left of a third of it.
const SHORTEST_LEAF: Duration = Duration::from_secs(10);
/// How long CAs that are not ours stay in the `caBundle`: longer than a rollout of the replicas that serve with them.
const FOREIGN: Duration = Duration::from_secs(10 * 60);

/// How long things last; such that each can be replaced in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    pub(super) ca_lifetime: Duration,
    pub(super) leaf_lifetime: Duration,
    settle: Duration,
}

/// Why certificates cannot last that long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimingError {
    /// A CA would be replaced before its leaves.
    #[error("--leaf-lifetime must be at most a third of --ca-lifetime; make one shorter or the other longer")]
    LeafOutlivesCa,
    /// A new CA could not sign before the old one's end.
    #[error("--ca-settle must be at most a twelfth of --ca-lifetime; make one shorter or the other longer")]
    SettlesTooLong,
    /// Nobody could renew it in time.
    #[error(
        "--leaf-lifetime must be at least 10s, better days: nobody renews it while the API server is away"
    )]
    TooShort,
}

impl Timing {
    /// How long a CA and a leaf live, and how long a CA is in the `caBundle` before it signs: every API server must have
    /// seen it by then.
    ///
    /// # Errors
    ///
    /// When one could not be replaced before its end.
    pub fn new(
        ca_lifetime: Duration,
        leaf_lifetime: Duration,
        settle: Duration,
    ) -> Result<Self, TimingError> {
        if leaf_lifetime < SHORTEST_LEAF {
            Err(TimingError::TooShort)
        } else if leaf_lifetime > ca_lifetime / 3 {
            Err(TimingError::LeafOutlivesCa)
        } else if settle > ca_lifetime / 12 {
            Err(TimingError::SettlesTooLong)
        } else {
            Ok(Self { ca_lifetime, leaf_lifetime, settle })
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { ca_lifetime: 365 * day, leaf_lifetime: 30 * day, settle: Duration::from_secs(30) }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Drop retired CAs whose last leaf has expired.
    Forget,
    /// Make a CA that does not sign yet.
    Prepare,
    /// Let the next CA sign, beginning with a new leaf.
    Promote,
    /// Write this `caBundle`.
    Publish(Bundle),
    /// Have the CA sign a new leaf.
    Renew,
    /// Nothing before this time.
    Rest(SystemTime),
}

/// Since when something has been seen as it is.
#[derive(Debug, Clone)]
struct Seen<T> {
    what: T,
    since: SystemTime,
}

impl<T: PartialEq> Seen<T> {
    /// Since when `what` has been there, as of now. A clock that was set back begins anew.
    fn note(seen: &mut Option<Self>, what: T, now: SystemTime) -> SystemTime {
        match seen {
            Some(before) if before.what == what && before.since <= now => before.since,
            _ => {
                *seen = Some(Self { what, since: now });
                now
            }
        }
    }
}

/// What a keeper has seen. Forgotten with the keeper: the next one waits again.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    next_in_bundle: Option<Seen<CaCertificate>>,
    foreign_in_bundle: Option<Seen<Bundle>>,
}

impl Timing {
    /// What to do about `material` and the `caBundle` at `now`.
    pub(super) fn decide(
        &self,
        material: &Material,
        bundle: &Bundle,
        memory: &mut Memory,
        now: SystemTime,
    ) -> Step {
        let trusted = material.trusted(now);
        let (wanted, foreign_until) = Self::wanted(&trusted, bundle, memory, now);
        if trusted.iter().any(|ca| !bundle.contains(ca)) {
            return Step::Publish(wanted);
        }
        let settled = self.settled(material, bundle, memory, now);
        let Some(current) = material.current.as_ref().filter(|current| self.can_sign(current, now)) else {
            return match settled {
                None => Step::Prepare,
                Some(at) if at <= now => Step::Promote,
                Some(at) => Step::Rest(at),
            };
        };
        let leaf_due = current.leaf.as_ref().filter(|leaf| leaf.pair.validity.not_before <= now);
        let leaf_due = leaf_due.map(|leaf| renewal(&leaf.pair.validity));
        let ca_due = renewal(current.ca.validity());
        let retired = material.retired.iter().map(|retired| retired.until).min();
        if leaf_due.is_none_or(|due| due <= now) {
            Step::Renew
        } else if settled.is_some_and(|at| at <= now) {
            Step::Promote
        } else if material.next.is_none() && ca_due <= now {
            Step::Prepare
        } else if retired.is_some_and(|until| until < now) {
            Step::Forget
        } else if !wanted.is_same_set(bundle) {
            Step::Publish(wanted)
        } else {
            // A CA's renewal that is under way is past its time; what is waited for then is that it settles.
            let times = [leaf_due, settled, (ca_due > now).then_some(ca_due), retired, foreign_until];
            Step::Rest(times.into_iter().flatten().min().unwrap_or(now))
        }
    }

    /// Whether it has its key, and enough life left for a leaf to be worth signing. One whose time has not come was made
    /// while a clock was ahead.
    fn can_sign(&self, current: &Current, now: SystemTime) -> bool {
        let Validity { not_before, not_after } = *current.ca.validity();
        let left = not_after.duration_since(now).unwrap_or_default();
        current.authority.is_some() && not_before <= now && left > self.leaf_lifetime / 2
    }

    /// The `caBundle` as it should be, and when CAs that are not ours leave it.
    fn wanted(
        trusted: &Bundle,
        bundle: &Bundle,
        memory: &mut Memory,
        now: SystemTime,
    ) -> (Bundle, Option<SystemTime>) {
        let foreign = bundle.living_beside(trusted, now);
        if foreign.is_empty() {
            memory.foreign_in_bundle = None;
            return (trusted.clone(), None);
        }
        let until = Seen::note(&mut memory.foreign_in_bundle, foreign.clone(), now) + FOREIGN;
        if until <= now {
            return (trusted.clone(), None);
        }
        (trusted.iter().chain(foreign.iter()).cloned().collect(), Some(until))
    }

    /// When the next CA, being in the `caBundle`, may sign. Where it is there alone, nothing is served that could break.
    fn settled(
        &self,
        material: &Material,
        bundle: &Bundle,
        memory: &mut Memory,
        now: SystemTime,
    ) -> Option<SystemTime> {
        let Some(next) = material.next.as_ref().filter(|next| next.ca.validity().not_after > now) else {
            memory.next_in_bundle = None;
            return None;
        };
        let since = Seen::note(&mut memory.next_in_bundle, next.ca.clone(), now);
        let is_alone = bundle.iter().all(|ca| *ca == next.ca);
        Some(if is_alone { now } else { since + self.settle })
    }
}

/// Two thirds of a life.
fn renewal(validity: &Validity) -> SystemTime {
    let life = validity.not_after.duration_since(validity.not_before).unwrap_or_default();
    validity.not_before + life / 3 * 2
}

#[cfg(test)]
mod tests;
