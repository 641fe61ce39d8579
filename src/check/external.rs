//! Objects of External Secrets Operator: whether what it syncs is synced.

use std::collections::BTreeMap;

use serde_json::Value;

use super::code::Code;
use super::judge::{Judge, condition, text};
use super::times::{seconds, span};
use super::world::{Known, Located};
use crate::domain::parse_duration;

/// The name of the Secret that an ExternalSecret writes: its own, unless it says another.
pub(super) fn target(object: &Value) -> &str {
    let named = text(object, "/spec/target/name");
    if named.is_empty() { text(object, "/metadata/name") } else { named }
}

pub(super) fn rules(judge: &mut Judge<'_>) {
    let Known::Yes(objects) = &judge.world.external_secrets else { return };
    let mut writers: BTreeMap<(&str, &str), Vec<&Located<Value>>> = BTreeMap::new();
    for located in objects {
        let namespace = text(&located.object, "/metadata/namespace");
        writers.entry((namespace, target(&located.object))).or_default().push(located);
        interval(judge, located);
        if judge.world.is_live {
            store(judge, located);
            synced(judge, located);
        }
    }
    for ((_, secret), several) in writers.into_iter().filter(|(_, several)| several.len() > 1) {
        let names: Vec<&str> =
            several.iter().map(|located| text(&located.object, "/metadata/name")).collect();
        let merges =
            |located: &&Located<Value>| text(&located.object, "/spec/target/creationPolicy") == "Merge";
        if !several.iter().any(merges) {
            let message = format!("Secret {secret} is written by {}", names.join(" and "));
            judge.report(
                Code::TwoWriters,
                several[1].place.clone(),
                message,
                "give each a target of its own, or merge them",
            );
        }
    }
}

fn interval(judge: &mut Judge<'_>, located: &Located<Value>) {
    let interval = text(&located.object, "/spec/refreshInterval");
    let policy = text(&located.object, "/spec/refreshPolicy");
    let is_never = !interval.is_empty() && parse_duration(interval).is_ok_and(|interval| interval.is_zero());
    if is_never || policy == "CreatedOnce" {
        let place = located.at("/spec/refreshInterval");
        judge.report(
            Code::SyncedOnce,
            place,
            "the store is read once and never again",
            "set refreshInterval, such as 1h",
        );
    }
}

fn store(judge: &mut Judge<'_>, located: &Located<Value>) {
    let Known::Yes(stores) = &judge.world.secret_stores else { return };
    let name = text(&located.object, "/spec/secretStoreRef/name");
    if name.is_empty() {
        return;
    }
    let kind = Some(text(&located.object, "/spec/secretStoreRef/kind"))
        .filter(|kind| !kind.is_empty())
        .unwrap_or("SecretStore");
    let found = stores.iter().find(|store| {
        text(&store.object, "/metadata/name") == name
            && (text(&store.object, "/metadata/namespace").is_empty() == (kind == "ClusterSecretStore"))
    });
    let why = match found {
        None => Some("is not there".to_owned()),
        Some(store) => condition(&store.object, "Ready")
            .filter(|ready| text(ready, "/status") == "False")
            .map(|ready| format!("is not ready: {} {}", text(ready, "/reason"), text(ready, "/message"))),
    };
    if let Some(why) = why {
        let message = format!("{kind} {name} {why}");
        let advice = "create it, or mend what its condition names";
        judge.report(Code::ExternalStoreFails, located.place.clone(), message, advice);
    }
}

fn synced(judge: &mut Judge<'_>, located: &Located<Value>) {
    let object = &located.object;
    let place = located.place.clone();
    let name = text(object, "/metadata/name");
    match condition(object, "Ready") {
        Some(ready) if text(ready, "/status") != "True" => {
            let message = format!(
                "ExternalSecret {name} is not syncing: {} {}",
                text(ready, "/reason"),
                text(ready, "/message")
            );
            judge.report(
                Code::NotSyncing,
                place,
                message,
                "mend what is named: the remote object, the property, or the store's rights",
            );
            return;
        }
        None => {
            let message =
                format!("ExternalSecret {name} is not syncing: its operator has not said a word about it");
            judge.report(
                Code::NotSyncing,
                place,
                message,
                "is External Secrets Operator running, and for this namespace?",
            );
            return;
        }
        Some(_) => {}
    }
    let interval =
        parse_duration(text(object, "/spec/refreshInterval")).map_or(0, |interval| interval.as_secs());
    let refreshed = seconds(text(object, "/status/refreshTime"));
    if let (Some(refreshed), Ok(interval @ 1..)) = (refreshed, i64::try_from(interval)) {
        let age = judge.world.now - refreshed;
        if age > 2 * interval {
            let message = format!(
                "ExternalSecret {name} was last refreshed {} ago, and is to be every {}",
                span(age),
                span(interval)
            );
            judge.report(Code::SyncStale, place.clone(), message, "look at the operator's pods and logs");
        }
    }
    let namespace = text(object, "/metadata/namespace");
    let is_written = text(object, "/spec/target/creationPolicy") != "None";
    let secret = target(object);
    if is_written && judge.world.secrets.yes().is_some() && judge.secret(namespace, secret).is_none() {
        let message = format!("ExternalSecret {name} is ready, and its Secret {secret} is not there");
        judge.report(Code::TargetMissing, place, message, "look at target.name, and at who deletes it");
    }
}
