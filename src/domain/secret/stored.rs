//! Parameters of `kind=DYNAMIC` and `kind=REFERENCE`.
//!
//! | type | size in bits | fields of a DYNAMIC name |
//! |---|---|---|
//! | RSA | 2048, 3072, 4096 | `_public`, `_private` |
//! | GPG | 2048, 3072, 4096; `userId=user<email>` | `_public`, `_private`, `_password` |
//! | EC | 256, 384 | `_public`, `_private` |
//! | ED25519 | none | `_public`, `_private` |
//! | RANDOM | 1 to 8192 | `_consumer`, `_provider` where the name begins with `api-key` |
//! | PASSWORD | 1 to 8192 | any |

use super::{
    ApiKeyParty, Generated, GpgPart, KeyHalf, Modulus, NamedCurve, Origin, SecretType, StoredSecret,
};
use crate::domain::generation::Recipe;
use crate::domain::name::{EnvName, FileMode, InvalidText, RequestName};
use crate::domain::parameters::{LOCAL_MODE_VALUE, Parameters};
use crate::domain::path::StorageKey;
use crate::domain::problem::{Fault, Found};
use crate::domain::reference;
use crate::domain::value::LocalValue;

const KNOWN: [&str; 9] = reference::names(&reference::STORED);

const MODULI: &str = "2048, 3072 or 4096";
const CURVES: &str = "256 or 384";
const BITS: &str = "a number of bits from 1 to 8192";

impl StoredSecret {
    pub(super) fn read(
        dynamic: bool,
        name: &RequestName,
        mut parameters: Parameters<'_, '_>,
    ) -> Option<Self> {
        let kind = parameters.require("type", "one of RSA, GPG, RANDOM, PASSWORD, EC, ED25519");
        let kind = kind
            .and_then(|found| parameters.check_one_of("type", found, SecretType::ALLOWED, SecretType::read));
        let storage_key = parameters.take_as("storageKey", StorageKey::of_value);
        let local_value = read_local_value(&mut parameters);
        let env = parameters.take_as("env", EnvName::new);
        let mode = parameters.take_as("mode", FileMode::parse);
        let Some(kind) = kind else {
            // Without a type nothing can be said about these.
            parameters.take("size");
            parameters.take("userId");
            parameters.finish(&KNOWN);
            return None;
        };
        let origin = if dynamic {
            read_generated(kind, name, &mut parameters).map(Origin::Dynamic)
        } else {
            parameters.ignore(&["userId"], "a REFERENCE is not generated");
            read_size(kind, false, &mut parameters).map(|size| Origin::Reference { kind, size })
        };
        for key in ["secret", "key", "envFrom", "prefix", "path", "optional"] {
            parameters.ignore(&[key], "it goes with kind=KUBERNETES");
        }
        parameters.finish(&KNOWN);
        Some(Self { origin: origin?, storage_key, local_value, env, mode })
    }
}

/// kees never checked this value, and it says nothing outside local mode: a wrong one is a warning here and an
/// error only where it would be used.
pub(in crate::domain) fn read_local_value(parameters: &mut Parameters<'_, '_>) -> Option<LocalValue> {
    let found = parameters.take(LOCAL_MODE_VALUE)?;
    let value = LocalValue::decode(found);
    if value.is_none() {
        parameters.warn("localModeValue is not base64 and is ignored");
    }
    value
}

fn size_rule(kind: SecretType) -> &'static str {
    match kind {
        SecretType::Rsa | SecretType::Gpg => MODULI,
        SecretType::Ec => CURVES,
        SecretType::Ed25519 | SecretType::Random | SecretType::Password => BITS,
    }
}

/// `Some(None)`: no size, and none needed. `None`: reported.
fn read_size(kind: SecretType, required: bool, parameters: &mut Parameters<'_, '_>) -> Option<Option<u16>> {
    if kind == SecretType::Ed25519 {
        parameters.ignore(&["size"], "ED25519 keys have one size");
        return Some(None);
    }
    let rule = size_rule(kind);
    let Some(found) = parameters.take("size") else {
        if required {
            parameters.missing("size", rule);
            return None;
        }
        return Some(None);
    };
    // Kees writes size=0 into its own REFERENCE examples: no size.
    if !required && found == "0" {
        return Some(None);
    }
    let allowed = |bits: u16| match kind {
        SecretType::Rsa | SecretType::Gpg => matches!(bits, 2048 | 3072 | 4096),
        SecretType::Ec => matches!(bits, 256 | 384),
        SecretType::Ed25519 | SecretType::Random | SecretType::Password => (1..=8192).contains(&bits),
    };
    let bits = found.parse().ok().filter(|bits| allowed(*bits));
    let Some(bits) = bits else {
        let found = Found::new(found);
        parameters.problem(Fault::Invalid {
            parameter: "size",
            found,
            rule: format!("is not {rule}, as type={} needs", kind.word()),
        });
        return None;
    };
    if matches!(kind, SecretType::Random | SecretType::Password) && bits % 8 != 0 {
        parameters.warn(&format!("size is in bits: size={bits} makes {} bytes or characters", bits / 8));
    }
    Some(Some(bits))
}

