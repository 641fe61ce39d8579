//! What is known of one series: what is at each index, and what each pod has to do with which.
//!
//! Invariants: an index is taken while anything is known of it (a holder, a claim, an assignment on its way, a pod that
//! is expected back), and `runs` are the taken ones; `members` and `named` say the same as `places`, by pod.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use super::Pod;
use super::runs::Runs;
use crate::domain::LeaseHolder;

/// What lies at an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Occupant {
    /// A pod's record in full form.
    Pod(LeaseHolder),
    /// A record as kees writes it, and the UID of the pod of that name that has it here.
    Named { name: String, adopter: Option<String> },
    /// Something that is no holder, or could not be read. It is left alone.
    Unknown,
}

/// What is known of an index.
#[derive(Debug, Default)]
struct Place {
    occupant: Option<Occupant>,
    /// Pods that are to have it.
    claims: u32,
    /// Assignments on their way to it.
    flights: u32,
    /// Pods that had it and may be back in a moment.
    kept: u32,
}

/// What is known of a pod.
#[derive(Debug, Default)]
struct Member {
    held: BTreeSet<i32>,
    claim: Option<i32>,
    /// It had this index, and the record is gone without our doing.
    lost: Option<i32>,
    flights: BTreeMap<i32, u32>,
    is_of_stateful_set: bool,
}

/// What a pod is to be told, or to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has this index.
    Holds(i32),
    /// It is to have this index, which is another pod's for no one that we know.
    Try(i32),
    /// It has or is to have this index, which the range does not contain.
    Outside(i32),
    /// There is none. So many have a holder.
    Exhausted(usize),
}

/// How many indices of a series are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// That have a holder.
    pub held: usize,
    /// That have none yet, and are a pod's to be: claimed, or kept for one that may be back.
    pub reserved: usize,
}

/// A series.
#[derive(Debug, Default)]
pub(super) struct Series {
    places: BTreeMap<i32, Place>,
    runs: Runs,
    /// Those of `places` that have no occupant.
    unoccupied: BTreeSet<i32>,
    members: HashMap<String, Member>,
    named: HashMap<String, BTreeSet<i32>>,
}

impl Series {
    /// Changes what is known of an index.
    fn at(&mut self, index: i32, change: impl FnOnce(&mut Place)) {
        let place = self.places.entry(index).or_default();
        change(place);
        if place.occupant.is_some() {
            self.unoccupied.remove(&index);
            self.runs.insert(index);
        } else if place.claims + place.flights + place.kept > 0 {
            self.unoccupied.insert(index);
            self.runs.insert(index);
        } else {
            self.unoccupied.remove(&index);
            self.runs.remove(index);
            self.places.remove(&index);
        }
    }

    /// Changes what is known of a pod, and forgets a pod of which nothing is.
    fn of<T>(&mut self, uid: &str, change: impl FnOnce(&mut Member) -> T) -> T {
        let member = self.members.entry(uid.to_owned()).or_default();
        let told = change(member);
        if !member.is_known() {
            self.members.remove(uid);
        }
        told
    }

