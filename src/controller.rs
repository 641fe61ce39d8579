//! Loops over the cluster that no review waits for.
//!
//! Each runs on the leader alone, and each can be left out: what it needs of rights and memory is then not needed.

pub mod create;
mod event;
mod listed;
pub(crate) mod metadata;
mod process;
#[cfg(feature = "kubernetes")]
pub mod rotate;
pub mod uninjected;

use tokio::task::JoinError;

pub use self::process::ProcessError;

/// What a task came to. Nothing in one panics; where something does all the same, the process ends as well, and a restart
/// begins with a list of everything.
fn finished<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "by a mistake of ours")]
    async fn a_turn_that_panics_is_not_passed_over() {
        finished(tokio::spawn(async { panic!("by a mistake of ours") }).await);
    }
}
