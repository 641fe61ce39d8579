//! A Secret's keys: its set together with what each key is made of; read from the data, and written back.
//!
//! What lies in the data is believed, and the notes only where they speak of it: a key that somebody put there by hand is
//! taken over as new, one that somebody took away is gone. Keys that nothing is noted of verify as long as if they had
//! signed until now.
//!
//! A key pair that was there before keystow, in `old.key` and alone, stays there: it signs until the next one does, and
//! has its place among the former ones already.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::documents::{ISSUERS, JWKS, Listed, documents, listed};
use super::material::{Material, MaterialError};
use super::names::{MOST_FORMER, Names};
use super::notes::Notes;
use super::set::{Former, Identity, KeySet, Next, Signing, Window, after};
use super::steps::{Forced, Refused, Step, revoke};
use crate::domain::{Recipe, Rotation, SecretValue};

/// How a value is taken for a private key that nobody spoke of.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

/// A Secret, as far as it is about keys.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Where it is: the beginning of issuers that nobody chose.
    pub place: (&'a str, &'a str),
    /// Its data.
    pub data: &'a BTreeMap<String, SecretValue>,
    /// What is noted of the keys.
    pub notes: Option<&'a str>,
    /// When it was made.
    pub created: Timestamp,
}

/// The keys of a Secret.
#[derive(Debug, Clone)]
pub struct Ring {
    set: KeySet,
    names: Names,
    issuer: String,
    materials: BTreeMap<String, Material>,
    /// Whether the key that signs lies where the first former one will.
    is_hand_made: bool,
}

/// Why the keys of a Secret cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// What lies where a key pair should is none.
    #[error("{name}: {source}; mend it, or take it out of the Secret")]
    Material {
        /// The key of the data.
        name: String,
        /// What is wrong.
        source: MaterialError,
    },
    /// Several entries could be the value.
    #[error(
        "the Secret has {count} keys of data that may be the value; say which by the annotation rotate.DOMAIN/key"
    )]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// The value lies under another name than it did.
    #[error(
        "{name} is not there, and {other} is, with keys that keystow noted; name {other} by rotate.DOMAIN/key, or rename it and what is beside it"
    )]
    Moved {
        /// Where the value is looked for.
        name: String,
        /// Where it seems to lie.
        other: String,
    },
    /// A private key lies where none is looked for.
    #[error(
        "{name} holds a private key that is none of {signing}, next and old ones; say by rotate.DOMAIN/key that it is the one that signs, or take it out"
    )]
    Unnamed {
        /// The key of the data.
        name: String,
        /// Where the key that signs is looked for.
        signing: String,
    },
}

