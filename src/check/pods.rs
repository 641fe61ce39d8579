//! Live pods: whether they were injected, and why they do not start.

use serde_json::Value;

use super::code::Code;
use super::finding::Place;
use super::judge::{Judge, condition, list, text, title};
use super::world::Known;
use crate::domain::{Grammar, Parsed};
use crate::inject::{KEES_INIT_CONTAINER, MIRROR_ANNOTATION, Pod, Verdict, plan};
use crate::sysexits::{EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE};

/// The containers that the webhook adds, and kees'.
const OURS: [&str; 3] = ["keystow-init", "keystow-refresh", KEES_INIT_CONTAINER];
/// Reasons of the creator's Events.
const CREATOR: &str = "Secret";
/// What a kubelet says about images that it cannot have.
const NO_IMAGE: [&str; 4] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
const LONGEST: usize = 600;

pub(super) fn rules(judge: &mut Judge<'_>) {
    if let Known::Yes(pods) = &judge.world.pods {
        for pod in pods {
            let is_gone = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
            if pod.pointer("/metadata/deletionTimestamp").is_none() && !is_gone {
                injected(judge, pod);
                init_containers(judge, pod);
                containers(judge, pod);
            }
        }
    }
    refused(judge);
    events(judge);
}

fn place(pod: &Value) -> Place {
    Place::of(title("Pod", pod))
}

fn has_kees(pod: &Value) -> bool {
    list(pod, "/spec/initContainers").iter().any(|container| text(container, "/name") == KEES_INIT_CONTAINER)
}

fn injected(judge: &mut Judge<'_>, pod: &Value) {
    let settings = judge.settings;
    let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
    let Some(annotations) = annotations.filter(|all| !all.contains_key(MIRROR_ANNOTATION)) else { return };
    let texts = annotations.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let grammar = Grammar { domain: &settings.domain, taken_files: settings.layout.taken_files() };
    let asks = match grammar.parse(texts) {
        Ok(Parsed::OptedOut) => false,
        Ok(Parsed::Requests(requests, _)) => !requests.is_empty(),
        Err(_) => true,
    };
    let status = annotations.get(&settings.domain.status_key()).and_then(Value::as_str);
    match status {
        None if asks && !has_kees(pod) => {
            let message = "the pod asks for secrets and was not injected";
            judge.report(Code::NotInjected, place(pod), message, "delete it, so that it is created anew");
        }
        Some(status) if asks => {
            let json = pod.to_string();
            let Ok(view) = Pod::from_json(json.as_bytes()) else { return };
            let namespace = &judge.world.namespace;
            if let Ok(Verdict::Inject(plan)) = plan(&view, namespace, settings)
                && !status.contains(&plan.hash)
            {
                let message = "the pod was injected for other annotations than it has now";
                judge.report(
                    Code::InjectedOtherwise,
                    place(pod),
                    message,
                    "delete it, so that it is created anew",
                );
            }
        }
        None | Some(_) => {}
    }
}

fn init_containers(judge: &mut Judge<'_>, pod: &Value) {
    for status in list(pod, "/status/initContainerStatuses") {
        let name = text(status, "/name");
        if !OURS.contains(&name) {
            continue;
        }
        let ended = ["/state/terminated", "/lastState/terminated"].iter().find_map(|at| status.pointer(at));
        let code = ended.and_then(|ended| ended.get("exitCode")?.as_u64()).filter(|code| *code != 0);
        let is_running = status.pointer("/state/running").is_some();
        let waits = text(status, "/state/waiting/reason");
        if let (Some(code), Some(ended), false) = (code, ended, is_running) {
            let (found, advice) = match u8::try_from(code) {
                Ok(EX_DATAERR) => {
                    (Code::NotInStore, "create the value, or mend storage-prefix and storageKey")
                }
                Ok(EX_NOPERM) => (Code::PermissionDenied, "grant it: keystow export writes the policy"),
                Ok(EX_UNAVAILABLE) => (Code::StoreAway, "look at the store, and at what is between"),
                _ => (Code::InitFails, "kubectl describe pod has its last words"),
            };
            let words = brief(text(ended, "/message"));
            judge.report(found, place(pod), format!("{name} ended with code {code}: {words}"), advice);
        } else if NO_IMAGE.contains(&waits) {
            let message = format!(
                "the image of {name} cannot be had: {}",
                brief(text(status, "/state/waiting/message"))
            );
            judge.report(
                Code::InitFails,
                place(pod),
                message,
                "mend injection.image, or let the node pull it",
            );
        }
    }
}

