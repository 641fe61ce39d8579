//! Many creators at once, killed at any instant: each name has one value, pairs match, an index has one holder.
//!
//! In each round fifty processes work at the same time on what nobody has made yet, without an election, and are killed at
//! instants drawn evenly from the time that such a round takes; pods come and go meanwhile. The store is looked at all
//! the time. The seed is in every message; `KEYSTOW_SEED` takes it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};

use super::fixture::{Cluster, Kept, SECRETS, WITHIN, holders, uid_of};
#[cfg(feature = "dynamodb")]
use super::table::{CREDENTIALS, Table};
use crate::support::judges::{gnupg, openssl};
use crate::support::measured::measured;
use crate::support::process::Process;
use crate::support::programs;
use crate::support::random::Random;
#[cfg(feature = "dynamodb")]
use crate::support::servers::Moto;

/// How many creators are killed at least, in so many rounds at most.
const KILLS: usize = 200;
const ROUNDS: usize = 12;
/// Processes of a round.
const CREATORS: usize = 50;
/// Of a round, at its start.
const PODS: usize = 5;
/// How many of them go in the midst of it, and how many come.
const CHANGING: usize = 2;
/// Until when creators of the first round are killed; some have done all by then. Where too many have, it is sooner in the
/// next one.
const KILLED_WITHIN: Duration = Duration::from_secs(8);
/// Between two looks at the store.
const POLL: Duration = Duration::from_millis(200);

/// What all pods of a round ask for.
const ASKED: &[(&str, &str)] = &[
    ("secret/rsa_private", "kind=DYNAMIC,type=RSA,size=2048"),
    ("secret/ec_private", "kind=DYNAMIC,type=EC,size=256"),
    ("secret/ed_public", "kind=DYNAMIC,type=ED25519"),
    ("secret/mail_private", "kind=DYNAMIC,type=GPG,size=2048,userId=mail<mail@example.org>"),
    ("secret/noise", "kind=DYNAMIC,type=RANDOM,size=256"),
    ("secret/db_password", "kind=DYNAMIC,type=PASSWORD,size=128"),
    ("secret/api-key-a_consumer", "kind=DYNAMIC,type=RANDOM,size=128"),
    ("lease/shard", "kind=INDEX,rangeStart=0,rangeEnd=7"),
    ("lease/shard2", "kind=INDEX,rangeStart=0,rangeEnd=7"),
];
const SERIES: [&str; 2] = ["shard", "shard2"];
/// And what lies in the store then.
const NAMES: &[&str] = &[
    "rsa_public",
    "rsa_private",
    "ec_public",
    "ec_private",
    "ed_public",
    "ed_private",
    "mail_public",
    "mail_private",
    "mail_password",
    "noise",
    "db_password",
    "api-key-a_consumer",
    "api-key-a_provider",
];

/// A store that is looked at.
enum Look<'l> {
    Secrets(String),
    #[cfg(feature = "dynamodb")]
    Table(Table<'l>),
    #[cfg(not(feature = "dynamodb"))]
    Never(std::marker::PhantomData<&'l ()>),
}

/// Where it happens.
struct Ground<'g> {
    cluster: &'g Cluster,
    namespace: String,
    look: Look<'g>,
    environment: &'static [(&'static str, &'static str)],
    seed: u64,
    /// Pods that were deleted, or are being deleted.
    gone: Mutex<BTreeSet<String>>,
}

/// How creators of a round ended.
#[derive(Debug, Default)]
struct Ends {
    /// Killed before they knew the pods, after that, and before they were killed.
    early: usize,
    working: usize,
    done: usize,
    /// Indices that are a pod's second one.
    surplus: usize,
}

/// All that a store was seen to hold, and when that must not be.
#[derive(Default)]
struct Seen {
    values: Kept,
    looks: usize,
    faults: Vec<String>,
}

impl Seen {
    /// What pods held that are `gone` may be gone too.
    fn look(&mut self, kept: Kept, gone: &BTreeSet<String>) {
        self.looks += 1;
        for (path, before) in &self.values {
            let holder = String::from_utf8_lossy(before);
            let may_go = match path.rsplit_once(".of-") {
                // A claim that lost is given up before the pod has an index.
                Some(_) => true,
                None => path.contains("/leases/") && gone.contains(uid_of(&holder)),
            };
            match kept.get(path) {
                Some(now) if now == before => {}
                _ if may_go => {}
                Some(_) => self.faults.push(format!("{path} has another value{}", whose(path, &holder))),
                None => self.faults.push(format!("{path} is gone{}", whose(path, &holder))),
            }
        }
        self.values = kept;
    }
}

