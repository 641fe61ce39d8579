//! What a Secret asks for by `rotate.D/token-…`: a token by the key of another Secret that signs, always fresh.
//!
//! ```text
//! rotate.D/token-of=iam-signing-keys, token-audience=keystow, token-subject=external-secrets  ─▶  TokenRequest
//! ```

use std::time::Duration;

use super::annotation::{AnnotationDomain, rotate};
use super::duration::parse_duration;
use super::name::SecretName;
use super::problem::{Fault, Found, Problem};

/// How long a token is valid, unless told otherwise.
const LIFETIME: Duration = Duration::from_secs(3_600);
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST_CLAIM: usize = 200;

/// A token to be kept in a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The Secret of the keys, in the same namespace.
    pub keys: SecretName,
    /// Its `aud`.
    pub audience: String,
    /// Its `sub`.
    pub subject: String,
    /// How long it is valid. No longer than the overlap of the keys, or it would not verify to its end.
    pub lifetime: Duration,
}

impl TokenRequest {
    /// Reads the annotations of a Secret; `None` where it asks for no token.
    ///
    /// # Errors
    ///
    /// Every problem at once.
    pub fn read(
        domain: &AnnotationDomain,
        annotation: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Vec<Problem>> {
        let text = |name: &str| annotation(&domain.rotate_key(name)).map(|text| text.trim().to_owned());
        let Some(of) = text(rotate::TOKEN_OF) else { return Ok(None) };
        let mut problems = Vec::new();
        let mut problem = |name: &str, fault| {
            problems.push(Problem { annotation: domain.rotate_key(name), fault });
        };
        let invalid = |parameter, found: &str, rule: &str| Fault::Invalid {
            parameter,
            found: Found::new(found),
            rule: rule.to_owned(),
        };
        let keys = SecretName::new(&of).ok();
        if keys.is_none() {
            problem(rotate::TOKEN_OF, invalid(rotate::TOKEN_OF, &of, "is not the name of a Secret"));
        }
        let mut claim = |name: &'static str, rule: &'static str| {
            let Some(found) = text(name) else {
                problem(name, Fault::Missing { parameter: name, rule });
                return None;
            };
            let is_claim = (1..=LONGEST_CLAIM).contains(&found.len()) && !found.chars().any(char::is_control);
            if !is_claim {
                problem(name, invalid(name, &found, "is not 1 to 200 characters"));
            }
            is_claim.then_some(found)
        };
        let audience = claim(rotate::TOKEN_AUDIENCE, "whom the token is for (aud)");
        let subject = claim(rotate::TOKEN_SUBJECT, "whose the token is (sub)");
        let lifetime = match text(rotate::TOKEN_LIFETIME) {
            None => Some(LIFETIME),
            Some(found) => {
                let lifetime = parse_duration(&found).ok().filter(|lifetime| *lifetime >= SHORTEST);
                if lifetime.is_none() {
                    let rule = "is not a duration of 10s or more, such as 1h";
                    problem(rotate::TOKEN_LIFETIME, invalid(rotate::TOKEN_LIFETIME, &found, rule));
                }
                lifetime
            }
        };
        match (keys, audience, subject, lifetime) {
            (Some(keys), Some(audience), Some(subject), Some(lifetime)) => {
                Ok(Some(Self { keys, audience, subject, lifetime }))
            }
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 3] =
        [("token-of", "keys"), ("token-audience", "keystow"), ("token-subject", "eso")];

    fn read(more: &[(&str, &str)]) -> Result<Option<TokenRequest>, Vec<String>> {
        let domain = AnnotationDomain::new("bsycorp.com").unwrap();
        let given = |key: &str| {
            let name = key.strip_prefix("rotate.bsycorp.com/").unwrap();
            let found = more.iter().chain(&WHOLE).find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).filter(|value| value != "-")
        };
        TokenRequest::read(&domain, given)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn three_annotations_are_enough() {
        assert_eq!(read(&[]).unwrap().unwrap().lifetime, LIFETIME);
        assert_eq!(read(&[("token-of", "-")]), Ok(None));
    }

    #[test]
    fn each_mistake_is_told_by_the_annotation_that_has_it() {
        let cases = [
            (("token-of", "A B"), "rotate.bsycorp.com/token-of: token-of=A B is not the name of a Secret"),
            (("token-audience", "-"), "rotate.bsycorp.com/token-audience: token-audience is missing: whom"),
            (("token-subject", ""), "rotate.bsycorp.com/token-subject: token-subject= is not 1 to 200"),
            (("token-lifetime", "1s"), "rotate.bsycorp.com/token-lifetime: token-lifetime=1s is not a"),
        ];
        for (more, message) in cases {
            let problems = read(&[more]).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(message), "{problems:?}");
        }
    }
}
