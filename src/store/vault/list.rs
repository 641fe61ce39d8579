//! Listing, folder by folder: what Vault lists of a folder are the objects in it, and its folders with a `/` behind.
//!
//! Invariant: only folders are asked for that can have something of the prefix below them.

use std::collections::VecDeque;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::StatusCode;
use serde::Deserialize;

use super::wire::{Call, Missing, Trouble, not_vault};
use super::{AT_ONCE, Operation, place};
use crate::domain::StoragePath;

#[derive(Deserialize)]
struct Listed {
    data: Keys,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

impl Operation<'_> {
    /// Every object whose path begins with the prefix.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<StoragePath>, Trouble> {
        let Some(first) = folder(prefix) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut waiting = VecDeque::from([first]);
        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < AT_ONCE
                && let Some(folder) = waiting.pop_front()
            {
                asked.push(self.entries(folder));
            }
            let Some(entries) = asked.next().await else { return Ok(found) };
            for path in entries? {
                match path.strip_suffix('/') {
                    Some(folder) if path.starts_with(prefix) || prefix.starts_with(&path) => {
                        waiting.push_back(folder.to_owned());
                    }
                    Some(_) => {}
                    None if path.starts_with(prefix) => found.extend(StoragePath::read(&path)),
                    None => {}
                }
            }
        }
    }

    /// The paths of what is in a folder.
    async fn entries(&self, folder: String) -> Result<Vec<String>, Trouble> {
        let call = Call::list(self.vault.path("metadata", folder.trim_start_matches('/')));
        let answer = self.send(&call).await?;
        if answer.status != StatusCode::OK {
            return match answer.missing(&call)? {
                Missing::Absent => Ok(Vec::new()),
                Missing::Deleted(_) => Err(not_vault(answer.status)),
            };
        }
        let Ok(Listed { data }) = serde_json::from_slice(&answer.body) else {
            return Err(not_vault(answer.status));
        };
        // What has a segment that is not ours cannot be asked for.
        let ours =
            data.keys.into_iter().filter(|key| place::is_segment(key.strip_suffix('/').unwrap_or(key)));
        Ok(ours.map(|key| format!("{folder}/{key}")).collect())
    }
}

/// The folder in which all that begins with the prefix is, without the `/` at its end; none where nothing can.
fn folder(prefix: &str) -> Option<String> {
    if prefix.is_empty() {
        return Some(String::new());
    }
    let folder = &prefix[..prefix.rfind('/')?];
    match folder.strip_prefix('/') {
        Some(below) if below.split('/').all(place::is_segment) => Some(folder.to_owned()),
        // The root itself.
        None if folder.is_empty() => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::folder;

    #[test]
    fn the_folder_of_a_prefix_is_what_stands_before_its_last_slash() {
        for (prefix, expected) in [
            ("", Some("")),
            ("/", Some("")),
            ("/a", Some("")),
            ("/a/", Some("/a")),
            ("/a/b/c.", Some("/a/b")),
            ("a/", None),
            ("a", None),
            ("//", None),
            ("/a//", None),
            ("/a/../", None),
        ] {
            assert_eq!(folder(prefix).as_deref(), expected, "{prefix}");
        }
    }
}
