//! Times as a connection keeps them: milliseconds in 32 bits, counted from an epoch of its own.

use std::time::{Duration, Instant};

/// Turns the caller's [`Instant`]s into [`Deadline`]s and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(super) const fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    /// `now` as milliseconds since the epoch; 0 for what lies before it.
    pub(super) fn millis(self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_millis().min(u128::from(u32::MAX - 1)) as u32
    }

    /// Microseconds since the epoch, wrapping after 71 minutes: for differences that are shorter.
    pub(super) fn micros(self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_micros() as u32
    }

    pub(super) fn instant(self, deadline: Deadline) -> Option<Instant> {
        (deadline != Deadline::NEVER).then(|| self.epoch + Duration::from_millis(deadline.0.into()))
    }

    /// When [`renew`](Self::renew) is due: a connection without another deadline would else outlive its clock.
    pub(super) const RENEWAL: Deadline = Deadline((1 << 31) + 1);

    /// Moves the epoch on once 24 days have passed; returns by how many milliseconds, for [`Deadline::earlier`].
    pub(super) fn renew(&mut self, now: Instant) -> Option<u32> {
        (self.millis(now) > 1 << 31).then(|| {
            self.epoch += Duration::from_millis(1 << 30);
            1 << 30
        })
    }
}

/// A point in time of one connection's [`Clock`], or [`NEVER`](Self::NEVER).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline(u32);

impl Deadline {
    pub(super) const NEVER: Self = Self(u32::MAX);

    /// `after` past `now_millis`; time-outs are at most 12 days, which leaves room for the sum.
    pub(super) fn after(now_millis: u32, after: Duration) -> Self {
        Self(now_millis.saturating_add(after.as_millis() as u32).min(u32::MAX - 1))
    }

    pub(super) const fn has_passed(self, now_millis: u32) -> bool {
        self.0 <= now_millis
    }

    /// Whether we come so late that we must have been asleep (a stopped process, a starved machine): then the peer was not
    /// given its time, and gets it once more (catalogue: FT-11, FT-32, FT-35).
    pub(super) fn overslept(self, now_millis: u32, period: Duration) -> bool {
        now_millis.saturating_sub(self.0) > (period.as_millis() as u32 / 4).max(1000)
    }

    /// The same point after the clock's epoch has moved.
    pub(super) fn earlier(self, millis: u32) -> Self {
        if self == Self::NEVER { self } else { Self(self.0.saturating_sub(millis)) }
    }

    /// The same point, so much later: what stood still goes on from where it was.
    pub(super) fn later(self, millis: u32) -> Self {
        if self == Self::NEVER { self } else { Self(self.0.saturating_add(millis).min(u32::MAX - 1)) }
    }
}
