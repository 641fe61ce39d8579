//! Waiting for a condition, with a bound: the only way that tests wait.

use std::time::Duration;

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Makes `attempt` until it yields something; `None` when that takes longer than `limit`. There is at least one attempt.
pub(crate) async fn until<T, A: Future<Output = Option<T>>>(
    limit: Duration,
    mut attempt: impl FnMut() -> A,
) -> Option<T> {
    let attempts = async {
        loop {
            if let Some(result) = attempt().await {
                return result;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(limit, attempts).await.ok()
}
