//! One turn of a pod: what it asks for is looked up, what is absent is made and stored, and its indices are assigned.
//!
//! ```text
//! Wish ─▶ get (all at once) ─▶ all there: done · none there: make, create · some: told, and left as they are
//!      ─▶ assign (each lease) ─▶ an index, or why not
//! ```
//!
//! What was there a moment ago is not looked up for each pod: the pod is served, and has one more turn later, so that a value
//! which somebody deleted in between is made for it too. A pod that asks for very much has several turns, and others have
//! theirs in between.
//!
//! Invariants: nothing that is stored is made again or written over, and no half is completed, since a new one would not
//! fit; keys are made on threads of their own, as many at once as there are processors; a turn can be dropped between any
//! two steps.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::known::STILL;
use super::leases::{self, LeaseError, Wanted};
use super::metrics::{Made, Reason};
use super::queue::Uid;
use super::stores::{Opened, Stores};
use super::wish::{LeaseWish, Wish};
use crate::domain::{Generation, LeaseSeries, Recipe, SecretType, SecretValue, StoragePath};
use crate::generate::fresh::{self, GenerateError};
use crate::store::{Address, Created, Outcomes, StoreError};

/// Groups that are made in one turn.
const MOST_MADE: usize = 8;
/// How soon it is tried again to make what takes long.
const BUSY: Duration = Duration::from_millis(500);

/// The pod whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) uid: Uid,
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    /// A StatefulSet made it: another of its name will come.
    pub(super) returns: bool,
    /// When it asked for what it asks for now.
    pub(super) since: Instant,
}

/// What came of a turn.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) generations: Vec<(SecretType, Made)>,
    /// The paths of each group that was created.
    pub(super) created: Vec<Vec<StoragePath>>,
    pub(super) assigned: Vec<(LeaseSeries, i32)>,
    pub(super) waits: Vec<Wait>,
    /// When it has another turn, although nothing is missing or failed.
    pub(super) again: Option<Instant>,
}

/// What the pod does not have yet, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) reason: Reason,
    pub(super) note: String,
    /// When to try again, where the store said so.
    pub(super) until: Option<Instant>,
    /// What an index must be released of.
    pub(super) series: Option<LeaseSeries>,
}

/// Makes values. Of those that take a processor for long, so many at once, and so many turns may wait for that: the others
/// come again, so that pods which ask for something else have their turns.
pub(super) struct Maker {
    at_work: Arc<Semaphore>,
    in_line: Semaphore,
}

impl Maker {
    /// `at_once` are made at once; at most half of the `workers` do that or wait for it.
    pub(super) fn new(at_once: usize, workers: usize) -> Self {
        let in_line = (workers / 2).max(1);
        Self { at_work: Arc::new(Semaphore::new(at_once)), in_line: Semaphore::new(in_line) }
    }

    /// The values; nothing where too many wait.
    async fn make(&self, recipe: &Recipe) -> Option<Result<Vec<SecretValue>, GenerateError>> {
        let is_long = matches!(recipe, Recipe::Rsa(_) | Recipe::Gpg { .. });
        let _place = if is_long { Some(self.in_line.try_acquire().ok()?) } else { None };
        let permit = match is_long {
            true => Arc::clone(&self.at_work).acquire_owned().await.ok(),
            false => None,
        };
        let recipe = recipe.clone();
        let kind = recipe.kind();
        let made = tokio::task::spawn_blocking(move || {
            // Given back when the work is over, also where nobody waits for it any more.
            let _permit = permit;
            fresh::make(&recipe, SystemTime::now())
        });
        Some(made.await.unwrap_or(Err(GenerateError::Broken(kind))))
    }
}

/// Serves a pod.
pub(super) async fn serve(pod: &Pod, wish: &Wish, stores: &Stores, maker: &Maker) -> Outcome {
    let mut outcome = Outcome::default();
    if wish.generations.is_empty() && wish.leases.is_empty() {
        return outcome;
    }
    let scope = stores.scope(&wish.store, &pod.namespace);
    let opened = match stores.open(&scope).await {
        Ok(opened) => opened,
        Err(error) => {
            outcome.waits.push(Wait::new(Reason::StoreInvalid, error.to_string()));
            return outcome;
        }
    };
    if let Some((until, reason)) = opened.is_away(Instant::now()) {
        let note = format!("waits for {}: {reason}", opened.name());
        outcome.waits.push(Wait { until: Some(until), ..Wait::new(Reason::StoreUnavailable, note) });
        return outcome;
    }
    let mut turn = Turn { opened: &opened, maker, outcome };
    turn.generations(&wish.generations, pod.since).await;
    for lease in &wish.leases {
        turn.lease(pod, lease).await;
    }
    opened.was_not_asked(Instant::now());
    turn.outcome
}

