//! What a thread lends its connections for the time of a call: a read buffer, and what the core borrows.
//!
//! It is taken out of its place and put back, never borrowed there: a stream's `poll_read` is somebody else's code and may
//! drive another of our connections on this thread, which then gets a new one.

use std::{cell::Cell, collections::VecDeque};

use crate::proto::{Inbound, Message, Outbound};

#[derive(Debug, Default)]
pub(super) struct Lent {
    read: Vec<u8>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) inboxes: Inboxes,
}

impl Lent {
    /// The read buffer, made for a thread's first read; and what else feeding takes.
    pub(super) fn for_read(&mut self) -> (&mut [u8], &mut Inbound, &mut Inboxes) {
        if self.read.is_empty() {
            self.read = vec![0; READ_BYTES];
        }
        (&mut self.read, &mut self.inbound, &mut self.inboxes)
    }
}

/// Queues for messages that are empty now, with the room they had: one that is not idle for long would allocate it again.
#[derive(Debug, Default)]
pub(super) struct Inboxes(Vec<VecDeque<Message>>);

impl Inboxes {
    pub(super) fn borrow(&mut self) -> VecDeque<Message> {
        self.0.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, inbox: VecDeque<Message>) {
        debug_assert!(inbox.is_empty());
        if self.0.len() < INBOXES_MAX && inbox.capacity() <= INBOX_KEPT_MAX {
            self.0.push(inbox);
        }
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
const READ_BYTES: usize = 64 << 10;
/// Spare queues a thread keeps,
const INBOXES_MAX: usize = 32;
/// each with room for this many messages at most.
const INBOX_KEPT_MAX: usize = 4 << 10;
