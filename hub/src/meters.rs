//! What counts against the [`Limits`], and says when it is too much: for a connection, for a user, for a room.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    RateLimiter,
    clock::Clock as _,
    state::{InMemoryState, direct::NotKeyed, keyed::HashMapStateStore},
};

use crate::{
    clock::{Clock, Ticks},
    counts::kinds,
    limits::{Limits, Rate},
};

/// Counts something against a [`Rate`].
#[derive(Debug)]
pub(crate) struct Meter {
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks>,
    clock: Ticks,
    burst: u32,
}

impl Meter {
    pub(crate) fn new(rate: Rate, clock: &Clock) -> Self {
        let clock = Ticks::new(clock);
        let limiter = RateLimiter::direct_with_clock(rate.quota(), clock.clone());
        Self { limiter, clock, burst: rate.burst.max(1) }
    }

    /// Takes so many, or says after what time there would be as many. What is above the burst counts as the burst.
    pub(crate) fn charge(&self, count: usize) -> Result<(), Duration> {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.burst);
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        match self.limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now()).max(TICK)),
            // Excluded above.
            Err(_) => Err(Duration::MAX),
        }
    }
}

/// A connection's meters.
#[derive(Debug)]
pub(crate) struct Meters {
    messages: Meter,
    bytes: Meter,
    /// Few ever need it.
    patience: OnceLock<Box<Patience>>,
}

/// What a connection may still have refused before it is too much.
#[derive(Debug)]
struct Patience {
    refused: Meter,
    refused_bytes: Meter,
    misuses: Meter,
}

/// The meters that a user's connections share.
#[derive(Debug)]
pub(crate) struct UserMeters {
    messages: Meter,
    bytes: Meter,
}

kinds! {
    /// Whose limit it was.
    pub(crate) enum Scope {
        Connection = "connection",
        User = "user",
        Room = "room",
    }
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFast {
    pub(crate) scope: Scope,
    pub(crate) retry_after: Duration,
    /// The connection does not heed what it is told.
    pub(crate) is_ignored: bool,
}

impl Meters {
    pub(crate) fn new(limits: &Limits, clock: &Clock) -> Self {
        Self {
            messages: Meter::new(limits.messages, clock),
            bytes: Meter::new(limits.bytes, clock),
            patience: OnceLock::new(),
        }
    }

    /// Takes messages of so many bytes together, from what the connection has and then from what its user has.
    pub(crate) fn charge(
        &self,
        limits: &Limits,
        user: Option<&UserMeters>,
        messages: usize,
        bytes: usize,
    ) -> Result<(), TooFast> {
        let own = self.messages.charge(messages).and_then(|()| self.bytes.charge(bytes));
        let (scope, charged) = match (own, user) {
            (Ok(()), Some(user)) => (Scope::User, user.charge(messages, bytes)),
            (own, _) => (Scope::Connection, own),
        };
        charged.map_err(|retry_after| {
            let Patience { refused, refused_bytes, .. } = self.patience(limits);
            let refused = refused.charge(messages).and_then(|()| refused_bytes.charge(bytes));
            TooFast { scope, retry_after, is_ignored: refused.is_err() }
        })
    }

    /// Takes the bytes of an answer. Who asks for more than that is told so, and is not closed for it.
    pub(crate) fn charge_answer(&self, user: Option<&UserMeters>, bytes: usize) -> Result<(), TooFast> {
        let of = |scope| move |retry_after| TooFast { scope, retry_after, is_ignored: false };
        self.bytes.charge(bytes).map_err(of(Scope::Connection))?;
        user.map_or(Ok(()), |user| user.bytes.charge(bytes)).map_err(of(Scope::User))
    }

    /// Counts what makes no sense; false if there was too much of it.
    pub(crate) fn misused(&self, limits: &Limits) -> bool {
        self.patience(limits).misuses.charge(1).is_ok()
    }

    fn patience(&self, limits: &Limits) -> &Patience {
        let Ticks(clock) = &self.messages.clock;
        self.patience.get_or_init(|| {
            Box::new(Patience {
                refused: Meter::new(limits.messages, clock),
                refused_bytes: Meter::new(limits.bytes, clock),
                misuses: Meter::new(limits.misuses, clock),
            })
        })
    }
}

impl UserMeters {
    pub(crate) fn new(limits: &Limits, clock: &Clock) -> Self {
        Self {
            messages: Meter::new(limits.user_messages, clock),
            bytes: Meter::new(limits.user_bytes, clock),
        }
    }

    /// After how long without a message they are as good as new.
    pub(crate) fn forgets_after(limits: &Limits) -> Duration {
        limits.user_messages.forgets_after().max(limits.user_bytes.forgets_after())
    }

    fn charge(&self, messages: usize, bytes: usize) -> Result<(), Duration> {
        self.messages.charge(messages).and_then(|()| self.bytes.charge(bytes))
    }
}

/// A meter for each room that clients publish to.
#[derive(Debug)]
pub(crate) struct RoomMeters {
    /// By the keyed hash of their names: two that nobody can choose share a meter, at worst.
    limiter: RateLimiter<u64, HashMapStateStore<u64>, Ticks>,
    hasher: RandomState,
    checks: AtomicUsize,
    clock: Ticks,
}

impl RoomMeters {
    pub(crate) fn new(rate: Rate, clock: &Clock) -> Self {
        let clock = Ticks::new(clock);
        Self {
            limiter: RateLimiter::hashmap_with_clock(rate.quota(), clock.clone()),
            hasher: RandomState::new(),
            checks: AtomicUsize::new(0),
            clock,
        }
    }

    /// Takes one message.
    pub(crate) fn charge(&self, room: &str) -> Result<(), TooFast> {
        self.forget_now_and_then();
        self.limiter.check_key(&self.hasher.hash_one(room)).map_err(|not_until| TooFast {
            scope: Scope::Room,
            retry_after: not_until.wait_time_from(self.clock.now()).max(TICK),
            is_ignored: false,
        })
    }

    /// Forgets those that have their full burst again: there are as many as messages come within that time, and a few.
    fn forget_now_and_then(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS == CHECKS - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

/// To be told to wait no time at all would be no answer.
const TICK: Duration = Duration::from_millis(1);
/// How often rooms are forgotten.
const CHECKS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// catalogue: DS-41
    #[test]
    fn rooms_that_are_quiet_are_forgotten() {
        use std::{sync::Arc, sync::atomic::AtomicU64, time::Instant};
        let (start, elapsed_ms) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = Clock::new({
            let elapsed_ms = elapsed_ms.clone();
            move || {
                let millis = elapsed_ms.load(Ordering::Relaxed);
                crate::clock::Now { instant: start + Duration::from_millis(millis), unix_ms: millis }
            }
        });
        let rooms = RoomMeters::new(Rate { per_second: 10, burst: 1 }, &clock);
        for number in 0..100 * CHECKS {
            assert_eq!(rooms.charge(&format!("r{number}")), Ok(()));
            elapsed_ms.fetch_add(1, Ordering::Relaxed);
            // One is kept for the 200 ms until it is as good as new, and until the next look.
            assert!(rooms.limiter.len() <= CHECKS + 200, "{number}");
        }
    }
}
