//! Secret objects as this store reads and writes them: names, keys, labels, and the JSON of each write.
//!
//! Invariants: of a Secret only what is needed is read, and values go straight from base64 into [`SecretValue`]; a
//! write names the version it is meant for; a listed path is believed only where the object has the name of that path.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::{Address, Entry, StoreError};
use crate::domain::{LeaseHolder, SecretValue, StoragePath};
use crate::handover::{self, KUBERNETES, object_name};

/// What the API server takes in a key.
const LONGEST_KEY: usize = 253;
/// The annotation with the path, which the name alone does not tell.
const PATH: &str = "store.bsycorp.com/path";
const LABELS: [(&str, &str); 2] =
    [("app.kubernetes.io/managed-by", "keystow"), ("app.kubernetes.io/component", "store")];
/// The same, as a query asks for them.
pub(super) const SELECTOR: &str =
    "app.kubernetes.io%2Fmanaged-by%3Dkeystow%2Capp.kubernetes.io%2Fcomponent%3Dstore";

/// Where an address lies.
pub(super) struct Place<'a> {
    pub(super) secret: String,
    /// The path that the Secret is called after.
    pub(super) object: StoragePath,
    pub(super) key: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(address: &'a Address) -> Result<Self, StoreError> {
        let place = match address.entry {
            Entry::Value => handover::Place::in_kubernetes(&address.path),
            Entry::Lease => handover::Place::of_lease(&address.path),
        };
        let secret = place.secret();
        let handover::Place { object, key } = place;
        if key.len() > LONGEST_KEY {
            let reason = format!(
                "what follows its last `_` is longer than {LONGEST_KEY} letters, which a key of a Secret takes"
            );
            return Err(StoreError::invalid(&address.path, reason));
        }
        Ok(Self { secret, object, key })
    }
}

/// A Secret that is there.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, Bytes>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    resource_version: String,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

impl Found {
    pub(super) fn value(&self, key: &str) -> Option<&SecretValue> {
        self.data.as_ref()?.get(key).map(|Bytes(value)| value)
    }

    pub(super) fn has_one_key(&self) -> bool {
        self.data.as_ref().is_some_and(|data| data.len() == 1)
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        self.data.iter().flat_map(BTreeMap::values).map(|Bytes(value)| value.expose().len()).sum()
    }

    /// Whether it only waits for a finalizer.
    pub(super) fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// What a Secret holds under a key.
#[derive(Debug)]
pub(super) struct Bytes(pub(super) SecretValue);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A key without a value is written as null.
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?.unwrap_or_default();
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("no base64"))?;
        Ok(Self(SecretValue::new(bytes)))
    }
}

/// The same on its way out.
pub(super) struct Encoded<'v>(pub(super) &'v SecretValue);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0.expose(), &STANDARD))
    }
}

/// A write: the object's other parts, and its data.
#[derive(Serialize)]
struct Written<'v> {
    #[serde(flatten)]
    rest: Value,
    data: BTreeMap<&'v str, Option<Encoded<'v>>>,
}

pub(super) fn write(rest: Value, data: BTreeMap<&str, Option<Encoded<'_>>>) -> Zeroizing<Vec<u8>> {
    // Maps with keys of text cannot fail to be JSON.
    Zeroizing::new(serde_json::to_vec(&Written { rest, data }).unwrap_or_default())
}

fn encoded<'v>(data: &[(&'v str, &'v SecretValue)]) -> BTreeMap<&'v str, Option<Encoded<'v>>> {
    data.iter().map(|(key, value)| (*key, Some(Encoded(value)))).collect()
}

/// The pod that a new Secret goes with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    name: String,
    uid: String,
}

impl Owner {
    /// The holder of an index. One in another namespace is none: what has an owner that is not there is deleted at once.
    pub(super) fn of(address: &Address, value: &SecretValue, here: &str) -> Option<Self> {
        match (address.entry, LeaseHolder::read(value)) {
            (Entry::Lease, Some(LeaseHolder::Pod { namespace, name, uid, .. })) if namespace == here => {
                Some(Self { name, uid })
            }
            _ => None,
        }
    }
}

