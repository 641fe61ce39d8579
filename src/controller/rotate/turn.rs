//! One Secret's turn: what is due is done, in one write.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use thiserror::Error;

use super::maker::{Maker, chance};
use super::metrics::Reason;
use super::token::TokenOutcome;
use crate::domain::{Agreement, AnnotationDomain, Problem, Rotation, SecretName};
use crate::generate::fresh::GenerateError;
use crate::rotation::{
    Forced, Found, KeySet, MaterialError, Notes, Refused, Ring, RingError, Step, Window, forced, next_change,
    step,
};
use crate::store::StoreError;
use crate::store::kubernetes::{Changes, Connection, SecretObject, Written};

/// How often somebody else may have written in between.
pub(super) const ATTEMPTS: usize = 8;

/// What a person wants beyond what is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Scheduled,
    /// A new key, published now.
    Force,
    /// That a key is believed no more.
    Revoke(String),
}

/// What was done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keys that were there are kept from now on.
    Adopted,
    /// A new key is published, and signs later.
    Published {
        /// Its id.
        id: String,
        /// From when on it signs.
        signs: Timestamp,
    },
    /// A key signs from now on.
    Signs {
        /// Its id.
        id: String,
    },
    /// A former key left, since nothing that it signed is valid any more.
    Retired {
        /// Its id.
        id: String,
    },
    /// A key was taken out, whatever it signed.
    Revoked {
        /// Its id.
        id: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted => f.write_str("the keys of this Secret are kept by keystow from now on"),
            Self::Published { id, signs } => write!(f, "key {id} is published, and signs from {signs:.0} on"),
            Self::Signs { id } => write!(f, "key {id} signs from now on"),
            Self::Retired { id } => write!(f, "key {id} is gone: nothing that it signed is valid any more"),
            Self::Revoked { id } => write!(f, "key {id} is revoked: what it signed is refused from now on"),
        }
    }
}

/// What came of a turn.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The Secret's uid.
    pub uid: String,
    /// What was done, or would have been.
    pub changes: Vec<Change>,
    /// The keys as they are now, or would be.
    pub set: KeySet,
    /// When something happens next.
    pub next: Timestamp,
    /// What time it was.
    pub now: Window,
}

/// Why a Secret's keys did not turn over.
#[derive(Debug, Error)]
pub enum TurnError {
    /// The annotations are wrong.
    #[error("{}", list(.0))]
    Annotations(Vec<Problem>),
    /// The Secret asks for nothing.
    #[error("it has no annotation rotate.DOMAIN/type or rotate.DOMAIN/token-of, and so asks for nothing")]
    NotAsked,
    /// There is none.
    #[error("there is no such Secret, or it is being deleted")]
    Absent,
    /// There are no keys to sign a token with.
    #[error(
        "Secret {0} has no key pairs that keystow keeps; annotate it with rotate.DOMAIN/type, and give it a turn first"
    )]
    NoKeys(SecretName),
    /// The keys sign no tokens for it.
    #[error(
        "Secret {keys} signs no token for {subject}; name it there by the annotation rotate.DOMAIN/tokens-for"
    )]
    NotFor {
        /// The Secret of the keys.
        keys: SecretName,
        /// Whose the token would be.
        subject: String,
    },
    /// A token would be valid for longer than its key verifies.
    #[error(
        "a token of {lifetime:?} outlives the overlap of its keys, {overlap:?}; a shorter token-lifetime, or a longer overlap"
    )]
    Outlives {
        /// Of the token.
        lifetime: Duration,
        /// Of the keys.
        overlap: Duration,
    },
    /// The key signed nothing.
    #[error("the key that signs cannot sign; look at what lies in the Secret of the keys")]
    Signature,
    /// The API server takes no changes.
    #[error("it is immutable; make it anew without `immutable: true`")]
    Immutable,
    /// What lies in it cannot be told.
    #[error(transparent)]
    Keys(#[from] RingError),
    /// What a person wants cannot be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No key could be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A key that was made is none.
    #[error("a new key cannot be used: {0}; try again, and suspect the node's memory if it stays so")]
    Made(#[from] MaterialError),
    /// The API server.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others write all the time.
    #[error("somebody else wrote it {ATTEMPTS} times in between; look who does, and try again")]
    Contended,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl TurnError {
    /// Its category.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Annotations(_) | Self::NotAsked => Reason::Annotations,
            Self::Absent => Reason::Absent,
            Self::Immutable | Self::Keys(_) | Self::NoKeys(_) | Self::Signature => Reason::Keys,
            Self::Outlives { .. } | Self::NotFor { .. } => Reason::Annotations,
            Self::Refused(_) => Reason::Refused,
            Self::Generate(_) | Self::Made(_) => Reason::Generator,
            Self::Store(StoreError::Denied { .. }) => Reason::Denied,
            Self::Store(StoreError::Invalid { .. }) => Reason::Keys,
            Self::Store(_) | Self::Contended => Reason::Unavailable,
        }
    }
}

