//! Many creators at once, each of which can be killed between any two steps: futures are polled in a random order and
//! dropped at random, over a store that lets others run before and after each call does its work.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::*;

/// How many courses of events a test tries.
const SEEDS: usize = 10;
const CREATORS: usize = 50;
const LIVING: usize = 30;
const RANGE: RangeInclusive<i32> = 0..=59;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct World {
    seed: u64,
    random: Random,
    store: Arc<Memory>,
    creators: Vec<Rc<Leases>>,
    tasks: Vec<(usize, Task)>,
    /// Every pod that ever was.
    pods: Vec<Pod>,
    /// UIDs of those that live no longer.
    dead: Rc<RefCell<BTreeSet<String>>>,
    /// What an assignment told.
    told: Rc<RefCell<BTreeMap<String, BTreeSet<i32>>>>,
    records: BTreeMap<String, String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let store = Arc::new(Memory::slow());
        let creators = (0..CREATORS).map(|_| Rc::new(leases(&store))).collect();
        let pods = (0..LIVING).map(pod).collect();
        let (dead, told, records) = Default::default();
        Self { seed, random: Random(seed), store, creators, tasks: Vec::new(), pods, dead, told, records }
    }

    fn living(&self) -> Vec<Pod> {
        self.pods.iter().filter(|pod| !self.is_dead(&pod.uid)).cloned().collect()
    }

    fn is_dead(&self, uid: &str) -> bool {
        self.dead.borrow().contains(uid)
    }

    fn start_assignment(&mut self) {
        let creator = self.random.below(CREATORS);
        let living = self.living();
        let pod = living[self.random.below(living.len())].clone();
        let (leases, told, seed) = (Rc::clone(&self.creators[creator]), Rc::clone(&self.told), self.seed);
        let dead = Rc::clone(&self.dead);
        let task = async move {
            match leases.assign(&pod, &wanted(db(), RANGE), Instant::now()).await {
                Ok(assigned) => drop(told.borrow_mut().entry(pod.uid).or_default().insert(assigned.index)),
                Err(LeaseError::Exhausted { .. }) => {}
                // It ended meanwhile, another creator knew it, and the index has gone to another pod.
                Err(LeaseError::Lost { .. }) if dead.borrow().contains(&pod.uid) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        };
        self.tasks.push((creator, Box::pin(task)));
    }

    fn start_survey(&mut self) {
        let creator = self.random.below(CREATORS);
        let leases = Rc::clone(&self.creators[creator]);
        let dead = Rc::clone(&self.dead);
        let task = async move {
            let survey = leases.survey().await.unwrap();
            let found = survey.holders.into_iter().map(|pod| pod.uid).chain(survey.claimants);
            for uid in found {
                if !dead.borrow().contains(&uid) {
                    continue;
                }
                assert_eq!(leases.release(&uid, Instant::now()).await.error, None);
            }
        };
        self.tasks.push((creator, Box::pin(task)));
    }

    /// Lets one future go a step, and looks at what it did.
    fn step(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let chosen = self.random.below(self.tasks.len());
        let mut context = Context::from_waker(Waker::noop());
        if self.tasks[chosen].1.as_mut().poll(&mut context).is_ready() {
            drop(self.tasks.swap_remove(chosen));
        }
        let records = self.store.texts();
        for (path, value) in &self.records {
            if let (Some(uid), true) = (value.split('/').nth(2), records.get(path) != Some(value)) {
                assert!(self.is_dead(uid), "seed {}: {path} of a pod that lives is gone", self.seed);
            }
        }
        self.records = records;
    }

    fn kill(&mut self) {
        if !self.tasks.is_empty() {
            let chosen = self.random.below(self.tasks.len());
            drop(self.tasks.swap_remove(chosen));
        }
    }

    fn restart(&mut self) {
        let creator = self.random.below(CREATORS);
        self.tasks.retain(|(of, _)| *of != creator);
        self.creators[creator] = Rc::new(leases(&self.store));
    }

    /// A pod ends and another one comes.
    fn turn_over(&mut self) {
        let living = self.living();
        let chosen = &living[self.random.below(living.len())];
        self.dead.borrow_mut().insert(chosen.uid.clone());
        self.pods.push(pod(self.pods.len()));
    }

    /// The indices of each pod, by the store.
    fn indices(&self) -> HashMap<String, BTreeSet<i32>> {
        let mut indices: HashMap<String, BTreeSet<i32>> = HashMap::new();
        for (path, value) in self.store.texts() {
            if let Some(uid) = value.split('/').nth(2) {
                let index = path.rsplit_once('.').unwrap().1.parse().unwrap();
                indices.entry(uid.to_owned()).or_default().insert(index);
            }
        }
        indices
    }

    /// One creator that nothing happens to puts all in order.
    async fn settle(&mut self) {
        self.tasks.clear();
        let last = leases(&self.store);
        let survey = last.survey().await.unwrap();
        for uid in survey.holders.into_iter().map(|pod| pod.uid).chain(survey.claimants) {
            if self.is_dead(&uid) {
                assert_eq!(last.release(&uid, Instant::now()).await.error, None);
            }
        }
        let living = self.living();
        for pod in &living {
            let index = assign(&last, pod, RANGE).await.unwrap();
            self.told.borrow_mut().entry(pod.uid.clone()).or_default().insert(index);
        }
        let indices = self.indices();
        assert_eq!(indices.len(), living.len(), "seed {}", self.seed);
        for pod in &living {
            let told = &self.told.borrow()[&pod.uid];
            assert!(told.is_subset(&indices[&pod.uid]), "seed {}: {told:?} {indices:?}", self.seed);
        }
        let claims: HashMap<String, i32> = self.store.texts().into_iter().filter_map(claim).collect();
        assert_eq!(claims.len(), living.len(), "seed {}", self.seed);
        for (uid, index) in claims {
            assert!(indices[&uid].contains(&index), "seed {}: {uid} claims {index}, {indices:?}", self.seed);
        }
    }
}

