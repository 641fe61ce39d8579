//! How old secrets are, by what their own annotations say or by what the person says who checks.

use super::code::Code;
use super::judge::Judge;
use super::references;
use super::times::span;
use super::words::credential;
use super::world::{Located, SecretObject};
use crate::domain::parse_duration;

pub(super) fn rules(judge: &mut Judge<'_>) {
    if !judge.world.is_live {
        return;
    }
    let every = judge.settings.domain.rotate_every_key();
    let secrets = judge.world.secrets.yes().map(Vec::as_slice).unwrap_or_default();
    let named: Vec<references::Reference> =
        judge.subjects.iter().flat_map(|subject| references::of(judge, subject)).collect();
    for located in secrets {
        let secret = &located.object;
        let Some(age) = secret.written.map(|written| judge.world.now - written) else { continue };
        match secret.annotations.get(&every) {
            Some(text) => annotated(judge, located, &every, text, age),
            None => {
                let is_used = named.iter().any(|reference| {
                    reference.secret == secret.name && reference.namespace == secret.namespace
                });
                let is_credential = secret.data.keys().any(|key| credential(&secret.name, key).is_some());
                if is_used && is_credential {
                    never(judge, located, &every, age);
                }
            }
        }
    }
}

fn annotated(judge: &mut Judge<'_>, located: &Located<SecretObject>, key: &str, text: &str, age: i64) {
    match parse_duration(text) {
        Err(error) => {
            let message = format!("{key}: {text} is no duration: {error}");
            judge.report(Code::RotationUnreadable, located.place.clone(), message, "write one such as 90d");
        }
        Ok(every) => {
            let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
            if age > every {
                let message = format!(
                    "Secret {} was written {} ago, and is to be rotated every {}",
                    located.object.name,
                    span(age),
                    span(every)
                );
                judge.report(
                    Code::RotationOverdue,
                    located.place.clone(),
                    message,
                    "rotate it, and look why nobody did",
                );
            }
        }
    }
}

fn never(judge: &mut Judge<'_>, located: &Located<SecretObject>, key: &str, age: i64) {
    let most = i64::try_from(judge.options.max_age.as_secs()).unwrap_or(i64::MAX);
    let name = &located.object.name;
    if age > most {
        let message =
            format!("Secret {name} was written {} ago, and nothing says that it is ever changed", span(age));
        judge.report(
            Code::NeverRotated,
            located.place.clone(),
            message,
            format!("rotate it, and say how often by {key}"),
        );
    } else if judge.options.production {
        let message = format!("nothing says how old Secret {name} may become");
        judge.report(Code::NoRotation, located.place.clone(), message, format!("say it by {key}"));
    }
}
