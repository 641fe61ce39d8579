//! A request that could be read, and what it comes to. Knows nothing of HTTP but the number of the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::allowed::{Verb, admits};
use super::limits::Limits;
use super::live::Live;
use super::metrics::{Outcome, ProviderMetrics};
use super::room::{Answer, Room};
use super::settings::Caller;
use super::token::{Expected, Refused, Verified, verify};
use crate::domain::{SecretValue, StoragePath};
use crate::store::{Address, Created, Replaced, Store, StoreError};
use crate::telemetry::chain;

/// How long the store may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest path, in bytes.
const LONGEST_PATH: usize = 1024;
/// How often somebody else may have written in between.
const ATTEMPTS: usize = 3;

/// Serves requests.
pub(super) struct Desk {
    pub(super) live: Live,
    pub(super) expected: Expected,
    pub(super) callers: Vec<Caller>,
    pub(super) limits: Limits,
    pub(super) room: Room,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: ProviderMetrics,
}

/// What somebody wants. What is to be written is read only from who may write it.
pub(super) enum Wish<B> {
    /// To have the value.
    Read,
    /// To have stored what this yields, or why there is nothing.
    Write(B),
}

impl<B> Wish<B> {
    fn verb(&self) -> Verb {
        match self {
            Self::Read => Verb::Read,
            Self::Write(_) => Verb::Write,
        }
    }
}

/// What somebody gets.
#[derive(Debug)]
pub(super) enum Reply {
    /// The value, as JSON.
    Value(Answer),
    /// It is stored; whether it was not before.
    Stored {
        /// Whether nothing was there.
        is_new: bool,
    },
    /// Nothing.
    Refused {
        /// Of the answer.
        outcome: Outcome,
        /// What to do, for whoever reads the ExternalSecret's status.
        message: String,
    },
}

impl Desk {
    /// Serves one, and notes in one line who wanted what and what became of it.
    pub(super) async fn serve<B>(
        &self,
        token: Option<&str>,
        path: Option<&str>,
        wish: Wish<B>,
        now: f64,
    ) -> Reply
    where
        B: Future<Output = Result<SecretValue, Reply>>,
    {
        let began = Instant::now();
        let verb = wish.verb().as_str();
        let (who, reply) = self.decide(token, path, wish, now).await;
        let outcome = reply.outcome();
        self.metrics.answered(outcome, began.elapsed());
        // Of who is nobody and comes too often, the metrics tell: nobody is to fill the log.
        if who.is_err() && outcome == Outcome::Limited {
            return reply;
        }
        let (subject, key, path) = match &who {
            Ok(verified) => (verified.subject.as_str(), verified.key.as_str(), path.unwrap_or_default()),
            Err(_) => ("", "", ""),
        };
        let path = &path[..path.floor_char_boundary(LONGEST_PATH)];
        let reason = who.as_ref().err().map_or("", |refused| refused.as_str());
        tracing::info!(
            subject,
            key,
            verb,
            path,
            outcome = outcome.as_str(),
            reason,
            milliseconds = began.elapsed().as_secs_f64() * 1e3,
            "access"
        );
        reply
    }

