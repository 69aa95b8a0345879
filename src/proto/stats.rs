//! What a connection has counted.

use std::time::Duration;

/// A connection's counters, as [`Connection::stats`](super::Connection::stats) reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of frames received, headers and control frames with them.
    pub bytes_received: u64,
    /// Bytes handed to the transport.
    pub bytes_sent: u64,
    /// Whole messages received.
    pub messages_received: u64,
    /// Messages admitted to the outbox.
    pub messages_sent: u64,
    /// Bytes of messages that wait in the outbox; after the end, those that were lost.
    pub queued_bytes: usize,
    /// Messages that wait in the outbox, the one half-written with them.
    pub queued_messages: usize,
    /// From the last answered ping's last byte to its pong.
    pub round_trip: Option<Duration>,
}
