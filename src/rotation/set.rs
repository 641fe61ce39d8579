//! A key set: one key that signs, perhaps one that will, and those that did.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// What tells a key from all others, and what its tokens say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The `kid`: the thumbprint of a public key (RFC 7638), or chance where a value is no key pair.
    pub id: String,
    /// The `iss` of tokens that it signs; no two keys of a set have the same.
    pub issuer: String,
    /// When it was made, or first seen.
    pub created: Timestamp,
}

/// The key that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// Who it is.
    pub key: Identity,
    /// Since when it signs.
    pub since: Timestamp,
}

/// A key that is published, and does not sign yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Who it is.
    pub key: Identity,
    /// Not before this does it sign.
    pub signs: Timestamp,
}

/// A key that signs no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// Who it is.
    pub key: Identity,
    /// Not before this does it leave.
    pub retires: Timestamp,
}

/// The keys of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    /// The key that signs.
    pub signing: Signing,
    /// The one after it.
    pub next: Option<Next>,
    /// Those before it, the latest first.
    pub former: Vec<Former>,
}

/// What time it is, as far as two clocks agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Not before this.
    pub earliest: Timestamp,
    /// Not after this.
    pub latest: Timestamp,
}

impl Window {
    /// By two clocks, of which one may be wrong.
    #[must_use]
    pub fn of(one: Timestamp, other: Timestamp) -> Self {
        Self { earliest: one.min(other), latest: one.max(other) }
    }

    /// By how much they differ.
    #[must_use]
    pub fn width(self) -> Duration {
        self.latest.duration_since(self.earliest).unsigned_abs()
    }
}

impl KeySet {
    /// A set of one key, which signs from now on.
    #[must_use]
    pub fn new(key: Identity, now: Window) -> Self {
        Self { signing: Signing { key, since: now.latest }, next: None, former: Vec::new() }
    }

    /// All keys in the order that means something: the first signs, the others verify.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        let next = self.next.iter().map(|next| &next.key);
        let former = self.former.iter().map(|former| &former.key);
        std::iter::once(&self.signing.key).chain(next).chain(former)
    }
}

/// `instant + duration`, or the last instant that there is.
pub(super) fn after(instant: Timestamp, duration: Duration) -> Timestamp {
    instant.checked_add(duration).unwrap_or(Timestamp::MAX)
}
