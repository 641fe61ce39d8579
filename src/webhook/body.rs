//! Reads a request's body within bounds of size, time and memory.
//!
//! Invariants: at most `limit` bytes of one body are kept, however long it says it is or turns out to be; all bodies
//! that are being read together keep at most the [`Budget`], so that no number of clients can exhaust memory; reading
//! ends at the deadline.
//!
//! Deliberately absent: any look at the bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// What is read and thrown away after a body that was too large, so that an HTTP/1 client, which writes all before it
/// reads, gets to read why it was refused instead of a connection reset.
const DISCARD_BYTES: usize = 16 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It ended early, or the connection broke.
    Broken,
    /// All bodies together are over the budget.
    Overloaded,
    /// It is over the limit.
    TooLarge,
    /// It was not whole at the deadline.
    TooSlow,
}

/// The memory that all bodies together may take.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::Overloaded)?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| BodyError::Overloaded)
    }
}

/// A body that was read whole. Gives its memory back to the budget when dropped.
#[derive(Debug)]
pub(super) struct Whole {
    bytes: Bytes,
    #[expect(dead_code, reason = "held for its drop")]
    memory: Option<OwnedSemaphorePermit>,
}

impl Whole {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body to its end.
pub(super) async fn read<B>(
    body: &mut B,
    limit: usize,
    budget: &Budget,
    deadline: Instant,
) -> Result<Whole, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    // What a client declares is believed only against itself.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge);
    }
    timeout_at(deadline, collect(body, limit, budget)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(body: &mut B, limit: usize, budget: &Budget) -> Result<Whole, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut memory: Option<OwnedSemaphorePermit> = None;
    // A review most often comes in one piece, which is then used where it is.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if first.len() + joined.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        let taken = budget.take(data.len())?;
        match &mut memory {
            Some(memory) => memory.merge(taken),
            None => memory = Some(taken),
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            if !first.is_empty() {
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&data);
        }
    }
    let bytes = if joined.is_empty() { first } else { joined.freeze() };
    Ok(Whole { bytes, memory })
}

/// Reads on and throws away, within bounds; see [`DISCARD_BYTES`].
pub(super) async fn discard<B>(body: &mut B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let drain = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else {
                return;
            };
            left = rest;
        }
    };
    // Whether it came to its end makes no difference to the answer.
    let _ = timeout(DISCARD_TIME, drain).await;
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::{Frame, SizeHint};

    use super::*;

    /// A body of some pieces, then its end or nothing more for ever.
    struct Pieces {
        pieces: VecDeque<Bytes>,
        ends: bool,
    }

    impl Pieces {
        fn of(pieces: &[&'static str], ends: bool) -> Self {
            Self { pieces: pieces.iter().map(|text| Bytes::from(*text)).collect(), ends }
        }
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        let budget = Budget::new(100);
        let mut body = Pieces::of(&["", "ab", "", "cd", "e"], true);
        let whole = read(&mut body, 5, &budget, soon()).await.unwrap();
        assert_eq!(whole.bytes(), b"abcde");
        assert_eq!(budget.0.available_permits(), 95);
        drop(whole);
        assert_eq!(budget.0.available_permits(), 100);
    }

    #[tokio::test]
    async fn one_byte_over_the_limit() {
        let mut body = Pieces::of(&["ab", "cdef"], true);
        let error = read(&mut body, 5, &Budget::new(100), soon()).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge);
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_unread() {
        let mut body = Full::new(Bytes::from_static(b"abcdef"));
        let error = read(&mut body, 5, &Budget::new(100), soon()).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge);
        assert!(!body.is_end_stream(), "nothing was read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_ends_at_the_deadline() {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(3);
        let mut body = Pieces::of(&["ab"], false);
        let error = read(&mut body, 5, &Budget::new(100), deadline).await.unwrap_err();
        assert_eq!(error, BodyError::TooSlow);
        assert_eq!(started.elapsed().as_secs(), 3);
    }

    #[tokio::test]
    async fn all_bodies_share_one_budget() {
        let budget = Budget::new(5);
        let held = read(&mut Pieces::of(&["abc"], true), 5, &budget, soon()).await.unwrap();
        let error = read(&mut Pieces::of(&["abc"], true), 5, &budget, soon()).await.unwrap_err();
        assert_eq!(error, BodyError::Overloaded);
        drop(held);
        assert!(read(&mut Pieces::of(&["abc"], true), 5, &budget, soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn discarding_is_bounded_in_time() {
        let started = Instant::now();
        discard(&mut Pieces::of(&["ab"], false)).await;
        assert_eq!(started.elapsed(), DISCARD_TIME);
    }
}
