//! Who adds the first version of a secret.
//!
//! ```text
//! secrets.create ─▶ done           ─▶ ours: add the version, while the claim holds
//!                └▶ ALREADY_EXISTS ─▶ wait for the version; of a claim that nobody will use any more, secrets.patch with
//!                                     the etag ─▶ done ─▶ ours
//! ```
//!
//! Invariants: a claim is used for [`HOLDS`] at most, by the clock of who has it, and taken over after [`STALE`] at the
//! earliest, by Google's clock; who takes over looks for a version once more before it adds one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::StoreError;
use super::super::rest::{self, Call};
use super::{ADD, CREATE, PATH, Payload, Refusal, Secret, SecretManager, UPDATE};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::{GCP, object_name};

/// The annotation that says when a claim was taken over, in seconds since 1970.
const CLAIMED: &str = "keystow.claimed";

/// How long a claim may be used by who has it. A request takes 10 s more at most.
pub(super) const HOLDS: Duration = Duration::from_secs(20);
/// When a claim without a version may be taken over, in seconds. Far more than [`HOLDS`] and a request.
pub(super) const STALE: i64 = 60;
/// How long others wait for the first version.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);

/// What [`SecretManager::claim`] came to.
pub(super) enum Claim {
    /// This process is to add the first version; with the etag where it made the secret.
    Ours(Option<String>),
    /// There is a version.
    Theirs,
}

impl SecretManager {
    /// Makes the secret, or waits for who did.
    pub(super) async fn claim(&self, path: &StoragePath) -> Result<Claim, StoreError> {
        #[derive(Serialize)]
        struct Made<'a> {
            replication: BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>,
            annotations: BTreeMap<&'static str, &'a str>,
        }
        let mut url = self.secrets.clone();
        url.query_pairs_mut().append_pair("secretId", &object_name(path.as_str(), GCP));
        let made = Made {
            replication: BTreeMap::from([("automatic", BTreeMap::new())]),
            annotations: BTreeMap::from([(PATH, path.as_str())]),
        };
        let reply = self.call(path, &Call::new(Method::POST, url).with_json(&made, 8192)).await?;
        match reply.status {
            StatusCode::OK => {
                let secret: Secret = reply.read().map_err(|trouble| trouble.of(path))?;
                Ok(Claim::Ours(Some(secret.etag)))
            }
            StatusCode::CONFLICT => self.wait_or_take_over(path).await,
            _ => Err(self.refused(&reply, path, CREATE)),
        }
    }

    /// Waits for the first version, or takes over what nobody will give one.
    async fn wait_or_take_over(&self, path: &StoragePath) -> Result<Claim, StoreError> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let gone = match self.access(path).await {
                Ok(_) => return Ok(Claim::Theirs),
                Err(StoreError::NotFound { .. }) => self.secret(path).await,
                Err(error) => return Err(error),
            };
            let (secret, now) = match gone {
                Err(StoreError::NotFound { .. }) => break,
                secret => secret?,
            };
            if is_abandoned(&secret, now) && self.take_over(path, secret, now).await? {
                // The one before may have been at work still.
                return match self.access(path).await {
                    Err(StoreError::NotFound { .. }) => Ok(Claim::Ours(None)),
                    other => other.map(|_| Claim::Theirs),
                };
            }
            tokio::time::sleep(POLL).await;
        }
        Err(StoreError::unavailable(path, "somebody else is creating it"))
    }

    /// Whether it is ours now: of many that try it, one succeeds.
    async fn take_over(
        &self,
        path: &StoragePath,
        secret: Secret,
        now: Option<i64>,
    ) -> Result<bool, StoreError> {
        #[derive(Serialize)]
        struct Changed {
            etag: String,
            annotations: BTreeMap<String, String>,
        }
        let Secret { etag, mut annotations, .. } = secret;
        annotations.insert(PATH.to_owned(), path.as_str().to_owned());
        annotations.insert(CLAIMED.to_owned(), now.unwrap_or_default().to_string());
        let mut url = self.url(path, "");
        url.query_pairs_mut().append_pair("updateMask", "annotations");
        let call = Call::new(Method::PATCH, url).with_json(&Changed { etag, annotations }, 1 << 15);
        let reply = self.call(path, &call).await?;
        match reply.status {
            StatusCode::OK => Ok(true),
            _ if Refusal::of(&reply).is_changed() => Ok(false),
            _ => Err(self.refused(&reply, path, UPDATE)),
        }
    }

    /// Adds the first version of a secret that was claimed at `since`.
    pub(super) async fn add_version(
        &self,
        path: &StoragePath,
        content: &SecretValue,
        since: Instant,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Added<'a> {
            payload: Payload<&'a str>,
        }
        let mut data = Zeroizing::new(String::with_capacity(content.expose().len().div_ceil(3) * 4));
        STANDARD.encode_string(content.expose(), &mut data);
        let added = Added { payload: Payload { data: data.as_str() } };
        let call = Call::new(Method::POST, self.url(path, ":addVersion")).with_json(&added, data.len() + 64);
        let mut last = StoreError::unavailable(path, "the claim took too long");
        while since.elapsed() < HOLDS {
            // Where an answer was lost, this adds the same content once more.
            match self.call(path, &call).await {
                Ok(reply) if reply.status == StatusCode::OK => return Ok(()),
                Ok(reply) => return Err(self.refused(&reply, path, ADD)),
                Err(error @ StoreError::Unavailable { .. }) => last = error,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(POLL).await;
        }
        Err(last)
    }
}

/// Whether nobody will add the first version to this secret without versions.
fn is_abandoned(secret: &Secret, now: Option<i64>) -> bool {
    if !secret.annotations.contains_key(PATH) {
        return true;
    }
    let taken = secret.annotations.get(CLAIMED).and_then(|at| at.parse().ok());
    let claimed = taken.or_else(|| rest::rfc3339(&secret.create_time));
    now.zip(claimed).is_some_and(|(now, claimed)| now - claimed > STALE)
}
