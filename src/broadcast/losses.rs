//! What subscribers lost, and what waits for them, counted over all of them. Nobody who loses nothing counts anything.

use std::sync::atomic::{AtomicU64, Ordering};

use super::gap::GapReason;

/// What the subscribers of [`Topics`](super::Topics) lost since the beginning: each message once for each subscriber that does not get
/// it, by the reason for which that one lost it.
///
/// Whatever is published, and for each of its subscribers, is handed to the connection, waits, or is counted here, and so are those that a
/// [recovery](super::Subscription::since) brings. So this is what [`Published`](super::Published) counts as dropped and displaced, and what
/// it counted as queued and was lost when it had waited. What a [`Local`](super::Local) that is dropped had not looked at is nowhere counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// Messages that a [`max_rate`](super::Subscription::max_rate) left out, or still held back when it was unsubscribed.
    pub rate: u64,
    /// Messages for which a subscriber that goes on had no room, by its [`OverflowPolicy`](super::OverflowPolicy).
    pub slow: u64,
    /// Messages that were lost on the way to us: see [`Topics::lost`](super::Topics::lost).
    pub broker: u64,
    /// Messages that waited for a connection when it was closed, by its policy or otherwise, broke off, or left; and those that still came
    /// for it then, or once it was to be closed.
    pub closed: u64,
    /// Subscribers that were disconnected as too slow, by their policy or as there was more lost than can be told.
    pub disconnected: u64,
}

impl Losses {
    /// All messages of them.
    pub fn messages(&self) -> u64 {
        self.rate + self.slow + self.broker + self.closed
    }
}

/// What waits in the shards for subscribers that cannot take it yet: for their sockets or for their rates. What a connection's outbox
/// holds is not among it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Messages, each once for each subscriber.
    pub messages: u64,
    /// Bytes of their frames; their memory is shared, and mostly less.
    pub bytes: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counts {
    rate: AtomicU64,
    slow: AtomicU64,
    broker: AtomicU64,
    closed: AtomicU64,
    disconnected: AtomicU64,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
}

impl Counts {
    pub(super) fn lost(&self, reason: GapReason, messages: u64) {
        let count = match reason {
            GapReason::Rate => &self.rate,
            GapReason::Slow => &self.slow,
            GapReason::Broker => &self.broker,
        };
        add(count, messages);
    }

    pub(super) fn closed(&self, messages: u64) {
        add(&self.closed, messages);
    }

    pub(super) fn disconnected(&self) {
        add(&self.disconnected, 1);
    }

    /// Somebody's backlog is not what it was.
    pub(super) fn waits(&self, before: Backlog, now: Backlog) {
        // Around the end of the numbers, where it is less.
        add(&self.waiting, now.messages.wrapping_sub(before.messages));
        add(&self.waiting_bytes, now.bytes.wrapping_sub(before.bytes));
    }

    pub(super) fn losses(&self) -> Losses {
        Losses {
            rate: load(&self.rate),
            slow: load(&self.slow),
            broker: load(&self.broker),
            closed: load(&self.closed),
            disconnected: load(&self.disconnected),
        }
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog { messages: load(&self.waiting), bytes: load(&self.waiting_bytes) }
    }
}

fn add(count: &AtomicU64, more: u64) {
    if more > 0 {
        count.fetch_add(more, Ordering::Relaxed);
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
