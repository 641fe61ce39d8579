//! The decision on one pod: skip it, refuse it with every reason at once, or change it.
//!
//! Order: what is none of our business, what the annotations say, what the operator allows, what the pod has in
//! the way, and then the changes. Nothing is added that is already there by name; what an earlier call noted is
//! believed only where its result can be seen.

use std::collections::HashSet;
use std::fmt;

use super::changes::{Appender, Change, Changes, List, Reason};
use super::containers::{self, init_containers};
use super::fetcher::{Fetcher, Names};
use super::parts::Json;
use super::pod::Pod;
use super::references;
use super::settings::Settings;
use super::status::{Status, hash_of};
use crate::domain::{Family, Fault, Grammar, Layout, Parsed, Problem, RequestName, Requests, Warning};
use crate::handover::StoreSettings;

/// What is to be done with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Skip(Skipped),
    /// These changes, perhaps none.
    Inject(Plan),
}

/// Why a pod is none of our business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// A static pod's copy.
    Mirror,
    /// `inject.D/enabled: "false"`.
    OptedOut,
    /// No annotation of ours asks for anything.
    NoRequest,
    /// It has kees' own init container.
    HasKees,
}

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they must be applied.
    pub changes: Vec<Change>,
    /// What is odd.
    pub warnings: Vec<Warning>,
    /// Of the requests.
    pub hash: String,
    /// The names of what the pod receives, for the audit log.
    pub injected: Vec<String>,
}

/// Why a pod is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Denial {
    /// The kind of the first reason.
    pub kind: DenialKind,
    /// Every reason.
    pub messages: Vec<String>,
    /// What else is odd.
    pub warnings: Vec<Warning>,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DenialKind {
    /// An annotation that could never be served.
    InvalidAnnotation,
    /// The operator's configuration does not allow it.
    NotAllowed,
    /// The cluster or the pod's operating system cannot do it.
    Unsupported,
    /// Something of the pod is in the place of something of ours.
    Clash,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("; "))
    }
}

/// Collects what is wrong and what is odd.
pub(super) struct Findings<'s> {
    settings: &'s Settings,
    faults: Vec<(DenialKind, String)>,
    warnings: Vec<Warning>,
}

impl Findings<'_> {
    pub(super) fn fault(&mut self, kind: DenialKind, message: String) {
        self.faults.push((kind, message));
    }

    /// A fault of one annotation.
    pub(super) fn fault_of(&mut self, kind: DenialKind, family: Family, key: &str, message: String) {
        let annotation = self.settings.domain.key(family, key);
        self.fault(kind, Problem { annotation, fault: Fault::Conflict(message) }.to_string());
    }

    pub(super) fn warn_of(&mut self, family: Family, key: &str, message: &str) {
        let annotation = self.settings.domain.key(family, key);
        self.warnings.push(Warning::new(&annotation, message));
    }

    /// A warning of what asks for a variable.
    pub(super) fn warn_of_variable(&mut self, reason: &Reason, message: &str) {
        match reason {
            Reason::TemplateEnv(name) => {
                self.warn_of(Family::Inject, &format!("template-env.{name}"), message);
            }
            Reason::Secret(name) => self.warn_of(Family::Secret, name, message),
            Reason::Status | Reason::Fetch | Reason::Refresh | Reason::Position | Reason::ServiceAccount => {}
        }
    }

    pub(super) fn warn_of_secret(&mut self, name: &RequestName, message: &str) {
        self.warn_of(Family::Secret, name.as_str(), message);
    }
}

