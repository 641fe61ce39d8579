//! Faults between init and a store: it waits, asks again or fails as the kind of fault says, writes all or nothing, and
//! names every value that is missing with its reason.
//!
//! Flow: a store takes part by a [`Served`] and `faults!(Served)`, which makes one test of each case: a real server with
//! values of [`NAMES`], a [`Faults`] before it, and `keystow init` as a process that is sent to that.

#[cfg(all(feature = "secretsmanager", feature = "ssm"))]
mod aws;
#[cfg(all(feature = "azure", feature = "gcp"))]
mod clouds;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "vault")]
mod vault;

use std::time::Duration;

use super::canary::{assert_none, canary};
use super::pod::{BOUND, Ended, Pod};
use super::support::faults::answers::gateway;
use super::support::faults::{Answer, Fault, Faults, Presented, Seen, all};
use super::support::wait::until;

/// What every store has below the prefix of a test.
pub(crate) const NAMES: [&str; 3] = ["api.token", "db_password", "mail"];

/// The value that is called so at first.
pub(crate) fn value(name: &str) -> String {
    canary(name)
}

/// The properties that init writes.
fn written() -> String {
    NAMES.map(|name| format!("{name}={}\n", value(name))).concat()
}

/// The exit codes of sysexits(3).
pub(crate) const UNAVAILABLE: i32 = 69;
pub(crate) const DENIED: i32 = 77;

/// The deadline of runs that fail, and how much longer than it they may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(5);

/// A store with its values, and the line to it.
pub(crate) trait Served: Sized + Send + Sync + 'static {
    /// Starts it, with a value of each of [`NAMES`] in it; `None` where there is no server, which has been told.
    async fn start(test: &str) -> Option<Self>;

    /// The line. It speaks TLS.
    fn line(&self) -> &Faults;

    /// Where the values are.
    fn prefix(&self) -> &str;

    /// A pod that is sent to the line.
    fn pod(&self, annotations: &[(&str, &str)]) -> Pod;

    /// Whether a request reads values, and does not log in.
    fn reads(seen: &Seen) -> bool;

    /// What the service says when it throttles.
    fn throttled() -> Answer;

    /// What it says when a session is over.
    fn expired() -> Answer;

    /// Which codes may stand for a session that cannot be renewed.
    fn expired_codes() -> &'static [i32] {
        &[UNAVAILABLE, DENIED]
    }

    /// Puts another value in the place of the first of [`NAMES`].
    async fn change(&self, value: &str);
}

/// One test of each case.
macro_rules! faults {
    ($served:ty) => {
        $crate::faults::faults!($served:
            a_fault_that_passes_is_not_seen_by_the_application,
            a_fault_that_stays_is_told_for_every_value,
            a_stalled_answer_ends_with_the_deadline,
            refused_connections_are_waited_for,
            a_session_that_is_over_is_renewed,
            a_certificate_that_is_not_the_stores_is_no_answer,
            a_fault_never_brings_local_values,
            a_sidecar_outlives_every_fault,
            a_signal_ends_a_run_that_waits,
        );
    };
    ($served:ty: $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let test = concat!(module_path!(), "::", stringify!($case));
                if let Some(served) = <$served as $crate::faults::Served>::start(test).await {
                    $crate::faults::$case(&served).await;
                }
            }
        )+
    };
}
pub(crate) use faults;

/// A place for the values of a test.
fn prefix(test: &str) -> String {
    format!("/suite/{}", test.rsplit("::").next().expect("the name of a test").replace('_', "-"))
}

const ANNOTATIONS: [(&str, &str); 3] = [
    ("secret.bsycorp.com/api.token", "kind=REFERENCE,type=PASSWORD"),
    ("secret.bsycorp.com/db_password", "kind=REFERENCE,type=PASSWORD"),
    ("secret.bsycorp.com/mail", "kind=REFERENCE,type=PASSWORD"),
];

fn pod<S: Served>(served: &S, deadline: Duration) -> Pod {
    pod_with(served, deadline, &[])
}

fn pod_with<S: Served>(served: &S, deadline: Duration, more: &[(&str, &str)]) -> Pod {
    let prefix = [("init.bsycorp.com/storage-prefix", served.prefix())];
    let mut pod = served.pod(&[&ANNOTATIONS[..], &prefix[..], more].concat());
    pod.set("KEYSTOW_DEADLINE", format!("{}s", deadline.as_secs()));
    pod.set("KEYSTOW_LOG", "trace");
    pod
}

/// Everything was fetched and written.
#[track_caller]
fn assert_served(fault: &str, pod: &Pod, ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{fault}: {ended:?}");
    assert_eq!((pod.read("secret"), ended.last_words.as_str()), (written(), ""), "{fault}");
}

