//! What a pod wants the creator to do, by its annotations and the operator's configuration. A function of values.
//!
//! Deliberately absent: whether the pod was injected. A container that people wrote themselves, or kees' own, waits for the
//! same values.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::RangeInclusive;

use kube::api::ObjectMeta;

use super::metrics::Reason;
use crate::domain::{
    Family, Generation, Grammar, LeaseSeries, LocalMode, Parsed, Problem, Requests, StoragePath, StoreName,
};
use crate::handover::StoreSettings;
use crate::inject::{DenialKind, Refusal, Settings};

/// What is to be done for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Where.
    pub(super) store: StoreName,
    /// What must be there.
    pub(super) generations: Vec<Generation>,
    /// The indices that it must hold.
    pub(super) leases: Vec<LeaseWish>,
    /// What it asks for besides and cannot have, whatever happens.
    pub(super) refused: Vec<Refused>,
}

/// An index of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseWish {
    pub(super) series: LeaseSeries,
    pub(super) range: RangeInclusive<i32>,
}

/// What a pod cannot have, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) note: String,
}

/// The annotations that ask for something to be made.
const ASKING: [Family; 2] = [Family::Secret, Family::Lease];

/// The wish of a pod; nothing where the creator has nothing to do with it.
pub(super) fn of(settings: &Settings, pod: &ObjectMeta) -> Option<Wish> {
    let grammar = Grammar { domain: &settings.domain, taken_files: settings.layout.taken_files() };
    let annotations = pod.annotations.iter().flatten();
    let parsed = grammar.parse(annotations.map(|(key, value)| (key.as_str(), value.as_str())));
    let (requests, problems) = match parsed {
        Ok(Parsed::OptedOut) => return None,
        Ok(Parsed::Requests(requests, _)) => (requests, Vec::new()),
        Err(rejection) => (rejection.readable, rejection.problems),
    };
    let (generations, unplaced) = requests.generations();
    let asks = !generations.is_empty() || !unplaced.is_empty() || !requests.leases.is_empty();
    // What cannot be read may have been meant to be made.
    let is_wrong = problems.iter().any(|problem| {
        settings.domain.classify(&problem.annotation).is_some_and(|(family, _)| ASKING.contains(&family))
    });
    // Local values are not in any store.
    if !(asks || is_wrong) || requests.storage.local_mode != LocalMode::Remote {
        return None;
    }
    let namespace = pod.namespace.as_deref().unwrap_or_default();
    let (store, refusals) = settings.permit(namespace, &requests);
    if matches!(store, Some((_, StoreSettings::Local(_)))) {
        return None;
    }
    let mut wish = Wish {
        store: store.map_or(settings.stores.default_name(), |(name, _)| name).clone(),
        generations: Vec::new(),
        leases: Vec::new(),
        refused: problems.iter().map(wrong).collect(),
    };
    wish.refused.extend(refusals.iter().map(|refusal| not_permitted(settings, refusal)));
    if wish.refused.is_empty() {
        let (empty, generations): (Vec<_>, Vec<_>) =
            generations.into_iter().partition(|generation| generation.recipe.makes_nothing());
        wish.generations = generations;
        wish.refused.extend(empty.iter().map(too_small));
        wish.refused
            .extend(unplaced.iter().map(|none| Refused { reason: Reason::Unplaced, note: none.to_string() }));
        lease(&mut wish, &requests, store.map(|(_, settings)| settings));
    }
    Some(wish)
}

fn lease(wish: &mut Wish, requests: &Requests, store: Option<&StoreSettings>) {
    if requests.leases.is_empty() {
        return;
    }
    if let Some(why) = store.and_then(StoreSettings::cannot_hold_leases) {
        let note = format!("store {} cannot hold leases: {why}", wish.store);
        wish.refused.push(Refused { reason: Reason::LeaseUnsupported, note });
        return;
    }
    for request in &requests.leases {
        let (series, range) = (requests.lease_series(request), request.range.clone());
        // Two annotations with one series share one index, which is within both ranges.
        match wish.leases.iter_mut().find(|other| other.series == series) {
            None => wish.leases.push(LeaseWish { series, range }),
            Some(other) if meet(&other.range, &range) => {
                let start = *other.range.start().max(range.start());
                other.range = start..=*other.range.end().min(range.end());
            }
            Some(_) => {
                let note = format!(
                    "two lease annotations share {series}, and so one index, but no index is in both ranges: let the ranges \
                     meet, or give one another storageKeyPrefix"
                );
                wish.refused.push(Refused { reason: Reason::LeaseConflict, note });
            }
        }
    }
}

