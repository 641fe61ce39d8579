//! Who may create a secret: Key Vault itself cannot say.
//!
//! To set a secret always succeeds and makes a new version. So creators agree beforehand, by a second secret, of which
//! readers know nothing:
//!
//! ```text
//! stake     a new version of the secret of claims          the vault says in which second it was made
//! wait      until that second is over for certain          nobody can come before us any more
//! look      at all versions that are enabled               the earliest may create, of one second the least id
//! withdraw  our version is disabled                        however it ended
//! ```
//!
//! Invariants: a claim is used for [`HOLDS`] at most, and one that is older than [`STALE`], by the vault's clock, counts
//! no more: its creator died. Nobody's claim is in the secret itself, so readers never see anything but a value.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde::Serialize;

use super::super::rest::Call;
use super::{Item, KeyVault, Listed, SET, StoreError};
use crate::domain::StoragePath;
use crate::handover::{AZURE, object_name};

/// How long a claim may be used by who has it. A request takes 10 s more at most.
pub(super) const HOLDS: Duration = Duration::from_secs(20);
/// When a claim does not count any more, in seconds. Far more than [`HOLDS`] and a request.
const STALE: i64 = 60;
/// A claim's second, and one more for what was under way in it.
const SETTLED: i64 = 2;
/// What claims are, to people who look at them.
pub(super) const MEDIA_TYPE: &str = "application/vnd.keystow.claim";

/// A claim to create a secret.
#[derive(Debug)]
pub(super) struct Claim {
    version: String,
    /// When it was made, here.
    pub(super) since: Instant,
}

/// The name of the secret of claims. It begins with no `/`, so no path has it.
fn name(path: &StoragePath) -> String {
    object_name(&format!("keystow-claims{path}"), AZURE)
}

impl KeyVault {
    /// Stakes a claim, and waits until none can be before it.
    pub(super) async fn stake(&self, path: &StoragePath) -> Result<Claim, StoreError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Staked<'a> {
            value: &'a str,
            content_type: &'a str,
        }
        let since = Instant::now();
        let staked = Staked { value: "somebody creates a secret", content_type: MEDIA_TYPE };
        let call = Call::new(Method::PUT, self.url(&["secrets", &name(path)])).with_json(&staked, 128);
        let reply = self.call(path, &call).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refused(&reply, path.as_str(), SET));
        }
        let item: Item = reply.read().map_err(|trouble| trouble.of(path))?;
        let Some((version, made)) = item.version().zip(item.attributes.created) else {
            return Err(StoreError::unavailable(path, "the vault does not say what it made"));
        };
        let left = made + SETTLED - reply.date.unwrap_or(made);
        let left = u64::try_from(left.clamp(0, SETTLED)).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(left)).await;
        Ok(Claim { version: version.to_owned(), since })
    }

    /// Whether the claim is the first one.
    pub(super) async fn is_first(&self, path: &StoragePath, claim: &Claim) -> Result<bool, StoreError> {
        let mut first: Option<(i64, String)> = None;
        let mut next = Some(self.first(&["secrets", &name(path), "versions"]));
        while let Some(call) = next {
            let (page, now): (Listed, _) = self.page(path.as_str(), &call).await?;
            for item in &page.value {
                let Some((version, made)) = item.version().zip(item.attributes.created) else { continue };
                let counts = item.attributes.enabled && now.is_none_or(|now| now - made <= STALE);
                if counts && first.as_ref().is_none_or(|first| (made, version) < (first.0, first.1.as_str()))
                {
                    first = Some((made, version.to_owned()));
                }
            }
            next = self.next(&page);
        }
        Ok(first.is_some_and(|(_, version)| version == claim.version))
    }

    /// Takes a claim back. Where that fails, others wait until it is stale.
    pub(super) async fn withdraw(&self, path: &StoragePath, claim: &Claim) {
        #[derive(Serialize)]
        struct Withdrawn {
            attributes: Enabled,
        }
        #[derive(Serialize)]
        struct Enabled {
            enabled: bool,
        }
        let withdrawn = Withdrawn { attributes: Enabled { enabled: false } };
        let url = self.url(&["secrets", &name(path), &claim.version]);
        let _ = self.call(path, &Call::new(Method::PATCH, url).with_json(&withdrawn, 64)).await;
    }
}
