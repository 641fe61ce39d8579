//! One time of work: from the first list of pods until the process drains, or leadership is lost.
//!
//! Everything that is remembered of pods goes with it. What it started ends, or is dropped where it stands, which every
//! step allows.

mod outcomes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::runtime::watcher::{Config, Event as Seen};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};

use super::metrics::{CreatorMetrics, Reason};
use super::queue::{Next, Queue, Uid};
use super::report::Reporter;
use super::roll::{Gone, Roll};
use super::stores::{Scope, Stores};
use super::sweep::{Sweeper, Swept};
use super::turn::{self, Maker, Outcome, Released};
use super::wish::LeaseWish;
use crate::cluster::ApiError;
use crate::controller::finished;
use crate::controller::metadata::{NOT_ENDED, Sight, Watcher};
use crate::domain::{LeaseSeries, StoreName};
use crate::inject::Settings;
use crate::shutdown::Shutdown;
use crate::telemetry::{Once, chain};

/// How often it is counted who waits.
const COUNT: Duration = Duration::from_secs(5);
/// How long the list of pods may take where everything is done once.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the work needs.
pub(super) struct Workshop {
    pub(super) settings: Settings,
    pub(super) stores: Stores,
    pub(super) sweeper: Sweeper,
    pub(super) maker: Maker,
    pub(super) reporter: Reporter,
    pub(super) metrics: CreatorMetrics,
    pub(super) client: kube::Client,
    /// Turns at once.
    pub(super) workers: usize,
    /// How often leases are compared with pods.
    pub(super) resync: Duration,
}

/// What a task came to.
enum Done {
    Served(Uid, Outcome, Duration),
    Released(Uid, Released),
    Swept(Swept),
}

/// When the work is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// When the process drains.
    Drained,
    /// When every pod had one turn, and leases were compared with pods once.
    Done,
}

/// How the work ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Everybody had a turn. These are the reasons why some do not have all.
    Done(BTreeSet<Reason>),
    /// The process drains.
    Drained,
    /// Pods could not be listed.
    NotListed {
        /// The API server's words.
        reason: String,
    },
}

/// One time of work.
pub(super) struct Term<'w> {
    shop: &'w Arc<Workshop>,
    roll: Roll,
    queue: Queue,
    /// Pods that are gone and may have held something.
    leaving: BTreeSet<Uid>,
    /// Those that went while leases were read: what they held may have been read before it was released.
    went_meanwhile: Vec<Uid>,
    tasks: JoinSet<Done>,
    is_sweeping: bool,
    has_swept: bool,
    /// Every reason that some pod was left with.
    reasons: BTreeSet<Reason>,
    said_of_watch: Once,
}

impl<'w> Term<'w> {
    pub(super) fn new(shop: &'w Arc<Workshop>) -> Self {
        Self {
            shop,
            roll: Roll::default(),
            queue: Queue::default(),
            leaving: BTreeSet::new(),
            went_meanwhile: Vec::new(),
            tasks: JoinSet::new(),
            is_sweeping: false,
            has_swept: false,
            reasons: BTreeSet::new(),
            said_of_watch: Once::default(),
        }
    }

    /// Works. When the process drains, nothing new is begun and what runs is finished.
    pub(super) async fn work(mut self, until: Until, shutdown: &Shutdown) -> Ended {
        let mut watcher = Watcher::new(self.shop.client.clone());
        let mut pods = watch(&watcher);
        let mut resync = tokio::time::interval(self.shop.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = tokio::time::interval(COUNT);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = pin!(shutdown.draining());
        let patience = sleep(PATIENCE);
        let mut patience = pin!(patience);
        let ended = loop {
            if until == Until::Done && self.is_done() {
                break Ended::Done(std::mem::take(&mut self.reasons));
            }
            let due = self.queue.next_due().filter(|_| self.queue.running() < self.shop.workers);
            let turn = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut draining => break Ended::Drained,
                Some(sight) = pods.next() => {
                    if watcher.falls_back(&sight) {
                        pods = watch(&watcher);
                    } else {
                        self.see(sight);
                    }
                }
                Some(done) = self.tasks.join_next() => self.settle(done),
                () = turn => self.start(Instant::now()),
                _ = resync.tick(), if self.roll.is_complete() && !self.is_sweeping => self.sweep(),
                _ = count.tick() => self.count().await,
                () = &mut patience, if until == Until::Done && !self.roll.is_complete() => {
                    let reason = self.said_of_watch.last().unwrap_or("the list has no end").to_owned();
                    break Ended::NotListed { reason };
                }
            }
        };
        while let Some(done) = self.tasks.join_next().await {
            self.settle(done);
        }
        self.count().await;
        ended
    }