fn containers(judge: &mut Judge<'_>, pod: &Value) {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    for status in lists.iter().flat_map(|at| list(pod, at)) {
        if text(status, "/state/waiting/reason") == "CreateContainerConfigError" {
            let words = brief(text(status, "/state/waiting/message"));
            let message = format!("container {} cannot start: {words}", text(status, "/name"));
            judge.report(
                Code::CannotStart,
                place(pod),
                message,
                "create the Secret or the key that is named",
            );
        }
    }
}

/// Objects that cannot make their pods, as they say themselves.
fn refused(judge: &mut Judge<'_>) {
    for located in &judge.world.workloads {
        let failed = condition(&located.object, "ReplicaFailure")
            .or_else(|| condition(&located.object, "FailedCreate"));
        if let Some(failed) = failed.filter(|failed| text(failed, "/status") == "True") {
            let message = format!("its pods are refused: {}", brief(text(failed, "/message")));
            judge.report(
                Code::PodsRefused,
                located.place.clone(),
                message,
                "mend what is named, and apply it again",
            );
        }
    }
}

fn events(judge: &mut Judge<'_>) {
    let Known::Yes(events) = &judge.world.events else { return };
    for event in events {
        let about = event.get("involvedObject").or_else(|| event.get("regarding")).unwrap_or(&Value::Null);
        let [kind, name, reason] = [text(about, "/kind"), text(about, "/name"), text(event, "/reason")];
        let note =
            Some(text(event, "/message")).filter(|note| !note.is_empty()).unwrap_or(text(event, "/note"));
        let place = Place::of(format!("{kind} {}/{name}", judge.world.namespace));
        match kind {
            // What was said of a pod that runs now, or is gone, is past.
            "Pod" if waits(judge, name) => {
                if reason == "FailedMount" && note.to_lowercase().contains("secret") {
                    let message = format!("a volume cannot be mounted: {}", brief(note));
                    judge.report(Code::CannotMount, place, message, "create the Secret that is named");
                } else if reason.starts_with(CREATOR) && is_by_keystow(event) {
                    let message = format!("{reason}: {}", brief(note));
                    judge.report(Code::CreatorSays, place, message, "docs/runbook.md has what to do");
                }
            }
            "Pod" => {}
            _ if reason == "FailedCreate" && lacks_pods(judge, kind, name) => {
                let message = format!("its pods are refused: {}", brief(note));
                judge.report(Code::PodsRefused, place, message, "mend what is named, and apply it again");
            }
            _ => {}
        }
    }
}

fn is_by_keystow(event: &Value) -> bool {
    ["/reportingComponent", "/reportingController", "/source/component"]
        .iter()
        .any(|at| text(event, at).starts_with("keystow"))
}

/// Whether the pod is there and does not run yet.
fn waits(judge: &Judge<'_>, name: &str) -> bool {
    let pods = judge.world.pods.yes();
    pods.into_iter().flatten().any(|pod| {
        text(pod, "/metadata/name") == name && matches!(text(pod, "/status/phase"), "" | "Pending")
    })
}

/// Whether the object has fewer pods than it wants; a ReplicaSet of a Deployment is not among those that were read, and
/// that its Deployment is complete says enough.
fn lacks_pods(judge: &Judge<'_>, kind: &str, name: &str) -> bool {
    let count = |object: &Value, at: &str| object.pointer(at).and_then(Value::as_i64);
    let mut found = judge.world.workloads.iter().filter(|located| {
        let object = &located.object;
        let its_name = text(object, "/metadata/name");
        let is_its_deployment = kind == "ReplicaSet"
            && text(object, "/kind") == "Deployment"
            && name.strip_prefix(its_name).is_some_and(|rest| rest.starts_with('-'));
        (text(object, "/kind") == kind && its_name == name) || is_its_deployment
    });
    found.any(|located| {
        let object = &located.object;
        let wanted = count(object, "/spec/replicas")
            .or(count(object, "/status/desiredNumberScheduled"))
            .or(count(object, "/spec/parallelism"))
            .unwrap_or(1);
        let ready = ["/status/readyReplicas", "/status/numberReady", "/status/active", "/status/succeeded"]
            .iter()
            .find_map(|at| count(object, at))
            .unwrap_or(0);
        ready < wanted
    })
}

/// The words of somebody else, of which a line is enough.
fn brief(words: &str) -> String {
    let line: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
