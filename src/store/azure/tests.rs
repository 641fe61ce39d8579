//! Tests of what Key Vault answers, and of paths in tags.

use proptest::prelude::*;

use super::*;

fn item(id: &str, tags: &BTreeMap<String, String>) -> Item {
    let json = serde_json::json!({ "id": format!("https://v.example/secrets/{id}"), "tags": tags });
    serde_json::from_value(json).unwrap()
}

#[test]
fn what_people_named_readably_has_a_path_without_tags() {
    for (name, path) in [
        ("veza--production--db-main", Some("/veza/production/db-main")),
        ("Veza--Db", Some("/veza/db")),
        ("db---0f2ae8d94c0b96a3c6c0", None),
    ] {
        let found = item(name, &BTreeMap::new()).path();
        assert_eq!(found.as_ref().map(StoragePath::as_str), path, "{name}");
    }
    let copied = BTreeMap::from([("keystow-path".to_owned(), "/other".to_owned())]);
    assert_eq!(
        item("db", &copied).path().as_ref().map(StoragePath::as_str),
        Some("/db"),
        "a tag of another secret"
    );
}

#[test]
fn a_version_is_what_follows_the_name() {
    for (id, version) in [
        ("https://v.example/secrets/db/0123", Some("0123")),
        ("https://v.example/secrets/db", None),
        ("nothing", None),
    ] {
        assert_eq!(version_of(id), version, "{id}");
    }
}

#[test]
fn plain_http_is_refused() {
    let vault_url = "http://example.vault.azure.net".to_owned();
    let settings = AzureSettings { vault_url, tenant_id: None, client_id: None, audience: None };
    let refused = KeyVault::open(&settings, &Surroundings::default()).unwrap_err();
    assert!(refused.contains("must begin with https://"), "{refused}");
}

proptest! {
    #[test]
    fn every_path_comes_back_from_its_tags(key in "[a-zA-Z0-9/. \u{e9}\u{1f511}]{1,512}") {
        let path = format!("/{key}");
        let tags = tags(&path);
        prop_assert!(tags.len() <= 15 && tags.values().all(|value| value.len() <= 256));
        let found = item(&object_name(&path, AZURE), &tags).path();
        prop_assert_eq!(found, StoragePath::read(&path));
    }
}