impl Ring {
    /// Reads the keys. Where none signs, `first` does, at once: there is nobody who would have to be told of it before; and
    /// without it there is no ring. `chance` makes the ids of values.
    ///
    /// # Errors
    ///
    /// When they cannot be told.
    pub fn read(
        found: Found<'_>,
        rotation: &Rotation,
        now: Window,
        chance: &mut dyn FnMut() -> String,
        first: Option<(String, Material)>,
    ) -> Result<Option<Self>, RingError> {
        let names = names(found.data, rotation)?;
        let mut reading = Reading {
            notes: found.notes.and_then(Notes::read).map(|Notes(set)| set),
            issuer: issuer(found.place, rotation),
            listed: found.data.get(ISSUERS).map(listed).unwrap_or_default(),
            found,
            is_pairs: is_pairs(rotation),
            verifies: after(now.latest, rotation.overlap.saturating_add(rotation.publish)),
            now,
            materials: BTreeMap::new(),
            places: BTreeMap::new(),
        };
        reading.refuse_unnamed(&names)?;
        reading.refuse_moved(&names)?;
        let at_signing = reading.take(names.signing(), reading.noted_signing(), chance)?;
        let noted_next =
            reading.notes.as_ref().and_then(|set| set.next.as_ref()).map(|next| next.key.id.clone());
        let next = reading.take(&names.next(), noted_next, chance)?;
        let mut former = Vec::new();
        for place in 0..MOST_FORMER {
            let noted = reading.notes.as_ref().and_then(|set| set.former.get(place));
            let noted = noted.map(|former| former.key.id.clone());
            former.extend(reading.take(&names.former(place), noted, chance)?);
        }
        let is_hand_made = at_signing.is_none() && signs_itself(&former, reading.notes.as_ref());
        let signing = if is_hand_made { Some(former.remove(0)) } else { at_signing };
        let (signing, next) = match (signing, next) {
            (Some(signing), next) => (signing, next),
            // Nobody signs, and everybody knows the next one.
            (None, Some(next)) => (next, None),
            (None, None) => {
                let Some((id, material)) = first else { return Ok(None) };
                reading.materials.insert(id.clone(), material);
                reading.found.created = now.latest;
                (id, None)
            }
        };
        let set = reading.set(signing, next, former);
        let Reading { issuer, materials, .. } = reading;
        Ok(Some(Self { set, names, issuer, materials, is_hand_made }))
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> &KeySet {
        &self.set
    }

    /// What the key is made of that signs.
    #[must_use]
    pub fn signing_material(&self) -> Option<&Material> {
        self.materials.get(&self.set.signing.key.id)
    }

    /// Takes a step that needs no new key.
    pub fn take(&mut self, step: &Step, rotation: &Rotation, now: Window) {
        match step {
            Step::Publish => {}
            Step::Sign => {
                self.set.sign(rotation, now);
                self.is_hand_made = false;
            }
            Step::Retire(ids) => self.set.retire(ids),
        }
    }

    /// Publishes a new key.
    pub fn publish(&mut self, id: String, material: Material, rotation: &Rotation, now: Window) {
        let key = self.admit(id, material, now);
        self.set.publish(key, rotation, now);
    }

    /// Lets a new key sign at once, in the place of one that must not be believed any more.
    pub fn replace(&mut self, id: String, material: Material, now: Window) {
        let key = self.admit(id, material, now);
        self.set.replace(key, now);
        self.is_hand_made = false;
    }

    /// Takes a key out that must not verify any more, whatever it signed.
    /// Where it is the one that signs, the published key takes its place at once, and without one a new key must.
    ///
    /// # Errors
    ///
    /// When there is no such key.
    pub fn revoke(&mut self, id: &str, now: Window) -> Result<Forced, Refused> {
        let before = self.set.signing.key.id.clone();
        let forced = revoke(&mut self.set, id, now)?;
        self.is_hand_made &= self.set.signing.key.id == before;
        Ok(forced)
    }

    /// What the keys and documents of the Secret's data are to be.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, SecretValue> {
        let places = self.places();
        let keys: Vec<(&Identity, &str, &Material)> = self
            .set
            .identities()
            .zip(&places)
            .filter_map(|(key, place)| Some((key, place.as_str(), self.materials.get(&key.id)?)))
            .collect();
        let values = keys.iter().map(|(_, place, material)| ((*place).to_owned(), material.value().clone()));
        let mut data: BTreeMap<String, SecretValue> = values.collect();
        let written = documents(&keys).into_iter().flatten();
        data.extend(written.map(|(name, value)| (name.to_owned(), value)));
        data
    }

    /// Whether what lies under this key of the data is keystow's to change and to take away.
    #[must_use]
    pub fn owns(&self, name: &str) -> bool {
        let is_document = self.materials.values().any(|material| matches!(material, Material::Pair { .. }))
            && [JWKS, ISSUERS].contains(&name);
        is_document || self.names.have(name)
    }

    /// Where each key lies, in the order of the set.
    fn places(&self) -> Vec<String> {
        let signing = if self.is_hand_made { self.names.former(0) } else { self.names.signing().to_owned() };
        let next = self.set.next.iter().map(|_| self.names.next());
        let behind = usize::from(self.is_hand_made);
        let former = (0..self.set.former.len()).map(|place| self.names.former(place + behind));
        std::iter::once(signing).chain(next).chain(former).collect()
    }

    fn admit(&mut self, id: String, material: Material, now: Window) -> Identity {
        self.materials.insert(id.clone(), material);
        Identity { issuer: issuer_of(&self.issuer, &id), id, created: now.latest }
    }
}

/// The data on its way into a set.
struct Reading<'a> {
    found: Found<'a>,
    notes: Option<KeySet>,
    issuer: String,
    /// What the list of issuers says, which somebody may have written by hand.
    listed: Vec<Listed>,
    is_pairs: bool,
    /// Until when a key verifies of which nothing is noted.
    verifies: Timestamp,
    now: Window,
    materials: BTreeMap<String, Material>,
    /// Where each key lies.
    places: BTreeMap<String, String>,
}