struct Turn<'t> {
    opened: &'t Opened,
    maker: &'t Maker,
    outcome: Outcome,
}

/// How much of a group is there.
enum Found {
    All,
    None,
    /// A path that is absent, and one that is there.
    Some {
        absent: StoragePath,
        there: StoragePath,
    },
}

impl Turn<'_> {
    async fn generations(&mut self, generations: &[Generation], since: Instant) {
        let now = Instant::now();
        let mut unknown = Vec::new();
        for generation in generations {
            let Some(seen) = self.opened.known.seen(&generation.paths, now) else {
                unknown.push(generation);
                continue;
            };
            if seen < since {
                self.again(seen + STILL);
            }
        }
        if unknown.is_empty() {
            return;
        }
        let addresses: Vec<Address> =
            unknown.iter().flat_map(|generation| &generation.paths).cloned().map(Address::value).collect();
        let outcomes = self.opened.store.get(&addresses).await;
        for generation in unknown {
            if self.outcome.created.len() >= MOST_MADE {
                self.again(Instant::now());
                return;
            }
            if let Err(wait) = self.generation(generation, &outcomes).await {
                let is_away = wait.reason == Reason::StoreUnavailable;
                self.outcome.waits.push(wait);
                if is_away {
                    // The others would be told the same.
                    return;
                }
            }
        }
    }

    fn again(&mut self, at: Instant) {
        let again = self.outcome.again.get_or_insert(at);
        *again = at.min(*again);
    }

    async fn generation(&mut self, generation: &Generation, outcomes: &Outcomes) -> Result<(), Wait> {
        let Generation { recipe, paths } = generation;
        let kind = recipe.kind();
        let found = found(paths, outcomes).map_err(|error| self.failed(error))?;
        self.opened.answered();
        let made = match found {
            Found::All => Made::Present,
            Found::Some { absent, there } => {
                let note = format!(
                    "{absent} is not in {} while {there} is: they were made together, and a new one would not fit; put it \
                     back, or delete the rest of it so that all is made anew",
                    self.opened.name()
                );
                return Err(Wait::new(Reason::Incomplete, note));
            }
            Found::None => {
                let _alone = self.opened.known.alone(paths).await;
                // Who worked on it before us may have made it.
                if self.opened.known.seen(paths, Instant::now()).is_some() {
                    Made::Present
                } else {
                    let Some(made) = self.maker.make(recipe).await else {
                        self.again(Instant::now() + BUSY);
                        return Ok(());
                    };
                    let values = made.map_err(|error| {
                        let first = paths.first().map_or("", StoragePath::as_str);
                        Wait::new(Reason::Generator, format!("{first} could not be made: {error}"))
                    })?;
                    self.store(paths, values).await?
                }
            }
        };
        self.opened.known.found(paths, Instant::now());
        self.outcome.generations.push((kind, made));
        if made == Made::Created {
            self.outcome.created.push(paths.clone());
        }
        Ok(())
    }

    async fn store(&self, paths: &[StoragePath], values: Vec<SecretValue>) -> Result<Made, Wait> {
        let group: Vec<(Address, SecretValue)> =
            paths.iter().cloned().map(Address::value).zip(values).collect();
        match self.opened.store.create(&group).await {
            Ok(Created::Ours) => Ok(Made::Created),
            Ok(Created::Theirs(_)) => Ok(Made::LostRace),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn lease(&mut self, pod: &Pod, wish: &LeaseWish) {
        let Some(leases) = &self.opened.leases else { return };
        let wanted = Wanted {
            series: wish.series.clone(),
            range: wish.range.clone(),
            is_of_stateful_set: pod.returns,
        };
        let assigned = match self.opened.survey_once(leases).await {
            Ok(()) => leases.assign(&pod.holder(), &wanted, std::time::Instant::now()).await,
            Err(error) => Err(error.into()),
        };
        match assigned {
            Ok(assigned) => {
                if assigned.is_new {
                    self.opened.answered();
                    self.outcome.assigned.push((wish.series.clone(), assigned.index));
                }
            }
            Err(error) => self.outcome.waits.push(self.not_assigned(error, wish)),
        }
    }

    fn not_assigned(&self, error: LeaseError, wish: &LeaseWish) -> Wait {
        let note = error.to_string();
        match error {
            LeaseError::Store(error) => self.failed(error),
            LeaseError::Exhausted { .. } | LeaseError::Overtaken { .. } => {
                Wait { series: Some(wish.series.clone()), ..Wait::new(Reason::LeaseExhausted, note) }
            }
            LeaseError::Outside { .. } | LeaseError::Lost { .. } => Wait::new(Reason::LeaseConflict, note),
        }
    }

    /// Why something is not there, after the store failed.
    fn failed(&self, error: StoreError) -> Wait {
        failed(self.opened, error)
    }
}

/// What a failure of the store means for a pod. A store that is away is left alone from now on.
pub(super) fn failed(opened: &Opened, error: StoreError) -> Wait {
    let name = opened.name();
    match error {
        StoreError::Unavailable { path, reason, retry_after } => {
            let reason = format!("it did not answer for {} ({reason})", named(&path));
            let until = opened.failed(&reason, retry_after, Instant::now());
            let note = format!("waits for {name}: {reason}");
            Wait { until: Some(until), ..Wait::new(Reason::StoreUnavailable, note) }
        }
        StoreError::Denied { path, reason } => {
            opened.answered();
            let step = match &opened.scope.namespace {
                Some(namespace) => {
                    format!("bind the ClusterRole keystow-creator-secrets to it in namespace {namespace}")
                }
                None => "grant it to the creator's identity".to_owned(),
            };
            let note = format!("{name} denies {} to the creator ({reason}); {step}", named(&path));
            Wait::new(Reason::StoreDenied, note)
        }
        // What is absent was handled; a store that says so of what is to be created contradicts itself.
        error @ (StoreError::NotFound { .. } | StoreError::Invalid { .. }) => {
            opened.answered();
            Wait::new(Reason::StoreInvalid, format!("{name}: {error}"))
        }
    }
}

/// For people: what a failure was about, where that is a list of all.
fn named(path: &str) -> &str {
    if path.trim_matches('/').is_empty() { "the list of leases" } else { path }
}

fn found(paths: &[StoragePath], outcomes: &Outcomes) -> Result<Found, StoreError> {
    let (mut absent, mut there) = (None, None);
    for path in paths {
        match outcomes.get(&Address::value(path.clone())) {
            Some(Ok(_)) => there = Some(path),
            Some(Err(StoreError::NotFound { .. })) => absent = Some(path),
            Some(Err(error)) => return Err(error.clone()),
            None => return Err(StoreError::unmentioned(path)),
        }
    }
    Ok(match (absent, there) {
        (None, _) => Found::All,
        (Some(_), None) => Found::None,
        (Some(absent), Some(there)) => Found::Some { absent: absent.clone(), there: there.clone() },
    })
}

/// What a pod that is gone held.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// Of which series.
    pub(super) series: Vec<LeaseSeries>,
    /// Why not all of it could be given back.
    pub(super) failure: Option<Wait>,
}

