//! What a Secret asks for by `rotate.D/…`: that the keys in it turn over.
//!
//! ```text
//! rotate.D/type=RSA, size=2048, every=90d, overlap=24h  ─▶  Rotation
//! ```
//!
//! `type` and `size` follow the rules of a DYNAMIC secret's parameters, and are read by the same code. `rotate.D/type` is
//! what opts in: a Secret with `every` alone only says how old it may become. What keystow itself notes under
//! `rotate.D/keys` is not read here.

use std::time::Duration;

use super::annotation::{AnnotationDomain, rotate};
use super::duration::parse_duration;
use super::generation::Recipe;
use super::name::SecretKey;
use super::parameters::{Findings, Parameters};
use super::problem::{Fault, Found, Problem};
use super::secret::{SecretType, read_recipe};
use super::suggest::nearest;

/// How long it takes at most until everybody who reads a Secret has seen a change, unless told otherwise: the kubelet
/// brings changes to files within two minutes, and caches of public keys commonly keep them for five.
const PUBLISH: Duration = Duration::from_secs(600);
/// Former keys at once, unless told otherwise.
const KEEP: usize = 3;
/// Of random values and passwords.
const FEWEST_BITS: u16 = 128;
const MOST_KEPT: usize = 16;
const LONGEST_ISSUER: usize = 200;

/// How the keys of a Secret turn over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// What a key is. Never an OpenPGP key or an API key.
    pub recipe: Recipe,
    /// How long a key signs.
    pub every: Duration,
    /// How long a key is published before it signs, and how long readers may not have seen a change.
    pub publish: Duration,
    /// How long what a key signed is valid at most: so long it verifies after it signed last.
    pub overlap: Duration,
    /// The most keys that verify and sign no more.
    pub keep: usize,
    /// Where the key lies that signs, in the Secret's data; by the recipe where it is not said.
    pub key: Option<SecretKey>,
    /// The issuer of the key that was there first, and the beginning of all others'.
    pub issuer: Option<String>,
    /// The subjects for which it may sign tokens that lie in Secrets; a `*` at the end stands for any end.
    pub tokens_for: Vec<String>,
}

/// Whether a schedule must be one that can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// It must: `every`, `publish`, `overlap` and `keep` go together.
    Needed,
    /// Each must be right by itself.
    Unasked,
}

impl Rotation {
    /// Reads the annotations of a Secret; `None` where it asks for nothing.
    ///
    /// # Errors
    ///
    /// Every problem at once.
    pub fn read<'a>(
        domain: &AnnotationDomain,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
        agreement: Agreement,
    ) -> Result<Option<Self>, Vec<Problem>> {
        let mut findings = Findings::default();
        let mut given = Vec::new();
        for (key, value) in annotations {
            let Some(name) = domain.rotate_name(key) else { continue };
            match rotate::ALL.into_iter().find(|known| *known == name) {
                Some(known) => given.push((known, value)),
                None if rotate::NOTES.contains(&name) => {}
                None => {
                    let meant = nearest(name, &rotate::ALL);
                    let hint = meant.map_or(String::new(), |meant| format!("; {meant} was meant, perhaps"));
                    findings.problem(key, Fault::Conflict(format!("is not known{hint}")));
                }
            }
        }
        let mut reader = Reader { domain, given, findings };
        let Some(kind) = reader.text(rotate::TYPE) else { return Ok(None) };
        let rotation = reader.rotation(kind);
        if let (Some(rotation), Agreement::Needed) = (&rotation, agreement) {
            reader.agree(rotation);
        }
        if reader.findings.problems.is_empty() { Ok(rotation) } else { Err(reader.findings.problems) }
    }

    /// Whether it may sign a token for this subject.
    pub fn admits(&self, subject: &str) -> bool {
        self.tokens_for.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(begin) => subject.starts_with(begin),
            None => allowed == subject,
        })
    }

    /// How many former keys there must be room for, so that no new key waits for it: those that still verify when the next
    /// one is due to be published.
    pub(crate) fn former_at_once(&self) -> u128 {
        let verifies = self.overlap.saturating_add(self.publish);
        // The next key is published so long before it signs.
        let room = verifies.saturating_add(self.publish);
        room.as_nanos().div_ceil(self.every.as_nanos().max(1))
    }
}

struct Reader<'a> {
    domain: &'a AnnotationDomain,
    given: Vec<(&'static str, &'a str)>,
    findings: Findings,
}