impl Reading<'_> {
    fn noted_signing(&self) -> Option<String> {
        self.notes.as_ref().map(|set| set.signing.key.id.clone())
    }

    /// The id of what lies under a name.
    fn take(
        &mut self,
        name: &str,
        noted: Option<String>,
        chance: &mut dyn FnMut() -> String,
    ) -> Result<Option<String>, RingError> {
        let Some(value) = self.found.data.get(name) else { return Ok(None) };
        let material = if self.is_pairs {
            Material::read(value).map_err(|source| RingError::Material { name: name.to_owned(), source })?
        } else {
            Material::Value(value.clone())
        };
        let id = material.thumbprint().map_or_else(|| noted.unwrap_or_else(chance), str::to_owned);
        self.materials.insert(id.clone(), material);
        self.places.entry(id.clone()).or_insert_with(|| name.to_owned());
        Ok(Some(id))
    }

    /// A private key under a name that means nothing may be the one that signs, for somebody.
    fn refuse_unnamed(&self, names: &Names) -> Result<(), RingError> {
        let unnamed = self.found.data.iter().find(|(name, value)| {
            let is_key = value.expose().windows(PRIVATE_KEY.len()).any(|bytes| bytes == PRIVATE_KEY);
            self.is_pairs && is_key && !names.have(name)
        });
        match unnamed {
            None => Ok(()),
            Some((name, _)) => {
                Err(RingError::Unnamed { name: name.clone(), signing: names.signing().to_owned() })
            }
        }
    }

    /// A value that lies around another name, after the annotation was changed: a new one would sign that nobody knows.
    fn refuse_moved(&self, names: &Names) -> Result<(), RingError> {
        let other = names.others_in(self.found.data).filter(|_| !self.is_pairs && self.notes.is_some());
        match other {
            None => Ok(()),
            Some(other) => {
                Err(RingError::Moved { name: names.signing().to_owned(), other: other.to_owned() })
            }
        }
    }

    fn set(&self, signing: String, next: Option<String>, former: Vec<String>) -> KeySet {
        let is_first = self.notes.is_none();
        let noted = self.notes.as_ref();
        let since = noted.filter(|set| set.signing.key.id == signing).map(|set| set.signing.since);
        let was_next = noted.is_some_and(|set| set.next.as_ref().is_some_and(|next| next.key.id == signing));
        let since = since.unwrap_or(if is_first && !was_next { self.found.created } else { self.now.latest });
        let signing = Signing { key: self.identity(signing, is_first), since };
        let next = next.filter(|id| *id != signing.key.id).map(|id| {
            let noted = noted.and_then(|set| set.next.as_ref()).filter(|next| next.key.id == id);
            let signs = noted.map_or(self.verifies, |next| next.signs);
            Next { key: self.identity(id, false), signs }
        });
        let mut kept: Vec<Former> = Vec::new();
        for id in former {
            let is_known = |key: &Identity| key.id == id;
            let is_there = is_known(&signing.key)
                || next.as_ref().is_some_and(|next| is_known(&next.key))
                || kept.iter().any(|former| is_known(&former.key));
            if is_there {
                continue;
            }
            let noted = noted.and_then(|set| set.former.iter().find(|former| is_known(&former.key)));
            let retires = noted.map_or(self.verifies, |former| former.retires);
            kept.push(Former { key: self.identity(id, false), retires });
        }
        KeySet { signing, next, former: kept }
    }

    /// Who a key is: as noted, or as if it came now. The one that was there before everything has the bare issuer, which its
    /// tokens bear already, unless a list of issuers says otherwise.
    fn identity(&self, id: String, is_first: bool) -> Identity {
        let noted = self.notes.as_ref().and_then(|set| set.identities().find(|key| key.id == id));
        noted.cloned().unwrap_or_else(|| {
            let place = self.places.get(&id);
            let listed = self.listed.iter().find(|listed| match &listed.kid {
                Some(kid) => *kid == id,
                None => Some(&listed.signing_key) == place,
            });
            let issuer = match listed {
                Some(listed) => listed.name.clone(),
                None if is_first => self.issuer.clone(),
                None => issuer_of(&self.issuer, &id),
            };
            let created = if is_first { self.found.created } else { self.now.latest };
            Identity { id, issuer, created }
        })
    }
}

/// Whether the first of the former keys is the one that signs: nobody has noted that it did.
fn signs_itself(former: &[String], notes: Option<&KeySet>) -> bool {
    let Some(first) = former.first() else { return false };
    notes.is_none_or(|set| set.signing.key.id == *first)
}

fn is_pairs(rotation: &Rotation) -> bool {
    matches!(rotation.recipe, Recipe::Rsa(_) | Recipe::Ec(_) | Recipe::Ed25519)
}

/// Where keys lie: where the annotation says, or by what there is.
fn names(data: &BTreeMap<String, SecretValue>, rotation: &Rotation) -> Result<Names, RingError> {
    if let Some(key) = &rotation.key {
        return Ok(Names::around(key.as_str()));
    }
    if is_pairs(rotation) {
        return Ok(Names::of_pairs());
    }
    // What has a role beside another is not the value itself.
    let is_beside = |name: &String| data.keys().any(|other| other != name && Names::around(other).have(name));
    let candidates: Vec<&String> = data.keys().filter(|name| !is_beside(name)).collect();
    match candidates[..] {
        [] => Ok(Names::around("value")),
        [name] => Ok(Names::around(name)),
        _ => Err(RingError::Ambiguous { count: candidates.len() }),
    }
}

fn issuer((namespace, name): (&str, &str), rotation: &Rotation) -> String {
    rotation.issuer.clone().unwrap_or_else(|| format!("keystow:{namespace}/{name}"))
}

fn issuer_of(base: &str, id: &str) -> String {
    format!("{base}/{id}")
}

#[cfg(test)]
mod tests;
