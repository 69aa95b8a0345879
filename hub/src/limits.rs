//! How much one connection may ask for, and the meters that say when it is too much.

use std::{num::NonZeroU32, time::Duration};

use framecast::broadcast::HistoryLimits;
use governor::{
    Quota, RateLimiter,
    state::{InMemoryState, direct::NotKeyed},
};

use crate::clock::{Clock, Ticks};

/// So many a second on average, and so many at once after a pause. Both are 1 at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Per second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// The limits of a hub. `Default` has those of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Rooms of a connection. Default 128.
    pub rooms_max: usize,
    /// Rooms in all. Default 100,000.
    pub rooms_total_max: usize,
    /// What is kept of each room. Default 100 messages, 1 MiB, 5 minutes.
    pub history: HistoryLimits,
    /// Messages that one `history` answers with. Default 1,000.
    pub history_page_max: usize,
    /// Messages of a connection. Default 100 a second, 200 at once. What is above is refused with `rate_limited`; a connection that
    /// has as many refused as it may have accepted is closed with 1008.
    pub messages: Rate,
    /// Bytes of a connection's messages. Default 1 MiB a second, 2 MiB at once.
    pub bytes: Rate,
    /// Messages that make no sense: not JSON, no such type. Default 10 a second, 1,000 at once; a connection that insists is closed
    /// with 1008.
    pub misuses: Rate,
    /// A payload's bytes. Default 1 MiB less 2 KiB, so that what is sent to others is below 1 MiB with all that is written around
    /// it: as much as many a client's library takes.
    pub payload_bytes_max: usize,
    /// Requests of a JSON-RPC batch. Default 100.
    pub batch_max: usize,
    /// Calls of the application's methods that a connection has under way. Default 64.
    pub calls_max: usize,
    /// How long a connection without a token may take to send one. Default 10 s.
    pub auth_within: Duration,
    /// How long an id is remembered. Default 120 s.
    pub dedupe_window: Duration,
    /// Ids that are remembered of a client; with more the oldest are forgotten early. Default 16,384: more than the default rate
    /// allows within the default window.
    pub dedupe_ids_max: usize,
    /// How long a client that is gone keeps its id, and what it has sent within the window. Default 5 minutes.
    pub client_kept: Duration,
    /// Clients that are gone and kept; with more the oldest are forgotten early. Default 100,000.
    pub clients_kept_max: usize,
    /// When a direct message with a receipt is sent again to those who have not acknowledged it. Default 5 s.
    pub receipt_after: Duration,
    /// How often it is sent again. Default 2 times; then the receipt says how many have acknowledged it.
    pub receipt_resends: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms_max: 128,
            rooms_total_max: 100_000,
            history: HistoryLimits::default(),
            history_page_max: 1000,
            messages: Rate { per_second: 100, burst: 200 },
            bytes: Rate { per_second: 1 << 20, burst: 2 << 20 },
            misuses: Rate { per_second: 10, burst: 1000 },
            payload_bytes_max: (1 << 20) - (2 << 10),
            batch_max: 100,
            calls_max: 64,
            auth_within: Duration::from_secs(10),
            dedupe_window: Duration::from_secs(120),
            dedupe_ids_max: 16 << 10,
            client_kept: Duration::from_secs(300),
            clients_kept_max: 100_000,
            receipt_after: Duration::from_secs(5),
            receipt_resends: 2,
        }
    }
}

impl Rate {
    pub(crate) fn quota(self) -> Quota {
        Quota::per_second(at_least_one(self.per_second)).allow_burst(at_least_one(self.burst))
    }
}

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
            Ok(Err(not_until)) => {
                Err(not_until.wait_time_from(governor::clock::Clock::now(&self.clock)).max(TICK))
            }
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
    refused: Meter,
    refused_bytes: Meter,
    misuses: Meter,
}

/// The connection does not heed what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ignored;

impl Meters {
    pub(crate) fn new(limits: &Limits, clock: &Clock) -> Self {
        Self {
            messages: Meter::new(limits.messages, clock),
            bytes: Meter::new(limits.bytes, clock),
            refused: Meter::new(limits.messages, clock),
            refused_bytes: Meter::new(limits.bytes, clock),
            misuses: Meter::new(limits.misuses, clock),
        }
    }

    /// Takes messages of so many bytes together; else says how long to wait, or that too much was refused already.
    pub(crate) fn charge(&self, messages: usize, bytes: usize) -> Result<(), Result<Duration, Ignored>> {
        let charged = self.messages.charge(messages).and_then(|()| self.bytes.charge(bytes));
        charged.map_err(|retry_after| {
            let refused = self.refused.charge(messages).and_then(|()| self.refused_bytes.charge(bytes));
            refused.map(|()| retry_after).map_err(|_| Ignored)
        })
    }

    pub(crate) fn misused(&self) -> Result<(), Ignored> {
        self.misuses.charge(1).map_err(|_| Ignored)
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

/// To be told to wait no time at all would be no answer.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL, "Defaults" · catalogue: QA-30
    #[test]
    fn the_defaults_are_what_they_are_said_to_be() {
        let limits = Limits::default();
        assert_eq!((limits.rooms_max, limits.rooms_total_max), (128, 100_000));
        let HistoryLimits { messages, bytes, age } = limits.history;
        assert_eq!((messages, bytes, age), (100, 1 << 20, Duration::from_secs(300)));
        assert_eq!(limits.messages, Rate { per_second: 100, burst: 200 });
        assert_eq!(limits.bytes, Rate { per_second: 1 << 20, burst: 2 << 20 });
        assert_eq!(
            (limits.auth_within, limits.dedupe_window),
            (Duration::from_secs(10), Duration::from_secs(120))
        );
        assert_eq!((limits.receipt_after, limits.receipt_resends), (Duration::from_secs(5), 2));
    }
}
