//! What is written to many connections at once, beside their outboxes, and taken back from them.

use super::Connection;
use crate::proto::{closing::Closing, deflate::DeflateTerms, frame::Role, outbox::Outbox};

impl Connection {
    /// Takes back up to `messages` of those that were queued last and have not begun to leave; one frame stays in any case. How
    /// many it was.
    pub(crate) fn retract(&mut self, messages: usize) -> usize {
        if !matches!(self.closing, Closing::Open) {
            return 0;
        }
        let taken = self.outbox.as_mut().map_or(0, |outbox| outbox.retract(messages));
        self.counts.messages_sent -= taken as u64;
        taken
    }

    /// Whether frames that are encoded and not compressed can be written beside the outbox: nothing is before them.
    #[inline]
    pub(crate) fn takes_plain_frames(&self) -> bool {
        let compresses = |terms: DeflateTerms| !terms.of_sender(Role::Server).1;
        self.outbox.is_none()
            && matches!(self.closing, Closing::Open)
            && self.role == Role::Server
            && !self.deflate.is_some_and(compresses)
    }

    /// Takes note of whole frames that were written beside the outbox.
    #[inline]
    pub(crate) fn wrote_plain_frames(&mut self, messages: usize, bytes: usize) {
        self.counts.messages_sent += messages as u64;
        self.counts.bytes_sent += bytes as u64;
    }

    /// Messages and bytes of the outbox, as [`stats`](Self::stats) has them.
    pub(crate) fn queued(&self) -> (usize, usize) {
        self.outbox
            .as_deref()
            .map_or((0, 0), |outbox: &Outbox| (outbox.queued_messages(), outbox.queued_bytes()))
    }
}
