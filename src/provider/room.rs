//! How many values are in memory at once, so that no caller within its rate can fill it: in work, and written but not yet
//! sent. Whoever finds no room waits, as for a store that is slow.
//!
//! With values of a Secret's size, 1 MiB, that is about 50 MiB: each in work is there some three times, as the store's words,
//! as bytes and as JSON.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::allowed::Verb;

/// Reads in work.
const READS: usize = 8;
/// Writes in work. They have places of their own: a body that does not come holds up no reader.
const WRITES: usize = 4;
/// Bytes of answers that are not sent yet.
const ANSWERS: u32 = 16 << 20;

/// The places there are.
pub(super) struct Room {
    reads: Semaphore,
    writes: Semaphore,
    answers: Arc<Semaphore>,
}

/// A value as JSON, which has its place until it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    json: Zeroizing<Vec<u8>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            reads: Semaphore::new(READS),
            writes: Semaphore::new(WRITES),
            answers: Arc::new(Semaphore::new(ANSWERS as usize)),
        }
    }

    /// A place for one read, or one write; `None` never, since nobody closes the room.
    pub(super) async fn for_one(&self, verb: Verb) -> Option<SemaphorePermit<'_>> {
        let places = match verb {
            Verb::Read => &self.reads,
            Verb::Write => &self.writes,
        };
        places.acquire().await.ok()
    }

    /// A place for an answer. One that is larger than all there is has it to itself.
    pub(super) async fn for_answer(&self, json: Zeroizing<Vec<u8>>) -> Answer {
        let bytes = u32::try_from(json.len()).unwrap_or(ANSWERS).min(ANSWERS);
        let place = Arc::clone(&self.answers).acquire_many_owned(bytes).await;
        Answer { json, _place: place.ok() }
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_until_others_are_sent_and_writers_hold_up_no_reader() {
        let room = Room::new();
        let large = || room.for_answer(Zeroizing::new(vec![0; ANSWERS as usize * 3 / 4]));
        let soon = Duration::from_secs(1);
        let first = large().await;
        assert!(timeout(soon, large()).await.is_err());
        drop(first);
        assert!(timeout(soon, large()).await.is_ok());
        assert!(timeout(soon, room.for_answer(Zeroizing::new(vec![0; ANSWERS as usize * 2]))).await.is_ok());
        let mut writes = Vec::new();
        for _ in 0..WRITES {
            writes.push(room.for_one(Verb::Write).await);
        }
        assert!(timeout(soon, room.for_one(Verb::Write)).await.is_err());
        assert!(timeout(soon, room.for_one(Verb::Read)).await.is_ok());
    }
}
