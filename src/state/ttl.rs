//! How long state lives: the option that is given at registration, the time that is kept beside a value for it, and the one rule
//! by which a value has expired.
//!
//! Always: something has expired once its time and the time to live together are not after now, added so that they never wrap; now
//! is the wall time of the task's step. Plain values, used by accesses, sweeps and views.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, millis, minutes};

/// How long what is kept in a state lives after it was written, by the wall clock.
///
/// Given when the state is registered, by [`OpenContext::with_ttl`](crate::OpenContext::with_ttl). What has expired is not seen
/// again, is in no snapshot, and is removed little by little, so that its memory comes back: a few entries at each access, and some
/// thousand whenever its time has come, also while no record comes.
///
/// Each element of a list and each entry of a map has a time of its own; a value, a reduced value and an accumulator have one, which
/// each write renews. The times are in the snapshot, so that the time a job is down counts as well.
///
/// A state that was stored without a time to live may be registered with one: what is in it lives on from then. The other way round
/// works too: what had not expired when the snapshot was taken stays for good. And the time to live itself may change at each start.
///
/// ```
/// use tidegate::{OpenContext, Ttl, ValueState, hours};
///
/// # struct Visits { last: ValueState<u64> }
/// # fn open(ctx: &mut OpenContext<'_, String>) -> Result<Visits, tidegate::BoxError> {
/// let last = ctx.with_ttl(Ttl::of(hours(24)).on_read_too()).value("last")?;
/// # Ok(Visits { last })
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    after: Duration,
    renewed: Renewed,
    expired: Expired,
}

/// What renews a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewed {
    ByWrites,
    ByReadsToo,
}

/// What a read says of something that has expired and is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expired {
    IsGone,
    IsReturnedUntilCleaned,
}

impl Ttl {
    /// Expires so long after the last write, in whole milliseconds. A time to live below a millisecond is refused at registration.
    pub const fn of(after: Duration) -> Self {
        Ttl { after, renewed: Renewed::ByWrites, expired: Expired::IsGone }
    }

    /// Reads prolong the life of what they find too, as `contains` does. Reading a whole list or map renews all that is in it, which
    /// takes as long as writing all of it.
    pub const fn on_read_too(mut self) -> Self {
        self.renewed = Renewed::ByReadsToo;
        self
    }

    /// What has expired and was not cleaned up yet is still returned: by one more read, which removes it. Writes never build on it.
    pub const fn return_expired_until_cleaned(mut self) -> Self {
        self.expired = Expired::IsReturnedUntilCleaned;
        self
    }

    /// How long it is.
    pub const fn after(&self) -> Duration {
        self.after
    }

    /// Whether it is long enough to be one.
    pub(super) fn is_possible(&self) -> bool {
        self.after >= millis(1)
    }

    /// How long a sweep leaves a state alone after it has gone through all of it: the longest that memory is held beyond its time.
    pub(super) fn pause(&self) -> Duration {
        (self.after / 16).clamp(millis(1), minutes(1))
    }

    /// As of a point of time.
    pub(super) fn at(self, now: Timestamp) -> Lapse {
        Lapse { ttl: self, now }
    }
}

/// A time to live, as of now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lapse {
    pub(super) ttl: Ttl,
    pub(super) now: Timestamp,
}

impl Lapse {
    /// When what was written at `at` expires.
    pub(super) fn end(&self, at: Timestamp) -> Timestamp {
        at.plus(self.ttl.after)
    }

    pub(super) fn has_expired(&self, at: Timestamp) -> bool {
        self.end(at) <= self.now
    }

    /// Whether a read renews what it finds.
    pub(super) fn renews_by_reads(&self) -> bool {
        self.ttl.renewed == Renewed::ByReadsToo
    }

    /// Whether a read finds what has expired and is still there.
    pub(super) fn returns_expired(&self) -> bool {
        self.ttl.expired == Expired::IsReturnedUntilCleaned
    }

    /// Whether a read finds what was written at `at`, as long as it is there; `seen` where it is not the first read of it.
    pub(super) fn shows(&self, at: Timestamp, seen: bool) -> bool {
        !self.has_expired(at) || (self.returns_expired() && !seen)
    }
}

/// Something, and when it was written: in a snapshot, an array of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamped<T>(pub(super) Timestamp, pub(super) T);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_expired_is_what_was_written_a_time_to_live_ago() {
        let at = Timestamp::from_millis;
        let lapse = |now: i64| Ttl::of(millis(100)).at(at(now));
        assert!(!lapse(99).has_expired(at(0)));
        assert!(lapse(100).has_expired(at(0)));
        assert!(!Ttl::of(Duration::MAX).at(at(i64::MAX - 1)).has_expired(at(0)), "what never expires never does");
        assert!(!lapse(i64::MAX - 1).has_expired(at(i64::MAX - 50)), "and nothing wraps");
    }
}
