//! What could not be looked at: one note each, so that nobody takes silence for health.

use super::code::Code;
use super::finding::Place;
use super::judge::Judge;
use super::world::Known;

pub(super) fn rules(judge: &mut Judge<'_>) {
    let world = judge.world;
    let seen = [
        (
            "the operator's configuration",
            reason(&world.configuration),
            "settings of stores and rules are taken for the defaults; give --config FILE",
        ),
        ("the Namespace", reason(&world.namespace_object), "allow `get` of namespaces"),
        ("pods", reason(&world.pods), "allow `list` of pods"),
        (
            "Secrets",
            reason(&world.secrets),
            "allow `list` of secrets, whose values are looked at and shown to nobody",
        ),
        ("ConfigMaps", reason(&world.config_maps), "allow `list` of configmaps"),
        ("service accounts", reason(&world.service_accounts), "allow `list` of serviceaccounts"),
        ("Events", reason(&world.events), "allow `list` of events"),
        ("webhook configurations", reason(&world.webhooks), "allow `list` of mutatingwebhookconfigurations"),
        (
            "the webhook's endpoints",
            reason(&world.endpoints),
            "allow `list` of endpointslices in keystow's namespace",
        ),
        ("keystow's Leases", reason(&world.leases), "allow `list` of leases in keystow's namespace"),
        ("ExternalSecrets", reason(&world.external_secrets), "allow `list` of externalsecrets"),
        (
            "secret stores",
            reason(&world.secret_stores),
            "allow `list` of secretstores and clustersecretstores",
        ),
    ];
    for (what, why, advice) in seen {
        if let Some(why) = why {
            judge.report(
                Code::NotSeen,
                Place::of(namespace(judge)),
                format!("{what} could not be looked at: {why}"),
                advice,
            );
        }
    }
    for why in &judge.answers.refused {
        let message = format!("nobody says what service accounts may do: {why}");
        let advice = "allow `create` of subjectaccessreviews (authorization.k8s.io)";
        judge.report(Code::NotSeen, Place::of(namespace(judge)), message, advice);
    }
}

fn namespace(judge: &Judge<'_>) -> String {
    format!("Namespace {}", judge.world.namespace)
}

fn reason<T>(known: &Known<T>) -> Option<&str> {
    match known {
        Known::No(why) => Some(why),
        Known::Yes(_) | Known::Unasked => None,
    }
}