/// Decides what is to be done with `pod`, which is or will be in `namespace`.
pub fn plan(pod: &Pod<'_>, namespace: &str, settings: &Settings) -> Result<Verdict, Denial> {
    if pod.is_mirror() {
        return Ok(Verdict::Skip(Skipped::Mirror));
    }
    let grammar = Grammar { domain: &settings.domain, taken_files: settings.layout.taken_files() };
    let mut findings = Findings { settings, faults: Vec::new(), warnings: Vec::new() };
    let requests = match grammar.parse(pod.annotations()) {
        Ok(Parsed::OptedOut) => return Ok(Verdict::Skip(Skipped::OptedOut)),
        Ok(Parsed::Requests(requests, warnings)) => {
            findings.warnings = warnings;
            requests
        }
        Err(rejection) => {
            let problems = rejection.problems.iter();
            findings.faults = problems.map(|p| (DenialKind::InvalidAnnotation, p.to_string())).collect();
            findings.warnings = rejection.warnings;
            rejection.readable
        }
    };
    let planner =
        Planner { pod, namespace, settings, requests: &requests, names: Names::of(settings.layout) };
    if findings.faults.is_empty() {
        if requests.is_empty() {
            return Ok(planner.skip(Skipped::NoRequest, findings));
        }
        if planner.has_kees_container() {
            return Ok(Verdict::Skip(Skipped::HasKees));
        }
    }
    planner.decide(findings)
}

/// What a decision is made from.
pub(super) struct Planner<'a> {
    pub(super) pod: &'a Pod<'a>,
    pub(super) namespace: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) requests: &'a Requests,
    names: Names,
}

impl<'a> Planner<'a> {
    /// A pod without requests still hears of annotations that were probably meant as some.
    fn skip(&self, why: Skipped, findings: Findings<'_>) -> Verdict {
        if findings.warnings.is_empty() {
            return Verdict::Skip(why);
        }
        let (hash, warnings) = (self.hash(), findings.warnings);
        Verdict::Inject(Plan { changes: Vec::new(), warnings, hash, injected: Vec::new() })
    }

    fn decide(&self, mut findings: Findings<'_>) -> Result<Verdict, Denial> {
        let store = self.check_allowed(&mut findings);
        self.check_leases(store, &mut findings);
        self.check_supported(&mut findings);
        let all = containers::all(self.pod, self.names, self.requests.injection.init_position);
        self.check_names(&all, &mut findings);
        self.check_paths(&mut findings);
        self.check_templates(&mut findings);
        if !findings.faults.is_empty() {
            return Err(deny(findings));
        }
        let hash = self.hash();
        let note = self.pod.annotation(&self.settings.domain.status_key()).and_then(Status::read);
        let claimed = note.as_ref().and_then(|note| containers::claimed(&all, note));
        let attempt = |chosen: Option<&HashSet<String>>| {
            let mut findings =
                Findings { settings: self.settings, faults: Vec::new(), warnings: findings.warnings.clone() };
            let (changes, targets) = self.changes(chosen, store, &mut findings);
            (changes, targets, findings)
        };
        let believed = claimed.map(|claimed| attempt(Some(&claimed))).filter(|(changes, ..)| {
            if self.requests.needs_init() { self.is_fetching() } else { changes.is_empty() }
        });
        let (mut changes, targets, findings) = believed.unwrap_or_else(|| attempt(None));
        if !findings.faults.is_empty() {
            return Err(deny(findings));
        }
        let status = Status::new(&hash, targets);
        let is_noted = note.as_ref() == Some(&status);
        // Also where there was nothing to add: the note says that the webhook was here.
        if !is_noted {
            // A key of a domain has a `/`, which a JSON pointer escapes, and no `~`.
            let key = self.settings.domain.status_key().replace('/', "~1");
            changes.add(format!("/metadata/annotations/{key}"), Json::of(&status.to_text()), Reason::Status);
        }
        let injected = self.injected();
        Ok(Verdict::Inject(Plan { changes: changes.into_vec(), warnings: findings.warnings, hash, injected }))
    }

