//! Items of kees' table: what stands for an address and its value, and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use zeroize::Zeroizing;

use crate::domain::{SecretValue, StoragePath};
use crate::store::{Address, Entry, StoreError};

pub(super) const KEY: &str = "secretName";
pub(super) const VALUE: &str = "secretValue";

/// The service's limits, in bytes.
const LONGEST_KEY: usize = 2048;
const LARGEST_ITEM: usize = 400 * 1024;

/// What people put there by hand may lack its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An item's attributes.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Refuses what cannot be a key.
pub(super) fn check_key(path: &StoragePath) -> Result<(), StoreError> {
    let length = path.as_str().len();
    if length == 0 || path.as_str().contains('\0') {
        return Err(StoreError::invalid(path, "a key of DynamoDB is not empty and has no NUL"));
    }
    if length > LONGEST_KEY {
        let reason = format!("its path is longer than {LONGEST_KEY} bytes, which no key of DynamoDB is");
        return Err(StoreError::invalid(path, reason));
    }
    Ok(())
}

pub(super) fn key(key: String) -> Item {
    HashMap::from([(KEY.to_owned(), AttributeValue::S(key))])
}

pub(super) fn key_of(item: &Item) -> Option<String> {
    item.get(KEY)?.as_s().ok().cloned()
}

/// The item of a value.
pub(super) fn write(address: &Address, value: &SecretValue) -> Result<Item, StoreError> {
    let text = match address.entry {
        Entry::Value => STANDARD.encode(value.expose()),
        Entry::Lease => String::from_utf8(value.expose().to_vec())
            .map_err(|_| StoreError::invalid(&address.path, "the holder of a lease is no text"))?,
    };
    let path = address.path.as_str();
    if KEY.len() + path.len() + VALUE.len() + text.len() > LARGEST_ITEM {
        let reason = format!("its value in base64 is longer than an item of DynamoDB, {LARGEST_ITEM} bytes");
        return Err(StoreError::invalid(path, reason));
    }
    let mut item = key(path.to_owned());
    item.insert(VALUE.to_owned(), AttributeValue::S(text));
    Ok(item)
}

/// The value of an item.
pub(super) fn read(item: &Item, address: &Address) -> Result<SecretValue, StoreError> {
    let Some(Ok(text)) = item.get(VALUE).map(AttributeValue::as_s) else {
        return Err(StoreError::invalid(&address.path, "its item has no text in the attribute secretValue"));
    };
    match address.entry {
        Entry::Lease => Ok(SecretValue::new(text.clone().into_bytes())),
        Entry::Value => {
            // The usual tools break lines.
            let unbroken: Zeroizing<Vec<u8>> =
                Zeroizing::new(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
            BASE64.decode(&*unbroken).map(SecretValue::new).map_err(|_| {
                StoreError::invalid(
                    &address.path,
                    "the attribute secretValue of its item is not base64; encode it",
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoragePrefix;

    fn address(entry: Entry) -> Address {
        Address { path: StoragePrefix::ROOT.join("db"), entry }
    }

    fn item(value: AttributeValue) -> Item {
        HashMap::from([(VALUE.to_owned(), value), ("leasedAt".to_owned(), AttributeValue::N("1".to_owned()))])
    }

    #[test]
    fn values_are_base64_and_leases_are_plain() {
        let value = SecretValue::new(b"web-0".to_vec());
        for (entry, text) in [(Entry::Value, "d2ViLTA="), (Entry::Lease, "web-0")] {
            let written = write(&address(entry), &value).unwrap();
            assert_eq!(written[VALUE], AttributeValue::S(text.to_owned()));
            assert_eq!(written[KEY], AttributeValue::S("/db".to_owned()));
            assert_eq!(read(&written, &address(entry)), Ok(value.clone()));
        }
    }

    #[test]
    fn what_people_wrote_is_read_as_far_as_it_can_be() {
        let read = |value| read(&item(value), &address(Entry::Value));
        for text in ["d2ViLTA=", "d2ViLTA", "d2Vi\r\nLTA=\n"] {
            assert_eq!(
                read(AttributeValue::S(text.to_owned())),
                Ok(SecretValue::new(b"web-0".to_vec())),
                "{text:?}"
            );
        }
        for wrong in [AttributeValue::S("hunter2!".to_owned()), AttributeValue::N("7".to_owned())] {
            let error = read(wrong).unwrap_err();
            assert!(matches!(&error, StoreError::Invalid { .. }), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_no_table_takes_is_refused() {
        let long = StoragePrefix::ROOT.join(&"k".repeat(LONGEST_KEY));
        assert!(check_key(&long).unwrap_err().to_string().contains("longer than 2048"));
        assert_eq!(check_key(&StoragePrefix::ROOT.join("k")), Ok(()));
        let value = |size| SecretValue::new(vec![b'v'; size]);
        assert!(write(&address(Entry::Value), &value(299 * 1024)).is_ok());
        let refused = write(&address(Entry::Value), &value(310 * 1024)).unwrap_err();
        assert!(refused.to_string().contains("longer than"), "{refused}");
        let lease = write(&address(Entry::Lease), &SecretValue::new(vec![0xFF]));
        assert!(matches!(lease, Err(StoreError::Invalid { .. })));
    }
}
