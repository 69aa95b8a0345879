//! What is counted over all connections, for `stats`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use framecast::broadcast::Published;

/// What `stats` tells, but for what a server adds: its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections whose client is known: neither refused nor still without a token.
    pub total_connections: u64,
    /// Rooms that somebody has subscribed to by name.
    pub total_rooms: u64,
    /// Messages that came from clients, of any type.
    pub messages_in: u64,
    /// Messages of rooms that subscribers were given, each counted.
    pub messages_out: u64,
    /// Messages of rooms that subscribers did not get.
    pub dropped: u64,
    /// Seconds since the hub was made.
    pub uptime_s: u64,
}

/// They only grow.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) since: Instant,
}

impl Counters {
    pub(crate) fn new(since: Instant) -> Self {
        Self {
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            since,
        }
    }

    pub(crate) fn received(&self) {
        self.messages_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn published(&self, published: Published) {
        let Published { delivered, queued, dropped, displaced, .. } = published;
        self.messages_out.fetch_add(u64::from(delivered + queued), Ordering::Relaxed);
        self.dropped.fetch_add(u64::from(dropped + displaced), Ordering::Relaxed);
    }
}
