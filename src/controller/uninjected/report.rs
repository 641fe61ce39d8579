//! What somebody is told of a pod: an Event beside it.
//!
//! Invariant: its name follows from the pod's UID alone. So there is one for each pod, whichever leader writes it, and for
//! as long as the API server keeps it (an hour, unless configured otherwise).

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::census::Due;
use crate::controller::event::{Regarding, Said, about};

/// The Event about a pod, by this replica. `conditions` are those of the configuration that nobody evaluates here.
pub(super) fn event(due: &Due, conditions: &[String], replica: &str, now: MicroTime) -> Event {
    let Due { uid, pod } = due;
    let said =
        Said { type_: "Warning", reason: "NotInjected", action: "Inject", note: note(due, conditions) };
    let regarding = Regarding::pod(&pod.namespace, &pod.name, uid);
    about(regarding, format!("keystow-not-injected-{uid}"), said, replica, now)
}

/// What is wrong, why that may be, and what to do.
fn note(due: &Due, conditions: &[String]) -> String {
    let pod = &due.pod;
    let mut note =
        "The pod asks for secrets and was not injected: it is older than the webhook or than the label of \
                    its namespace, or the webhook could not be called when it was created"
            .to_owned();
    if !conditions.is_empty() {
        note += ", or a matchCondition of the configuration keeps it out (";
        note += &conditions.join(", ");
        note += ")";
    }
    note += &match &pod.owner {
        Some(owner) => format!(". Restart its workload ({owner} made it): new pods are injected."),
        None => ". Delete it and create it again: nothing else will.".to_owned(),
    };
    if pod.is_refused {
        note += " A new pod will be refused until its annotations are corrected.";
    }
    note
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::census::Candidate;
    use super::super::scope::Webhooks;
    use super::*;

    fn due(owner: Option<&str>, is_refused: bool) -> Due {
        let pod = Candidate {
            namespace: "shop".into(),
            name: "app-1".into(),
            owner: owner.map(Into::into),
            is_refused,
            webhooks: Webhooks::default(),
        };
        Due { uid: "8d4a".into(), pod }
    }

    #[test]
    fn an_event_is_about_the_pod_and_has_its_uid_in_its_name() {
        let due = due(None, false);
        let event = event(&due, &[], "keystow-webhook-1", MicroTime(Timestamp::UNIX_EPOCH));
        let name = event.metadata.name.unwrap();
        assert_eq!(
            (name.as_str(), event.metadata.namespace.as_deref()),
            ("keystow-not-injected-8d4a", Some("shop"))
        );
        let regarding = event.regarding.unwrap();
        assert_eq!((regarding.uid.as_deref(), regarding.name.as_deref()), (Some("8d4a"), Some("app-1")));
        let other = super::event(&due, &["own".to_owned()], "another", MicroTime(Timestamp::MAX));
        assert_eq!(other.metadata.name, Some(name));
    }

    #[test]
    fn a_note_says_what_to_do() {
        let owned = note(&due(Some("ReplicaSet app-6f"), false), &[]);
        assert!(
            owned.ends_with(
                "created. Restart its workload (ReplicaSet app-6f made it): new pods are injected."
            ),
            "{owned}"
        );
        let alone = note(&due(None, false), &["own".to_owned(), "other".to_owned()]);
        assert!(alone.contains("keeps it out (own, other). Delete it and create it again"), "{alone}");
        assert!(!alone.contains("refused"), "{alone}");
        let refused = note(&due(None, true), &[]);
        assert!(
            refused.ends_with(" A new pod will be refused until its annotations are corrected."),
            "{refused}"
        );
    }

    proptest! {
        #[test]
        fn a_note_is_no_longer_than_the_api_allows(owner in "[a-zä]{0,700}", conditions in proptest::collection::vec("[a-zö]{0,63}", 0..64)) {
            let event = event(&due(Some(&owner), true), &conditions, "one", MicroTime(Timestamp::UNIX_EPOCH));
            let note = event.note.unwrap();
            prop_assert!(note.len() <= crate::cluster::LONGEST_NOTE && note.len() > 250);
        }
    }
}
