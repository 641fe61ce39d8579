//! What this creator knows: every series, and what changed while a survey read the store.
//!
//! ```text
//! survey begins ──────── reads ───────▶ apply: the store's answer for all that nobody touched meanwhile,
//!     │                                  and what is known here for what somebody did
//!     └─ touched: every record that an assignment or a release of ours found, made or deleted since
//! ```
//!
//! Invariant: what is known here of a record is never older than an answer of the store that is applied to it.
//! Assignments on their way are no records, and no survey ends them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::time::Instant;

use super::Pod;
use super::former::Former;
use super::series::{Choice, Occupant, Series, Use};
use crate::domain::{LeaseHolder, LeaseRecord, LeaseSeries};

/// What a survey found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) series: BTreeMap<LeaseSeries, Found>,
}

/// What a survey found of a series.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) occupants: BTreeMap<i32, Occupant>,
    pub(super) claims: BTreeMap<String, i32>,
}

/// All series.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    series: BTreeMap<LeaseSeries, Series>,
    former: Former,
    /// Records that are known better here than by the survey that is reading, if any is.
    touched: Option<HashSet<LeaseRecord>>,
}

/// What a pod has in a series.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) series: LeaseSeries,
    /// Records in full form.
    pub(super) records: Vec<(i32, LeaseHolder)>,
    pub(super) claim: Option<i32>,
}

impl Ledger {
    fn at(&mut self, series: &LeaseSeries) -> &mut Series {
        self.series.entry(series.clone()).or_default()
    }

    fn tidy(&mut self, series: &LeaseSeries) {
        if self.series.get(series).is_some_and(Series::is_empty) {
            self.series.remove(series);
        }
    }

    fn touch(&mut self, record: LeaseRecord) {
        if let Some(touched) = &mut self.touched {
            touched.insert(record);
        }
    }

    fn touch_index(&mut self, series: &LeaseSeries, index: i32) {
        self.touch(LeaseRecord::Index(series.clone(), index));
    }

    fn touch_claim(&mut self, series: &LeaseSeries, uid: &str) {
        self.touch(LeaseRecord::Claim(series.clone(), uid.to_owned()));
    }

    /// What a pod is to be told or to try. What it is to try has an assignment on its way to it from now on, until
    /// [`Self::land`].
    pub(super) fn choose(
        &mut self,
        pod: &Pod,
        series: &LeaseSeries,
        range: &RangeInclusive<i32>,
        is_of_stateful_set: bool,
        now: Instant,
    ) -> Choice {
        while let Some((series, index)) = self.former.over(now) {
            if let Some(known) = self.series.get_mut(&series) {
                known.keep_no_more(index);
            }
            self.tidy(&series);
        }
        let former =
            || is_of_stateful_set.then(|| self.former.index_of(series, &pod.namespace, &pod.name)).flatten();
        let former = former();
        let known = self.at(series);
        let choice = known.choose(pod, range, former);
        if let Choice::Try(index) = choice {
            known.take_off(&pod.uid, index);
        }
        known.set_is_of_stateful_set(&pod.uid, is_of_stateful_set);
        self.tidy(series);
        choice
    }

    /// Ends an assignment.
    pub(super) fn land(&mut self, series: &LeaseSeries, uid: &str, index: i32) {
        self.at(series).land(uid, index);
        self.tidy(series);
    }

    /// The store has, or has no longer, a claim.
    pub(super) fn claims(&mut self, series: &LeaseSeries, uid: &str, claim: Option<i32>) {
        self.touch_claim(series, uid);
        self.at(series).set_claim(uid, claim);
        self.tidy(series);
    }

    /// The pod holds the index.
    pub(super) fn holds(
        &mut self,
        series: &LeaseSeries,
        pod: &Pod,
        index: i32,
        holder: LeaseHolder,
        is_of_stateful_set: bool,
    ) {
        self.touch_index(series, index);
        self.former.forget(series, &pod.namespace, &pod.name);
        let occupant = match holder {
            LeaseHolder::Named(name) => Occupant::Named { name, adopter: Some(pod.uid.clone()) },
            holder @ LeaseHolder::Pod { .. } => Occupant::Pod(holder),
        };
        let known = self.at(series);
        known.set_occupant(index, Some(occupant));
        known.set_lost(&pod.uid, None);
        known.set_is_of_stateful_set(&pod.uid, is_of_stateful_set);
    }

    /// Whether a record that has only this pod's name is this pod's.
    pub(super) fn may_adopt(&self, series: &LeaseSeries, index: i32, uid: &str) -> bool {
        self.series.get(series).is_none_or(|known| known.may_adopt(index, uid))
    }

    /// Something else than the pod that looked is at the index. Who has taken a record of kees' for its own keeps it.
    pub(super) fn is_taken(&mut self, series: &LeaseSeries, index: i32, occupant: Occupant) {
        self.touch_index(series, index);
        let known = self.at(series);
        if !known.occupant(index).is_some_and(|before| before.is_same_record(&occupant)) {
            known.set_occupant(index, Some(occupant));
        }
    }

    /// What the pod claims.
    pub(super) fn claim_of(&self, series: &LeaseSeries, uid: &str) -> Option<i32> {
        self.series.get(series)?.claim_of(uid)
    }

    /// What the pod had, where its record is gone without our doing.
    pub(super) fn lost_by(&self, series: &LeaseSeries, uid: &str) -> Option<i32> {
        self.series.get(series)?.lost_by(uid)
    }