/// Whose claim a record is, and of which index.
fn claim((path, value): (String, String)) -> Option<(String, i32)> {
    let (_, uid) = path.rsplit_once(".of-")?;
    Some((uid.to_owned(), value.split_once('@')?.0.parse().ok()?))
}

/// A seed that nobody knows before; failures name it.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[tokio::test]
async fn fifty_creators_that_are_killed_at_any_step_give_each_pod_one_index() {
    for seed in (0..SEEDS).map(|_| seed()) {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            if world.tasks.len() < 2 * CREATORS && world.random.one_in(2) {
                world.start_assignment();
            }
            world.step();
            if world.random.one_in(40) {
                world.kill();
            }
            if world.random.one_in(100) {
                world.restart();
            }
        }
        world.settle().await;
        assert!(world.indices().values().all(|indices| indices.len() == 1), "seed {seed}");
        assert!(world.told.borrow().values().all(|told| told.len() == 1), "seed {seed}");
    }
}

#[tokio::test]
async fn pods_that_come_and_go_between_them_never_lose_an_index() {
    for seed in (0..SEEDS).map(|_| seed()) {
        let mut world = World::new(seed);
        for _ in 0..3000 {
            if world.tasks.len() < CREATORS && world.random.one_in(2) {
                world.start_assignment();
            }
            if world.random.one_in(50) {
                world.start_survey();
            }
            if world.random.one_in(30) {
                world.turn_over();
            }
            world.step();
            if world.random.one_in(40) {
                world.kill();
            }
            if world.random.one_in(100) {
                world.restart();
            }
        }
        world.settle().await;
        let last = leases(&world.store);
        last.survey().await.unwrap();
        for pod in world.living() {
            release(&last, &pod).await;
        }
        assert!(world.store.texts().is_empty(), "seed {seed}");
    }
}