    async fn decide<B>(
        &self,
        token: Option<&str>,
        path: Option<&str>,
        wish: Wish<B>,
        now: f64,
    ) -> (Result<Verified, Refused>, Reply)
    where
        B: Future<Output = Result<SecretValue, Reply>>,
    {
        let Some(keys) = self.live.load_full() else {
            let message = "the keys are not known; look at the provider's log, and at the Secret of its keys";
            return (Err(Refused::UnknownKey), Reply::refused(Outcome::Unavailable, message));
        };
        let verified =
            token.ok_or(Refused::Missing).and_then(|token| verify(token, &keys, &self.expected, now));
        let verified = match verified {
            Ok(verified) => verified,
            Err(refused) => {
                self.metrics.refused(refused);
                let outcome =
                    if self.limits.admits_nobody() { Outcome::Unauthenticated } else { Outcome::Limited };
                // The same for every reason: whoever tries learns nothing.
                return (
                    Err(refused),
                    Reply::refused(outcome, "the token is not valid here; the provider's log has the reason"),
                );
            }
        };
        let verb = wish.verb();
        let Some(path) = path.and_then(meant) else {
            let message =
                "key is no path of a value: write one such as /veza/db_password, without `.` and `..`";
            return (Ok(verified), Reply::refused(Outcome::Invalid, message));
        };
        let Some(caller) = admits(&self.callers, &verified.subject, verb, &path) else {
            let message = format!("{} may not do that with {path}; see provider.callers", verified.subject);
            return (Ok(verified), Reply::refused(Outcome::Forbidden, message));
        };
        if !self.limits.admits(caller) {
            let message = "more requests than provider.rate allows; a longer refreshInterval asks less often";
            return (Ok(verified), Reply::refused(Outcome::Limited, message));
        }
        let address = Address::value(path);
        let done = async {
            let _place = self.room.for_one(verb).await;
            match wish {
                Wish::Read => self.read(&address).await,
                Wish::Write(body) => match body.await {
                    Ok(value) => self.write(address, value).await,
                    Err(reply) => Ok(reply),
                },
            }
        };
        let reply = match timeout(WITHIN, done).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => Reply::of(&error),
            Err(_) => Reply::refused(
                Outcome::Unavailable,
                "the store did not answer in time, or the body did not come; try again",
            ),
        };
        (Ok(verified), reply)
    }

    async fn get(&self, address: &Address) -> Result<SecretValue, StoreError> {
        let mut outcomes = self.store.get(std::slice::from_ref(address)).await;
        let missing = || Err(StoreError::unavailable(&address.path, "the store gave no answer"));
        outcomes.remove(address).unwrap_or_else(missing)
    }

    async fn read(&self, address: &Address) -> Result<Reply, StoreError> {
        let value = self.get(address).await?;
        Ok(Reply::Value(self.room.for_answer(as_json(&value)).await))
    }

    /// Creates it; one that is there and differs is written over, as long as it is that one.
    async fn write(&self, address: Address, value: SecretValue) -> Result<Reply, StoreError> {
        let group = [(address, value)];
        let (address, value) = &group[0];
        for _ in 0..ATTEMPTS {
            let theirs = match self.store.create(&group).await? {
                Created::Ours => return Ok(Reply::Stored { is_new: true }),
                Created::Theirs(mut theirs) => theirs.pop(),
            };
            let Some(theirs) = theirs else { break };
            if theirs == *value {
                return Ok(Reply::Stored { is_new: false });
            }
            match self.store.replace(address, &theirs, value).await? {
                Replaced::Done => return Ok(Reply::Stored { is_new: false }),
                Replaced::Changed => {}
                Replaced::Unsupported => {
                    let message = "another value is there, and this store cannot write over a value only as long as it is the expected one; delete it there first";
                    return Ok(Reply::refused(Outcome::Conflict, message));
                }
            }
        }
        Ok(Reply::refused(Outcome::Conflict, "somebody else writes it at the same time; try again"))
    }
}

impl Reply {
    pub(super) fn refused(outcome: Outcome, message: impl Into<String>) -> Self {
        Self::Refused { outcome, message: message.into() }
    }

    fn of(error: &StoreError) -> Self {
        let (outcome, message) = match error {
            StoreError::NotFound { .. } => (Outcome::Absent, "there is no such value"),
            StoreError::Denied { .. } | StoreError::Unavailable { .. } => (
                Outcome::Unavailable,
                "the store is away, or denies access; the provider's log has its words",
            ),
            StoreError::Invalid { .. } => {
                (Outcome::Invalid, "the store cannot take that; the provider's log has its words")
            }
        };
        if outcome != Outcome::Absent {
            // Its own words are for the operator: they tell of tables, addresses and accounts.
            tracing::warn!(reason = chain(error), "the store refuses");
        }
        Self::refused(outcome, message)
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Value(_) => Outcome::Read,
            Self::Stored { .. } => Outcome::Written,
            Self::Refused { outcome, .. } => *outcome,
        }
    }
}

/// The path that a key means; where indices lie is no place for values.
fn meant(key: &str) -> Option<StoragePath> {
    let is_usual =
        key.starts_with('/') && key.len() <= LONGEST_PATH && !key.contains("/leases/") && !key.contains("//");
    StoragePath::read(key).filter(|_| is_usual)
}

/// A JSON string: the text itself, or base64 of what is none.
fn as_json(value: &SecretValue) -> Zeroizing<Vec<u8>> {
    use base64::Engine as _;
    let encoded;
    let text = match std::str::from_utf8(value.expose()) {
        Ok(text) => text,
        Err(_) => {
            encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(value.expose()));
            &encoded
        }
    };
    // With room for all of it, so that no copy is left behind by growing. Text cannot fail to be JSON.
    let mut length = Length(0);
    let _ = serde_json::to_writer(&mut length, text);
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    let _ = serde_json::to_writer(&mut *json, text);
    json
}

/// How much is written, and nothing of it.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
