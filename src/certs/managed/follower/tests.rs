//! What a replica serves: the pair it has, the one that is offered, and what API servers trust.

use super::super::issue;
use super::super::material::Authority;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

fn names() -> Vec<String> {
    vec!["keystow-webhook.keystow.svc".to_owned()]
}

fn authority() -> Authority {
    issue::authority(365 * DAY, now()).unwrap()
}

fn pair(authority: &Authority) -> Pair {
    issue::leaf(authority, &names(), 30 * DAY, now()).unwrap().pair
}

fn trusting(all: &[&Authority]) -> Bundle {
    all.iter().map(|authority| authority.ca.clone()).collect()
}

fn judged(serving: Option<&Pair>, offered: Option<&Pair>, bundle: &Bundle, at: SystemTime) -> (bool, bool) {
    let Verdict { replace, trusted } = judge(serving, offered, bundle, &names(), at);
    (replace, trusted)
}

#[test]
fn without_a_pair_nothing_is_served() {
    assert_eq!(judged(None, None, &trusting(&[&authority()]), now()), (false, false));
}

#[test]
fn the_first_pair_is_served_and_trusted_once_the_bundle_has_its_ca() {
    let authority = authority();
    let pair = pair(&authority);
    assert_eq!(judged(None, Some(&pair), &Bundle::default(), now()), (true, false));
    assert_eq!(judged(Some(&pair), Some(&pair), &Bundle::default(), now()), (false, false));
    assert_eq!(judged(Some(&pair), Some(&pair), &trusting(&[&authority]), now()), (false, true));
}

#[test]
fn a_trusted_pair_is_not_replaced_by_one_that_nobody_trusts() {
    let (old, new) = (authority(), authority());
    let (serving, offered) = (pair(&old), pair(&new));
    assert_eq!(judged(Some(&serving), Some(&offered), &trusting(&[&old]), now()), (false, true));
    assert_eq!(judged(Some(&serving), Some(&offered), &trusting(&[&old, &new]), now()), (true, true));
    // The bundle changed under what is served: the offered one is no worse.
    assert_eq!(judged(Some(&serving), Some(&offered), &trusting(&[&new]), now()), (true, true));
    assert_eq!(judged(Some(&serving), Some(&offered), &Bundle::default(), now()), (true, false));
}

#[test]
fn an_expired_pair_never_comes_in_and_one_that_expires_is_no_longer_trusted() {
    let authority = authority();
    let (serving, later) = (pair(&authority), now() + 31 * DAY);
    let bundle = trusting(&[&authority]);
    assert_eq!(judged(None, Some(&serving), &bundle, later), (false, false));
    assert_eq!(judged(Some(&serving), Some(&serving), &bundle, later), (false, false));
    assert_eq!(judged(Some(&serving), Some(&serving), &bundle, now() + 29 * DAY), (false, true));
}

#[test]
fn a_secret_that_lost_its_leaf_changes_nothing() {
    let authority = authority();
    assert_eq!(judged(Some(&pair(&authority)), None, &trusting(&[&authority]), now()), (false, true));
}

/// A replica with one more name than the leader waited for the leader, and the rollout for the replica.
#[test]
fn a_pair_for_one_of_the_names_will_do() {
    let authority = authority();
    let (pair, bundle) = (pair(&authority), trusting(&[&authority]));
    let more = [names(), vec!["keystow.example".to_owned()]].concat();
    let Verdict { replace, trusted } = judge(None, Some(&pair), &bundle, &more, now());
    assert_eq!((replace, trusted), (true, true));
}

#[test]
fn a_pair_for_other_names_is_not_trusted() {
    let authority = authority();
    let pair = issue::leaf(&authority, &["other.example".to_owned()], 30 * DAY, now()).unwrap().pair;
    assert_eq!(judged(None, Some(&pair), &trusting(&[&authority]), now()), (true, false));
}