/// For people: a lease's holder, and nothing of a secret.
fn whose(path: &str, holder: &str) -> String {
    if path.contains("/leases/") { format!(", which was {holder}") } else { String::new() }
}

impl Ground<'_> {
    async fn kept(&self) -> Kept {
        match &self.look {
            Look::Secrets(namespace) => self.cluster.secrets(namespace).await,
            #[cfg(feature = "dynamodb")]
            Look::Table(table) => table.kept().await,
            #[cfg(not(feature = "dynamodb"))]
            Look::Never(_) => Kept::new(),
        }
    }

    /// A creator, which is killed after so long if it is not done.
    async fn creator(&self, name: String, life: Duration) -> (Process, bool) {
        let mut creator = self.cluster.creators.once(&name, &[], self.environment);
        let ended = tokio::time::timeout(life, creator.exit_code()).await;
        let is_killed = ended.is_err();
        if is_killed {
            creator.kill().await;
        }
        (creator, is_killed)
    }

    /// One that works alone and is not disturbed.
    async fn undisturbed(&self, name: &str) -> String {
        let mut creator = self.cluster.creators.once(name, &["--workers=4"], self.environment);
        assert_eq!(creator.exit_code().await, Some(0), "seed {}: {}", self.seed, creator.log_text());
        creator.log_text()
    }

    async fn round(&self, round: usize, within: Duration, random: &mut Random) -> Ends {
        let prefix = format!("/r{round}");
        let asked = [&[("init/storage-prefix", prefix.as_str())], ASKED].concat();
        let pods = |numbers: std::ops::Range<usize>| {
            let pods: Vec<_> = numbers.map(|n| self.cluster.pod(&format!("r{round}-{n}"), &asked)).collect();
            self.cluster.create_all(&self.namespace, pods)
        };
        let mut live = pods(0..PODS).await;
        let lives: Vec<Duration> = (0..CREATORS).map(|_| random.time(within)).collect();
        let changes_at = random.time(within);

        let is_over = AtomicBool::new(false);
        let creators = async {
            let all =
                lives.into_iter().enumerate().map(|(n, life)| self.creator(format!("c{round}-{n}"), life));
            let ended: Vec<_> = stream::iter(all).buffer_unordered(CREATORS).collect().await;
            is_over.store(true, Ordering::Relaxed);
            ended
        };
        let change = async {
            tokio::time::sleep(changes_at).await;
            let stay = live.split_off(&live.keys().nth(CHANGING).cloned().unwrap());
            self.delete(&live).await;
            live = stay;
            live.extend(pods(PODS..PODS + CHANGING).await);
        };
        let watch = async {
            let mut seen = Seen::default();
            while !is_over.load(Ordering::Relaxed) {
                self.look(&mut seen).await;
                tokio::time::sleep(POLL).await;
            }
            seen
        };
        let (ended, (), mut seen) = tokio::join!(creators, change, watch);
        let log = self.undisturbed(&format!("u{round}")).await;
        self.look(&mut seen).await;
        let Self { seed, .. } = self;
        let gone = self.gone.lock().unwrap().clone();
        assert_eq!(seen.faults, Vec::<String>::new(), "round {round}, seed {seed}; deleted: {gone:?}");
        assert!(seen.looks > 3, "{} looks", seen.looks);
        let surplus = self.assert_whole(&prefix, &seen.values, &live.keys().collect(), &log);
        self.delete(&live).await;
        Ends { surplus, ..ends(&ended) }
    }

    async fn delete(&self, pods: &BTreeMap<String, String>) {
        // What they held may go from now on.
        self.gone.lock().unwrap().extend(pods.keys().cloned());
        self.cluster.delete_all(&self.namespace, pods.values()).await;
    }

    async fn look(&self, seen: &mut Seen) {
        let kept = self.kept().await;
        seen.look(kept, &self.gone.lock().unwrap());
    }

    /// What a round has left. Yields how many indices are a pod's second one.
    fn assert_whole(&self, prefix: &str, kept: &Kept, live: &BTreeSet<&String>, log: &str) -> usize {
        let mut surplus = 0;
        let what = format!("{prefix}, seed {}", self.seed);
        let mut expected: BTreeSet<String> = NAMES.iter().map(|name| format!("{prefix}/{name}")).collect();
        for series in SERIES.map(|series| format!("{prefix}/leases/{series}")) {
            let holders = holders(kept, &series);
            assert_eq!(
                &holders.values().collect::<BTreeSet<_>>(),
                live,
                "{what}: who lives and nobody else: {log}"
            );
            // One that slept between two steps may have left a pod a second index, until it ends.
            surplus += holders.len() - live.len();
            for uid in live {
                let claim = &kept[&format!("{series}.of-{uid}")];
                let claim = String::from_utf8_lossy(claim);
                let index: i32 = claim.split_once('@').unwrap().0.parse().unwrap();
                assert_eq!(holders.get(&index), Some(*uid), "{what}: {series}, the index that the pod reads");
                expected.insert(format!("{series}.of-{uid}"));
            }
            expected.extend(holders.keys().map(|index| format!("{series}.{index}")));
        }
        let own = |path: &&String| path.starts_with(&format!("{prefix}/"));
        assert_eq!(
            kept.keys().filter(own).cloned().collect::<BTreeSet<_>>(),
            expected,
            "{what}: and nothing else"
        );
        let value = |name: &str| kept[&format!("{prefix}/{name}")].as_slice();
        openssl::assert_pair("(2048 bit)", value("rsa_public"), value("rsa_private"), true);
        openssl::assert_pair("P-256", value("ec_public"), value("ec_private"), true);
        openssl::assert_pair("ED25519", value("ed_public"), value("ed_private"), false);
        let key = gnupg::Key {
            public: value("mail_public"),
            private: value("mail_private"),
            password: value("mail_password"),
        };
        gnupg::assert_key(&key, "2048", "mail<mail@example.org>");
        assert_eq!(value("api-key-a_consumer"), value("api-key-a_provider"), "{what}");
        assert_eq!((value("noise").len(), value("db_password").len()), (32, 16), "{what}");
        surplus
    }

    async fn try_all(&self, mut random: Random) {
        let began = Instant::now();
        let mut all = Ends::default();
        let (mut rounds, mut within) = (0, KILLED_WITHIN);
        while all.early + all.working < KILLS && rounds < ROUNDS {
            let Ends { early, working, done, surplus } = self.round(rounds, within, &mut random).await;
            rounds += 1;
            all.early += early;
            all.working += working;
            all.done += done;
            all.surplus += surplus;
            if done > CREATORS / 8 {
                within = within.mul_f64(0.75);
            }
        }
        // All pods are gone: so are the indices, and what was made is there.
        self.undisturbed("last").await;
        let left: Vec<String> = self.kept().await.into_keys().collect();
        assert_eq!(left.len(), rounds * NAMES.len(), "seed {}: {left:?}", self.seed);
        let Ends { early, working, done, surplus } = all;
        measured(format_args!(
            "creator: {} creators, {CREATORS} at once: {early} killed before they knew the pods, {working} at work, {done} done \
             before; {surplus} pods had a second index; {:.0} s",
            rounds * CREATORS,
            began.elapsed().as_secs_f64()
        ));
        assert!(early + working >= KILLS && working >= KILLS / 2, "too few were killed at work");
        assert!(began.elapsed() < 2 * WITHIN);
    }
}

