//! What pods say they need: the same words that the webhook would say, and those that it cannot say.

use serde_json::Value;

use super::code::Code;
use super::judge::{Judge, Subject};
use crate::domain::{Family, LocalMode, nearest};
use crate::handover::StoreSettings;
use crate::inject::{DenialKind, Pod, Verdict, plan};
use crate::workload::Asking;

pub(super) fn rules(judge: &mut Judge<'_>) {
    judge.for_each(|judge, subject| {
        misplaced(judge, subject);
        look_alikes(judge, subject);
        opted_out(judge, subject);
        match &subject.asking {
            Err(unreadable) => {
                for problem in &unreadable.problems {
                    let place = subject.annotation_of(problem);
                    judge.report(
                        Code::AnnotationInvalid,
                        place,
                        problem,
                        "mend the annotation, and apply the object again",
                    );
                }
            }
            Ok(Some(asking)) => understood(judge, subject, asking),
            Ok(None) => {}
        }
    });
}

fn understood(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>) {
    for odd in &asking.warnings {
        let place = subject.annotation_of(odd.as_str());
        judge.report(Code::AnnotationOdd, place, odd.as_str(), "mend the annotation, or take it out");
    }
    let (requests, domain) = (&asking.requests, &judge.settings.domain);
    let mut is_permitted = true;
    let (_, refusals) = judge.settings.permit(&asking.workload.namespace, requests);
    for refusal in refusals {
        is_permitted = false;
        let key = domain.key(refusal.family, &refusal.key);
        let code = match (refusal.kind, refusal.family) {
            (DenialKind::InvalidAnnotation, Family::Inject) => Code::UnknownStore,
            (DenialKind::InvalidAnnotation, _) => Code::AnnotationInvalid,
            _ => Code::NotPermitted,
        };
        let advice = "ask for what the configuration allows, or have it changed";
        judge.report(code, subject.annotation(&key), format!("{key}: {}", refusal.message), advice);
    }
    let mode = requests.storage.local_mode;
    if mode != LocalMode::Remote && requests.needs_init() {
        let key = domain.key(Family::Init, "local-mode");
        let message = format!("{key}: {} gives values that anybody can derive from their names", mode.word());
        judge.report(Code::LocalMode, subject.annotation(&key), message, "take it out wherever data matter");
    }
    let no_leases = asking.store.and_then(StoreSettings::cannot_hold_leases);
    if let (Some(why), Some(lease)) = (no_leases, requests.leases.first())
        && mode != LocalMode::Local
    {
        let key = domain.key(Family::Lease, lease.name.as_str());
        let message = format!("{key}: the store cannot hold leases: {why}");
        judge.report(
            Code::LeasesImpossible,
            subject.annotation(&key),
            message,
            "choose a store that can, by inject.…/store",
        );
    }
    if is_permitted {
        planned(judge, subject, asking, no_leases.is_some());
    }
}

/// What the plan of the injection says, which looks at the pod too. A pod that is injected already was planned.
fn planned(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>, no_leases: bool) {
    let status = judge.settings.domain.status_key();
    let is_injected =
        subject.pod.pointer("/metadata/annotations").is_some_and(|all| all.get(&status).is_some());
    if is_injected {
        return;
    }
    let json = subject.pod.to_string();
    let Ok(view) = Pod::from_json(json.as_bytes()) else {
        let message = "this is no pod as Kubernetes writes it";
        return judge.report(Code::NotInjectable, subject.at(""), message, "mend the pod's spec");
    };
    match plan(&view, &asking.workload.namespace, judge.settings) {
        Ok(Verdict::Inject(plan)) => {
            let account = judge.settings.domain.key(Family::Inject, "service-account");
            let lease = judge.settings.domain.key(Family::Lease, "");
            for warning in plan.warnings {
                let told = warning.as_str();
                if asking.warnings.contains(&warning) || (no_leases && told.starts_with(&lease)) {
                    continue;
                }
                let code = if told.starts_with(&account) { Code::AccountStays } else { Code::Clash };
                judge.report(
                    code,
                    subject.annotation_of(told),
                    told,
                    "delete what the pod has, or the annotation",
                );
            }
        }
        Ok(Verdict::Skip(_)) => {}
        Err(denial) => {
            for message in denial.messages {
                let place = subject.annotation_of(&message);
                judge.report(Code::NotInjectable, place, message, "mend the pod or the annotation");
            }
        }
    }
}

fn misplaced(judge: &mut Judge<'_>, subject: &Subject<'_>) {
    let annotations = subject.located.object.pointer("/metadata/annotations").and_then(Value::as_object);
    if !subject.workload.has_template() {
        return;
    }
    for (key, _) in annotations.into_iter().flatten() {
        if judge.settings.domain.classify(key).is_some() {
            let at = format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
            let place = subject.located.at(&at);
            let message = format!("{key}: {}", subject.workload.misplaced_annotations());
            return judge.report(Code::Misplaced, place, message, "move them to the pod template");
        }
    }
}

fn opted_out(judge: &mut Judge<'_>, subject: &Subject<'_>) {
    let domain = &judge.settings.domain;
    let annotations = subject.pod.pointer("/metadata/annotations").and_then(Value::as_object);
    let is_out =
        annotations.and_then(|all| all.get(&domain.enabled_key())).is_some_and(|value| value == "false");
    let asks = |(key, _): (&String, &Value)| {
        matches!(domain.classify(key), Some((Family::Secret | Family::Resource | Family::Lease, _)))
    };
    if is_out && annotations.into_iter().flatten().any(asks) {
        let key = domain.enabled_key();
        let message = format!("{key}: \"false\" keeps keystow away, so the other annotations do nothing");
        judge.report(Code::OptedOut, subject.annotation(&key), message, "delete it, or the others");
    }
}

/// Keys that nobody reads and that were meant for us.
fn look_alikes(judge: &mut Judge<'_>, subject: &Subject<'_>) {
    let domain = judge.settings.domain.clone();
    let annotations = subject.pod.pointer("/metadata/annotations").and_then(Value::as_object);
    let prefixes: Vec<String> = Family::ALL.into_iter().map(|family| domain.key(family, "")).collect();
    let known: Vec<&str> = prefixes.iter().map(|prefix| prefix.trim_end_matches('/')).collect();
    for (key, value) in annotations.into_iter().flatten() {
        let Some((prefix, name)) = key.split_once('/') else { continue };
        if domain.classify(key).is_some() {
            continue;
        }
        let longer = known.iter().find(|known| prefix.starts_with(**known)).copied();
        let by_family = known.iter().find(|known| {
            let family = known.split('.').next().unwrap_or_default();
            let is_value = value.as_str().is_some_and(|value| value.starts_with("kind="));
            is_value && prefix.split('.').next() == Some(family)
        });
        let meant = nearest(prefix, &known).or(longer).or(by_family.copied());
        if let Some(meant) = meant {
            let message = format!("{key} is read by nobody; {meant}/{name} was probably meant");
            judge.report(
                Code::LooksLikeOurs,
                subject.annotation(key),
                message,
                format!("write {meant}/{name}"),
            );
        }
    }
}
