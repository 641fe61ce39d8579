//! Many large values at once.

use futures::future::join_all;

use super::client::Provider;
use crate::support::measured::measured;

const OFTEN: &str = "{perSecond: 1000, burst: 1000}";
/// A Secret takes little more.
const BYTES: usize = 1_000_000;
const READERS: usize = 120;
/// The limit of `webhook-config/provider/deployment.yaml`, in KiB.
const MEMORY: u64 = 128 << 10;

#[tokio::test]
async fn large_values_that_are_asked_for_at_once_stay_within_the_memory_of_the_manifest() {
    let Some(provider) = Provider::start("provide-large", OFTEN).await else { return };
    provider.store("veza--large", "value", &"x".repeat(BYTES)).await;
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    let before = provider.process.peak();
    let answers = join_all((0..READERS).map(|_| provider.read("/veza/large", &token))).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    let is_whole = |body: &str| body.len() == BYTES + 2 || body.contains("error");
    assert!(answers.iter().all(|answer| is_whole(&answer.body)), "an answer was cut off");
    let peak = provider.process.peak();
    measured(format_args!(
        "provider: {served} of {READERS} callers at once are answered with 1 MB each; {} MiB before, at most {} MiB",
        before >> 10,
        peak >> 10
    ));
    assert!(served > READERS / 2, "{served} served");
    assert!(peak < MEMORY, "{peak} KiB");
}
