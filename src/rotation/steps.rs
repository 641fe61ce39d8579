//! What happens next to a key set. Each step leaves a set that is whole, so whoever stops between two loses nothing.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::set::{Former, Identity, KeySet, Next, Signing, Window, after};
use crate::domain::Rotation;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new key is to be made, and published.
    Publish,
    /// The published key signs from now on.
    Sign,
    /// Keys leave: nothing that they signed is valid any more.
    Retire(Vec<String>),
}

/// Why nobody can be forced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is a published key already.
    #[error("key {id} is published and signs from {signs} on: a rotation is under way")]
    UnderWay {
        /// Its id.
        id: String,
        /// When it signs.
        signs: Timestamp,
    },
    /// There are as many former keys as may be.
    #[error(
        "{kept} former keys still verify, the most that keep allows, and the first of them retires at {retires}; wait, or write a larger keep"
    )]
    Full {
        /// How many.
        kept: usize,
        /// When there is room.
        retires: Timestamp,
    },
    /// No such key.
    #[error("there is no key {0} in the set")]
    Unknown(String),
}

/// What a set becomes when it is forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// A new key is to be made and published, and signs when everybody has seen it.
    Publish,
    /// A new key is to be made, and signs at once.
    Replace,
    /// Nothing is to be made.
    Done,
}

/// The next step that is due, if any.
#[must_use]
pub fn step(set: &KeySet, rotation: &Rotation, now: Window) -> Option<Step> {
    if set.next.as_ref().is_some_and(|next| next.signs <= now.earliest) {
        return Some(Step::Sign);
    }
    let retired = set.former.iter().filter(|former| former.retires <= now.earliest);
    let retired: Vec<String> = retired.map(|former| former.key.id.clone()).collect();
    if !retired.is_empty() {
        return Some(Step::Retire(retired));
    }
    let is_due = publishes(set, rotation) <= now.earliest;
    (is_due && forced(set, rotation).is_ok()).then_some(Step::Publish)
}

/// When something happens next, if nobody does anything.
#[must_use]
pub fn next_change(set: &KeySet, rotation: &Rotation) -> Timestamp {
    let signs = set.next.as_ref().map(|next| next.signs);
    let retires = set.former.iter().map(|former| former.retires).min();
    let publishes = forced(set, rotation).is_ok().then(|| publishes(set, rotation));
    signs.into_iter().chain(retires).chain(publishes).min().unwrap_or(Timestamp::MAX)
}

/// Whether a new key can be published now, although none is due.
///
/// # Errors
///
/// When it cannot.
pub fn forced(set: &KeySet, rotation: &Rotation) -> Result<Forced, Refused> {
    if let Some(next) = &set.next {
        return Err(Refused::UnderWay { id: next.key.id.clone(), signs: next.signs });
    }
    let first = set.former.iter().map(|former| former.retires).min();
    match first {
        Some(retires) if set.former.len() >= rotation.keep => {
            Err(Refused::Full { kept: set.former.len(), retires })
        }
        _ => Ok(Forced::Publish),
    }
}

/// Takes a key out that must not verify any more, whatever it signed. Where it is the one that signs, the published key
/// takes its place at once, and without one a new key must.
///
/// # Errors
///
/// When there is no such key.
pub(super) fn revoke(set: &mut KeySet, id: &str, now: Window) -> Result<Forced, Refused> {
    if set.signing.key.id == id {
        let Some(next) = set.next.take() else { return Ok(Forced::Replace) };
        set.signing = Signing { key: next.key, since: now.latest };
        return Ok(Forced::Done);
    }
    if set.next.as_ref().is_some_and(|next| next.key.id == id) {
        set.next = None;
        return Ok(Forced::Done);
    }
    let before = set.former.len();
    set.former.retain(|former| former.key.id != id);
    if set.former.len() == before { Err(Refused::Unknown(id.to_owned())) } else { Ok(Forced::Done) }
}

impl KeySet {
    /// A new key is published.
    pub fn publish(&mut self, key: Identity, rotation: &Rotation, now: Window) {
        self.next = Some(Next { key, signs: after(now.latest, rotation.publish) });
    }

    /// The published key signs; the one before it verifies until what it signed is valid no more, for those too who learn
    /// of it late.
    pub fn sign(&mut self, rotation: &Rotation, now: Window) {
        let Some(next) = self.next.take() else { return };
        let signing = Signing { key: next.key, since: now.latest };
        let former = std::mem::replace(&mut self.signing, signing);
        let verifies: Duration = rotation.overlap.saturating_add(rotation.publish);
        self.former.insert(0, Former { key: former.key, retires: after(now.latest, verifies) });
    }

    /// These keys leave.
    pub fn retire(&mut self, ids: &[String]) {
        self.former.retain(|former| !ids.contains(&former.key.id));
    }

    /// A new key signs at once, in the place of one that must not be believed any more.
    pub fn replace(&mut self, key: Identity, now: Window) {
        self.signing = Signing { key, since: now.latest };
    }
}

/// When a new key is due to be published, so that it can sign when the present one has signed for long enough.
fn publishes(set: &KeySet, rotation: &Rotation) -> Timestamp {
    after(set.signing.since, rotation.every.saturating_sub(rotation.publish))
}
