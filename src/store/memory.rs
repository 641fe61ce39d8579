//! A store in memory for unit tests: holds values, and answers each address with scripted errors first. A slow one lets
//! others run before and after each call does its work, so that futures can be interleaved and dropped there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Address, Answer, Created, Deleted, Outcomes, Replaced, Store, StoreError};
use crate::domain::{SecretValue, StoragePath};

/// Values by path, and what is answered instead before they are.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
    is_slow: bool,
    stalls: bool,
    cannot_replace: bool,
    requests: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<StoragePath, SecretValue>,
    errors: HashMap<StoragePath, VecDeque<StoreError>>,
    calls: Vec<usize>,
}

impl Memory {
    pub(crate) fn with(values: &[(&str, &[u8])]) -> Self {
        let memory = Self::default();
        for (path, value) in values {
            memory.put(path, value);
        }
        memory
    }

    pub(crate) fn slow() -> Self {
        Self { is_slow: true, ..Self::default() }
    }

    pub(crate) fn that_stalls() -> Self {
        Self { stalls: true, ..Self::default() }
    }

    pub(crate) fn that_cannot_replace() -> Self {
        Self { cannot_replace: true, ..Self::default() }
    }

    /// What is stored, as text.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let state = self.state.lock().unwrap();
        let text = |value: &SecretValue| String::from_utf8(value.expose().to_vec()).unwrap();
        state.values.iter().map(|(path, value)| (path.to_string(), text(value))).collect()
    }

    /// How many calls there were, of all kinds.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().values.remove(&path_of(path));
    }

    /// Does the work of a call.
    async fn work<T>(&self, work: impl FnOnce(&mut State) -> T + Send) -> T {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.stalls {
            std::future::pending::<()>().await;
        }
        if self.is_slow {
            tokio::task::yield_now().await;
        }
        let done = work(&mut self.state.lock().unwrap());
        if self.is_slow {
            tokio::task::yield_now().await;
        }
        done
    }

    pub(crate) fn put(&self, path: &str, value: &[u8]) {
        let path = path_of(path);
        self.state.lock().unwrap().values.insert(path, SecretValue::new(value.to_vec()));
    }

    pub(crate) fn take(&self, path: &str) {
        self.state.lock().unwrap().values.remove(&path_of(path));
    }

    pub(crate) fn fail(&self, path: &str, error: impl FnOnce(String) -> StoreError) {
        let error = error(path.to_owned());
        self.state.lock().unwrap().errors.entry(path_of(path)).or_default().push_back(error);
    }

    /// How many addresses each call asked for.
    pub(crate) fn calls(&self) -> Vec<usize> {
        self.state.lock().unwrap().calls.clone()
    }
}

fn path_of(path: &str) -> StoragePath {
    crate::domain::StoragePrefix::ROOT.join(path.strip_prefix('/').unwrap())
}

impl State {
    fn fails(&mut self, path: &StoragePath) -> Result<(), StoreError> {
        self.errors.get_mut(path).and_then(VecDeque::pop_front).map_or(Ok(()), Err)
    }

    fn answer(&mut self, path: &StoragePath) -> Result<SecretValue, StoreError> {
        self.fails(path)?;
        self.values.get(path).cloned().ok_or_else(|| StoreError::not_found(path, "in memory"))
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes> {
        Box::pin(self.work(move |state| {
            state.calls.push(addresses.len());
            addresses.iter().map(|address| (address.clone(), state.answer(&address.path))).collect()
        }))
    }

    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>> {
        Box::pin(self.work(move |state| {
            for (address, _) in group {
                state.fails(&address.path)?;
            }
            if group.iter().any(|(address, _)| state.values.contains_key(&address.path)) {
                let theirs: Result<Vec<_>, _> =
                    group.iter().map(|(address, _)| state.answer(&address.path)).collect();
                return theirs.map(Created::Theirs);
            }
            for (address, value) in group {
                state.values.insert(address.path.clone(), value.clone());
            }
            Ok(Created::Ours)
        }))
    }

    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(self.work(move |state| {
            state.fails(&address.path)?;
            match state.values.get(&address.path) {
                Some(value) if value != expected => Ok(Deleted::Changed),
                _ => {
                    state.values.remove(&address.path);
                    Ok(Deleted::Gone)
                }
            }
        }))
    }

    fn replace<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
        value: &'a SecretValue,
    ) -> Answer<'a, Result<Replaced, StoreError>> {
        Box::pin(self.work(move |state| {
            state.fails(&address.path)?;
            if self.cannot_replace {
                return Ok(Replaced::Unsupported);
            }
            match state.values.get_mut(&address.path) {
                Some(there) if there == expected => *there = value.clone(),
                _ => return Ok(Replaced::Changed),
            }
            Ok(Replaced::Done)
        }))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(self.work(move |state| {
            Ok(state.values.keys().filter(|path| path.as_str().starts_with(prefix)).cloned().collect())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_race_gives_the_winners_values_and_a_changed_value_stays() {
        let store = Memory::default();
        let address = Address::value(path_of("/a"));
        let (ours, theirs) = (SecretValue::new(b"1".to_vec()), SecretValue::new(b"2".to_vec()));
        assert_eq!(store.create(&[(address.clone(), theirs.clone())]).await, Ok(Created::Ours));
        let lost = store.create(&[(address.clone(), ours.clone())]).await;
        assert_eq!(lost, Ok(Created::Theirs(vec![theirs.clone()])));
        assert_eq!(store.delete(&address, &ours).await, Ok(Deleted::Changed));
        assert_eq!(store.list("/").await.unwrap().len(), 1);
        assert_eq!(store.delete(&address, &theirs).await, Ok(Deleted::Gone));
        assert!(store.list("/").await.unwrap().is_empty());
    }
}
