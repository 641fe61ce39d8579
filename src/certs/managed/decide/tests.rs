//! Each step by itself: what is there, and what is done about it. How they go together is in `simulation`.

use super::super::issue;
use super::super::material::{Authority, Leaf, Retired};
use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn timing() -> Timing {
    Timing::default()
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

fn names() -> Vec<String> {
    vec!["keystow-webhook.keystow.svc".to_owned()]
}

fn authority_at(now: SystemTime) -> Authority {
    issue::authority(timing().ca_lifetime, now).unwrap()
}

fn leaf_at(authority: &Authority, now: SystemTime) -> Leaf {
    issue::leaf(authority, &names(), timing().leaf_lifetime, now).unwrap()
}

/// A CA and a leaf as of `now`, and the caBundle that belongs to it.
fn settled_at(now: SystemTime) -> (Material, Bundle) {
    let authority = authority_at(now);
    let leaf = leaf_at(&authority, now);
    let ca = authority.ca.clone();
    let current = Current { ca: ca.clone(), authority: Some(authority), leaf: Some(leaf) };
    let material = Material { current: Some(current), ..Material::default() };
    (material, [ca].into_iter().collect())
}

fn first(material: &Material, bundle: &Bundle, now: SystemTime) -> Step {
    timing().decide(material, bundle, &mut Memory::default(), now)
}

fn bundle_of(all: &[&CaCertificate]) -> Bundle {
    all.iter().copied().cloned().collect()
}

#[test]
fn an_empty_secret_gets_a_ca_that_is_published_and_then_signs_at_once() {
    let now = start();
    assert_eq!(first(&Material::default(), &Bundle::default(), now), Step::Prepare);
    let next = authority_at(now);
    let material = Material { next: Some(next.clone()), ..Material::default() };
    let published = bundle_of(&[&next.ca]);
    assert_eq!(first(&material, &Bundle::default(), now), Step::Publish(published.clone()));
    // Nothing is served that a wait could protect.
    assert_eq!(first(&material, &published, now), Step::Promote);
}

#[test]
fn beside_others_in_the_bundle_a_ca_settles_before_it_signs() {
    let (next, foreign, now) = (authority_at(start()), authority_at(start()), start());
    let material = Material { next: Some(next.clone()), ..Material::default() };
    let bundle = bundle_of(&[&next.ca, &foreign.ca]);
    let mut memory = Memory::default();
    let mut decide = |now| timing().decide(&material, &bundle, &mut memory, now);
    assert_eq!(decide(now), Step::Rest(now + timing().settle));
    assert_eq!(decide(now + timing().settle / 2), Step::Rest(now + timing().settle));
    assert_eq!(decide(now + timing().settle), Step::Promote);
}

#[test]
fn a_new_leader_waits_again_and_so_does_one_whose_clock_was_set_back() {
    let (next, foreign, now) = (authority_at(start()), authority_at(start()), start());
    let material = Material { next: Some(next.clone()), ..Material::default() };
    let bundle = bundle_of(&[&next.ca, &foreign.ca]);
    let mut memory = Memory::default();
    let settle = timing().settle;
    assert_eq!(timing().decide(&material, &bundle, &mut memory, now), Step::Rest(now + settle));
    assert_eq!(first(&material, &bundle, now + settle), Step::Rest(now + settle + settle));
    let back = now - HOUR / 4;
    assert_eq!(timing().decide(&material, &bundle, &mut memory, back), Step::Rest(back + settle));
}

#[test]
fn a_leaf_is_renewed_after_two_thirds_of_its_life() {
    let (material, bundle) = settled_at(start());
    let validity = material.leaf().unwrap().pair.validity.clone();
    let life = validity.not_after.duration_since(validity.not_before).unwrap();
    let due = validity.not_before + life / 3 * 2;
    assert_eq!(first(&material, &bundle, start()), Step::Rest(due));
    assert_eq!(first(&material, &bundle, due - Duration::from_secs(1)), Step::Rest(due));
    assert_eq!(first(&material, &bundle, due), Step::Renew);
    assert_eq!(first(&material, &bundle, validity.not_after + HOUR), Step::Renew, "expired");
}

#[test]
fn a_leaf_that_is_not_there_or_not_valid_yet_is_renewed() {
    let (mut material, bundle) = settled_at(start());
    material.current.as_mut().unwrap().leaf = None;
    assert_eq!(first(&material, &bundle, start()), Step::Renew);
    let (mut material, bundle) = settled_at(start());
    let current = material.current.as_mut().unwrap();
    current.leaf = Some(leaf_at(current.authority.as_ref().unwrap(), start() + 3 * HOUR));
    assert_eq!(first(&material, &bundle, start()), Step::Renew, "its maker's clock was ahead");
}

#[test]
fn a_ca_that_is_not_valid_yet_is_followed_by_another() {
    let (material, bundle) = settled_at(start() + DAY);
    assert_eq!(first(&material, &bundle, start()), Step::Prepare);
}

#[test]
fn a_caught_out_bundle_is_written_before_anything_else() {
    let now = start() + 25 * DAY;
    let (material, bundle) = settled_at(start());
    assert_eq!(first(&material, &bundle, now), Step::Renew);
    assert_eq!(first(&material, &Bundle::default(), now), Step::Publish(bundle));
}

#[test]
fn the_next_ca_is_made_after_two_thirds_of_a_life_and_then_settles() {
    let (material, bundle) = settled_at(start());
    let authority = material.current.as_ref().unwrap().authority.as_ref().unwrap().clone();
    let due = start() + timing().ca_lifetime / 3 * 2;
    let mut material = material;
    material.current.as_mut().unwrap().leaf = Some(leaf_at(&authority, due));
    assert_eq!(first(&material, &bundle, due), Step::Prepare);

    let next = authority_at(due);
    material.next = Some(next.clone());
    let both = bundle_of(&[&authority.ca, &next.ca]);
    let mut memory = Memory::default();
    let mut decide = |bundle: &Bundle, now| timing().decide(&material, bundle, &mut memory, now);
    // The one that signs comes first.
    assert_eq!(decide(&bundle, due), Step::Publish(both.clone()));
    assert_eq!(decide(&both, due), Step::Rest(due + timing().settle));
    assert_eq!(decide(&both, due + timing().settle), Step::Promote);
}

#[test]
fn a_retired_ca_stays_until_its_last_leaf_has_expired() {
    let (old, bundle_before) = settled_at(start());
    let old_ca = old.current.as_ref().unwrap().ca.clone();
    let mut material = Material { next: Some(authority_at(start())), ..old };
    material = timing().apply(&Step::Promote, &material, &names(), start()).unwrap();
    let new_ca = material.current.as_ref().unwrap().ca.clone();
    let until = material.retired.iter().map(|retired: &Retired| retired.until).max().unwrap();
    let both = bundle_of(&[&new_ca, &old_ca]);
    assert_eq!(material.trusted(until), both);
    assert_ne!(bundle_before, both);

    let last = material.current.as_mut().unwrap();
    last.leaf = Some(leaf_at(last.authority.as_ref().unwrap(), until));
    assert!(matches!(first(&material, &both, until), Step::Rest(_)), "the last second is its life too");
    let after = until + Duration::from_secs(1);
    assert_eq!(first(&material, &both, after), Step::Forget);
    material = timing().apply(&Step::Forget, &material, &names(), after).unwrap();
    assert!(material.retired.is_empty());
    // What a leader knows nothing of any more is somebody else's, and stays for a while.
    let mut memory = Memory::default();
    let mut decide = |now| timing().decide(&material, &both, &mut memory, now);
    assert_eq!(decide(after), Step::Rest(after + FOREIGN));
    assert_eq!(decide(after + FOREIGN), Step::Publish(bundle_of(&[&new_ca])));
}

#[test]
fn a_ca_without_its_key_serves_on_while_the_next_settles() {
    let (mut material, bundle) = settled_at(start());
    material.current.as_mut().unwrap().authority = None;
    assert_eq!(first(&material, &bundle, start()), Step::Prepare);
    let material = timing().apply(&Step::Prepare, &material, &names(), start()).unwrap();
    let Step::Publish(both) = first(&material, &bundle, start()) else { panic!("published") };
    assert_eq!(both.iter().count(), 2, "what is served stays trusted");
    assert_eq!(first(&material, &both, start()), Step::Rest(start() + timing().settle));
}

#[test]
fn an_expired_ca_is_followed_at_once() {
    let (material, bundle) = settled_at(start());
    let now = start() + timing().ca_lifetime + DAY;
    assert_eq!(first(&material, &bundle, now), Step::Prepare);
    let material = timing().apply(&Step::Prepare, &material, &names(), now).unwrap();
    let next = material.next.as_ref().unwrap().ca.clone();
    assert_eq!(first(&material, &bundle, now), Step::Publish(bundle_of(&[&next])));
    assert_eq!(first(&material, &bundle_of(&[&next]), now), Step::Promote);
}

#[test]
fn strangers_in_the_bundle_stay_while_they_may_be_served_with() {
    let (material, bundle) = settled_at(start());
    let ours = material.current.as_ref().unwrap().ca.clone();
    let foreign = authority_at(start()).ca;
    let both = bundle_of(&[&foreign, &ours]);
    let mut memory = Memory::default();
    let mut decide = |now| timing().decide(&material, &both, &mut memory, now);
    assert_eq!(decide(start()), Step::Rest(start() + FOREIGN));
    assert_eq!(decide(start() + FOREIGN), Step::Publish(bundle));

    let expired = start() + timing().ca_lifetime - DAY;
    let (material, bundle) = settled_at(expired);
    let both = bundle_of(&[&foreign, &material.current.as_ref().unwrap().ca]);
    assert_eq!(first(&material, &both, start() + timing().ca_lifetime + DAY), Step::Publish(bundle));
}

#[test]
fn shorter_lifetimes_keep_the_ca_of_the_leaf_that_lives_longer() {
    let (material, _) = settled_at(start());
    let shorter = Timing::new(30 * DAY, DAY, Duration::ZERO).unwrap();
    let renewed = shorter.apply(&Step::Renew, &material, &names(), start() + DAY).unwrap();
    assert_eq!(renewed.retired.len(), 1);
    assert_eq!(renewed.retired[0].until, material.leaf().unwrap().pair.validity.not_after);
    let renewed = timing().apply(&Step::Renew, &material, &names(), start() + DAY).unwrap();
    assert!(renewed.retired.is_empty(), "the new one lives longer, under the same CA");
}

#[test]
fn lifetimes_that_cannot_follow_each_other_are_refused() {
    let new = |ca: u64, leaf: u64, settle: u64| {
        let seconds = Duration::from_secs;
        Timing::new(seconds(ca), seconds(leaf), seconds(settle)).err()
    };
    assert_eq!(new(360, 120, 30), None);
    assert_eq!(new(360, 121, 30), Some(TimingError::LeafOutlivesCa));
    assert_eq!(new(360, 120, 31), Some(TimingError::SettlesTooLong));
    assert_eq!(new(360, 9, 30), Some(TimingError::TooShort));
    let Timing { ca_lifetime, leaf_lifetime, settle } = Timing::default();
    assert_eq!(Timing::new(ca_lifetime, leaf_lifetime, settle), Ok(Timing::default()));
}
