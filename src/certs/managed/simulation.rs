//! Years in the life of the certificates: leaders that die between any two steps and have clocks of their own, replicas that
//! see a Secret days late, API servers that see a `caBundle` seconds late, strangers in the `caBundle`.
//!
//! What must hold at every instant: whatever certificate a replica serves, every API server accepts.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::bundle::{Bundle, CaCertificate};
use super::decide::{Memory, Step, Timing};
use super::follower::judge;
use super::issue;
use super::material::{Data, Material};
use crate::certs::load::Pair;
use crate::certs::verify::{self, Names};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What an API server may lag behind: less than a CA settles for.
const API_SERVER_LAG: Duration = Duration::from_secs(25);
/// What is left of a leaf when it is renewed, but for what clocks differ by.
const REPLICA_LAG: Duration = Duration::from_secs(9 * 24 * 60 * 60);
/// More steps in a row than ever follow each other.
const MANY: usize = 12;

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes, and the leader looks once it has.
    Passes(Duration),
    /// The leader gets as far as this many steps, then another leads, whose clock is off by so many seconds.
    LeaderDies { after_steps: usize, clock: i64 },
    /// A replica hears of all changes so late.
    ReplicaLags(usize, Duration),
    /// A replica starts anew.
    ReplicaStarts(usize),
    /// Somebody adds a CA to the `caBundle`.
    StrangerAdds,
    /// Somebody empties the `caBundle`; no API server has a use for it until the leader has looked.
    Emptied,
}

fn event() -> impl Strategy<Value = Event> {
    let seconds =
        |range| prop::num::u64::ANY.prop_map(move |any: u64| SECOND * u32::try_from(any % range).unwrap());
    prop_oneof![
        3 => seconds(90).prop_map(Event::Passes),
        3 => seconds(9 * 24 * 60 * 60).prop_map(Event::Passes),
        3 => (0..MANY, -600_i64..600).prop_map(|(after_steps, clock)| Event::LeaderDies { after_steps, clock }),
        1 => (0..2_usize, seconds(9 * 24 * 60 * 60)).prop_map(|(replica, lag)| Event::ReplicaLags(replica, lag)),
        1 => (0..2_usize).prop_map(Event::ReplicaStarts),
        1 => Just(Event::StrangerAdds),
        1 => Just(Event::Emptied),
    ]
}

/// Everything there was, and since when.
struct History<T>(Vec<(SystemTime, T)>);

impl<T> History<T> {
    fn now(&self) -> &T {
        &self.0.last().unwrap().1
    }

    fn at(&self, time: SystemTime) -> &T {
        let before = self.0.iter().rev().find(|(since, _)| *since <= time);
        &before.unwrap_or(&self.0[0]).1
    }
}

#[derive(Default)]
struct Replica {
    serving: Option<Pair>,
    lag: Duration,
}

struct World {
    now: SystemTime,
    timing: Timing,
    secret: History<Data>,
    bundle: History<Bundle>,
    memory: Memory,
    /// The leader's clock, in seconds before or ahead of ours.
    clock: i64,
    replicas: [Replica; 2],
    /// From when on every API server must accept every replica.
    in_service: Option<SystemTime>,
}

fn names() -> Vec<String> {
    vec!["keystow-webhook.keystow.svc".to_owned()]
}

impl World {
    fn new(timing: Timing) -> Self {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        Self {
            now,
            timing,
            secret: History(vec![(now, Data::new())]),
            bundle: History(vec![(now, Bundle::default())]),
            memory: Memory::default(),
            clock: 0,
            replicas: Default::default(),
            in_service: None,
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Passes(time) => self.passes(*time),
            Event::LeaderDies { after_steps, clock } => {
                self.leads(*after_steps);
                (self.memory, self.clock) = (Memory::default(), *clock);
            }
            Event::ReplicaLags(replica, lag) => self.replicas[*replica].lag = *lag,
            Event::ReplicaStarts(replica) => self.replicas[*replica] = Replica::default(),
            Event::StrangerAdds => {
                let stranger = issue::authority(DAY, self.now).unwrap().ca;
                let bundle = self.bundle.now().iter().cloned().chain([stranger]).collect();
                self.bundle.0.push((self.now, bundle));
            }
            Event::Emptied => {
                let all = self.bundle.now().clone();
                self.bundle.0.push((self.now, Bundle::default()));
                self.leads(1);
                let ours = |ca: &&CaCertificate| self.material().trusted(self.now).contains(ca);
                assert!(all.iter().filter(ours).all(|ca| self.bundle.now().contains(ca)), "repaired at once");
                // As if it had never been: nothing can be promised of API servers that saw it.
                self.bundle.0.retain(|(_, bundle)| !bundle.is_empty() || self.in_service.is_none());
            }
        }
    }