fn ends(ended: &[(Process, bool)]) -> Ends {
    let mut ends = Ends::default();
    for (creator, is_killed) in ended {
        match (is_killed, creator.log_text().contains("pods are listed")) {
            (true, false) => ends.early += 1,
            (true, true) => ends.working += 1,
            (false, _) => ends.done += 1,
        }
    }
    ends
}

fn judges_are_there(test: &str) -> bool {
    programs::has(test, "openssl", "openssl") && gnupg::is_there(test)
}

#[tokio::test(flavor = "multi_thread")]
async fn creators_that_are_killed_leave_one_value_and_one_holder_in_secrets() {
    let test = "killed-secrets";
    if !judges_are_there(test) {
        return;
    }
    let Some(cluster) = Cluster::alone(test, SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    let random = Random::new();
    let look = Look::Secrets(namespace.clone());
    let ground = Ground {
        cluster: &cluster,
        namespace,
        look,
        environment: &[],
        seed: random.0,
        gone: Mutex::default(),
    };
    ground.try_all(random).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn creators_that_are_killed_leave_one_value_and_one_holder_in_dynamodb() {
    let test = "killed-dynamodb";
    if !judges_are_there(test) {
        return;
    }
    let Some(moto) = Moto::start(test).await else { return };
    let table = Table::new(&moto, "killed").await;
    let Some(cluster) = Cluster::alone(test, &table.configuration(&moto.address())).await else { return };
    let namespace = cluster.namespace("pods").await;
    let random = Random::new();
    let look = Look::Table(table);
    let ground = Ground {
        cluster: &cluster,
        namespace,
        look,
        environment: CREDENTIALS,
        seed: random.0,
        gone: Mutex::default(),
    };
    ground.try_all(random).await;
}
