//! What a pod wants to have generated: values that belong together, and where each of them lies.
//!
//! ```text
//! secret.D/db_private: RSA ─▶ Generation { Rsa, [db_public, db_private] }      both halves, whichever is annotated
//! secret.D/db_password: PASSWORD ─▶ Generation { Password, [db_password] }
//! ```
//!
//! As under kees, every part is stored, also those that this pod does not ask for: another one will. A part that is not
//! annotated lies beside those that are: under the bare name, or under what their storageKeys have in common.
//!
//! Invariant: the order of the parts is that of [`Recipe::parts`], so a recipe's values go with a generation's paths.

use super::name::RequestName;
use super::path::{StorageKey, StoragePath};
use super::request::Requests;
use super::secret::{
    ApiKeyParty, Generated, GpgPart, KeyHalf, Modulus, NamedCurve, Origin, SecretType, StoredSecret,
};

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// An RSA key pair: SPKI and PKCS#8 in DER.
    Rsa(Modulus),
    /// An ECDSA key pair: SPKI and PKCS#8 in DER.
    Ec(NamedCurve),
    /// An Ed25519 key pair: SPKI and PKCS#8 in DER.
    Ed25519,
    /// An OpenPGP key pair in ASCII armour, the private half encrypted under the password.
    Gpg {
        /// The modulus.
        size: Modulus,
        /// `user<email>`.
        user_id: String,
    },
    /// Random bytes.
    Random {
        /// `size / 8` bytes.
        bits: u16,
    },
    /// Random bytes that two parties share under two names.
    ApiKey {
        /// `size / 8` bytes.
        bits: u16,
    },
    /// A base62 password.
    Password {
        /// `size / 8` characters.
        bits: u16,
    },
}

/// One of the values that are made together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The only one.
    Whole,
    /// The public half of a key pair.
    Public,
    /// Its private half.
    Private,
    /// The password of an OpenPGP key.
    Password,
    /// The consumer's copy of an API key.
    Consumer,
    /// The provider's copy of an API key.
    Provider,
}

/// Values that are made together, and stored together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generation {
    /// What is to be made.
    pub recipe: Recipe,
    /// Where each part lies, in the order of [`Recipe::parts`].
    pub paths: Vec<StoragePath>,
}

/// A request whose other parts have no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} cannot be generated: nothing says where its {} part lies; annotate that too, or give a storageKey that ends in _{}",
    .missing.field().unwrap_or("other"),
    .present.field().unwrap_or("private")
)]
pub struct Unplaced {
    /// What was annotated.
    pub name: RequestName,
    present: Part,
    missing: Part,
}

impl Part {
    /// The field of its name; none where it is the only part.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Public => Some("public"),
            Self::Private => Some("private"),
            Self::Password => Some("password"),
            Self::Consumer => Some("consumer"),
            Self::Provider => Some("provider"),
        }
    }
}

impl Recipe {
    /// What it makes, in this order.
    pub fn parts(&self) -> &'static [Part] {
        match self {
            Self::Rsa(_) | Self::Ec(_) | Self::Ed25519 => &[Part::Public, Part::Private],
            Self::Gpg { .. } => &[Part::Public, Part::Private, Part::Password],
            Self::ApiKey { .. } => &[Part::Consumer, Part::Provider],
            Self::Random { .. } | Self::Password { .. } => &[Part::Whole],
        }
    }

    /// The type that people ask for it by.
    pub fn kind(&self) -> SecretType {
        match self {
            Self::Rsa(_) => SecretType::Rsa,
            Self::Ec(_) => SecretType::Ec,
            Self::Ed25519 => SecretType::Ed25519,
            Self::Gpg { .. } => SecretType::Gpg,
            Self::Random { .. } | Self::ApiKey { .. } => SecretType::Random,
            Self::Password { .. } => SecretType::Password,
        }
    }

    /// Whether what it makes is empty: kees counts in bits and makes whole bytes.
    pub fn makes_nothing(&self) -> bool {
        match self {
            Self::Random { bits } | Self::ApiKey { bits } | Self::Password { bits } => *bits < 8,
            Self::Rsa(_) | Self::Ec(_) | Self::Ed25519 | Self::Gpg { .. } => false,
        }
    }

    fn of(generated: &Generated) -> (Self, Part) {
        let of_half = |half: KeyHalf| match half {
            KeyHalf::Public => Part::Public,
            KeyHalf::Private => Part::Private,
        };
        match generated {
            Generated::Rsa { size, half } => (Self::Rsa(*size), of_half(*half)),
            Generated::Ec { curve, half } => (Self::Ec(*curve), of_half(*half)),
            Generated::Ed25519 { half } => (Self::Ed25519, of_half(*half)),
            Generated::Gpg { size, user_id, part } => {
                let part = match part {
                    GpgPart::Public => Part::Public,
                    GpgPart::Private => Part::Private,
                    GpgPart::Password => Part::Password,
                };
                (Self::Gpg { size: *size, user_id: user_id.clone() }, part)
            }
            Generated::ApiKey { size, party } => {
                let part = match party {
                    ApiKeyParty::Consumer => Part::Consumer,
                    ApiKeyParty::Provider => Part::Provider,
                };
                (Self::ApiKey { bits: *size }, part)
            }
            Generated::Random { size } => (Self::Random { bits: *size }, Part::Whole),
            Generated::Password { size } => (Self::Password { bits: *size }, Part::Whole),
        }
    }
}

