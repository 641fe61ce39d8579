//! Items of kees' table: what stands for an address and its value, and back.
//!
//! The holder of an index is a pod, `NAMESPACE/NAME/UID/CLUSTER`. Kees' programs look for the name alone, so that is the value,
//! and what kees does not know is in attributes of their own. An item without all of them has kees' form.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use zeroize::Zeroizing;

use crate::domain::{LeaseHolder, SecretValue, StoragePath};
use crate::store::{Address, Entry, StoreError};

pub(super) const KEY: &str = "secretName";
pub(super) const VALUE: &str = "secretValue";
/// Of the pod that holds an index.
pub(super) const NAMESPACE: &str = "namespace";
pub(super) const UID: &str = "uid";
pub(super) const CLUSTER: &str = "cluster";

/// Another value in place of the one that is there, whatever other attributes there are.
pub(super) const SET: &str = "SET #secretValue = :new";
/// The condition for it. An item that is not there has no such attribute.
pub(super) const IS: &str = "#secretValue = :old";

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

/// The attributes of a value.
fn attributes(address: &Address, value: &SecretValue) -> Result<Vec<(&'static str, String)>, StoreError> {
    if address.entry == Entry::Value {
        return Ok(vec![(VALUE, STANDARD.encode(value.expose()))]);
    }
    if let Some(LeaseHolder::Pod { namespace, name, uid, cluster }) = LeaseHolder::read(value) {
        return Ok(vec![(VALUE, name), (NAMESPACE, namespace), (UID, uid), (CLUSTER, cluster)]);
    }
    let text = std::str::from_utf8(value.expose()).ok().filter(|text| !text.contains('/'));
    let text =
        text.ok_or_else(|| StoreError::invalid(&address.path, "the holder of a lease has another form"))?;
    Ok(vec![(VALUE, text.to_owned())])
}

/// The item of a value.
pub(super) fn write(address: &Address, value: &SecretValue) -> Result<Item, StoreError> {
    let attributes = attributes(address, value)?;
    let path = address.path.as_str();
    let size: usize = attributes.iter().map(|(name, text)| name.len() + text.len()).sum();
    if KEY.len() + path.len() + size > LARGEST_ITEM {
        let reason = format!("its value in base64 is longer than an item of DynamoDB, {LARGEST_ITEM} bytes");
        return Err(StoreError::invalid(path, reason));
    }
    let mut item = key(path.to_owned());
    item.extend(attributes.into_iter().map(|(name, text)| (name.to_owned(), AttributeValue::S(text))));
    Ok(item)
}

/// The attribute of a value that is nobody's lease.
pub(super) fn text(address: &Address, value: &SecretValue) -> Result<AttributeValue, StoreError> {
    let mut item = write(address, value)?;
    let text = item.remove(VALUE).filter(|_| address.entry == Entry::Value);
    text.ok_or_else(|| StoreError::invalid(&address.path, "a lease is not written over"))
}

/// The value of an item.
pub(super) fn read(item: &Item, address: &Address) -> Result<SecretValue, StoreError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
    let Some(value) = text(VALUE) else {
        return Err(StoreError::invalid(&address.path, "its item has no text in the attribute secretValue"));
    };
    match address.entry {
        Entry::Lease => Ok(match (text(NAMESPACE), text(UID), text(CLUSTER)) {
            (Some(namespace), Some(uid), Some(cluster)) => {
                let holder = LeaseHolder::Pod {
                    namespace: namespace.to_owned(),
                    name: value.to_owned(),
                    uid: uid.to_owned(),
                    cluster: cluster.to_owned(),
                };
                holder.to_value()
            }
            _ => SecretValue::new(value.as_bytes().to_vec()),
        }),
        Entry::Value => {
            // The usual tools break lines.
            let unbroken: Zeroizing<Vec<u8>> =
                Zeroizing::new(value.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
            BASE64.decode(&*unbroken).map(SecretValue::new).map_err(|_| {
                StoreError::invalid(
                    &address.path,
                    "the attribute secretValue of its item is not base64; encode it",
                )
            })
        }
    }
}

/// The attributes of an expression, by what it calls them: it takes none of DynamoDB's own words, and no name that it
/// does not use.
pub(super) fn names(expression: &str) -> HashMap<String, String> {
    let name = |name: &str| (format!("#{name}"), name.to_owned());
    let all = [KEY, VALUE, NAMESPACE, UID, CLUSTER].into_iter().map(name);
    all.filter(|(placeholder, _)| expression.contains(placeholder)).collect()
}

/// The condition that an item is still this one, or none, with the values in it.
pub(super) fn is_still(address: &Address, item: &Item) -> (String, Item) {
    let mut parts = Vec::new();
    let mut values = Item::new();
    for name in [VALUE, NAMESPACE, UID, CLUSTER] {
        if let Some(value) = item.get(name) {
            parts.push(format!("#{name} = :{name}"));
            values.insert(format!(":{name}"), value.clone());
        }
    }
    if address.entry == Entry::Lease && !item.contains_key(UID) {
        let is_absent = |name| format!("attribute_not_exists(#{name})");
        parts.push(format!("({})", [NAMESPACE, UID, CLUSTER].map(is_absent).join(" OR ")));
    }
    (format!("({}) OR attribute_not_exists(#{KEY})", parts.join(" AND ")), values)
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
    fn a_holder_is_what_kees_reads_and_what_it_does_not_know() {
        let lease = address(Entry::Lease);
        let value = SecretValue::new(b"veza/web-0/8d4a/c1".to_vec());
        let written = write(&lease, &value).unwrap();
        for (name, text) in [(VALUE, "web-0"), (NAMESPACE, "veza"), (UID, "8d4a"), (CLUSTER, "c1")] {
            assert_eq!(written[name], AttributeValue::S(text.to_owned()));
        }
        assert_eq!(read(&written, &lease), Ok(value));
        // Of an item that somebody else wrote, these attributes mean something only together.
        let mut half = written.clone();
        half.remove(UID);
        assert_eq!(read(&half, &lease), Ok(SecretValue::new(b"web-0".to_vec())));
        for wrong in ["a/b", "a/b/c", "/"] {
            let refused = write(&lease, &SecretValue::new(wrong.into()));
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{wrong}");
        }
        let slashes = address(Entry::Value);
        assert_eq!(write(&slashes, &SecretValue::new(b"veza/web-0/8d4a/c1".to_vec())).unwrap().len(), 2);
    }

    #[test]
    fn a_condition_tells_a_holder_from_a_namesake() {
        let condition = |entry, text: &str| {
            let address = address(entry);
            let item = write(&address, &SecretValue::new(text.into())).unwrap();
            let (condition, values) = is_still(&address, &item);
            (condition, values.len())
        };
        let gone = "OR attribute_not_exists(#secretName)";
        let full = "(#secretValue = :secretValue AND #namespace = :namespace AND #uid = :uid AND #cluster = :cluster)";
        assert_eq!(condition(Entry::Lease, "veza/web-0/8d4a/c1"), (format!("{full} {gone}"), 4));
        let kees = "(#secretValue = :secretValue AND (attribute_not_exists(#namespace) OR attribute_not_exists(#uid) OR attribute_not_exists(#cluster)))";
        assert_eq!(condition(Entry::Lease, "web-0"), (format!("{kees} {gone}"), 1));
        assert_eq!(condition(Entry::Value, "web-0"), (format!("(#secretValue = :secretValue) {gone}"), 1));
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