fn too_small(generation: &Generation) -> Refused {
    let path = generation.paths.first().map_or("", StoragePath::as_str);
    let note = format!("{path} would be empty: size is in bits, give 8 or more");
    Refused { reason: Reason::Annotations, note }
}

fn meet(one: &RangeInclusive<i32>, other: &RangeInclusive<i32>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

fn wrong(problem: &Problem) -> Refused {
    Refused { reason: Reason::Annotations, note: problem.to_string() }
}

fn not_permitted(settings: &Settings, refusal: &Refusal) -> Refused {
    let reason = match refusal.kind {
        DenialKind::NotAllowed => Reason::NotAllowed,
        DenialKind::InvalidAnnotation | DenialKind::Unsupported | DenialKind::Clash => Reason::Annotations,
    };
    let annotation = settings.domain.key(refusal.family, &refusal.key);
    Refused { reason, note: format!("{annotation}: {}", refusal.message) }
}

/// Differs where the annotations that matter here do: a pod is seen again with every change of its status.
pub(super) fn digest(settings: &Settings, pod: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (key, value) in pod.annotations.iter().flatten() {
        if settings.domain.classify(key).is_some() {
            (key, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const RSA: &str = "kind=DYNAMIC,type=RSA,size=2048";

    fn settings(yaml: &str) -> Settings {
        crate::config::read(yaml).unwrap().offline()
    }

    fn pod(annotations: &[(&str, &str)]) -> ObjectMeta {
        let annotations: BTreeMap<_, _> = annotations
            .iter()
            .map(|(key, value)| (key.replace("D/", "bsycorp.com/"), (*value).to_owned()))
            .collect();
        ObjectMeta {
            namespace: Some("veza".to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }
    }

    fn wish(yaml: &str, annotations: &[(&str, &str)]) -> Option<Wish> {
        of(&settings(yaml), &pod(annotations))
    }

    fn refused(yaml: &str, annotations: &[(&str, &str)]) -> (Reason, String) {
        let wish = wish(yaml, annotations).unwrap();
        assert!(wish.generations.is_empty() && wish.leases.is_empty(), "{wish:?}");
        let [Refused { reason, note }] = wish.refused.as_slice() else { panic!("{wish:?}") };
        (*reason, note.clone())
    }

    #[test]
    fn keys_and_indices_are_wished_for() {
        let lease = ("lease.D/snowflake", "kind=INDEX,rangeStart=1,rangeEnd=9");
        let prefix = ("init.D/storage-prefix", "/veza");
        let wish = wish("", &[("secret.D/db_private", RSA), lease, prefix]).unwrap();
        assert_eq!(wish.store.as_str(), "cluster");
        assert_eq!(wish.generations[0].paths[0].as_str(), "/veza/db_public");
        assert_eq!(
            (wish.leases[0].series.as_str(), wish.leases[0].range.clone()),
            ("/veza/leases/snowflake", 1..=9)
        );
        assert_eq!(wish.refused, []);
    }

    #[test]
    fn pods_that_ask_for_nothing_to_be_made_are_nobodys_business() {
        let reference = ("secret.D/db", "kind=REFERENCE,type=PASSWORD");
        let dynamic = ("secret.D/db_private", RSA);
        for annotations in [
            &[][..],
            &[reference],
            &[dynamic, ("inject.D/enabled", "false")],
            &[dynamic, ("init.D/local-mode", "true")],
            &[dynamic, ("init.D/local-mode", "remote-then-local")],
        ] {
            assert_eq!(wish("localMode: {namespaces: ['*']}", annotations), None, "{annotations:?}");
        }
        assert_eq!(wish("stores: {local: {local: {}}}", &[dynamic]), None);
    }

    #[test]
    fn what_the_configuration_does_not_allow_is_not_made() {
        let rules = "prefixes: [{namespaces: [veza], allow: [/veza]}]";
        let dynamic = ("secret.D/db_private", RSA);
        let (reason, note) = refused(rules, &[dynamic, ("init.D/storage-prefix", "/other")]);
        assert_eq!(reason, Reason::NotAllowed);
        assert!(note.starts_with("init.bsycorp.com/storage-prefix: ") && note.contains("/other"), "{note}");
        assert!(wish(rules, &[dynamic, ("init.D/storage-prefix", "/veza/a")]).unwrap().refused.is_empty());
        let (reason, note) = refused("", &[dynamic, ("inject.D/store", "nowhere")]);
        assert!(reason == Reason::Annotations && note.contains("nowhere"), "{note}");
    }

    #[test]
    fn one_wrong_annotation_keeps_all_from_being_made() {
        let (reason, note) =
            refused("", &[("secret.D/db_private", RSA), ("secret.D/x", "kind=BLAH,type=RSA")]);
        assert!(reason == Reason::Annotations && note.contains("kind=BLAH"), "{note}");
    }

    #[test]
    fn a_lease_in_a_store_that_holds_none_is_refused_and_the_rest_is_made() {
        let ssm = "stores: {ssm: {ssm: {region: eu-west-1}}}";
        let lease = ("lease.D/snowflake", "kind=INDEX,rangeStart=1,rangeEnd=9");
        let wish = wish(ssm, &[("secret.D/db_private", RSA), lease]).unwrap();
        assert_eq!((wish.generations.len(), wish.leases.len()), (1, 0));
        assert_eq!(wish.refused[0].reason, Reason::LeaseUnsupported);
    }

    #[test]
    fn annotations_with_one_series_share_an_index_of_both_ranges() {
        let lease = |name, range| (name, format!("kind=INDEX,storageKeyPrefix=s,{range}"));
        let ranges = |leases: &[(&str, String)]| {
            let annotations: Vec<_> = leases.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let leases = wish("", &annotations).unwrap().leases;
            leases.into_iter().map(|lease| lease.range).collect::<Vec<_>>()
        };
        let (a, b) =
            (lease("lease.D/a", "rangeStart=0,rangeEnd=9"), lease("lease.D/b", "rangeStart=5,rangeEnd=20"));
        assert_eq!(ranges(&[a.clone(), b]), [5..=9]);
        let apart = lease("lease.D/b", "rangeStart=10,rangeEnd=20");
        assert_eq!(ranges(&[a.clone(), apart.clone()]), [0..=9]);
        let wish = wish("", &[(a.0, &a.1), (apart.0, &apart.1)]).unwrap();
        assert_eq!(wish.refused[0].reason, Reason::LeaseConflict);
    }

    #[test]
    fn what_would_be_empty_is_not_made() {
        let (reason, note) = refused("", &[("secret.D/db", "kind=DYNAMIC,type=PASSWORD,size=7")]);
        assert!(reason == Reason::Annotations && note.starts_with("/db would be empty"), "{note}");
    }

    #[test]
    fn a_pod_whose_only_annotation_is_wrong_is_told() {
        for (key, value) in [
            ("secret.D/p_private", "kind=DYNAMIC,type=RSA,size=1"),
            ("secret.D/p", "kind=DYNAMIK,type=PASSWORD,size=128"),
            ("lease.D/p", "kind=INDEX,rangeStart=5,rangeEnd=1"),
        ] {
            assert_eq!(refused("", &[(key, value)]).0, Reason::Annotations, "{key}");
        }
        assert_eq!(wish("", &[("inject.D/format", "scroll")]), None, "the webhook's business");
    }

    #[test]
    fn only_annotations_of_ours_change_the_digest() {
        let settings = settings("");
        let of = |annotations: &[(&str, &str)]| digest(&settings, &pod(annotations));
        let ours = ("secret.D/db_private", RSA);
        assert_eq!(of(&[ours, ("other/a", "1")]), of(&[ours, ("other/a", "2"), ("b", "3")]));
        assert_ne!(of(&[ours]), of(&[("secret.D/db_private", "kind=DYNAMIC,type=RSA,size=4096")]));
        assert_ne!(of(&[ours]), of(&[ours, ("inject.D/enabled", "false")]));
    }
}
