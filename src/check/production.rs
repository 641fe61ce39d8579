//! The checklist before production: what is a fault only there, and what nobody can see from here.

use super::code::Code;
use super::finding::{Place, Severity};
use super::judge::{Judge, list, title};
use super::world::Known;

const FLAG: &str = "--encryption-provider-config";

pub(super) fn rules(judge: &mut Judge<'_>) {
    if !judge.options.production {
        return;
    }
    let namespace = judge.world.namespace.clone();
    if judge.world.is_live {
        encryption(judge);
    }
    let is_allowed = judge.settings.local_mode.namespaces.iter().any(|pattern| pattern.matches(&namespace));
    let place = Place::of(format!("Namespace {namespace}"));
    if is_allowed {
        let message =
            format!("the configuration (localMode.namespaces) allows predictable values in {namespace}");
        judge.report(Code::LocalModeAllowed, place.clone(), message, "take it out where data matter");
    }
    let message = "nothing here tells whether secrets are backed up, and whether a backup was ever restored";
    let advice = "back up the store and etcd, keep encryption keys apart from both, and try to restore";
    judge.report(Code::BackupReminder, place, message, advice);
}

fn encryption(judge: &mut Judge<'_>) {
    let servers = judge.world.api_servers.yes().map(Vec::as_slice).unwrap_or_default();
    let advice = "keystow export encryption-config writes the file; docs/encryption-at-rest.md has the steps";
    if servers.is_empty() {
        let why = match &judge.world.api_servers {
            Known::No(why) => why.as_str(),
            Known::Yes(_) | Known::Unasked => "no API server runs as a pod here",
        };
        let message = format!("whether etcd holds Secrets encrypted cannot be seen ({why})");
        let place = Place::of("Cluster");
        let verify = "ask who runs the control plane, or look: etcdctl get /registry/secrets/… | hexdump -C";
        return judge.report_as(Severity::Note, Code::NotEncryptedAtRest, place, message, verify);
    }
    for server in servers {
        let arguments = list(server, "/spec/containers")
            .iter()
            .flat_map(|container| list(container, "/command").iter().chain(list(container, "/args")));
        let mut arguments = arguments.filter_map(serde_json::Value::as_str);
        if !arguments.any(|argument| argument.starts_with(FLAG)) {
            let message = format!("the API server runs without {FLAG}: Secrets are in etcd as they are");
            judge.report(Code::NotEncryptedAtRest, Place::of(title("Pod", server)), message, advice);
        }
    }
}