/// Nothing was written, every value is named with a reason, and none is shown.
#[track_caller]
fn assert_failed(fault: &str, pod: &Pod, ended: &Ended, codes: &[i32]) {
    assert!(ended.code.is_some_and(|code| codes.contains(&code)), "{fault}: {ended:?}");
    pod.assert_nothing_is_written();
    let words = &ended.last_words;
    assert!(words.starts_with("keystow init: 3 of 3 values are missing:\n"), "{fault}: {words}");
    assert_eq!(words.lines().count(), 4, "{fault}: {words}");
    for name in NAMES {
        let line = words.lines().find(|line| line.starts_with(&format!("- secret.bsycorp.com/{name}: ")));
        let line = line.unwrap_or_else(|| panic!("{fault}: {name} is not named: {words}"));
        let length = line.len();
        assert!(length > 60 + name.len(), "{fault}: there is no reason: {line}");
    }
    assert_none("the termination message", words);
    assert_none("the log", &ended.log);
    assert!(ended.log.contains("values are missing"), "{fault}: {ended:?}");
    assert!(ended.took < BOUND / 2, "{fault}: {ended:?}");
}

/// What comes and goes.
fn passing<S: Served>() -> Vec<(&'static str, Fault)> {
    vec![
        ("reset", Fault::Reset),
        ("cut short", Fault::Short),
        ("half of the JSON", Fault::Truncated),
        ("status 500", gateway(500).into()),
        ("status 502", gateway(502).into()),
        ("status 503", gateway(503).into()),
        ("throttled", S::throttled().into()),
    ]
}

pub(crate) async fn a_fault_that_passes_is_not_seen_by_the_application<S: Served>(served: &S) {
    let line = served.line();
    for (name, fault) in passing::<S>() {
        let pod = pod(served, Duration::from_secs(30));
        // Twice, whatever the client of the vendor tries again by itself.
        line.next(S::reads, vec![fault; 2]);
        let ended = pod.run().await;
        assert_served(name, &pod, &ended);
        assert_eq!(line.left(), 0, "{name}: the fault did not happen");
        line.clear();
    }
}

pub(crate) async fn a_fault_that_stays_is_told_for_every_value<S: Served>(served: &S) {
    let line = served.line();
    for (name, fault) in passing::<S>() {
        let pod = pod(served, DEADLINE);
        line.forget();
        line.always(S::reads, fault);
        let ended = pod.run().await;
        assert_failed(name, &pod, &ended, &[UNAVAILABLE]);
        assert!(line.count(|seen| seen.is_faulty) >= 2, "{name}: it was not asked again");
        assert!(ended.took < DEADLINE + SLACK, "{name}: {ended:?}");
        line.clear();
        // What is left behind does not disturb the container's next start.
        let ended = pod.run().await;
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert_eq!(pod.read("secret"), written());
    }
}

pub(crate) async fn a_stalled_answer_ends_with_the_deadline<S: Served>(served: &S) {
    let line = served.line();
    let mut pod = pod(served, Duration::from_secs(5));
    line.always(S::reads, Fault::Stall(Duration::from_secs(30)));
    let ended = pod.run().await;
    assert_failed("stall", &pod, &ended, &[UNAVAILABLE]);
    assert!(Duration::from_secs(4) <= ended.took && ended.took < Duration::from_secs(5) + SLACK, "{ended:?}");
    // One answer that stalls is not waited for: another attempt is made in time.
    line.clear();
    line.next(S::reads, [Fault::Stall(Duration::from_secs(3600))]);
    pod.set("KEYSTOW_DEADLINE", "40s");
    let ended = pod.run().await;
    assert_eq!((ended.code, pod.read("secret")), (Some(0), written()), "{ended:?}");
    // The same where everything stalls, logging in too.
    line.always(all, Fault::Stall(Duration::from_secs(30)));
    let pod = self::pod(served, DEADLINE);
    let ended = pod.run().await;
    assert_failed("stall of all", &pod, &ended, &[UNAVAILABLE]);
    assert!(ended.took < DEADLINE + SLACK, "{ended:?}");
}

pub(crate) async fn refused_connections_are_waited_for<S: Served>(served: &S) {
    let line = served.line();
    line.refuse().await;
    let unlucky = pod(served, DEADLINE);
    let ended = unlucky.run().await;
    assert_failed("refused", &unlucky, &ended, &[UNAVAILABLE]);
    // The whole time of a run that fails is long enough for another one to have been refused.
    let lucky = pod(served, Duration::from_secs(60));
    let (ended, unlucky) = tokio::join!(lucky.run(), async {
        let ended = unlucky.run().await;
        line.listen().await;
        ended
    });
    assert_eq!(unlucky.code, Some(UNAVAILABLE), "{unlucky:?}");
    assert_served("refused for a while", &lucky, &ended);
}

