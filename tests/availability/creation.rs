//! Pods created without pause, as controllers create them, and handshakes made beside them, as an API server makes them that
//! has just been started; both counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use tokio::task::JoinSet;

use super::cluster::{SOON, pod};
use super::support::https;
use super::support::measured::measured;
use super::support::wait::until;

const CLIENTS: usize = 4;
/// Between two pods of a client: long rotations are to be tried with thousands of pods, not with hundreds of thousands.
const PACE: Duration = Duration::from_millis(60);
/// What a controller waits before it tries again, at first.
const BACKOFF: Duration = Duration::from_millis(50);
/// How often a client tries for one pod.
const ATTEMPTS: usize = 40;

/// A request that failed.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "the reason is for the message of a test that fails")]
pub(super) struct Failure {
    pub(super) at: Instant,
    pub(super) why: String,
}

#[derive(Default)]
struct Progress {
    next: AtomicUsize,
    requests: AtomicUsize,
    created: AtomicUsize,
    handshakes: AtomicUsize,
    is_over: AtomicBool,
    failures: Mutex<Vec<Failure>>,
    refused: Mutex<Vec<Failure>>,
}

impl Progress {
    fn failed(&self, why: String) {
        self.failures.lock().unwrap().push(Failure { at: Instant::now(), why });
    }
}

/// Clients that create pods until they are told to stop.
pub(super) struct Creation {
    progress: Arc<Progress>,
    tasks: JoinSet<()>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Requests that created a pod, or were to.
    pub(super) requests: usize,
    /// Pods that were created, each injected.
    pub(super) created: usize,
    /// Requests that failed, and so were made again.
    pub(super) failures: Vec<Failure>,
    /// Handshakes with the caBundle of that moment.
    pub(super) handshakes: usize,
    /// Those of them in which the certificate was not accepted.
    pub(super) refused: Vec<Failure>,
}

impl Creation {
    /// Starts to create; handshakes are made with the webhook at `address`, trusting the caBundle of `configuration`.
    pub(super) fn start(
        pods: &Api<Pod>,
        configurations: &Api<MutatingWebhookConfiguration>,
        configuration: &str,
        address: SocketAddr,
    ) -> Self {
        let progress = Arc::new(Progress::default());
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(create(pods.clone(), Arc::clone(&progress)));
        }
        let configuration = configuration.to_owned();
        tasks.spawn(shake_hands(configurations.clone(), configuration, address, Arc::clone(&progress)));
        Self { progress, tasks }
    }

    /// How many pods have been created.
    pub(super) fn created(&self) -> usize {
        self.progress.created.load(Ordering::Relaxed)
    }

    /// Waits until that many have been.
    pub(super) async fn reaches(&self, count: usize) {
        let enough = async || (self.created() >= count).then_some(());
        until(5 * SOON, enough).await.expect("pods were not created in time");
    }

    /// Stops, each client with the pod that it is at.
    pub(super) async fn stop(self) -> Outcome {
        self.progress.is_over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let Progress { requests, created, handshakes, failures, refused, .. } = &*self.progress;
        Outcome {
            requests: requests.load(Ordering::Relaxed),
            created: created.load(Ordering::Relaxed),
            failures: failures.lock().unwrap().clone(),
            handshakes: handshakes.load(Ordering::Relaxed),
            refused: refused.lock().unwrap().clone(),
        }
    }
}

async fn create(pods: Api<Pod>, progress: Arc<Progress>) {
    while !progress.is_over.load(Ordering::Relaxed) {
        let name = format!("pod-{}", progress.next.fetch_add(1, Ordering::Relaxed));
        let mut backoff = BACKOFF;
        for attempt in 1.. {
            progress.requests.fetch_add(1, Ordering::Relaxed);
            match pods.create(&PostParams::default(), &pod(&name)).await {
                Ok(created) => {
                    let containers = created.spec.and_then(|spec| spec.init_containers).unwrap_or_default();
                    assert_eq!(containers.len(), 1, "{name} was created without its secrets");
                    progress.created.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(failure) => progress.failed(failure.to_string()),
            }
            assert!(attempt < ATTEMPTS, "{name} was lost");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(Duration::from_secs(1));
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn shake_hands(
    configurations: Api<MutatingWebhookConfiguration>,
    name: String,
    address: SocketAddr,
    progress: Arc<Progress>,
) {
    while !progress.is_over.load(Ordering::Relaxed) {
        let configuration = configurations.get(&name).await.unwrap();
        let webhook = configuration.webhooks.unwrap().remove(0);
        let bundle = String::from_utf8(webhook.client_config.ca_bundle.unwrap().0).unwrap();
        progress.handshakes.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = https::try_connect(address, &bundle).await {
            // Others are of a replica that is not there any more.
            if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
                let refused = Failure { at: Instant::now(), why: error.to_string() };
                progress.refused.lock().unwrap().push(refused);
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

impl Outcome {
    /// Asserts that nothing failed but what was in the air when a replica was killed, and prints what was counted.
    pub(super) fn lost_nothing(&self, test: &str, killed: &[Instant]) {
        measured(format_args!(
            "creations during {test}: {} requests, {} pods created, {} requests failed and were made again, {} handshakes, {} refused",
            self.requests,
            self.created,
            self.failures.len(),
            self.handshakes,
            self.refused.len()
        ));
        assert!(self.refused.is_empty(), "{:?}", self.refused);
        assert_eq!(self.requests, self.created + self.failures.len());
        let is_of_a_kill = |failure: &&Failure| {
            killed.iter().any(|killed| failure.at >= *killed && failure.at < *killed + Duration::from_secs(2))
        };
        let (of_kills, others): (Vec<_>, Vec<_>) = self.failures.iter().partition(is_of_a_kill);
        assert!(others.is_empty(), "{others:?}");
        // Each client has one in the air, and may meet the dead one once more before it is known to be dead.
        assert!(of_kills.len() <= killed.len() * CLIENTS * 4, "{of_kills:?}");
    }
}