    /// All that a pod has.
    pub(super) fn of(&self, uid: &str) -> Vec<Holding> {
        let holding = |(series, known): (&LeaseSeries, &Series)| {
            let record = |index: i32| match known.occupant(index)? {
                Occupant::Pod(holder) => Some((index, holder.clone())),
                Occupant::Named { .. } | Occupant::Unknown => None,
            };
            let records = known.held_by(uid).into_iter().filter_map(record).collect();
            Holding { series: series.clone(), records, claim: known.claim_of(uid) }
        };
        self.series.iter().filter(|(_, known)| known.knows(uid)).map(holding).collect()
    }

    /// The record of a pod that is gone is deleted.
    pub(super) fn is_released(&mut self, series: &LeaseSeries, uid: &str, index: i32, now: Instant) {
        self.touch_index(series, index);
        let known = self.at(series);
        let is_of_stateful_set = known.is_of_stateful_set(uid);
        let before = known.set_occupant(index, None);
        if let (true, Some(Occupant::Pod(LeaseHolder::Pod { namespace, name, .. }))) =
            (is_of_stateful_set, before)
        {
            known.keep(index);
            self.former.remember(series, &namespace, &name, index, now);
        }
        self.tidy(series);
    }

    /// A record of kees' is deleted.
    pub(super) fn is_free(&mut self, series: &LeaseSeries, index: i32) {
        self.touch_index(series, index);
        self.at(series).set_occupant(index, None);
        self.tidy(series);
    }

    /// Nothing is left of a pod in a series but records with its name, which are another pod's to adopt.
    pub(super) fn is_gone(&mut self, series: &LeaseSeries, uid: &str) {
        self.touch_claim(series, uid);
        let known = self.at(series);
        known.set_claim(uid, None);
        known.set_lost(uid, None);
        for index in known.held_by(uid) {
            if let Some(Occupant::Named { name, .. }) = known.occupant(index) {
                let abandoned = Occupant::Named { name: name.clone(), adopter: None };
                known.set_occupant(index, Some(abandoned));
            }
        }
        self.tidy(series);
    }

    /// What a pod holds.
    pub(super) fn held_by(&self, uid: &str) -> Vec<(LeaseSeries, i32)> {
        let held = self.series.iter().map(|(series, known)| (series, known.held_by(uid)));
        held.flat_map(|(series, indices)| indices.into_iter().map(|index| (series.clone(), index))).collect()
    }

    /// Records of kees' that no pod has taken for its own.
    pub(super) fn named(&self, series: &LeaseSeries) -> Vec<(i32, String)> {
        let known = self.series.get(series).into_iter().flat_map(Series::occupants);
        let named = known.filter_map(|(index, occupant)| match occupant {
            Occupant::Named { name, adopter: None } => Some((index, name.clone())),
            _ => None,
        });
        named.collect()
    }

    /// How many indices of each series are in use.
    pub(super) fn uses(&self) -> Vec<(LeaseSeries, Use)> {
        self.series.iter().map(|(series, known)| (series.clone(), known.uses())).collect()
    }

    /// Every series with what is known of it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&LeaseSeries, &Series)> {
        self.series.iter()
    }

    /// A survey begins to read.
    pub(super) fn begin(&mut self) {
        self.touched = Some(HashSet::new());
    }

    /// It reads no longer, whatever it found.
    pub(super) fn end(&mut self) {
        self.touched = None;
    }

    /// Takes over what a survey found of the series that it read.
    pub(super) fn apply(&mut self, mut findings: Findings, is_read: impl Fn(&LeaseSeries) -> bool) {
        let touched = self.touched.take().unwrap_or_default();
        let known = self.series.keys().filter(|series| is_read(series)).cloned();
        let all: BTreeSet<LeaseSeries> = known.chain(findings.series.keys().cloned()).collect();
        for series in all {
            let found = findings.series.remove(&series).unwrap_or_default();
            let is_touched = |record| touched.contains(&record);
            self.at(&series).apply(
                found,
                |index| is_touched(LeaseRecord::Index(series.clone(), index)),
                |uid| is_touched(LeaseRecord::Claim(series.clone(), uid.to_owned())),
            );
            self.tidy(&series);
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.former.len()
    }
}

impl Series {
    /// Takes over what a survey found, but for what was touched since it began.
    fn apply(
        &mut self,
        found: Found,
        is_touched: impl Fn(i32) -> bool,
        is_touched_claim: impl Fn(&str) -> bool,
    ) {
        let Found { occupants, claims } = found;
        let is_over = |(index, _): &(i32, &Occupant)| !occupants.contains_key(index) && !is_touched(*index);
        let over: Vec<i32> = self.occupants().filter(is_over).map(|(index, _)| index).collect();
        let mut had: Vec<(String, i32)> = Vec::new();
        let mut note = |before: Option<Occupant>, index| {
            had.extend(before.as_ref().and_then(Occupant::uid).map(|uid| (uid.to_owned(), index)));
        };
        for index in over {
            note(self.set_occupant(index, None), index);
        }
        for (index, occupant) in occupants {
            let is_known = self.occupant(index).is_some_and(|before| before.is_same_record(&occupant));
            if !is_known && !is_touched(index) {
                note(self.set_occupant(index, Some(occupant)), index);
            }
        }
        let is_over = |(uid, _): &(&str, i32)| !claims.contains_key(*uid) && !is_touched_claim(uid);
        let over: Vec<String> = self.claims().filter(is_over).map(|(uid, _)| uid.to_owned()).collect();
        for uid in over {
            self.set_claim(&uid, None);
        }
        for (uid, claim) in claims {
            if !is_touched_claim(&uid) {
                self.set_claim(&uid, Some(claim));
            }
        }
        for (uid, index) in had {
            if self.held_by(&uid).is_empty() {
                self.set_lost(&uid, Some(index));
            }
        }
    }
}