impl<'a> Reader<'a> {
    fn rotation(&mut self, kind: &str) -> Option<Rotation> {
        let recipe = self.recipe(kind);
        let every = self.needed(rotate::EVERY, "how long a key signs, such as 90d");
        let overlap = self.needed(rotate::OVERLAP, "how long a token is valid at most, such as 24h");
        let publish =
            self.text(rotate::PUBLISH).map_or(Some(PUBLISH), |text| self.duration(rotate::PUBLISH, text));
        let keep = self.checked(rotate::KEEP, "is not a number from 1 to 16", |text| {
            text.parse().ok().filter(|keep| (1..=MOST_KEPT).contains(keep))
        });
        let key = self.checked(rotate::KEY, "is not a key of a Secret's data", |text| {
            SecretKey::new(text).ok().filter(|key| !rotate::DOCUMENTS.contains(&key.as_str()))
        });
        let issuer = self.checked(
            rotate::ISSUER,
            "is not 1 to 200 visible characters without quotes and spaces, such as https://tokens.example.org",
            |text| is_issuer(text).then(|| text.to_owned()),
        );
        let subjects = self.text(rotate::TOKENS_FOR).unwrap_or_default().split(',').map(str::trim);
        let tokens_for = subjects.filter(|subject| !subject.is_empty()).map(str::to_owned).collect();
        let (recipe, every, overlap, publish) = (recipe?, every?, overlap?, publish?);
        let keep = keep.unwrap_or(KEEP);
        Some(Rotation { recipe, every, publish, overlap, keep, key, issuer, tokens_for })
    }

    fn recipe(&mut self, word: &str) -> Option<Recipe> {
        const ALLOWED: &str = "RSA, EC, ED25519, RANDOM, PASSWORD";
        let kind = SecretType::read(word).filter(|kind| *kind != SecretType::Gpg);
        let Some(kind) = kind else {
            let (parameter, found) = (rotate::TYPE, Found::new(word));
            self.problem(rotate::TYPE, Fault::NotOneOf { parameter, found, allowed: ALLOWED });
            return None;
        };
        if kind == SecretType::Ed25519 && self.text(rotate::SIZE).is_some() {
            self.invalid(rotate::SIZE, "is for other types: a key of ED25519 has one size; take it out");
            return None;
        }
        let size = self.text(rotate::SIZE).map_or(String::new(), |size| format!("size={size}"));
        let key = self.domain.rotate_key(rotate::SIZE);
        let recipe = read_recipe(kind, &mut Parameters::split(&key, &size, &mut self.findings))?;
        if matches!(recipe, Recipe::Random { bits } | Recipe::Password { bits } if bits < FEWEST_BITS) {
            self.invalid(rotate::SIZE, "is below 128 bits, and can be guessed");
            return None;
        }
        Some(recipe)
    }

    /// Each is right; whether they go together.
    fn agree(&mut self, rotation: &Rotation) {
        if rotation.every <= rotation.publish {
            let rule = format!(
                "is not longer than a key is published before it signs ({}, of {:?})",
                rotate::PUBLISH,
                rotation.publish
            );
            self.invalid(rotate::EVERY, &rule);
        } else if rotation.former_at_once() > rotation.keep as u128 {
            let (kept, needed) = (rotation.keep, rotation.former_at_once());
            let more = if needed <= MOST_KEPT as u128 {
                format!("keep={needed} or more, or ")
            } else {
                String::new()
            };
            let rule = format!("is longer than {kept} former keys last; write {more}a longer every");
            self.invalid(rotate::OVERLAP, &rule);
        }
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.trim())
    }

    fn needed(&mut self, name: &'static str, rule: &'static str) -> Option<Duration> {
        let Some(text) = self.text(name) else {
            self.missing(name, rule);
            return None;
        };
        self.duration(name, text)
    }

    fn duration(&mut self, name: &'static str, text: &str) -> Option<Duration> {
        let duration = parse_duration(text);
        if let Err(error) = &duration {
            self.invalid(name, &format!("is none: {error}"));
        }
        duration.ok()
    }

    fn checked<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.text(name)?);
        if value.is_none() {
            self.invalid(name, rule);
        }
        value
    }

    fn invalid(&mut self, parameter: &'static str, rule: &str) {
        let found = Found::new(self.text(parameter).unwrap_or_default());
        self.problem(parameter, Fault::Invalid { parameter, found, rule: rule.to_owned() });
    }

    fn missing(&mut self, parameter: &'static str, rule: &'static str) {
        self.problem(parameter, Fault::Missing { parameter, rule });
    }

    fn problem(&mut self, name: &str, fault: Fault) {
        self.findings.problem(&self.domain.rotate_key(name), fault);
    }
}