    /// What `pod` is to be told or to try. `former` is the index that it had in an earlier life.
    pub(super) fn choose(&self, pod: &Pod, range: &RangeInclusive<i32>, former: Option<i32>) -> Choice {
        let within = |index: &i32| range.contains(index);
        if let Some(member) = self.members.get(&pod.uid) {
            let claimed = member.claim.filter(|claim| member.held.contains(claim));
            let held = claimed.into_iter().chain(member.held.iter().copied());
            if let Some(index) = held.clone().find(within) {
                // Init believes the claim, and a creator may have been killed between that and its record, although the pod
                // held another index already.
                let unheld = member.claim.filter(|claim| claimed.is_none() && within(claim));
                return unheld.map_or(Choice::Holds(index), Choice::Try);
            }
            if let Some(index) = held.clone().next() {
                return Choice::Outside(index);
            }
            if let Some(index) = member.lost.or(member.claim) {
                return if within(&index) { Choice::Try(index) } else { Choice::Outside(index) };
            }
            if let Some(index) = member.flights.keys().copied().find(within) {
                return Choice::Try(index);
            }
        }
        let named = || self.named.get(&pod.name).into_iter().flatten().copied();
        let mut adoptable = named().filter(|index| self.may_adopt(*index, &pod.uid)).peekable();
        if let Some(first) = adoptable.peek().copied() {
            return adoptable.find(within).map_or(Choice::Outside(first), Choice::Try);
        }
        let has_former =
            |index: &i32| within(index) && self.places.get(index).is_none_or(Place::is_for_whoever_is_back);
        let kept = || {
            let mut unoccupied = self.unoccupied.range(range.clone()).copied();
            unoccupied.find(|index| self.places.get(index).is_some_and(Place::is_for_whoever_is_back))
        };
        match former.filter(has_former).or_else(|| self.runs.lowest_free(range)).or_else(kept) {
            Some(index) => Choice::Try(index),
            None => {
                let size = range.end().abs_diff(*range.start()) as usize + 1;
                Choice::Exhausted(size - self.unoccupied.range(range.clone()).count())
            }
        }
    }

    /// Whether a record with the name of this pod is this pod's: no other has taken it for its own.
    pub(super) fn may_adopt(&self, index: i32, uid: &str) -> bool {
        let Some(place) = self.places.get(&index) else { return true };
        let own = self.members.get(uid).map_or(0, |member| member.reservations(index));
        match &place.occupant {
            Some(Occupant::Named { adopter: Some(adopter), .. }) => adopter == uid,
            _ => place.claims <= own,
        }
    }

    /// Notes what lies at an index; `None` for nothing. Gives back what was thought to lie there.
    pub(super) fn set_occupant(&mut self, index: i32, occupant: Option<Occupant>) -> Option<Occupant> {
        let before = self.places.get_mut(&index).and_then(|place| place.occupant.take());
        if let Some(uid) = before.as_ref().and_then(Occupant::uid) {
            self.of(uid, |member| member.held.remove(&index));
        }
        if let Some(Occupant::Named { name, .. }) = &before
            && let Some(indices) = self.named.get_mut(name)
        {
            indices.remove(&index);
            if indices.is_empty() {
                self.named.remove(name);
            }
        }
        if let Some(uid) = occupant.as_ref().and_then(Occupant::uid) {
            self.of(uid, |member| member.held.insert(index));
        }
        if let Some(Occupant::Named { name, .. }) = &occupant {
            self.named.entry(name.clone()).or_default().insert(index);
        }
        self.at(index, |place| place.occupant = occupant);
        before
    }

    /// Notes what a pod claims; `None` for nothing.
    pub(super) fn set_claim(&mut self, uid: &str, claim: Option<i32>) {
        self.reserve(uid, |member| member.claim = claim);
    }

    /// Notes that the record of a pod is gone without our doing.
    pub(super) fn set_lost(&mut self, uid: &str, lost: Option<i32>) {
        self.reserve(uid, |member| member.lost = lost);
    }

    fn reserve(&mut self, uid: &str, change: impl FnOnce(&mut Member)) {
        let (before, after) = self.of(uid, |member| {
            let before = [member.claim, member.lost];
            change(member);
            (before, [member.claim, member.lost])
        });
        for index in after.into_iter().flatten() {
            self.at(index, |place| place.claims += 1);
        }
        for index in before.into_iter().flatten() {
            self.at(index, |place| place.claims -= 1);
        }
    }

    /// Notes that an assignment is on its way.
    pub(super) fn take_off(&mut self, uid: &str, index: i32) {
        self.of(uid, |member| *member.flights.entry(index).or_default() += 1);
        self.at(index, |place| place.flights += 1);
    }

    /// Notes that it is so no longer.
    pub(super) fn land(&mut self, uid: &str, index: i32) {
        self.of(uid, |member| {
            if let Some(flights) = member.flights.get_mut(&index) {
                *flights -= 1;
                if *flights == 0 {
                    member.flights.remove(&index);
                }
            }
        });
        self.at(index, |place| place.flights = place.flights.saturating_sub(1));
    }

