//! Writes over one key of an object, in version 2 of the engine alone: without a check-and-set, what somebody else writes in
//! between would be lost.

use super::object::{State, present};
use super::place::Place;
use super::wire::Trouble;
use super::{LONGEST_OBJECT, LOOKS, Vault, Version, Written, too_long};
use crate::domain::SecretValue;
use crate::store::{Address, Replaced, StoreError};

impl Vault {
    pub(super) async fn replace_one(
        &self,
        address: &Address,
        expected: &SecretValue,
        value: &SecretValue,
    ) -> Result<Replaced, StoreError> {
        if self.version == Version::One {
            return Ok(Replaced::Unsupported);
        }
        let path = &address.path;
        let told = |trouble: Trouble| trouble.at(path);
        let Place { object, key } = Place::of(address).map_err(told)?;
        let operation = self.operation().await.map_err(told)?;
        for _ in 0..LOOKS {
            let State::There(found) = operation.look(&object).await.map_err(told)? else {
                return Ok(Replaced::Changed);
            };
            if present(&found, &key).and_then(Result::ok).as_ref() != Some(expected) {
                return Ok(Replaced::Changed);
            }
            let content = found.with_other(&key, value);
            if content.expose().len() > LONGEST_OBJECT {
                return Err(too_long(path));
            }
            if let Written::Done = operation.write(&object, &content, found.version).await.map_err(told)? {
                return Ok(Replaced::Done);
            }
        }
        Err(StoreError::unavailable(path, "others keep writing to the same object"))
    }
}
