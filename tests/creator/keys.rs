//! Keys in the hands of others: OpenSSL reads the DER, GnuPG the armour.

#[cfg(feature = "gpg")]
mod gnupg;
mod openssl;

use std::time::{Duration, SystemTime};

use keystow::domain::{AnnotationDomain, Grammar, Parsed, Recipe, SecretValue};
use keystow::generate::deterministic::Deterministic;
use keystow::generate::fresh;

/// When the keys of these tests are made.
const CREATED: u64 = 1_700_000_000;

fn fresh(recipe: &Recipe) -> Vec<SecretValue> {
    fresh::make(recipe, SystemTime::UNIX_EPOCH + Duration::from_secs(CREATED)).unwrap()
}

/// The local values of `key_FIELD`, with these parameters.
fn derived(fields: &[&str], parameters: &str) -> Vec<SecretValue> {
    let domain = AnnotationDomain::default();
    let local = Deterministic::default();
    let value = |field: &&str| {
        let key = format!("secret.bsycorp.com/key_{field}");
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        let Parsed::Requests(requests, _) = grammar.parse([(key.as_str(), parameters)]).unwrap() else {
            panic!("opted out")
        };
        let (request, stored) = requests.stored().next().unwrap();
        local.secret(&request.name, stored).unwrap()
    };
    fields.iter().map(value).collect()
}