/// Gives turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turner {
    pub(super) connection: Connection,
    pub(super) domain: AnnotationDomain,
    is_dry: bool,
}

impl Turner {
    /// With these credentials; where it is dry, nothing is written.
    #[must_use]
    pub fn new(connection: Connection, domain: AnnotationDomain, is_dry: bool) -> Self {
        Self { connection, domain, is_dry }
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// Does what is due, in a Secret with keys or with a token.
    ///
    /// # Errors
    ///
    /// When it could not be done; then nothing was changed.
    pub async fn turn(&self, namespace: &str, name: &str, wish: &Wish) -> Result<Turned, TurnError> {
        match self.keys(namespace, name, wish).await {
            Err(TurnError::NotAsked) if *wish == Wish::Scheduled => {
                self.token(namespace, name).await.map(Turned::Token)
            }
            result => result.map(Turned::Keys),
        }
    }

    async fn keys(&self, namespace: &str, name: &str, wish: &Wish) -> Result<Outcome, TurnError> {
        for _ in 0..ATTEMPTS {
            let (object, now) = self.read(namespace, name).await?;
            let annotations = object.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            // Whoever revokes is in a hurry, and waits for no schedule that could be kept.
            let agree = if matches!(wish, Wish::Revoke(_)) { Agreement::Unasked } else { Agreement::Needed };
            let rotation =
                Rotation::read(&self.domain, annotations, agree).map_err(TurnError::Annotations)?;
            let rotation = rotation.ok_or(TurnError::NotAsked)?;
            if object.is_immutable {
                return Err(TurnError::Immutable);
            }
            let maker = Maker { recipe: &rotation.recipe, is_dry: self.is_dry };
            let (ring, changes) = advance(&object, &self.domain, &rotation, maker, now, wish).await?;
            if self.write(&object, &ring).await? == Written::Done {
                let (set, next) = (ring.set().clone(), next_change(ring.set(), &rotation));
                return Ok(Outcome { uid: object.uid, changes, set, next, now });
            }
        }
        Err(TurnError::Contended)
    }

    /// A Secret, and what time it is by this machine's clock and the API server's.
    pub(super) async fn read(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<(SecretObject, Window), TurnError> {
        let read = self.connection.read_secret(namespace, name).await?;
        let (object, server) = read.filter(|(object, _)| !object.is_going).ok_or(TurnError::Absent)?;
        let here = Timestamp::now();
        Ok((object, Window::of(here, server.unwrap_or(here))))
    }

    /// Writes what is not so yet.
    async fn write(&self, object: &SecretObject, ring: &Ring) -> Result<Written, TurnError> {
        let (data, notes, key) = (ring.data(), Notes::write(ring.set()), self.domain.keys_key());
        let mut changes = Changes::default();
        let changed = data.iter().filter(|(name, value)| object.data.get(*name) != Some(*value));
        changes.data.extend(changed.map(|(name, value)| (name.as_str(), Some(value))));
        let gone = object.data.keys().filter(|name| ring.owns(name) && !data.contains_key(*name));
        changes.data.extend(gone.map(|name| (name.as_str(), None)));
        if object.annotations.get(&key) != Some(&notes) {
            changes.annotations.insert(&key, Some(&notes));
        }
        if changes.data.is_empty() && changes.annotations.is_empty() {
            return Ok(Written::Done);
        }
        if self.is_dry {
            return Ok(Written::Done);
        }
        Ok(self.connection.write_secret(object, &changes).await?)
    }
}

/// Reads the keys, and takes every step that is due.
async fn advance(
    object: &SecretObject,
    domain: &AnnotationDomain,
    rotation: &Rotation,
    maker: Maker<'_>,
    now: Window,
    wish: &Wish,
) -> Result<(Ring, Vec<Change>), TurnError> {
    let notes = object.annotations.get(&domain.keys_key()).map(String::as_str);
    let found = Found {
        place: (&object.namespace, &object.name),
        data: &object.data,
        notes,
        created: object.created.unwrap_or(now.latest),
    };
    let mut changes = Vec::new();
    let mut ring = match Ring::read(found, rotation, now, &mut chance, None)? {
        Some(ring) => {
            changes.extend(notes.is_none().then_some(Change::Adopted));
            ring
        }
        None => {
            let first = maker.make().await?;
            changes.push(Change::Signs { id: first.0.clone() });
            // There is one now.
            Ring::read(found, rotation, now, &mut chance, Some(first))?.ok_or(TurnError::Absent)?
        }
    };
    wished(&mut ring, rotation, maker, now, wish, &mut changes).await?;
    if matches!(wish, Wish::Revoke(_)) {
        return Ok((ring, changes));
    }
    while let Some(due) = step(ring.set(), rotation, now) {
        match &due {
            Step::Publish => publish(&mut ring, rotation, maker, now, &mut changes).await?,
            Step::Sign => {
                ring.take(&due, rotation, now);
                changes.push(Change::Signs { id: ring.set().signing.key.id.clone() });
            }
            Step::Retire(ids) => {
                ring.take(&due, rotation, now);
                changes.extend(ids.iter().map(|id| Change::Retired { id: id.clone() }));
            }
        }
    }
    Ok((ring, changes))
}

async fn wished(
    ring: &mut Ring,
    rotation: &Rotation,
    maker: Maker<'_>,
    now: Window,
    wish: &Wish,
    changes: &mut Vec<Change>,
) -> Result<(), TurnError> {
    match wish {
        Wish::Scheduled => Ok(()),
        Wish::Force => {
            forced(ring.set(), rotation)?;
            publish(ring, rotation, maker, now, changes).await
        }
        Wish::Revoke(id) => {
            let signed = ring.set().signing.key.id.clone();
            if ring.revoke(id, now)? == Forced::Replace {
                let (id, material) = maker.make().await?;
                ring.replace(id, material, now);
            }
            changes.push(Change::Revoked { id: id.clone() });
            let signs = &ring.set().signing.key.id;
            changes.extend((*signs != signed).then(|| Change::Signs { id: signs.clone() }));
            Ok(())
        }
    }
}

async fn publish(
    ring: &mut Ring,
    rotation: &Rotation,
    maker: Maker<'_>,
    now: Window,
    changes: &mut Vec<Change>,
) -> Result<(), TurnError> {
    let (id, material) = maker.make().await?;
    ring.publish(id.clone(), material, rotation, now);
    let signs = ring.set().next.as_ref().map_or(now.latest, |next| next.signs);
    changes.push(Change::Published { id, signs });
    Ok(())
}

/// A Secret by its namespace and name.
pub type Place = (String, String);

/// What came of the turn of a Secret, whatever it asks for.
#[derive(Debug, Clone)]
pub enum Turned {
    /// It has keys.
    Keys(Outcome),
    /// It has a token.
    Token(TokenOutcome),
}

impl Turned {
    /// How long nothing is due.
    pub(super) fn rest(&self) -> Duration {
        let (next, now) = match self {
            Self::Keys(outcome) => (outcome.next, outcome.now),
            Self::Token(outcome) => (outcome.next, outcome.now),
        };
        Duration::try_from(next.duration_since(now.earliest)).unwrap_or_default()
    }
}

/// Turns' outcomes by Secret.
pub type Outcomes = BTreeMap<Place, Result<Turned, TurnError>>;
