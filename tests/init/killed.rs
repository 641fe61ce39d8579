//! `keystow init` killed at any instant: an application finds no file or whole files of one version, and the next run
//! cleans up.
//!
//! Three kinds of instants: drawn evenly from the whole life of a run; drawn from the short time in which it writes, which
//! begins when the directory of a new version appears; and from the moment in which it switches. Meanwhile a reader looks at the files all the time. The
//! seed is in every message; `KEYSTOW_SEED` takes it again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::pod::{BOUND, Pod, Tree, gather, names, tree};
use super::support::random::Random;

/// How many runs are killed while they run, of those that exit by themselves when all is done.
const KILLS: usize = 200;
/// How many do it at once.
const KILLERS: usize = 4;
/// How many pods have a sidecar that is killed while it swaps, and how often.
const SIDECARS: usize = 8;
const SWAPS: usize = 6;

const SECRETS: [&str; 6] = ["app.token", "db_password", "db_user", "mail", "queue.password", "signing"];
const VIEWS: [(&str, &[&str]); 2] =
    [("secret", &["app.token", "db_password", "db_user", "mail"]), ("other", &SECRETS)];

/// The annotations of a version: the same names, other values of another length.
fn annotations(version: usize) -> Vec<(String, String)> {
    let value =
        |name: &str| STANDARD.encode(format!("{name} of {version} {}", "x".repeat(100 * (version % 7))));
    let mut annotations: Vec<(String, String)> = SECRETS
        .iter()
        .map(|name| {
            let value = format!("kind=REFERENCE,type=PASSWORD,localModeValue={}", value(name));
            (format!("secret.bsycorp.com/{name}"), value)
        })
        .collect();
    for name in ["db.host", "db.port"] {
        annotations.push((format!("resource.bsycorp.com/{name}"), format!("localModeValue={}", value(name))));
    }
    annotations.extend(
        [
            ("lease.bsycorp.com/node", "kind=INDEX,rangeStart=0,rangeEnd=9"),
            ("inject.bsycorp.com/format", "properties,dotenv,json,files"),
            ("inject.bsycorp.com/template.url", "{{ secret['db_user'] }}@{{ resource['db.host'] }}"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    annotations
}

fn annotate(pod: &Pod, version: usize) {
    let annotations = annotations(version);
    let annotations: Vec<_> = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    pod.annotate(&annotations);
}

/// A pod with two views and a local store, at version 0.
fn pod() -> Pod {
    let mut pod = Pod::new(r#"{"local":{}}"#, &[]);
    let views: Vec<_> = VIEWS
        .iter()
        .map(|(directory, secrets)| serde_json::json!({"directory": pod.path(directory), "secrets": secrets}))
        .collect();
    pod.set("KEYSTOW_VIEWS", serde_json::Value::from(views).to_string());
    annotate(&pod, 0);
    pod
}

fn directories(pod: &Pod) -> Vec<PathBuf> {
    VIEWS.iter().map(|(directory, _)| pod.path(directory)).collect()
}

fn trees(pod: &Pod) -> Vec<Tree> {
    directories(pod).iter().map(|directory| tree(directory)).collect()
}

fn start(pod: &Pod) -> Child {
    pod.command().stderr(Stdio::null()).spawn().expect("a started container")
}

/// Runs to the end, and says how long that took.
fn run(pod: &Pod) -> Duration {
    let begun = Instant::now();
    let output = pod.command().output().expect("a started container");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed()
}

/// What each view is to look like at each version.
fn expected(versions: usize) -> Vec<Vec<Tree>> {
    let of = |version| {
        let pod = pod();
        annotate(&pod, version);
        run(&pod);
        let trees = trees(&pod);
        // secret, secret.env, secret.json, resources, leases, two resources, a lease, a template, and one each in files/.
        assert_eq!(trees.iter().map(Tree::len).collect::<Vec<_>>(), [9 + 4, 9 + 6], "{trees:?}");
        trees
    };
    (0..versions).map(of).collect()
}

/// Only what the last run left is in the directories: one version, and the names of its files.
#[track_caller]
fn assert_clean(pod: &Pod) {
    for directory in directories(pod) {
        let names = names(&directory);
        let hidden: Vec<_> = names.iter().filter(|name| name.starts_with("..")).collect();
        assert!(
            hidden.len() == 2 && hidden[0] == "..data" && hidden[1].starts_with("..keystow-"),
            "left behind in {}: {names:?}",
            directory.display()
        );
        let dangling = names.iter().find(|name| !directory.join(name).exists());
        assert!(dangling.is_none(), "{dangling:?} leads nowhere");
    }
}

/// Directories of versions.
fn versions(directory: &Path) -> BTreeSet<String> {
    names(directory).into_iter().filter(|name| name.starts_with("..keystow-")).collect()
}

/// Waits until a directory of a new version appears anywhere, or the process has ended.
fn writes(child: &mut Child, pod: &Pod, before: &[BTreeSet<String>]) {
    let directories = directories(pod);
    let is_new = |(directory, before): (&PathBuf, &BTreeSet<String>)| versions(directory) != *before;
    reach(child, || directories.iter().zip(before).any(is_new));
}

/// Waits until a version becomes the current one anywhere, or the process has ended.
fn switches(child: &mut Child, pod: &Pod) {
    let links: Vec<_> = directories(pod).iter().map(|directory| directory.join("..data")).collect();
    let before: Vec<_> = links.iter().map(|link| fs::read_link(link).ok()).collect();
    reach(child, || links.iter().zip(&before).any(|(link, before)| fs::read_link(link).ok() != *before));
}

/// Waits, without losing time, until something is so, or the process has ended.
fn reach(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() && child.try_wait().expect("a child").is_none() {
        assert!(begun.elapsed() < BOUND, "no end within {BOUND:?}");
        std::thread::yield_now();
    }
}

#[expect(clippy::disallowed_methods, reason = "instants are drawn: nothing is waited for")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Kills the process; whether that was before it ended by itself.
fn kill(mut child: Child) -> bool {
    child.kill().expect("a signal");
    child.wait().expect("a child").signal() == Some(9)
}

/// Looks at the files again and again until told to stop; how often it found some.
fn read(pod: &Pod, expected: &[Vec<Tree>], stop: &AtomicBool, seed: u64) -> usize {
    let mut found = 0;
    while !stop.load(Ordering::Relaxed) {
        // The machine is also for what is read.
        pass(Duration::from_millis(1));
        for (view, directory) in directories(pod).iter().enumerate() {
            let whole: Vec<&Tree> = expected.iter().map(|trees| &trees[view]).collect();
            // Each file by its name, as an application opens it.
            for name in whole[0].keys() {
                if let Ok(content) = fs::read(directory.join(name)) {
                    let is_whole = whole.iter().any(|tree| tree[name].1 == content);
                    assert!(is_whole, "seed {seed}: {name} is {:?}", String::from_utf8_lossy(&content));
                    found += 1;
                }
            }
            // All of what is current now, unless it is not any more when all was read.
            let current = || fs::read_link(directory.join("..data")).ok();
            let Some(version) = current() else { continue };
            let mut tree = Tree::new();
            let path = directory.join(&version);
            let read =
                names(&path).into_iter().try_for_each(|name| gather(&path.join(&name), &name, &mut tree));
            if current().as_ref() == Some(&version) {
                read.expect("files that stay while they are current");
                assert!(whole.contains(&&tree), "seed {seed}: {} is no whole version", path.display());
            }
        }
    }
    found
}

/// Which version each view has now, or none.
fn assert_whole(pod: &Pod, expected: &[Vec<Tree>], seed: u64) -> Vec<Option<usize>> {
    let view = |(view, tree): (usize, Tree)| {
        let found = expected.iter().position(|trees| trees[view] == tree);
        assert!(found.is_some() || tree.is_empty(), "seed {seed}: a mix in view {view}: {tree:?}");
        found
    };
    trees(pod).into_iter().enumerate().map(view).collect()
}

/// How many kills came in time, and what each view was like after them.
#[derive(Debug, Default)]
struct Counts {
    kills: usize,
    nothing: usize,
    old: usize,
    new: usize,
    reads: usize,
}

#[test]
fn a_run_killed_at_any_instant_leaves_no_file_or_whole_files() {
    let random = Random::new();
    let seed = random.0;
    let expected = expected(2);
    let mut times: Vec<Duration> = (0..5).map(|_| run(&pod())).collect();
    times.sort();
    let all = std::thread::scope(|scope| {
        let killer = |number: u64| {
            let (mut random, expected, life) = (Random(seed ^ number), &expected, times[2]);
            scope.spawn(move || kill_runs(KILLS / KILLERS, life, &mut random, expected, seed))
        };
        let killers: Vec<_> = (0..KILLERS as u64).map(killer).collect();
        killers.into_iter().map(|killer| killer.join().expect("whole files")).fold(
            Counts::default(),
            |all, one| Counts {
                kills: all.kills + one.kills,
                nothing: all.nothing + one.nothing,
                old: all.old + one.old,
                new: all.new + one.new,
                reads: all.reads + one.reads,
            },
        )
    });
    println!("{all:?}");
    let is_enough = all.kills == KILLS && all.nothing > 0 && all.old > 0 && all.new > 0 && all.reads > 0;
    assert!(is_enough, "seed {seed}: too few instants were tried: {all:?}");
}

/// Kills so many runs, one after the other.
fn kill_runs(kills: usize, life: Duration, random: &mut Random, expected: &[Vec<Tree>], seed: u64) -> Counts {
    let mut counts = Counts::default();
    // Two rounds on one pod: on its empty volume, and over the version that the first one leaves in the end.
    let mut pod = pod();
    for round in 0.. {
        assert!(round < 3 * kills, "seed {seed}: of {round} kills {} came in time", counts.kills);
        match round % 2 {
            0 => pod = self::pod(),
            _ => annotate(&pod, 1),
        }
        let stop = AtomicBool::new(false);
        let (killed, reads) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&pod, expected, &stop, seed));
            let killed = kill_one(&pod, round / 2 % 3, life, random);
            stop.store(true, Ordering::Relaxed);
            (killed, reader.join().expect("a reader that found nothing wrong"))
        });
        counts.reads += reads;
        if killed {
            counts.kills += 1;
            for found in assert_whole(&pod, expected, seed) {
                match (found, round % 2) {
                    (None, 0) => counts.nothing += 1,
                    (Some(0), 1) => counts.old += 1,
                    (Some(version), was_there) if version == was_there => counts.new += 1,
                    other => panic!("seed {seed}: found {other:?}"),
                }
            }
        }
        // Whatever was left, the next run goes through and cleans up.
        run(&pod);
        assert_eq!(trees(&pod), expected[round % 2], "seed {seed}");
        assert_clean(&pod);
        if counts.kills == kills {
            break;
        }
    }
    counts
}