/// Gives back whatever the pod held.
pub(super) async fn release(uid: &Uid, stores: &Stores) -> Released {
    let mut released = Released::default();
    for opened in stores.opened().await {
        let Some(leases) = &opened.leases else { continue };
        let part = leases.release(uid, std::time::Instant::now()).await;
        released.series.extend(part.series);
        if let Some(error) = part.error {
            released.failure = Some(failed(&opened, error));
        }
    }
    released
}

impl Pod {
    fn holder(&self) -> leases::Pod {
        leases::Pod {
            namespace: self.namespace.to_string(),
            name: self.name.to_string(),
            uid: self.uid.to_string(),
        }
    }
}

impl Wait {
    pub(super) fn new(reason: Reason, note: String) -> Self {
        Self { reason, note, until: None, series: None }
    }

    /// The longest that is waited before the next try; nothing where trying again cannot help.
    pub(super) fn at_most(&self) -> Option<Duration> {
        match self.reason {
            Reason::Annotations | Reason::NotAllowed | Reason::Unplaced | Reason::LeaseUnsupported => None,
            Reason::StoreUnavailable => Some(Duration::from_secs(10)),
            Reason::LeaseExhausted => Some(Duration::from_secs(60)),
            Reason::Generator
            | Reason::Incomplete
            | Reason::StoreDenied
            | Reason::StoreInvalid
            | Reason::LeaseConflict => Some(Duration::from_secs(120)),
        }
    }
}

#[cfg(test)]
mod tests;