    /// Keeps an index from others, until [`Self::keep_no_more`].
    pub(super) fn keep(&mut self, index: i32) {
        self.at(index, |place| place.kept += 1);
    }

    /// Gives it to whoever wants it.
    pub(super) fn keep_no_more(&mut self, index: i32) {
        self.at(index, |place| place.kept = place.kept.saturating_sub(1));
    }

    /// Notes whether a pod of which something is known belongs to a StatefulSet.
    pub(super) fn set_is_of_stateful_set(&mut self, uid: &str, is_of_stateful_set: bool) {
        self.of(uid, |member| member.is_of_stateful_set = is_of_stateful_set);
    }

    /// Whether it does.
    pub(super) fn is_of_stateful_set(&self, uid: &str) -> bool {
        self.members.get(uid).is_some_and(|member| member.is_of_stateful_set)
    }

    /// The indices that a pod holds.
    pub(super) fn held_by(&self, uid: &str) -> Vec<i32> {
        self.members.get(uid).map(|member| member.held.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether anything is known of a pod.
    pub(super) fn knows(&self, uid: &str) -> bool {
        self.members.contains_key(uid)
    }

    /// What a pod claims.
    pub(super) fn claim_of(&self, uid: &str) -> Option<i32> {
        self.members.get(uid)?.claim
    }

    /// What a pod had, where its record is gone without our doing.
    pub(super) fn lost_by(&self, uid: &str) -> Option<i32> {
        self.members.get(uid)?.lost
    }

    /// What lies at an index.
    pub(super) fn occupant(&self, index: i32) -> Option<&Occupant> {
        self.places.get(&index)?.occupant.as_ref()
    }

    /// What lies at all indices where something does.
    pub(super) fn occupants(&self) -> impl Iterator<Item = (i32, &Occupant)> {
        self.places.iter().filter_map(|(index, place)| Some((*index, place.occupant.as_ref()?)))
    }

    /// What all pods claim.
    pub(super) fn claims(&self) -> impl Iterator<Item = (&str, i32)> {
        self.members.iter().filter_map(|(uid, member)| Some((uid.as_str(), member.claim?)))
    }

    /// Pods that hold nothing, and claim or had something.
    pub(super) fn claimants(&self) -> impl Iterator<Item = &str> {
        let waits = |member: &Member| member.held.is_empty() && member.claim.or(member.lost).is_some();
        self.members.iter().filter(move |(_, member)| waits(member)).map(|(uid, _)| uid.as_str())
    }

    /// How many indices are in use.
    pub(super) fn uses(&self) -> Use {
        Use { held: self.places.len() - self.unoccupied.len(), reserved: self.unoccupied.len() }
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.members.is_empty()
    }
}

impl Member {
    fn is_known(&self) -> bool {
        let is_to_have_one = self.claim.or(self.lost).is_some();
        is_to_have_one || !self.held.is_empty() || !self.flights.is_empty()
    }

    /// How often it counts among those that are to have an index.
    fn reservations(&self, index: i32) -> u32 {
        [self.claim, self.lost].into_iter().filter(|reserved| *reserved == Some(index)).map(|_| 1).sum()
    }
}

impl Place {
    /// Whether nothing is in the way of a pod that had it before.
    fn is_for_whoever_is_back(&self) -> bool {
        self.occupant.is_none() && self.claims == 0 && self.flights == 0
    }
}

impl Occupant {
    /// The UID of the pod that has it.
    pub(super) fn uid(&self) -> Option<&str> {
        match self {
            Self::Pod(LeaseHolder::Pod { uid, .. }) => Some(uid),
            Self::Named { adopter, .. } => adopter.as_deref(),
            Self::Pod(LeaseHolder::Named(_)) | Self::Unknown => None,
        }
    }

    /// Whether the same lies there, whoever has taken it for its own.
    pub(super) fn is_same_record(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named { name, .. }, Self::Named { name: others, .. }) => name == others,
            (one, other) => one == other,
        }
    }
}
