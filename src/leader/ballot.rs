//! What to do about the Lease, as it is and for as long as it has been so.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::DURATION;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// It is ours: renew it.
    Hold,
    /// It is free: take it.
    Take,
    /// It is somebody else's.
    Wait,
}

/// Remembers since when the Lease is as it is.
pub(super) struct Ballot {
    identity: String,
    observed: Option<(LeaseSpec, Instant)>,
}

impl Ballot {
    /// For the replica of this name.
    pub(super) fn new(identity: &str) -> Self {
        Self { identity: identity.to_owned(), observed: None }
    }

    /// What to do about the Lease that is there `now`; none where there is none.
    pub(super) fn look(&mut self, found: Option<&LeaseSpec>, now: Instant) -> Move {
        let Some(found) = found else {
            self.observed = None;
            return Move::Take;
        };
        if self.is_ours(Some(found)) {
            return Move::Hold;
        }
        if found.holder_identity.as_deref().unwrap_or_default().is_empty() {
            return Move::Take;
        }
        let since = match &self.observed {
            Some((before, since)) if before == found => *since,
            _ => {
                self.observed = Some((found.clone(), now));
                now
            }
        };
        if now.duration_since(since) >= duration(found) { Move::Take } else { Move::Wait }
    }

    /// Whether this replica is the holder.
    pub(super) fn is_ours(&self, found: Option<&LeaseSpec>) -> bool {
        found.and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.identity)
    }

    /// The Lease with this replica as its holder.
    pub(super) fn claim(&self, before: Option<&LeaseSpec>, now: MicroTime) -> LeaseSpec {
        let is_renewal = self.is_ours(before);
        let before = before.cloned().unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| is_renewal).or_else(|| Some(now.clone())),
            lease_transitions: Some(if is_renewal { transitions } else { transitions.saturating_add(1) }),
            renew_time: Some(now),
            ..before
        }
    }
}

fn duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(DURATION, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn held_by(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Timestamp::from_second(renewed).ok().map(MicroTime),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_that_is_not_there_or_given_back_is_taken() {
        let mut ballot = Ballot::new("a");
        let now = Instant::now();
        assert_eq!(ballot.look(None, now), Move::Take);
        assert_eq!(ballot.look(Some(&held_by("", 1)), now), Move::Take);
        assert_eq!(ballot.look(Some(&LeaseSpec::default()), now), Move::Take);
    }

    #[test]
    fn ours_is_held_also_after_a_restart() {
        assert_eq!(Ballot::new("a").look(Some(&held_by("a", 1)), Instant::now()), Move::Hold);
    }

    #[test]
    fn a_lease_that_is_renewed_is_never_taken_whatever_its_clock_says() {
        let mut ballot = Ballot::new("a");
        let mut now = Instant::now();
        // The holder's clock stands in 1970.
        for renewed in 0..20 {
            assert_eq!(ballot.look(Some(&held_by("b", renewed)), now), Move::Wait);
            now += Duration::from_secs(14);
        }
    }

    #[test]
    fn a_lease_that_stays_as_it_is_is_taken_after_its_duration_as_we_saw_it() {
        let mut ballot = Ballot::new("a");
        let start = Instant::now();
        let left = held_by("b", 1);
        assert_eq!(ballot.look(Some(&left), start), Move::Wait, "however old it is");
        assert_eq!(ballot.look(Some(&left), start + Duration::from_millis(14_999)), Move::Wait);
        assert_eq!(ballot.look(Some(&left), start + Duration::from_secs(15)), Move::Take);
    }

    #[test]
    fn a_duration_of_the_holders_own_is_kept_to() {
        let mut ballot = Ballot::new("a");
        let start = Instant::now();
        let left = LeaseSpec { lease_duration_seconds: Some(60), ..held_by("b", 1) };
        assert_eq!(ballot.look(Some(&left), start), Move::Wait);
        assert_eq!(ballot.look(Some(&left), start + Duration::from_secs(59)), Move::Wait);
        assert_eq!(ballot.look(Some(&left), start + Duration::from_secs(60)), Move::Take);
    }

    #[test]
    fn a_claim_counts_changes_of_the_holder_and_keeps_when_it_began() {
        let at = |second| MicroTime(Timestamp::from_second(second).unwrap());
        let ballot = Ballot::new("a");
        let taken = ballot.claim(Some(&held_by("b", 1)), at(10));
        assert_eq!(taken.lease_transitions, Some(1));
        let renewed = ballot.claim(Some(&taken), at(20));
        assert_eq!((&renewed.acquire_time, &renewed.renew_time), (&Some(at(10)), &Some(at(20))));
        assert_eq!(renewed.lease_transitions, Some(1));
        assert!(ballot.is_ours(Some(&renewed)));
    }
}
