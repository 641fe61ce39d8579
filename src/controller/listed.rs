//! Objects of one kind, as they are listed and then watched.
//!
//! Invariant: a list that was begun again replaces what an earlier one left. Whatever it does not hold is gone at its end,
//! and not before, so that nothing seems to go and come while a list is under way.

use std::collections::HashMap;

/// What is kept of each object, by its key.
#[derive(Debug)]
pub(super) struct Listed<V> {
    /// With the list that had them last.
    entries: HashMap<Box<str>, (u64, V)>,
    list: u64,
    is_complete: bool,
}

impl<V> Default for Listed<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), list: 0, is_complete: false }
    }
}

impl<V> Listed<V> {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.list += 1;
    }

    /// It ends: what it did not hold is gone, and given back.
    pub(super) fn end(&mut self) -> Vec<(Box<str>, V)> {
        let gone = self.entries.extract_if(|_, (list, _)| *list != self.list);
        let gone = gone.map(|(key, (_, value))| (key, value)).collect();
        self.entries.shrink_to_fit();
        self.is_complete = true;
        gone
    }

    /// Whether a list was had to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// What follows is another list, and until its end nothing is known for sure. What is kept stays.
    pub(super) fn reopen(&mut self) {
        self.is_complete = false;
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// An object is there.
    pub(super) fn put(&mut self, key: &str, value: V) {
        self.entries.insert(key.into(), (self.list, value));
    }

    /// An object is gone, or nothing is to be kept of it any more.
    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries.iter().map(|(key, (_, value))| (&**key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_list_does_not_hold_is_gone_at_its_end() {
        let mut listed = Listed::default();
        listed.begin();
        listed.put("a", 1);
        listed.put("b", 2);
        assert!(!listed.is_complete());
        assert_eq!(listed.end(), []);
        listed.begin();
        listed.put("b", 3);
        listed.put("c", 4);
        assert_eq!(listed.get("a"), Some(&1), "not before the end");
        assert_eq!(listed.end(), [("a".into(), 1)]);
        assert_eq!((listed.iter().count(), listed.remove("b"), listed.get("b")), (2, Some(3), None));
        listed.reopen();
        assert!(!listed.is_complete());
    }
}
