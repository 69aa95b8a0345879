//! What a connection has to write, and what is to be noted once some of it is written.

use std::time::Instant;

use super::Connection;
use crate::proto::outbox::Slices;

/// Bytes that wait to be written.
#[derive(Debug)]
pub struct Transmit<'c> {
    pub(super) connection: &'c mut Connection,
    pub(super) now: Instant,
}

impl Transmit<'_> {
    /// The bytes, in order, for one vectored write.
    #[inline]
    pub fn slices(&self) -> Slices<'_> {
        self.connection.outbox.as_ref().map_or_else(Slices::default, |outbox| outbox.slices())
    }

    /// Takes note that the first `written` bytes of the slices were written.
    #[inline]
    pub fn wrote(self, written: usize) {
        let Connection { outbox, keepalive, config, clock, counts, .. } = self.connection;
        let Some(outbox) = outbox else { return };
        if written == 0 {
            return;
        }
        counts.bytes_sent += written as u64;
        let millis = clock.millis(self.now);
        keepalive.excuse_if_waited(config, millis);
        if outbox.wrote(written) {
            keepalive.ping_left(config, millis, clock.micros(self.now));
        }
        if outbox.is_empty() {
            keepalive.write_done();
        } else {
            keepalive.write_goes_on(config, millis);
        }
    }
}