/// What goes into YAML and JSON as it is.
fn is_issuer(text: &str) -> bool {
    (1..=LONGEST_ISSUER).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'`'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Modulus;

    const WHOLE: [(&str, &str); 4] =
        [("type", "RSA"), ("size", "2048"), ("every", "90d"), ("overlap", "24h")];

    fn read(more: &[(&str, &str)]) -> Result<Option<Rotation>, Vec<String>> {
        let domain = AnnotationDomain::new("bsycorp.com").unwrap();
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in WHOLE.iter().chain(more) {
            let key = format!("rotate.bsycorp.com/{name}");
            given.retain(|(known, _)| *known != key);
            given.push((key, (*value).to_owned()));
        }
        given.retain(|(_, value)| value != "-");
        let given = given.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Rotation::read(&domain, given, Agreement::Needed)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn four_annotations_are_enough() {
        let rotation = read(&[]).unwrap().unwrap();
        assert_eq!(rotation.recipe, Recipe::Rsa(Modulus::Bits2048));
        assert_eq!((rotation.publish, rotation.keep), (PUBLISH, KEEP));
        assert_eq!(rotation.every, Duration::from_secs(90 * 86_400));
    }

    #[test]
    fn without_a_type_nothing_is_asked_for() {
        assert_eq!(read(&[("type", "-")]), Ok(None));
    }

    #[test]
    fn each_mistake_is_told_by_the_annotation_that_has_it() {
        let cases: [(&[(&str, &str)], &str); 13] = [
            (&[("type", "GPG")], "rotate.bsycorp.com/type: type=GPG is not one of RSA, EC"),
            (&[("type", "ED25519")], "rotate.bsycorp.com/size: size=2048 is for other types"),
            (&[("size", "1024")], "rotate.bsycorp.com/size: size=1024 is not 2048, 3072 or 4096"),
            (&[("size", "-")], "rotate.bsycorp.com/size: size is missing: 2048, 3072 or 4096"),
            (&[("every", "often")], "rotate.bsycorp.com/every: every=often is none: a duration has"),
            (&[("overlap", "1y")], "rotate.bsycorp.com/overlap: overlap=1y is none: a duration has"),
            (&[("publish", "1y")], "rotate.bsycorp.com/publish: publish=1y is none: a duration has"),
            (&[("every", "-")], "rotate.bsycorp.com/every: every is missing: how long a key signs"),
            (&[("overlap", "-")], "rotate.bsycorp.com/overlap: overlap is missing: how long a token"),
            (&[("keep", "0")], "rotate.bsycorp.com/keep: keep=0 is not a number from 1 to 16"),
            (&[("key", "jwks.json")], "rotate.bsycorp.com/key: key=jwks.json is not a key of a Secret"),
            (&[("issuer", "a b")], "rotate.bsycorp.com/issuer: issuer=a b is not 1 to 200 visible"),
            (&[("evry", "1d")], "rotate.bsycorp.com/evry: is not known; every was meant, perhaps"),
        ];
        for (more, message) in cases {
            let problems = read(more).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(message), "{problems:?}");
        }
    }

    #[test]
    fn a_key_signs_for_longer_than_it_is_published_before() {
        let problems = read(&[("every", "10m"), ("overlap", "1m")]).unwrap_err();
        assert!(problems[0].contains("is not longer than a key is published before"), "{problems:?}");
    }

    #[test]
    fn tokens_are_signed_for_who_is_named() {
        let rotation = read(&[("tokens-for", "external-secrets, team-*")]).unwrap().unwrap();
        for (subject, is_admitted) in
            [("external-secrets", true), ("team-a", true), ("team", false), ("", false)]
        {
            assert_eq!(rotation.admits(subject), is_admitted, "{subject}");
        }
        assert!(!read(&[]).unwrap().unwrap().admits("external-secrets"));
    }

    #[test]
    fn former_keys_must_find_room() {
        let advice = |more: &[(&str, &str)]| read(more).unwrap_err().remove(0);
        let two_days = advice(&[("every", "12h"), ("overlap", "48h")]);
        assert!(
            two_days.ends_with("longer than 3 former keys last; write keep=5 or more, or a longer every"),
            "{two_days}"
        );
        assert!(read(&[("every", "12h"), ("overlap", "48h"), ("keep", "5")]).is_ok());
        // More than may be kept is no advice.
        let hourly = advice(&[("every", "1h"), ("overlap", "24h")]);
        assert!(hourly.ends_with("longer than 3 former keys last; write a longer every"), "{hourly}");
        assert!(read(&[("every", "12h"), ("overlap", "24h")]).is_ok());
    }

    #[test]
    fn a_key_that_is_published_early_needs_the_room_early() {
        let early = [("every", "10h"), ("overlap", "1h"), ("publish", "8h"), ("keep", "1")];
        assert!(read(&early).unwrap_err()[0].contains("write keep=2 or more"));
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let longest = "2562047h";
        assert!(read(&[("every", "12h"), ("overlap", longest), ("publish", "11h")]).is_err());
        assert!(read(&[("every", longest), ("overlap", longest), ("publish", longest)]).is_err());
    }
}
