//! Pings of the application's that wait for their pong (RFC 6455 §5.5.3).
//!
//! Beside the other waits, since their payloads are to be kept.

use std::time::{Duration, Instant};

use crate::proto::Control;

/// Those that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct RoundTrips(Vec<RoundTrip>);

#[derive(Debug)]
struct RoundTrip {
    ticket: u32,
    payload: Control,
    began: Instant,
    took: Option<Duration>,
}

impl RoundTrips {
    pub(super) fn begin(&mut self, ticket: u32, payload: Control, now: Instant) {
        self.0.push(RoundTrip { ticket, payload, began: now, took: None });
    }

    /// A pong: the oldest ping of this payload that waits is answered. Its ticket, if there is one.
    pub(super) fn pong(&mut self, payload: &[u8], now: Instant) -> Option<u32> {
        let answered = |trip: &&mut RoundTrip| trip.took.is_none() && *trip.payload == *payload;
        let trip = self.0.iter_mut().find(answered)?;
        trip.took = Some(now.saturating_duration_since(trip.began));
        Some(trip.ticket)
    }

    /// Whether this one's ping is out.
    pub(super) fn has(&self, ticket: u32) -> bool {
        self.0.iter().any(|trip| trip.ticket == ticket)
    }

    /// How long it took, once it is answered.
    pub(super) fn took(&self, ticket: u32) -> Option<Duration> {
        self.0.iter().find(|trip| trip.ticket == ticket)?.took
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&mut self, ticket: u32) {
        self.0.retain(|trip| trip.ticket != ticket);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
