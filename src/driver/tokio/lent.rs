//! What a thread lends its connections for the time of a call: a read buffer, and what the core borrows.
//!
//! It is taken out of its place and put back, never borrowed there: a stream's `poll_read` is somebody else's code and may
//! drive another of our connections on this thread, which then gets a new one.

use std::cell::Cell;

use super::inbox::Queues;
use crate::proto::{Inbound, Outbound};

#[derive(Debug, Default)]
pub(super) struct Lent {
    read: Vec<u8>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) queues: Queues,
}

impl Lent {
    /// The read buffer, made for a thread's first read, or its front; and what else feeding takes.
    pub(super) fn for_read(&mut self, bytes_max: usize) -> (&mut [u8], &mut Inbound, &mut Queues) {
        if self.read.is_empty() {
            self.read = vec![0; READ_BYTES];
        }
        (&mut self.read[..bytes_max.min(READ_BYTES)], &mut self.inbound, &mut self.queues)
    }
}

/// Calls `f` with what this thread lends.
#[inline]
pub(super) fn with_lent<R>(f: impl FnOnce(&mut Lent) -> R) -> R {
    LENT.with(|place| {
        let mut lent = place.take().unwrap_or_default();
        let result = f(&mut lent);
        place.set(Some(lent));
        result
    })
}

thread_local! {
    static LENT: Cell<Option<Box<Lent>>> = const { Cell::new(None) };
}

/// As much as a read takes at most.
pub(super) const READ_BYTES: usize = 256 << 10;
/// As much where it may be compressed: a read may become a thousand times as much, before anybody is asked whether there is room
/// for it. What inflating takes makes the calls that this adds cheap.
pub(super) const COMPRESSED_READ_BYTES: usize = 2 << 10;