    /// A long time is looked at several times: when the leader wants to, and at the latest after a day.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let rest = self.leads(MANY);
            self.is_in_order();
            if self.now >= end {
                return;
            }
            let next = rest.unwrap_or(self.now).clamp(self.now + SECOND, self.now + DAY);
            self.now = next.min(end);
        }
    }

    fn material(&self) -> Material {
        Material::read(self.secret.now(), Names::All(&names())).0
    }

    /// The leader takes so many steps; yields until when it rests then.
    fn leads(&mut self, steps: usize) -> Option<SystemTime> {
        let here = if self.clock < 0 {
            self.now - SECOND * u32::try_from(-self.clock).unwrap()
        } else {
            self.now + SECOND * u32::try_from(self.clock).unwrap()
        };
        for _ in 0..steps {
            let material = self.material();
            let step = self.timing.decide(&material, self.bundle.now(), &mut self.memory, here);
            match &step {
                Step::Rest(until) => {
                    let rest = until.duration_since(here).unwrap_or_default();
                    return Some(self.now + rest);
                }
                Step::Publish(wanted) => self.bundle.0.push((self.now, wanted.clone())),
                _ => {
                    let after = self.timing.apply(&step, &material, &names(), here).unwrap();
                    let mut data = Data::new();
                    after.write(&mut data);
                    self.secret.0.push((self.now, data));
                }
            }
            self.is_in_order();
        }
        assert!(steps < MANY, "steps without an end");
        None
    }

    /// Replicas look, and every API server calls them.
    fn is_in_order(&mut self) {
        let mut are_trusted = true;
        for replica in &mut self.replicas {
            let seen = self.now - replica.lag;
            let (material, _) = Material::read(self.secret.at(seen), Names::Any(&names()));
            let offered = material.leaf().map(|leaf| leaf.pair.clone());
            let bundle = self.bundle.at(seen);
            let verdict = judge(replica.serving.as_ref(), offered.as_ref(), bundle, &names(), self.now);
            if verdict.replace {
                replica.serving = offered;
            }
            are_trusted &= verdict.trusted;
            // A replica that lags is not ready before it trusts itself: nobody calls it.
            let Some(serving) = replica.serving.as_ref().filter(|_| verdict.trusted) else { continue };
            if self.in_service.is_some_and(|since| since + API_SERVER_LAG <= self.now) {
                for lag in [Duration::ZERO, API_SERVER_LAG] {
                    let roots = self.bundle.at(self.now - lag).iter().map(CaCertificate::der);
                    let chain = &serving.certified.cert;
                    assert!(
                        verify::is_accepted(roots, chain, Names::All(&names()), self.now),
                        "refused {lag:?} later"
                    );
                }
            }
        }
        if are_trusted {
            self.in_service.get_or_insert(self.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_every_api_server_accepts_every_replica(
        events in prop::collection::vec(event(), 60..160),
    ) {
        // A CA of three leaves: it changes often.
        let leaf = Timing::default().leaf_lifetime;
        let mut world = World::new(Timing::new(3 * leaf, leaf, 30 * SECOND).unwrap());
        for event in &events {
            world.happens(event);
        }
        prop_assert!(REPLICA_LAG < world.timing.leaf_lifetime / 3);
        // Left alone, it comes to rest, and everybody serves.
        world.replicas.iter_mut().for_each(|replica| replica.lag = Duration::ZERO);
        world.passes(DAY);
        prop_assert!(world.replicas.iter().all(|replica| replica.serving.is_some()));
        prop_assert!(world.in_service.is_some());
    }
}

#[test]
fn ten_quiet_years_take_the_steps_that_are_needed_and_no_more() {
    let mut world = World::new(Timing::default());
    world.passes(3650 * DAY);
    // A leaf every 20 days, a CA every 243, each in two writes, and one that forgets the one before.
    let (secrets, bundles) = (world.secret.0.len(), world.bundle.0.len());
    assert!((195..=240).contains(&secrets), "{secrets} writes of the Secret");
    assert!((28..=34).contains(&bundles), "{bundles} writes of the caBundle");
}