    fn is_done(&self) -> bool {
        self.roll.is_complete()
            && self.tasks.is_empty()
            && self.has_swept
            && self.queue.next_due().is_none_or(|due| due > Instant::now())
    }

    fn see(&mut self, sight: Sight) {
        let now = Instant::now();
        let seen = match sight {
            Ok(seen) => seen,
            Err(error) => {
                self.shop.metrics.watch_failed();
                let reason = chain(&ApiError::from(error));
                if self.said_of_watch.is_news(&reason) {
                    tracing::warn!(reason, "the watch of pods failed; trying again");
                }
                return;
            }
        };
        match seen {
            Seen::Init => self.roll.begin(),
            Seen::InitApply(pod) | Seen::Apply(pod) => {
                if let Some(uid) = self.roll.see(&self.shop.settings, &pod, now) {
                    self.queue.renew(&uid, now);
                }
            }
            Seen::Delete(pod) => {
                if let Some(gone) = self.roll.gone(pod.uid.as_deref().unwrap_or_default()) {
                    self.gone(gone, now);
                }
            }
            Seen::InitDone => {
                self.said_of_watch.clear();
                for gone in self.roll.end() {
                    self.gone(gone, now);
                }
                tracing::info!(pods = self.roll.len(), "pods are listed");
            }
        }
    }

    fn gone(&mut self, Gone { uid, may_hold }: Gone, now: Instant) {
        self.queue.remove(&uid);
        if may_hold {
            if self.is_sweeping {
                self.went_meanwhile.push(Arc::clone(&uid));
            }
            self.leave(uid, now);
        }
    }

    fn leave(&mut self, uid: Uid, now: Instant) {
        self.queue.add(&uid, now);
        self.leaving.insert(uid);
    }

    /// Begins the next turn.
    fn start(&mut self, now: Instant) {
        let Some(uid) = self.queue.take(now) else { return };
        let shop = Arc::clone(self.shop);
        if self.leaving.contains(&uid) {
            self.tasks.spawn(async move {
                let released = turn::release(&uid, &shop.stores).await;
                Done::Released(uid, released)
            });
        } else if let Some((pod, wish)) = self.roll.turn(&uid) {
            self.tasks.spawn(async move {
                let outcome = turn::serve(&pod, &wish, &shop.stores, &shop.maker).await;
                Done::Served(uid, outcome, now.elapsed())
            });
        } else {
            self.queue.done(&uid, Next::Never, now);
        }
    }

    /// Begins to compare leases with pods.
    fn sweep(&mut self) {
        self.is_sweeping = true;
        let (shop, living) = (Arc::clone(self.shop), self.roll.living());
        self.tasks.spawn(async move { Done::Swept(shop.sweeper.sweep(&shop.stores, &living).await) });
    }

    fn settle(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let now = Instant::now();
        match finished(done) {
            Done::Served(uid, outcome, took) => {
                self.shop.metrics.took(took);
                self.served(&uid, outcome, now);
            }
            Done::Released(uid, released) => self.released(&uid, released, now),
            Done::Swept(swept) => self.swept(swept, now),
        }
    }

    /// Puts into numbers how it stands.
    async fn count(&self) {
        let metrics = &self.shop.metrics;
        metrics.are(self.roll.len(), self.queue.backlog(Instant::now()));
        metrics.wait(self.roll.waiting());
        let stores = &self.shop.stores;
        let mut asked: HashMap<Scope, Vec<&LeaseWish>> = HashMap::new();
        for (store, namespace, lease) in self.roll.leases() {
            asked.entry(stores.scope(store, namespace)).or_default().push(lease);
        }
        let mut held: BTreeMap<StoreName, (usize, f64)> = BTreeMap::new();
        for opened in stores.opened().await {
            let Some(leases) = &opened.leases else { continue };
            let uses: HashMap<LeaseSeries, usize> =
                leases.uses().into_iter().map(|(series, used)| (series, used.held)).collect();
            let (sum, fullest) = held.entry(opened.scope.store.clone()).or_default();
            *sum += uses.values().sum::<usize>();
            for lease in asked.get(&opened.scope).into_iter().flatten() {
                let size = f64::from(lease.range.start().abs_diff(*lease.range.end())) + 1.0;
                let used = uses.get(&lease.series).copied().unwrap_or_default();
                *fullest = fullest.max((used as f64 / size).min(1.0));
            }
        }
        for (store, (leases, fullest)) in held {
            metrics.hold(&store, leases, fullest);
        }
    }
}

/// Pods that have not ended.
fn watch(watcher: &Watcher) -> BoxStream<'static, Sight> {
    watcher.watch::<PodObject>(Config::default().fields(NOT_ENDED))
}
