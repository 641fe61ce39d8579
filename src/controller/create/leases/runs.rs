//! Which indices of a series are taken, as maximal runs: the lowest free one of a range is found without a look at those
//! before it, however many they are.
//!
//! Invariant: runs neither touch nor overlap, so what follows the end of a run is free.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Starts of runs, with their ends.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<i32, i32>);

impl Runs {
    /// The run that an index is in.
    fn of(&self, index: i32) -> Option<(i32, i32)> {
        self.0.range(..=index).next_back().map(|(start, end)| (*start, *end)).filter(|(_, end)| *end >= index)
    }

    /// Takes an index.
    pub(super) fn insert(&mut self, index: i32) {
        if self.of(index).is_some() {
            return;
        }
        let before = index.checked_sub(1).and_then(|before| self.of(before));
        let after = index.checked_add(1).and_then(|after| self.of(after));
        let start = before.map_or(index, |(start, _)| start);
        let end = after.map_or(index, |(start, end)| {
            self.0.remove(&start);
            end
        });
        self.0.insert(start, end);
    }

    /// Gives an index back.
    pub(super) fn remove(&mut self, index: i32) {
        let Some((start, end)) = self.of(index) else { return };
        self.0.remove(&start);
        if start < index {
            self.0.insert(start, index - 1);
        }
        if index < end {
            self.0.insert(index + 1, end);
        }
    }

    /// The lowest free index of a range.
    pub(super) fn lowest_free(&self, range: &RangeInclusive<i32>) -> Option<i32> {
        let free = match self.of(*range.start()) {
            None => *range.start(),
            Some((_, end)) => end.checked_add(1)?,
        };
        range.contains(&free).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_numbers_are_indices_like_others() {
        let mut runs = Runs::default();
        for index in [i32::MAX, i32::MIN, i32::MAX - 1, i32::MIN + 1] {
            runs.insert(index);
        }
        assert_eq!(runs.lowest_free(&(i32::MAX - 1..=i32::MAX)), None);
        assert_eq!(runs.lowest_free(&(i32::MIN..=0)), Some(i32::MIN + 2));
        runs.remove(i32::MAX);
        assert_eq!(runs.lowest_free(&(i32::MAX - 1..=i32::MAX)), Some(i32::MAX));
    }

    proptest! {
        #[test]
        fn the_lowest_free_index_is_the_one_that_counting_finds(
            steps in prop::collection::vec((any::<bool>(), -20..20_i32), 0..200),
            start in -22..22_i32,
            length in 0..30_i32,
        ) {
            let (mut runs, mut taken) = (Runs::default(), BTreeSet::new());
            for (is_taken, index) in steps {
                if is_taken {
                    runs.insert(index);
                    taken.insert(index);
                } else {
                    runs.remove(index);
                    taken.remove(&index);
                }
            }
            let range = start..=start + length;
            let counted = range.clone().find(|index| !taken.contains(index));
            prop_assert_eq!(runs.lowest_free(&range), counted);
            let touching = runs.0.iter().zip(runs.0.iter().skip(1)).any(|((_, end), (start, _))| end + 1 >= *start);
            prop_assert!(!touching, "{:?}", runs);
        }
    }
}