/// A new Secret.
pub(super) fn new(
    name: &str,
    object: &StoragePath,
    data: &[(&str, &SecretValue)],
    owner: Option<&Owner>,
) -> Zeroizing<Vec<u8>> {
    let labels: BTreeMap<_, _> = LABELS.into();
    let mut metadata = json!({"name": name, "labels": labels, "annotations": {PATH: object.as_str()}});
    if let Some(Owner { name, uid }) = owner {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        metadata["ownerReferences"] = json!([pod]);
    }
    let rest = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata});
    write(rest, encoded(data))
}

/// A merge patch that adds keys to what was found.
pub(super) fn with(found: &Found, data: &[(&str, &SecretValue)]) -> Zeroizing<Vec<u8>> {
    write(only(found), encoded(data))
}

/// A merge patch that takes a key from what was found.
pub(super) fn without(found: &Found, key: &str) -> Zeroizing<Vec<u8>> {
    write(only(found), [(key, None)].into())
}

fn only(found: &Found) -> Value {
    json!({"metadata": {"resourceVersion": found.metadata.resource_version}})
}

/// What has what was found deleted and nothing else.
pub(super) fn preconditions(found: &Found) -> Zeroizing<Vec<u8>> {
    let Metadata { uid, resource_version, .. } = &found.metadata;
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    });
    Zeroizing::new(options.to_string().into_bytes())
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    metadata: PageMetadata,
    /// Null where nothing is listed.
    #[serde(default)]
    items: Option<Vec<Listed>>,
}

#[derive(Debug, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

impl Page {
    /// The paths of what is listed.
    pub(super) fn paths(&self) -> impl Iterator<Item = StoragePath> {
        self.items.iter().flatten().filter_map(Listed::path)
    }

    /// What the next page is asked for with.
    pub(super) fn next(&self) -> Option<&str> {
        self.metadata.next.as_deref().filter(|token| !token.is_empty())
    }
}

/// A Secret in a list.
#[derive(Debug, Deserialize)]
struct Listed {
    metadata: ListedMetadata,
}