/// A part that the pod asks for, and its key in the store.
struct Asked<'r> {
    name: &'r RequestName,
    part: Part,
    stored: &'r StoredSecret,
}

impl Asked<'_> {
    fn key(&self) -> &str {
        self.stored.storage_key.as_ref().map_or(self.name.as_str(), StorageKey::as_str)
    }

    /// The key without its part's field.
    fn stem(&self) -> Option<&str> {
        self.key().strip_suffix(self.part.field()?)?.strip_suffix('_')
    }
}

impl Requests {
    /// What the pod wants to have generated, each once, and what of it has no place. In the order of the names.
    pub fn generations(&self) -> (Vec<Generation>, Vec<Unplaced>) {
        // Parts of one bare name agree in type, size and user: whatever else has that bare name is a value of its own.
        let mut groups: Vec<(Recipe, &str, Vec<Asked<'_>>)> = Vec::new();
        for (request, stored) in self.stored() {
            let Origin::Dynamic(generated) = &stored.origin else { continue };
            let (recipe, part) = Recipe::of(generated);
            let asked = Asked { name: &request.name, part, stored };
            // The list is sorted by name, so the parts of one are neighbours but for names between them.
            let same =
                |(other, bare, _): &&mut (Recipe, &str, _)| *other == recipe && *bare == asked.name.bare();
            match groups.iter_mut().rev().find(same).filter(|_| part != Part::Whole) {
                Some((.., parts)) => parts.push(asked),
                None => groups.push((recipe, request.name.bare(), vec![asked])),
            }
        }
        let mut generations: Vec<Generation> = Vec::new();
        let mut unplaced = Vec::new();
        for (recipe, _, asked) in groups {
            match self.paths(&recipe, &asked) {
                // Two names of one value.
                Ok(paths) if generations.iter().any(|other| other.paths == paths) => {}
                Ok(paths) => generations.push(Generation { recipe, paths }),
                Err(none) => unplaced.push(none),
            }
        }
        (generations, unplaced)
    }

    fn paths(&self, recipe: &Recipe, asked: &[Asked<'_>]) -> Result<Vec<StoragePath>, Unplaced> {
        let place = |part: Part| {
            if let Some(asked) = asked.iter().find(|asked| asked.part == part) {
                return Ok(self.secret_path(asked.name, asked.stored));
            }
            let first = &asked[0];
            let stem = first.stem().filter(|stem| asked.iter().all(|other| other.stem() == Some(stem)));
            match (stem, part.field()) {
                (Some(stem), Some(field)) => Ok(self.below_prefix(&format!("{stem}_{field}"))),
                _ => Err(Unplaced { name: first.name.clone(), present: first.part, missing: part }),
            }
        };
        recipe.parts().iter().map(|part| place(*part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AnnotationDomain, Grammar, Parsed};

    fn requests(annotations: &[(&str, &str)]) -> Requests {
        let domain = AnnotationDomain::default();
        let keys: Vec<String> = annotations
            .iter()
            .map(|(name, _)| match name.split_once('/') {
                Some(_) => name.replace("D/", "bsycorp.com/"),
                None => format!("secret.bsycorp.com/{name}"),
            })
            .collect();
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        let values = annotations.iter().map(|(_, value)| *value);
        match grammar.parse(keys.iter().map(String::as_str).zip(values)).unwrap() {
            Parsed::Requests(requests, _) => *requests,
            Parsed::OptedOut => panic!("opted out"),
        }
    }

    /// The places of each generation, one text each.
    fn places(annotations: &[(&str, &str)]) -> Vec<String> {
        let (generations, unplaced) = requests(annotations).generations();
        assert_eq!(unplaced, []);
        let text = |generation: &Generation| {
            assert_eq!(generation.paths.len(), generation.recipe.parts().len());
            generation.paths.iter().map(StoragePath::as_str).collect::<Vec<_>>().join(" ")
        };
        generations.iter().map(text).collect()
    }

    const RSA: &str = "kind=DYNAMIC,type=RSA,size=2048";

    #[test]
    fn both_halves_are_made_whichever_is_asked_for() {
        for asked in [&["db_public"][..], &["db_private"], &["db_private", "db_public"]] {
            let annotations: Vec<_> = asked.iter().map(|name| (*name, RSA)).collect();
            assert_eq!(places(&annotations), ["/db_public /db_private"], "{asked:?}");
        }
    }

    #[test]
    fn each_type_has_its_parts() {
        let gpg = "kind=DYNAMIC,type=GPG,size=2048,userId=a<b@c>";
        assert_eq!(places(&[("mail_private", gpg)]), ["/mail_public /mail_private /mail_password"]);
        let key = "kind=DYNAMIC,type=RANDOM,size=256";
        assert_eq!(places(&[("api-key.x_consumer", key)]), ["/api-key.x_consumer /api-key.x_provider"]);
        let single = [("a_password", "kind=DYNAMIC,type=PASSWORD,size=128"), ("b", key)];
        assert_eq!(places(&single), ["/a_password", "/b"]);
    }

    #[test]
    fn names_of_one_bare_name_that_are_no_parts_are_values_of_their_own() {
        let random = "kind=DYNAMIC,type=RANDOM,size=256";
        let annotations = [("db_private", RSA), ("db_public", RSA), ("db_salt", random), ("db_seed", random)];
        assert_eq!(places(&annotations), ["/db_public /db_private", "/db_salt", "/db_seed"]);
    }

    #[test]
    fn what_others_provide_is_not_made() {
        let annotations =
            [("a", "kind=REFERENCE,type=PASSWORD"), ("b", "kind=KUBERNETES,secret=s,envFrom=true")];
        assert_eq!(places(&annotations), [""; 0]);
    }

    #[test]
    fn places_follow_prefix_and_storage_keys() {
        let with = |key: &str| format!("{RSA},storageKey={key}");
        let prefix = ("init.D/storage-prefix", "/veza/");
        let one = with("shared_private");
        assert_eq!(places(&[prefix, ("db_private", &one)]), ["/veza/shared_public /veza/shared_private"]);
        let (public, private) = (with("p"), with("q"));
        assert_eq!(places(&[prefix, ("db_public", &public), ("db_private", &private)]), ["/veza/p /veza/q"]);
        let random = "kind=DYNAMIC,type=RANDOM,size=256,storageKey=one";
        assert_eq!(places(&[("a", random), ("b", random)]), ["/one"]);
    }

    #[test]
    fn a_part_without_a_place_is_told_with_the_next_step() {
        for (annotations, missing) in [
            (vec![("db_private", format!("{RSA},storageKey=key"))], "public"),
            (vec![("db_public", format!("{RSA},storageKey=key_private"))], "private"),
        ] {
            let annotations: Vec<_> =
                annotations.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (generations, unplaced) = requests(&annotations).generations();
            assert_eq!(generations, []);
            let message = unplaced[0].to_string();
            assert!(message.contains(&format!("where its {missing} part lies")), "{message}");
            assert!(message.contains("ends in _"), "{message}");
        }
    }
}
