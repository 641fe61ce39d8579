//! What the store `kubernetes` holds for the pods of the namespace, and who makes what it does not hold. Of other stores
//! nothing can be seen from here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::code::Code;
use super::finding::{Place as Where, Severity};
use super::judge::{Judge, Subject, text};
use super::times::seconds;
use super::world::{Question, World};
use crate::domain::{Delivery, Family, LocalMode, Origin, StoragePath};
use crate::handover::{Place, StoreSettings};
use crate::workload::Asking;

/// The creator's account and Lease, as the shipped manifests name them.
const CREATOR: &str = "keystow-creator";

/// What to ask about the creator.
pub(super) fn questions(world: &World, subjects: &[Subject<'_>]) -> BTreeSet<Question> {
    let Some(keystow) = world.keystow_namespace.as_ref().filter(|_| world.is_live) else {
        return BTreeSet::new();
    };
    let is_served = subjects
        .iter()
        .filter_map(Subject::asked)
        .any(|asking| is_kubernetes(asking) && needs_creator(asking));
    is_served.then(|| creates(keystow, &world.namespace)).into_iter().collect()
}

fn creates(keystow: &str, namespace: &str) -> Question {
    Question {
        account_namespace: keystow.to_owned(),
        account: CREATOR.to_owned(),
        verb: "create",
        name: None,
        namespace: namespace.to_owned(),
    }
}

fn is_kubernetes(asking: &Asking<'_>) -> bool {
    matches!(asking.store, Some(StoreSettings::Kubernetes(_)))
}

fn is_remote(asking: &Asking<'_>) -> bool {
    asking.requests.storage.local_mode == LocalMode::Remote
        && !matches!(asking.store, None | Some(StoreSettings::Local(_)))
}

fn needs_creator(asking: &Asking<'_>) -> bool {
    let is_dynamic = |delivery: &Delivery| matches!(delivery, Delivery::Stored(stored) if matches!(stored.origin, Origin::Dynamic(_)));
    is_remote(asking)
        && (!asking.requests.leases.is_empty()
            || asking.requests.secrets.iter().any(|request| is_dynamic(&request.delivery)))
}

pub(super) fn rules(judge: &mut Judge<'_>) {
    if !judge.world.is_live {
        return range_of_each_series(judge);
    }
    let is_created = creator_is_there(judge);
    judge.for_each(|judge, subject| {
        let Some(asking) = subject.asked().filter(|asking| is_remote(asking)) else { return };
        if is_kubernetes(asking) {
            values(judge, subject, asking);
            groups(judge, subject, asking);
            creator_is_denied(judge, subject, asking);
        }
        if needs_creator(asking) && is_created == Some(false) {
            let message = "secrets or indices are to be generated, and no creator holds its Lease";
            judge.report(
                Code::NoCreator,
                subject.located.place.clone(),
                message,
                "run keystow create: docs/creator.md",
            );
        }
    });
    range_of_each_series(judge);
}

/// Whether somebody renews the creator's Lease; `None` where that is not known.
fn creator_is_there(judge: &Judge<'_>) -> Option<bool> {
    let leases = judge.world.leases.yes()?;
    let lease = leases.iter().find(|lease| text(lease, "/metadata/name") == CREATOR);
    let is_fresh = lease.is_some_and(|lease| {
        let renewed = seconds(text(lease, "/spec/renewTime")).unwrap_or_default();
        let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(15);
        !text(lease, "/spec/holderIdentity").is_empty() && judge.world.now - renewed <= 2 * lasts + 10
    });
    Some(is_fresh)
}

/// Whether a value is there; `None` where Secrets cannot be seen.
fn has(judge: &Judge<'_>, namespace: &str, path: &StoragePath) -> Option<bool> {
    judge.world.secrets.yes()?;
    let place = Place::in_kubernetes(path);
    let secret = judge.secret(namespace, &place.secret());
    Some(secret.is_some_and(|secret| secret.object.data.contains_key(place.key)))
}

fn sought(path: &StoragePath) -> String {
    let place = Place::in_kubernetes(path);
    format!("key {} of Secret {}", place.key, place.secret())
}

/// What somebody has to put there.
fn values(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>) {
    let requests = &asking.requests;
    let namespace = &asking.workload.namespace;
    let mut missing = Vec::new();
    for (request, stored) in requests.stored() {
        if matches!(stored.origin, Origin::Reference { .. }) {
            let path = requests.secret_path(&request.name, stored);
            missing.push((Family::Secret, request.name.as_str(), path));
        }
    }
    for resource in &requests.resources {
        missing.push((Family::Resource, resource.name.as_str(), requests.resource_path(resource)));
    }
    for (family, name, path) in missing {
        if has(judge, namespace, &path) == Some(false) {
            let key = judge.settings.domain.key(family, name);
            let message = format!("{key}: {path} is not in the store ({})", sought(&path));
            let advice = format!("create {} in namespace {namespace}", sought(&path));
            judge.report(Code::ValueMissing, subject.annotation(&key), message, advice);
        }
    }
}

/// Of what is generated together, a part alone.
fn groups(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>) {
    let (generations, _) = asking.requests.generations();
    for generation in generations {
        let present = |path: &&StoragePath| has(judge, &asking.workload.namespace, path) == Some(true);
        let (there, gone): (Vec<&StoragePath>, Vec<&StoragePath>) =
            generation.paths.iter().partition(present);
        if let (Some(there), Some(gone)) = (there.first(), gone.first())
            && judge.world.secrets.yes().is_some()
        {
            let message =
                format!("{there} is in the store and {gone} is not, which belongs to it ({})", sought(gone));
            let advice = "delete what is there, if nobody uses it, or put back what is missing";
            judge.report(Code::PairIncomplete, subject.located.place.clone(), message, advice);
        }
    }
}

fn creator_is_denied(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>) {
    let Some(keystow) = judge.world.keystow_namespace.as_ref().filter(|_| needs_creator(asking)) else {
        return;
    };
    let namespace = &asking.workload.namespace;
    if judge.answers.of(&creates(keystow, namespace)) == Some(false) {
        let message =
            format!("the creator ({keystow}/{CREATOR}) may not create Secrets in namespace {namespace}");
        let advice = "apply a RoleBinding as in webhook-config/examples/creator-rights.yaml";
        judge.report(Code::CreatorDenied, subject.located.place.clone(), message, advice);
    }
}

/// All pods of a series against all its indices.
fn range_of_each_series(judge: &mut Judge<'_>) {
    let mut series: BTreeMap<String, (i64, i64, Where, String)> = BTreeMap::new();
    for subject in &judge.subjects {
        let Some(asking) = subject.asked() else { continue };
        let object = &subject.located.object;
        let replicas = ["/spec/replicas", "/spec/parallelism"]
            .iter()
            .find_map(|at| object.pointer(at).and_then(Value::as_i64))
            .unwrap_or(1);
        for lease in &asking.requests.leases {
            let name = asking.requests.lease_series(lease).to_string();
            let size = i64::from(*lease.range.end()) - i64::from(*lease.range.start()) + 1;
            let key = judge.settings.domain.key(Family::Lease, lease.name.as_str());
            let entry = series.entry(name).or_insert_with(|| (0, size, subject.annotation(&key), key));
            entry.0 += replicas;
            entry.1 = entry.1.max(size);
        }
    }
    for (name, (pods, size, place, key)) in series {
        if pods > size {
            let message = format!("{key}: {pods} pods share the {size} indices of {name}");
            judge.report_as(
                Severity::Error,
                Code::RangeTooSmall,
                place,
                message,
                "widen the range, or run fewer pods",
            );
        }
    }
}
