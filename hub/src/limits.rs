//! How much may be asked for: by a connection, a user, and of a room. What counts it is in [`meters`](crate::meters).

use std::{num::NonZeroU32, time::Duration};

use framecast::broadcast::HistoryLimits;
use governor::Quota;

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
    /// Rooms that all connections of an address are in together, one that many are in counted once; IPv6 goes by /64. Default 16,384: a
    /// sixth of all. Behind a proxy that is not [trusted](crate::Proxies) all clients have its address, and this limit in common.
    pub rooms_per_address_max: usize,
    /// Different wildcards that connections subscribe to, in all. Default 10,000; another one is refused with `unavailable`.
    pub wildcards_total_max: usize,
    /// What is kept of each room. Default 100 messages, 1 MiB, 5 minutes.
    pub history: HistoryLimits,
    /// Bytes that are kept of all rooms together, as [`history_bytes_max`] counts them. Default 256 MiB. A room that is published to when
    /// all is taken keeps less, or nothing; who then comes back is told that it has not all.
    ///
    /// [`history_bytes_max`]: framecast::broadcast::TopicsBuilder::history_bytes_max
    pub history_total_bytes: usize,
    /// Messages that one `history` answers with. Default 1,000.
    pub history_page_max: usize,
    /// Messages of a connection. Default 100 a second, 200 at once. What is above is refused with `rate_limited`; a connection that
    /// has as many refused as it may have accepted is closed with 1008.
    pub messages: Rate,
    /// Bytes of a connection's messages, and of what it is answered with histories, presence and lists of rooms. Default 1 MiB a
    /// second, 2 MiB at once.
    pub bytes: Rate,
    /// Messages of all connections of a user together. Default 400 a second, 800 at once: as many as four connections may send. What is
    /// above is refused with `rate_limited`, and counts among what its connection has ignored.
    pub user_messages: Rate,
    /// Bytes of the same. Default 4 MiB a second, 8 MiB at once.
    pub user_bytes: Rate,
    /// Messages that clients publish to one room, all of them together. Default `None`: without a limit. What is above is refused
    /// with `rate_limited`; it is nobody's fault alone, so that nobody is closed for it.
    pub room_messages: Option<Rate>,
    /// Connections of a user at a time. Default 128; one more is closed with 1013, as it may come back when another one has gone.
    pub connections_per_user_max: usize,
    /// Messages that make no sense: not JSON, no such type. Default 10 a second, 1,000 at once; a connection that insists is closed
    /// with 1008.
    pub misuses: Rate,
    /// A payload's bytes. Default 1 MiB less 2 KiB, so that what is sent to others is below 1 MiB with all that is written around
    /// it: as much as many a client's library takes.
    pub payload_bytes_max: usize,
    /// Bytes of one `history` or `presence`, and of a JSON-RPC batch's answers together. Default 1 MiB. A history stops before the
    /// message that would be too much, but has one in any case; more people than fit are `too_large`; and so is what a batch asks for
    /// when its answers are above that. Answers of 1 KiB and less are not counted, so that who has published learns it.
    pub answer_bytes_max: usize,
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
    /// Ids that are remembered of all clients together. Default 2,000,000. With as many, whoever sends has its own oldest forgotten
    /// early, but for the last 16.
    pub dedupe_ids_total_max: usize,
    /// How long a client that is gone keeps its id, and what it has sent within the window. Default 5 minutes.
    pub client_kept: Duration,
    /// Clients that are gone and kept; with more the oldest are forgotten early. Default 100,000.
    pub clients_kept_max: usize,
    /// With a broker: how long a publish, a subscription or a question of a history may take there, with all that waits before it.
    /// Default 5 s; then it is `unavailable`.
    pub broker_within: Duration,
    /// How many of them a connection may have wait. Default 64; one more is `unavailable`.
    pub broker_waiting_max: usize,
    /// Bytes of payload that wait, of all connections together. Default 64 MiB; what is above is `unavailable`.
    pub broker_waiting_bytes_max: usize,
    /// Bytes of direct messages that wait for receipts, of all connections together. Default 64 MiB; what is above is `unavailable`.
    pub receipts_bytes_max: usize,
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
            rooms_per_address_max: 16 << 10,
            wildcards_total_max: 10_000,
            history: HistoryLimits::default(),
            history_total_bytes: 256 << 20,
            history_page_max: 1000,
            messages: Rate { per_second: 100, burst: 200 },
            bytes: Rate { per_second: 1 << 20, burst: 2 << 20 },
            user_messages: Rate { per_second: 400, burst: 800 },
            user_bytes: Rate { per_second: 4 << 20, burst: 8 << 20 },
            room_messages: None,
            connections_per_user_max: 128,
            misuses: Rate { per_second: 10, burst: 1000 },
            payload_bytes_max: (1 << 20) - (2 << 10),
            answer_bytes_max: 1 << 20,
            batch_max: 100,
            calls_max: 64,
            auth_within: Duration::from_secs(10),
            dedupe_window: Duration::from_secs(120),
            dedupe_ids_max: 16 << 10,
            dedupe_ids_total_max: 2_000_000,
            client_kept: Duration::from_secs(300),
            clients_kept_max: 100_000,
            broker_within: Duration::from_secs(5),
            broker_waiting_max: 64,
            broker_waiting_bytes_max: 64 << 20,
            receipts_bytes_max: 64 << 20,
            receipt_after: Duration::from_secs(5),
            receipt_resends: 2,
        }
    }
}

impl Rate {
    pub(crate) fn quota(self) -> Quota {
        Quota::per_second(at_least_one(self.per_second)).allow_burst(at_least_one(self.burst))
    }

    /// How long it takes until nothing is left of whatever was asked for.
    pub(crate) fn forgets_after(self) -> Duration {
        Duration::from_secs_f64(f64::from(self.burst.max(1)) / f64::from(self.per_second.max(1)))
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL, "Defaults" · catalogue: QA-30
    #[test]
    fn the_defaults_are_what_they_are_said_to_be() {
        let limits = Limits::default();
        assert_eq!((limits.rooms_max, limits.rooms_total_max), (128, 100_000));
        assert_eq!(limits.rooms_per_address_max, 16_384);
        assert_eq!(limits.wildcards_total_max, 10_000);
        let HistoryLimits { messages, bytes, age } = limits.history;
        assert_eq!((messages, bytes, age), (100, 1 << 20, Duration::from_secs(300)));
        assert_eq!((limits.history_total_bytes, limits.answer_bytes_max), (256 << 20, 1 << 20));
        assert_eq!(limits.messages, Rate { per_second: 100, burst: 200 });
        assert_eq!(limits.bytes, Rate { per_second: 1 << 20, burst: 2 << 20 });
        assert_eq!(limits.user_messages, Rate { per_second: 400, burst: 800 });
        assert_eq!(limits.user_bytes, Rate { per_second: 4 << 20, burst: 8 << 20 });
        assert_eq!((limits.room_messages, limits.connections_per_user_max), (None, 128));
        assert_eq!(
            (limits.auth_within, limits.dedupe_window),
            (Duration::from_secs(10), Duration::from_secs(120))
        );
        assert_eq!((limits.broker_within, limits.broker_waiting_max), (Duration::from_secs(5), 64));
        assert_eq!(limits.broker_waiting_bytes_max, 64 << 20);
        assert_eq!((limits.dedupe_ids_total_max, limits.receipts_bytes_max), (2_000_000, 64 << 20));
        assert_eq!((limits.receipt_after, limits.receipt_resends), (Duration::from_secs(5), 2));
    }
}
