//! What Key Vault answers, and how a path is kept in tags.

use std::collections::BTreeMap;

use reqwest::Url;
use serde::Deserialize;

use super::super::rest::Text;
use super::claim;
use crate::domain::StoragePath;
use crate::handover::{AZURE, path_of};

/// Key Vault's own limit of a tag's value, in bytes.
const LONGEST_TAG: usize = 256;
/// Tags with the path: this one, and where it is long this one with `-1` and so on.
const PATH: &str = "keystow-path";

/// A secret as the vault lists it, and as it answers for one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default)]
    pub(super) attributes: Attributes,
    #[serde(default)]
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) tags: Option<BTreeMap<String, String>>,
    /// Of a deleted secret, where it can be recovered.
    #[serde(default)]
    pub(super) recovery_id: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Attributes {
    #[serde(default)]
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) created: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Got {
    pub(super) id: String,
    #[serde(default)]
    pub(super) value: Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    #[serde(default)]
    pub(super) value: Vec<Item>,
    #[serde(default)]
    pub(super) next_link: Option<String>,
}

/// What Key Vault says of a refusal: words alone.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Answered {
    pub(super) error: Error,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Error {
    pub(super) code: String,
    pub(super) innererror: Option<Box<Error>>,
}

/// The version in `https://…/secrets/NAME/VERSION`.
pub(super) fn version_of(id: &str) -> Option<&str> {
    let mut parts = Url::parse(id).ok()?.path().trim_matches('/').split('/').count();
    parts = parts.saturating_sub(2);
    id.rsplit('/').next().filter(|_| parts > 0)
}

impl Item {
    pub(super) fn version(&self) -> Option<&str> {
        version_of(&self.id)
    }

    /// The path: what the tags say, or else the name where that can be read back.
    pub(super) fn path(&self) -> Option<StoragePath> {
        if self.content_type.as_deref() == Some(claim::MEDIA_TYPE) {
            return None;
        }
        let name = self.id.trim_end_matches('/').rsplit('/').next()?;
        path_of(&name.to_ascii_lowercase(), self.tagged(), AZURE)
    }

    fn tagged(&self) -> Option<String> {
        let tags = self.tags.as_ref()?;
        let mut path = tags.get(PATH)?.clone();
        for part in (1..).map_while(|part| tags.get(&format!("{PATH}-{part}"))) {
            path.push_str(part);
        }
        Some(path)
    }
}

/// The tags that keep a path, in parts that a tag takes.
pub(super) fn tags(path: &str) -> BTreeMap<String, String> {
    let mut parts = vec![String::new()];
    for char in path.chars() {
        match parts.last_mut() {
            Some(part) if part.len() + char.len_utf8() <= LONGEST_TAG => part.push(char),
            _ => parts.push(char.to_string()),
        }
    }
    let name = |part: usize| if part == 0 { PATH.to_owned() } else { format!("{PATH}-{part}") };
    parts.into_iter().enumerate().map(|(part, text)| (name(part), text)).collect()
}