pub(crate) async fn a_session_that_is_over_is_renewed<S: Served>(served: &S) {
    let line = served.line();
    line.next(S::reads, [S::expired().into()]);
    let lucky = pod(served, Duration::from_secs(30));
    let ended = lucky.run().await;
    assert_served("expired once", &lucky, &ended);
    assert_eq!(line.left(), 0, "the fault did not happen");
    line.always(S::reads, S::expired());
    let unlucky = pod(served, DEADLINE);
    let ended = unlucky.run().await;
    assert_failed("expired for good", &unlucky, &ended, S::expired_codes());
}

pub(crate) async fn a_certificate_that_is_not_the_stores_is_no_answer<S: Served>(served: &S) {
    let line = served.line();
    for presented in [Presented::WrongName, Presented::Expired, Presented::Unknown] {
        line.forget();
        line.present(presented);
        let pod = pod(served, DEADLINE);
        let ended = pod.run().await;
        let name = format!("{presented:?}");
        assert_failed(&name, &pod, &ended, &[UNAVAILABLE]);
        assert!(ended.last_words.contains("certificate"), "{name}: {ended:?}");
        assert!(line.requests().is_empty(), "{name}: a request was sent: {:?}", line.requests());
        line.present(Presented::Right);
        let ended = pod.run().await;
        assert_eq!((ended.code, pod.read("secret")), (Some(0), written()), "{name}: {ended:?}");
    }
}

pub(crate) async fn a_fault_never_brings_local_values<S: Served>(served: &S) {
    let line = served.line();
    let fallback = [("init.bsycorp.com/local-mode", "remote-then-local")];
    for (name, fault) in [("throttled", S::throttled().into()), ("half of the JSON", Fault::Truncated)] {
        let pod = pod_with(served, DEADLINE, &fallback);
        line.always(S::reads, fault);
        let ended = pod.run().await;
        assert_failed(name, &pod, &ended, &[UNAVAILABLE]);
        line.clear();
    }
    line.refuse().await;
    let pod = pod_with(served, DEADLINE, &fallback);
    let ended = pod.run().await;
    assert_failed("refused", &pod, &ended, &[UNAVAILABLE]);
}

pub(crate) async fn a_sidecar_outlives_every_fault<S: Served>(served: &S) {
    let line = served.line();
    let mut pod = pod(served, Duration::from_secs(30));
    pod.argue("--refresh=1s");
    let sidecar = pod.start();
    let is = async |what: &str, content: &str| {
        let found = async || (pod.tree().get("secret")?.1 == content.as_bytes()).then_some(());
        until(BOUND, found).await.unwrap_or_else(|| panic!("{what}: {:?}\n{}", pod.tree(), sidecar.log()));
    };
    is("the first round", &written()).await;
    let asked = async |times: usize| {
        line.forget();
        let enough = async || (line.count(|seen| seen.is_faulty) >= times).then_some(());
        until(BOUND, enough).await.expect("a sidecar that asks again");
    };
    // Faults of one kind for many rounds: one line, and the old values stay although there are new ones.
    line.always(S::reads, gateway(503));
    asked(1).await;
    served.change("fresh").await;
    asked(6).await;
    let count = |text: &str| sidecar.log().lines().filter(|line| line.contains(text)).count();
    is("while the store is away", &written()).await;
    assert_eq!((count("refresh failed"), count("refresh works again")), (1, 0), "{}", sidecar.log());
    line.clear();
    let fresh = written().replace(&value(NAMES[0]), "fresh");
    is("once it is back", &fresh).await;
    // It is said after the files are there.
    until(BOUND, async || (count("refresh works again") > 0).then_some(())).await.expect("a line");
    assert_eq!((count("refresh failed"), count("refresh works again")), (1, 1), "{}", sidecar.log());
    // A request that stalls does not hold up the end.
    line.always(S::reads, Fault::Stall(Duration::from_secs(3600)));
    asked(1).await;
    let ended = sidecar.terminate().await;
    assert_none("the log", &ended.log);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.took < Duration::from_secs(2), "{ended:?}");
    assert_eq!((pod.read("secret"), pod.last_words()), (fresh, String::new()));
    served.change(&value(NAMES[0])).await;
}

pub(crate) async fn a_signal_ends_a_run_that_waits<S: Served>(served: &S) {
    let line = served.line();
    line.always(S::reads, Fault::Stall(Duration::from_secs(3600)));
    let pod = pod(served, Duration::from_secs(60));
    let run = pod.start();
    until(BOUND, async || (line.count(|seen| seen.is_faulty) > 0).then_some(())).await.expect("a request");
    let ended = run.terminate().await;
    assert_eq!(ended.code, Some(128 + 15), "{ended:?}");
    assert!(ended.took < Duration::from_secs(2), "{ended:?}");
    pod.assert_nothing_is_written();
}