    /// The changes, and the names of the containers that receive secrets.
    fn changes(
        &self,
        claimed: Option<&HashSet<String>>,
        store: Option<&'a StoreSettings>,
        findings: &mut Findings<'_>,
    ) -> (Changes, Vec<String>) {
        let mut changes = Changes::default();
        self.set_service_account(&mut changes, findings);
        let mut targets = containers::all(self.pod, self.names, self.requests.injection.init_position);
        match (&self.requests.injection.containers, claimed) {
            (Some(chosen), _) => {
                targets.retain(|target| chosen.iter().any(|name| name.as_str() == target.name()));
            }
            (None, Some(claimed)) => targets.retain(|target| claimed.contains(target.name())),
            (None, None) => {}
        }
        let mut volumes = Appender::new(List::Volumes, self.pod.spec.volumes.is_some());
        references::plan(self.pod, self.requests, &mut targets, &mut volumes, &mut changes, findings);
        if let (true, Some(store)) = (self.requests.needs_init(), store) {
            let fetcher = Fetcher {
                pod: self.pod,
                requests: self.requests,
                settings: self.settings,
                store,
                names: self.names,
                directory: self.directory(),
            };
            fetcher.plan(&mut targets, &mut volumes, &mut changes, findings);
        }
        if self.requests.secrets.is_empty() && !self.requests.needs_init() {
            targets.clear();
        }
        (changes, targets.iter().map(|target| target.name().to_owned()).collect())
    }

    fn set_service_account(&self, changes: &mut Changes, findings: &mut Findings<'_>) {
        let Some(wanted) = &self.requests.injection.service_account else { return };
        match self.pod.chosen_service_account() {
            Some(chosen) if chosen == wanted.as_str() => {}
            Some(chosen) => {
                let message = format!("the pod already runs as {chosen}, and that stays");
                findings.warn_of(Family::Inject, "service-account", &message);
            }
            None if wanted.as_str() == "default" => {}
            None => {
                let account = Json::of(&wanted.as_str());
                changes.add("/spec/serviceAccountName".to_owned(), account, Reason::ServiceAccount);
                // Those of the account that the pod no longer has. The plugin runs again and fills an empty list.
                if self.pod.has_pull_secrets_of_its_account() {
                    changes.remove("/spec/imagePullSecrets".to_owned(), Reason::ServiceAccount);
                }
            }
        }
    }

    pub(super) fn directory(&self) -> &'a str {
        let chosen = self.requests.injection.path.as_ref();
        chosen.map_or(self.settings.layout.directory(), |path| path.as_str())
    }

    /// Whether our init container and its volume are in the pod.
    fn is_fetching(&self) -> bool {
        let has_volume =
            self.pod.spec.volumes.iter().flatten().any(|volume| &*volume.name == self.names.secrets);
        has_volume && init_containers(self.pod).iter().any(|container| &*container.name == self.names.init)
    }

    /// A pod whose manifest was prepared for kees at build time, and not by us at an earlier call.
    fn has_kees_container(&self) -> bool {
        let kees = Names::of(Layout::Kees).init;
        if !init_containers(self.pod).iter().any(|container| &*container.name == kees) {
            return false;
        }
        let noted = self.pod.annotation(&self.settings.domain.status_key()).and_then(Status::read).is_some();
        !(self.settings.layout == Layout::Kees && noted && self.is_fetching())
    }

    fn hash(&self) -> String {
        let status = self.settings.domain.status_key();
        let ours = |key: &str| key != status && self.settings.domain.classify(key).is_some();
        hash_of(self.pod.annotations().filter(|(key, _)| ours(key)))
    }

    fn injected(&self) -> Vec<String> {
        let secrets = self.requests.secrets.iter().map(|request| &request.name);
        let resources = self.requests.resources.iter().map(|request| &request.name);
        let leases = self.requests.leases.iter().map(|request| &request.name);
        secrets.chain(resources).chain(leases).map(|name| name.as_str().to_owned()).collect()
    }
}

fn deny(mut findings: Findings<'_>) -> Denial {
    findings.faults.sort_by_key(|(kind, _)| *kind);
    findings.faults.dedup();
    let kind = findings.faults.first().map_or(DenialKind::InvalidAnnotation, |(kind, _)| *kind);
    let messages = findings.faults.into_iter().map(|(_, message)| message).collect();
    Denial { kind, messages, warnings: findings.warnings }
}