/// Starts a run and kills it at an instant of this kind; whether it came in time.
fn kill_one(pod: &Pod, kind: usize, life: Duration, random: &mut Random) -> bool {
    let before: Vec<_> = directories(pod).iter().map(|directory| versions(directory)).collect();
    let mut child = start(pod);
    match kind {
        0 => pass(random.time(life)),
        1 => {
            writes(&mut child, pod, &before);
            pass(random.time(life / 4));
        }
        _ => {
            switches(&mut child, pod);
            pass(random.time(life / 50));
        }
    }
    kill(child)
}

#[test]
fn a_sidecar_killed_while_it_swaps_leaves_the_old_version_or_the_new_one() {
    let random = Random::new();
    let seed = random.0;
    let expected = expected(SWAPS + 1);
    let (kills, reads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for sidecar in 0..SIDECARS {
            let mut random = Random(random.0 ^ sidecar as u64);
            let (expected, kills, reads) = (&expected, &kills, &reads);
            scope.spawn(move || {
                let mut pod = pod();
                pod.argue("--refresh=1s");
                let stop = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    let reader = scope.spawn(|| read(&pod, expected, &stop, seed));
                    for version in 0..SWAPS {
                        let killed = swap(&pod, version, &mut random, expected, seed);
                        kills.fetch_add(usize::from(killed), Ordering::Relaxed);
                    }
                    stop.store(true, Ordering::Relaxed);
                    let found = reader.join().expect("a reader that found nothing wrong");
                    reads.fetch_add(found, Ordering::Relaxed);
                });
            });
        }
    });
    let (kills, reads) = (kills.into_inner(), reads.into_inner());
    println!("{kills} kills; {reads} reads");
    assert!(kills == SIDECARS * SWAPS && reads > 0, "seed {seed}: {kills} kills, {reads} reads");
}

/// A sidecar writes a version, is told of the next one, and is killed while it swaps; whether it was.
fn swap(pod: &Pod, version: usize, random: &mut Random, expected: &[Vec<Tree>], seed: u64) -> bool {
    annotate(pod, version);
    let mut child = start(pod);
    let begun = Instant::now();
    while trees(pod) != expected[version] {
        assert!(begun.elapsed() < BOUND, "seed {seed}: version {version} did not come");
        assert!(child.try_wait().expect("a child").is_none(), "seed {seed}: the sidecar ended");
        std::thread::yield_now();
    }
    // What was there before is removed after the switch.
    while directories(pod).iter().any(|directory| versions(directory).len() > 1) {
        assert!(begun.elapsed() < BOUND, "seed {seed}: the version before {version} stays");
        std::thread::yield_now();
    }
    let before: Vec<_> = directories(pod).iter().map(|directory| versions(directory)).collect();
    annotate(pod, version + 1);
    writes(&mut child, pod, &before);
    pass(random.time(Duration::from_millis(20)));
    let killed = kill(child);
    let found = assert_whole(pod, &expected[version..version + 2], seed);
    assert!(found.iter().all(Option::is_some), "seed {seed}: {found:?}");
    killed
}