fn read_generated(
    kind: SecretType,
    name: &RequestName,
    parameters: &mut Parameters<'_, '_>,
) -> Option<Generated> {
    let size = read_size(kind, true, parameters);
    let user_id = if kind == SecretType::Gpg {
        Some(read_user_id(parameters))
    } else {
        parameters.ignore(&["userId"], "it goes with type=GPG");
        None
    };
    let part = read_part(kind, name, parameters)?;
    let bits = size?.unwrap_or(0);
    Some(match (kind, part) {
        (SecretType::Rsa, Part::Half(half)) => Generated::Rsa { size: modulus(bits), half },
        (SecretType::Ec, Part::Half(half)) => Generated::Ec { curve: curve(bits), half },
        (SecretType::Ed25519, Part::Half(half)) => Generated::Ed25519 { half },
        (SecretType::Gpg, Part::Gpg(part)) => {
            Generated::Gpg { size: modulus(bits), user_id: user_id??, part }
        }
        (_, Part::ApiKey(party)) => Generated::ApiKey { size: bits, party },
        (SecretType::Password, _) => Generated::Password { size: bits },
        (_, _) => Generated::Random { size: bits },
    })
}

/// What a value of this type is, where it stands for itself: no half of a pair, nobody's API key.
pub(in crate::domain) fn read_recipe(
    kind: SecretType,
    parameters: &mut Parameters<'_, '_>,
) -> Option<Recipe> {
    let bits = read_size(kind, true, parameters);
    let bits = bits?.unwrap_or(0);
    Some(match kind {
        SecretType::Rsa => Recipe::Rsa(modulus(bits)),
        SecretType::Ec => Recipe::Ec(curve(bits)),
        SecretType::Ed25519 => Recipe::Ed25519,
        SecretType::Random => Recipe::Random { bits },
        SecretType::Password => Recipe::Password { bits },
        SecretType::Gpg => return None,
    })
}

fn curve(bits: u16) -> NamedCurve {
    if bits == 256 { NamedCurve::P256 } else { NamedCurve::P384 }
}

fn modulus(bits: u16) -> Modulus {
    match bits {
        2048 => Modulus::Bits2048,
        3072 => Modulus::Bits3072,
        _ => Modulus::Bits4096,
    }
}

fn read_user_id(parameters: &mut Parameters<'_, '_>) -> Option<String> {
    const RULE: &str = "type=GPG needs one of the form user<email>";
    let found = parameters.require("userId", RULE)?;
    parameters.check("userId", found, |text| {
        // kees: `.+<.+>`
        let well_formed = text
            .strip_suffix('>')
            .and_then(|rest| rest.split_once('<'))
            .is_some_and(|(user, email)| !user.is_empty() && !email.is_empty());
        if well_formed { Ok(text.to_owned()) } else { Err(InvalidText("of the form user<email>")) }
    })
}

/// What of a generation a name stands for.
enum Part {
    Whole,
    Half(KeyHalf),
    Gpg(GpgPart),
    ApiKey(ApiKeyParty),
}

/// Kees stores the parts of a pair under fixed fields, whatever was annotated: a name without one of them would
/// be waited for and never come.
fn read_part(kind: SecretType, name: &RequestName, parameters: &mut Parameters<'_, '_>) -> Option<Part> {
    let part = match (kind, name.field()) {
        (SecretType::Rsa | SecretType::Ec | SecretType::Ed25519, field) => match field {
            Some("public") => Some(Part::Half(KeyHalf::Public)),
            Some("private") => Some(Part::Half(KeyHalf::Private)),
            _ => None,
        },
        (SecretType::Gpg, field) => match field {
            Some("public") => Some(Part::Gpg(GpgPart::Public)),
            Some("private") => Some(Part::Gpg(GpgPart::Private)),
            Some("password") => Some(Part::Gpg(GpgPart::Password)),
            _ => None,
        },
        (SecretType::Random, field) if name.bare().starts_with("api-key") => match field {
            Some("consumer") => Some(Part::ApiKey(ApiKeyParty::Consumer)),
            Some("provider") => Some(Part::ApiKey(ApiKeyParty::Provider)),
            _ => None,
        },
        (SecretType::Random | SecretType::Password, _) => Some(Part::Whole),
    };
    if part.is_none() {
        let (what, fields) = match kind {
            SecretType::Gpg => {
                ("type=GPG is generated as key and password", "_public, _private or _password")
            }
            SecretType::Random => {
                ("RANDOM named api-key… is generated for two parties", "_consumer or _provider")
            }
            _ => ("this type is generated as a pair", "_public or _private"),
        };
        parameters.conflict(format!("{what}: the annotation's name must end in {fields}"));
    }
    part
}
