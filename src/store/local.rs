//! The store `local`: nothing is stored, and so nothing can be read, created, deleted or listed by path.
//!
//! Its values are derived from requests (name, type, size), which a path does not tell. Whoever serves requests
//! asks [`crate::generate::deterministic`]; whoever comes here with a path is told so.

use super::{Address, Answer, Created, Deleted, Outcomes, Store, StoreError};
use crate::domain::{SecretValue, StoragePath};

/// The store that stores nothing.
#[derive(Debug)]
pub(super) struct Local;

fn refusal(path: &str) -> StoreError {
    StoreError::Invalid {
        path: path.to_owned(),
        reason: "the store `local` keeps nothing: init derives its values from names; configure another store to keep some"
            .to_owned(),
    }
}

impl Store for Local {
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes> {
        let outcomes =
            addresses.iter().map(|address| (address.clone(), Err(refusal(address.path.as_str())))).collect();
        Box::pin(std::future::ready(outcomes))
    }

    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>> {
        let first = group.first().map_or("an empty group", |(address, _)| address.path.as_str());
        Box::pin(std::future::ready(Err(refusal(first))))
    }

    fn delete<'a>(
        &'a self,
        address: &'a Address,
        _expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(std::future::ready(Err(refusal(address.path.as_str()))))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(std::future::ready(Err(refusal(prefix))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoragePrefix;

    #[tokio::test]
    async fn everything_is_refused_with_the_reason() {
        let address = Address::value(StoragePrefix::ROOT.join("db"));
        let value = SecretValue::new(b"hunter2".to_vec());
        let refused = StoreError::Invalid {
            path: "/db".to_owned(),
            reason: "the store `local` keeps nothing: init derives its values from names; configure another store to keep some"
                .to_owned(),
        };
        let store = Local;
        assert_eq!(store.get(std::slice::from_ref(&address)).await[&address], Err(refused.clone()));
        assert_eq!(store.create(&[(address.clone(), value.clone())]).await, Err(refused.clone()));
        assert_eq!(store.delete(&address, &value).await, Err(refused.clone()));
        assert_eq!(store.list("/db").await, Err(refused));
    }
}
