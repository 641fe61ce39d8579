//! Years of rotation, with everything that goes wrong: runs that are missed, crashes between any two steps, clocks that
//! jump, controllers that write at the same time, readers that see a change late.
//!
//! One of the two clocks of each run is right, and the other says anything. Whoever issues or verifies sees the set as it
//! was up to `publish` ago.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::{Recipe, Rotation};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// The controller runs.
    Run {
        /// What the wrong clock says, beside the right one.
        wrong: i64,
        /// After how many steps it dies; what it did until then is written.
        steps: usize,
        /// Whether it dies with the last step done and not written.
        is_lost: bool,
    },
    /// Somebody forces a rotation, and dies after it.
    Force,
    /// A token is issued, by who saw the set so late, in thousandths of `publish`; and is verified by others.
    Issue { late: i64, verified: Vec<(i64, i64)> },
}

#[derive(Debug, Clone)]
struct Token {
    key: String,
    /// When it is verified, and by a set of when.
    verified: Vec<(i64, i64)>,
}

/// The Secret over time: what it was from when on.
struct History(Vec<(i64, KeySet)>);

impl History {
    fn at(&self, time: i64) -> &KeySet {
        let after = self.0.partition_point(|(from, _)| *from <= time);
        &self.0[after.saturating_sub(1)].1
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap()
}

fn identity(number: usize, now: Window) -> Identity {
    Identity { id: format!("key-{number}"), issuer: format!("issuer/{number}"), created: now.latest }
}

const DAY: i64 = 86_400;
const BEGINNING: i64 = 1_700_000_000;

fn rotations() -> impl Strategy<Value = Rotation> {
    let every = prop_oneof![1..100_i64, 1..200 * DAY];
    (every, 0..1_000_i64, 1..1_000_i64, 1..5_usize).prop_filter_map(
        "former keys find room",
        |(every, publish, overlap, keep)| {
            let length = |thousandths: i64| u64::try_from(every * thousandths / 1_000).ok();
            let every = Duration::from_secs(u64::try_from(every).ok()?);
            // What is valid for no time at all says nothing.
            let (publish, overlap) =
                (Duration::from_secs(length(publish)?), Duration::from_secs(length(overlap)?.max(1)));
            let recipe = Recipe::Ed25519;
            let rotation = Rotation {
                recipe,
                every,
                publish,
                overlap,
                keep,
                key: None,
                issuer: None,
                tokens_for: Vec::new(),
            };
            (every > publish).then_some(rotation)
        },
    )
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let gap = prop_oneof![0..5_i64, 0..3_600_i64, 0..DAY, 0..100 * DAY];
    let wrong = prop_oneof![Just(0_i64), -60..60_i64, -2_000 * DAY..2_000 * DAY];
    let run = (wrong, 0..6_usize, any::<bool>()).prop_map(|(wrong, steps, is_lost)| Event::Run {
        wrong,
        steps,
        is_lost,
    });
    let verified = prop::collection::vec((0..=1_000_i64, 0..=1_000_i64), 1..6);
    let issue = (0..=1_000_i64, verified).prop_map(|(late, verified)| Event::Issue { late, verified });
    let event = prop_oneof![6 => run, 1 => Just(Event::Force), 8 => issue];
    prop::collection::vec((gap, event), 1..300)
}

/// Lets everything happen, and yields what the Secret was, the tokens, and the keys that were retired, each with when.
fn simulate(rotation: &Rotation, events: &[(i64, Event)]) -> (History, Vec<Token>, Vec<(i64, String)>) {
    let mut time = BEGINNING;
    let mut number = 0;
    let start = Window::of(at(time), at(time));
    let mut history = History(vec![(time, KeySet::new(identity(number, start), start))]);
    let (mut tokens, mut retired) = (Vec::new(), Vec::new());
    for (gap, event) in events {
        time += gap;
        let now = Window::of(at(time), at(time));
        match event {
            Event::Issue { late, verified } => {
                let publish = seconds(rotation.publish);
                let key = history.at(time - publish * late / 1_000).signing.key.id.clone();
                let verified = verified.iter().map(|(when, late)| {
                    let when = time + (seconds(rotation.overlap) - 1).max(0) * when / 1_000;
                    (when, when - publish * late / 1_000)
                });
                tokens.push(Token { key, verified: verified.collect() });
            }
            Event::Force => {
                let mut set = stored(&history);
                if forced(&set, rotation).is_ok() {
                    number += 1;
                    set.publish(identity(number, now), rotation, now);
                    history.0.push((time, set));
                }
            }
            Event::Run { wrong, steps, is_lost } => {
                let now = Window::of(at(time), at(time + wrong));
                for done in 0..*steps {
                    let mut set = stored(&history);
                    let Some(due) = step(&set, rotation, now) else { break };
                    match &due {
                        Step::Publish => {
                            number += 1;
                            set.publish(identity(number, now), rotation, now);
                        }
                        Step::Sign => set.sign(rotation, now),
                        Step::Retire(ids) => set.retire(ids),
                    }
                    // What is not written did not happen; another that read the same cannot write either.
                    if *is_lost && done + 1 == *steps {
                        break;
                    }
                    if let Step::Retire(ids) = due {
                        retired.extend(ids.into_iter().map(|id| (time, id)));
                    }
                    history.0.push((time, set));
                }
            }
        }
    }
    (history, tokens, retired)
}

/// The set as the next controller reads it.
fn stored(history: &History) -> KeySet {
    let (_, set) = history.0.last().unwrap();
    Notes::read(&Notes::write(set)).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_the_signer_signs_verifies_until_it_expires(rotation in rotations(), events in events()) {
        let (history, tokens, _) = simulate(&rotation, &events);
        for token in tokens {
            for (when, seen) in token.verified {
                let known = history.at(seen).identities().any(|key| key.id == token.key);
                prop_assert!(known, "{} was refused at {when}, by the set of {seen}", token.key);
            }
        }
    }

    #[test]
    fn no_retired_key_comes_back_and_no_two_keys_are_alike(rotation in rotations(), events in events()) {
        let (history, _, retired) = simulate(&rotation, &events);
        for (from, set) in &history.0 {
            let ids: BTreeSet<&str> = set.identities().map(|key| key.id.as_str()).collect();
            let issuers: BTreeSet<&str> = set.identities().map(|key| key.issuer.as_str()).collect();
            let many = set.identities().count();
            prop_assert_eq!((ids.len(), issuers.len()), (many, many));
            prop_assert!(set.former.len() <= rotation.keep, "{} former keys", set.former.len());
            for (when, id) in &retired {
                prop_assert!(when >= from || !ids.contains(id.as_str()), "{} is back", id);
            }
        }
    }

    #[test]
    fn a_controller_that_runs_often_enough_keeps_to_the_schedule(rotation in rotations()) {
        let pause = (seconds(rotation.every) / 20).max(1);
        let run = (pause, Event::Run { wrong: 0, steps: 5, is_lost: false });
        let (history, ..) = simulate(&rotation, &vec![run; 100]);
        let signers: BTreeSet<&str> =
            history.0.iter().map(|(_, set)| set.signing.key.id.as_str()).collect();
        // A key is published a pause late at most, and so it signs.
        let changes = usize::try_from(100 * pause / (seconds(rotation.every) + 2 * pause)).unwrap();
        let has_room = rotation.former_at_once() <= rotation.keep as u128;
        prop_assert!(!has_room || signers.len() > changes, "{} signers, {} changes", signers.len(), changes);
    }
}

#[test]
fn a_revoked_key_is_gone_at_once() {
    let rotation = Rotation {
        recipe: Recipe::Ed25519,
        every: Duration::from_secs(1_000),
        publish: Duration::from_secs(10),
        overlap: Duration::from_secs(100),
        keep: 2,
        key: None,
        issuer: None,
        tokens_for: Vec::new(),
    };
    let now = |seconds| Window::of(at(seconds), at(seconds));
    let mut set = KeySet::new(identity(0, now(0)), now(0));
    set.publish(identity(1, now(1)), &rotation, now(1));
    set.sign(&rotation, now(20));
    set.publish(identity(2, now(21)), &rotation, now(21));
    let ids = |set: &KeySet| set.identities().map(|key| key.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&set), ["key-1", "key-2", "key-0"]);
    assert_eq!(steps::revoke(&mut set, "key-9", now(22)), Err(Refused::Unknown("key-9".into())));
    // The published one signs in the place of the one that signed.
    assert_eq!(steps::revoke(&mut set, "key-1", now(22)), Ok(Forced::Done));
    assert_eq!(ids(&set), ["key-2", "key-0"]);
    assert_eq!(steps::revoke(&mut set, "key-0", now(23)), Ok(Forced::Done));
    assert_eq!(ids(&set), ["key-2"]);
    // Without one, a new key has to be made.
    assert_eq!(steps::revoke(&mut set, "key-2", now(24)), Ok(Forced::Replace));
    set.replace(identity(3, now(24)), now(24));
    assert_eq!(ids(&set), ["key-3"]);
}

#[test]
fn a_set_that_is_full_waits_and_says_until_when() {
    let rotation = Rotation {
        recipe: Recipe::Ed25519,
        every: Duration::from_secs(1_000),
        publish: Duration::from_secs(10),
        overlap: Duration::from_secs(100),
        keep: 1,
        key: None,
        issuer: None,
        tokens_for: Vec::new(),
    };
    let now = |seconds| Window::of(at(seconds), at(seconds));
    let mut set = KeySet::new(identity(0, now(0)), now(0));
    set.publish(identity(1, now(0)), &rotation, now(0));
    assert!(matches!(forced(&set, &rotation), Err(Refused::UnderWay { signs, .. }) if signs == at(10)));
    set.sign(&rotation, now(10));
    assert_eq!(forced(&set, &rotation), Err(Refused::Full { kept: 1, retires: at(120) }));
    assert_eq!(step(&set, &rotation, now(119)), None);
    assert_eq!(next_change(&set, &rotation), at(120));
    assert_eq!(step(&set, &rotation, now(120)), Some(Step::Retire(vec!["key-0".into()])));
}
