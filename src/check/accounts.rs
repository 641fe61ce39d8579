//! Service accounts: whether they are there, and whether they may read what their pods ask for, and no more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::judge::{Judge, Subject, text};
use super::world::{Known, Question, World};
use crate::domain::{Family, LocalMode};
use crate::handover::{Place, StoreSettings};
use crate::workload::Asking;

/// Annotations by which a cloud knows an account.
const AWS_ROLE: &str = "eks.amazonaws.com/role-arn";
const AZURE_CLIENT: &str = "azure.workload.identity/client-id";

/// What to ask about accounts.
pub(super) fn questions(world: &World, subjects: &[Subject<'_>]) -> BTreeSet<Question> {
    let mut questions = BTreeSet::new();
    if !world.is_live {
        return questions;
    }
    for subject in subjects {
        questions.insert(reads(subject, None));
        for secret in subject.asked().map(fetched).unwrap_or_default() {
            questions.insert(reads(subject, Some(secret)));
        }
    }
    questions
}

/// May the account get this Secret, or list all?
fn reads(subject: &Subject<'_>, secret: Option<String>) -> Question {
    Question {
        account_namespace: subject.workload.namespace.clone(),
        account: subject.account().to_owned(),
        verb: if secret.is_some() { "get" } else { "list" },
        name: secret,
        namespace: subject.workload.namespace.clone(),
    }
}

/// The Secrets that the init container reads with the account's token.
fn fetched(asking: &Asking<'_>) -> BTreeSet<String> {
    let requests = &asking.requests;
    let is_read = matches!(asking.store, Some(StoreSettings::Kubernetes(_)))
        && requests.storage.local_mode != LocalMode::Local;
    if !is_read {
        return BTreeSet::new();
    }
    let secrets = requests.stored().map(|(request, stored)| requests.secret_path(&request.name, stored));
    let resources = requests.resources.iter().map(|resource| requests.resource_path(resource));
    let values = secrets.chain(resources).map(|path| Place::in_kubernetes(&path).secret());
    // Of a lease the first index stands for all.
    let leases = requests
        .leases
        .iter()
        .map(|lease| Place::of_lease(&requests.lease_path(lease, *lease.range.start())).secret());
    values.chain(leases).collect()
}

pub(super) fn rules(judge: &mut Judge<'_>) {
    judge.for_each(|judge, subject| {
        let account = account(judge, subject);
        if let Some(asking) = subject.asked() {
            identity(judge, subject, asking, account);
            denied(judge, subject, asking);
        }
        let question = reads(subject, None);
        if judge.answers.of(&question) == Some(true) {
            let message =
                format!("service account {} may list every Secret of the namespace", question.account);
            let advice = "give it a Role with resourceNames: keystow export rbac writes it";
            judge.report(Code::AccountReadsAll, subject.located.place.clone(), message, advice);
        }
    });
}

/// The account's object, if it is there; tells where it is not.
fn account<'w>(judge: &mut Judge<'w>, subject: &Subject<'w>) -> Option<&'w Value> {
    let Known::Yes(accounts) = &judge.world.service_accounts else { return None };
    let (name, namespace) = (subject.account(), &subject.workload.namespace);
    let found = accounts.iter().find(|account| {
        let its = text(account, "/metadata/namespace");
        text(account, "/metadata/name") == name
            && (its == namespace || (its.is_empty() && !judge.world.is_live))
    });
    // Every namespace has the account `default` as soon as its controller has seen it.
    if found.is_none() && judge.world.is_live && name != "default" {
        let key = judge.settings.domain.key(Family::Inject, "service-account");
        let by_annotation =
            subject.pod.pointer("/metadata/annotations").is_some_and(|all| all.get(&key).is_some());
        let place =
            if by_annotation { subject.annotation(&key) } else { subject.at("/spec/serviceAccountName") };
        let message = format!("service account {name} is not there");
        judge.report(
            Code::AccountMissing,
            place,
            message,
            format!("kubectl -n {namespace} create serviceaccount {name}"),
        );
    }
    found
}

fn identity(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>, account: Option<&Value>) {
    let is_fetching = asking.requests.needs_init() && asking.requests.storage.local_mode != LocalMode::Local;
    let Some(store) = asking.store.filter(|store| is_fetching && !matches!(store, StoreSettings::Local(_)))
    else {
        return;
    };
    let has_values = asking.requests.stored().next().is_some()
        || !asking.requests.resources.is_empty()
        || !asking.requests.leases.is_empty();
    if !has_values {
        return;
    }
    let place = subject.located.place.clone();
    if asking.account == "default" {
        let message = "secrets are fetched as the service account default, which other pods run as too";
        let key = judge.settings.domain.key(Family::Inject, "service-account");
        judge.report(
            Code::DefaultAccount,
            place.clone(),
            message,
            format!("name an account of its own by {key}"),
        );
    }
    let automount = subject.pod.pointer("/spec/automountServiceAccountToken");
    let automount = automount.or_else(|| account?.get("automountServiceAccountToken"));
    if matches!(store, StoreSettings::Kubernetes(_)) && automount == Some(&Value::Bool(false)) {
        let message =
            "automountServiceAccountToken is false, and the store kubernetes is read with that token";
        let at = subject.at("/spec/automountServiceAccountToken");
        judge.report(Code::NoToken, at, message, "leave it out, or set it to true on the pod");
    }
    let Some(account) = account else { return };
    let annotated =
        |key: &str| account.pointer("/metadata/annotations").is_some_and(|all| all.get(key).is_some());
    let missing = match store {
        StoreSettings::DynamoDb(settings) => {
            (settings.audience.is_some() && settings.role_arn.is_none()).then_some(AWS_ROLE)
        }
        StoreSettings::SecretsManager(settings) | StoreSettings::Ssm(settings) => {
            (settings.audience.is_some() && settings.role_arn.is_none()).then_some(AWS_ROLE)
        }
        StoreSettings::Azure(settings) => settings.client_id.is_none().then_some(AZURE_CLIENT),
        _ => None,
    };
    if let Some(key) = missing.filter(|key| !annotated(key)) {
        let message = format!(
            "service account {} has no annotation {key}, and the store names no identity either",
            asking.account
        );
        judge.report(
            Code::NoCloudIdentity,
            place,
            message,
            "annotate the account, or set it in the store's settings",
        );
    }
}

fn denied(judge: &mut Judge<'_>, subject: &Subject<'_>, asking: &Asking<'_>) {
    let secrets = fetched(asking);
    let is_denied =
        |secret: &&String| judge.answers.of(&reads(subject, Some((*secret).clone()))) == Some(false);
    let denied: Vec<&str> = secrets.iter().filter(is_denied).map(String::as_str).collect();
    if !denied.is_empty() {
        let message =
            format!("service account {} may not get the Secrets {}", asking.account, denied.join(", "));
        let advice = "grant it by a Role with resourceNames: keystow export rbac writes it";
        judge.report(Code::AccountDenied, subject.located.place.clone(), message, advice);
    }
}