#[derive(Debug, Deserialize)]
struct ListedMetadata {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Listed {
    /// The path that it is called after.
    fn path(&self) -> Option<StoragePath> {
        let path = StoragePath::read(self.metadata.annotations.get(PATH)?)?;
        (object_name(path.as_str(), KUBERNETES) == self.metadata.name).then_some(path)
    }
}

/// Whether a text shows a value, as it is or in base64.
pub(super) fn shows(text: &str, value: &SecretValue) -> bool {
    let bytes = value.expose();
    let plain = std::str::from_utf8(bytes).is_ok_and(|plain| !plain.is_empty() && text.contains(plain));
    plain
        || (!bytes.is_empty() && text.contains(Zeroizing::new(STANDARD.encode(bytes)).trim_end_matches('=')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoragePrefix;

    fn path(text: &str) -> StoragePath {
        StoragePrefix::ROOT.join(text)
    }

    fn value(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    fn found(json: &str) -> Found {
        serde_json::from_str(json).unwrap()
    }

    const SECRET: &str = r#"{"kind":"Secret","metadata":{"name":"db","uid":"u","resourceVersion":"7"},
        "data":{"password":"aHVudGVyMg==","empty":null,"raw":"/wA="}}"#;

    #[test]
    fn a_field_is_a_key_and_what_is_none_has_a_secret_of_its_own() {
        for (address, object, key) in [
            (Address::value(path("veza/db_password")), "veza/db", "password"),
            (Address::value(path("veza/db")), "veza/db", "value"),
            (Address::lease(path("leases/web_a")), "leases/web_a", "value"),
        ] {
            let place = Place::of(&address).unwrap();
            assert_eq!((&place.object, place.key), (&path(object), key), "{address:?}");
            assert_eq!(place.secret, object_name(path(object).as_str(), KUBERNETES));
        }
    }

    #[test]
    fn the_field_value_is_kept_apart_from_the_path_itself() {
        let (field, whole) = (Address::value(path("db_value")), Address::value(path("db")));
        let (field, whole) = (Place::of(&field).unwrap(), Place::of(&whole).unwrap());
        assert_ne!((field.secret, field.key), (whole.secret, whole.key));
    }

    #[test]
    fn a_key_that_no_secret_takes_is_refused() {
        let long = Address::value(path(&format!("db_{}", "a".repeat(254))));
        assert!(matches!(Place::of(&long), Err(StoreError::Invalid { .. })));
    }

    #[test]
    fn bytes_are_read_from_base64_and_are_not_shown() {
        let found = found(SECRET);
        assert_eq!(found.value("password"), Some(&value(b"hunter2")));
        assert_eq!(found.value("empty"), Some(&value(b"")));
        assert_eq!(found.value("raw"), Some(&value(b"\xff\0")));
        assert_eq!((found.value("user"), found.size(), found.has_one_key()), (None, 9, false));
        let shown = format!("{found:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }

    #[test]
    fn every_write_says_what_it_is_for() {
        let found = found(SECRET);
        let secret = value(b"hunter2");
        let text = |bytes: Zeroizing<Vec<u8>>| serde_json::from_slice::<Value>(&bytes).unwrap();
        assert_eq!(
            text(with(&found, &[("user", &secret)])),
            json!({"metadata": {"resourceVersion": "7"}, "data": {"user": "aHVudGVyMg=="}})
        );
        assert_eq!(
            text(without(&found, "user")),
            json!({"metadata": {"resourceVersion": "7"}, "data": {"user": null}})
        );
        assert_eq!(text(preconditions(&found))["preconditions"], json!({"uid": "u", "resourceVersion": "7"}));
        let made = text(new("db", &path("db"), &[("user", &secret)], None));
        assert_eq!(made["data"], json!({"user": "aHVudGVyMg=="}));
        assert_eq!(made["metadata"]["annotations"], json!({"store.bsycorp.com/path": "/db"}));
        let selector = LABELS.map(|(key, value)| format!("{key}={value}")).join(",");
        assert_eq!(SELECTOR.replace("%2F", "/").replace("%3D", "=").replace("%2C", ","), selector);
    }

    #[test]
    fn the_record_of_an_index_goes_with_its_pod() {
        let (lease, other) = (Address::lease(path("leases/db.7")), Address::value(path("leases/db.7")));
        let holder = value(b"veza/web-0/8d4a/c1");
        let owner = Owner::of(&lease, &holder, "veza");
        assert_eq!(owner, Some(Owner { name: "web-0".to_owned(), uid: "8d4a".to_owned() }));
        let made = new("x", &path("x"), &[("value", &holder)], owner.as_ref());
        let made: Value = serde_json::from_slice(&made).unwrap();
        let pod = json!([{"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "8d4a"}]);
        assert_eq!(made["metadata"]["ownerReferences"], pod);
        for (address, value, here) in [
            (&lease, &holder, "elsewhere"),
            (&other, &holder, "veza"),
            (&lease, &value(b"web-0"), "veza"),
            (&lease, &value(b"7"), "veza"),
        ] {
            assert_eq!(Owner::of(address, value, here), None, "{address:?}");
        }
        let made: Value = serde_json::from_slice(&new("x", &path("x"), &[], None)).unwrap();
        assert!(made["metadata"].get("ownerReferences").is_none());
    }

    #[test]
    fn a_listed_path_is_believed_only_by_its_name() {
        let listed = |name: &str, path: &str| -> Listed {
            let metadata = json!({"name": name, "annotations": {PATH: path}});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        assert_eq!(listed("veza--db", "/veza/db").path(), Some(path("veza/db")));
        assert_eq!(listed("veza--db", "/other/db").path(), None);
        assert_eq!(listed("veza--db", "/veza/../db").path(), None);
    }

    #[test]
    fn a_page_with_nothing_on_it_has_no_paths() {
        for items in [json!(null), json!([])] {
            let page = json!({"metadata": {"resourceVersion": "7"}, "items": items});
            let page: Page = serde_json::from_value(page).unwrap();
            assert_eq!((page.paths().count(), page.next()), (0, None));
        }
    }

    #[test]
    fn a_value_is_seen_in_every_form_that_it_is_sent_in() {
        let secret = value(b"hunter2");
        assert!(shows("policy: password hunter2 is weak", &secret));
        assert!(shows("data.password: aHVudGVyMg==", &secret));
        assert!(!shows("data.password: too weak", &secret));
        assert!(!shows("anything", &value(b"")));
    }
}
