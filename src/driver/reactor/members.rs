//! The loop's connections as its shard of the topics has them.

use std::{
    io::{ErrorKind, IoSlice},
    sync::Arc,
};

use super::{
    slot::{Key, Phase, Slot},
    turn::flush,
    world::World,
};
use crate::{
    broadcast::{Flushed, MemberState, Outlet, Outlets},
    proto::{CloseCode, Connection, PreparedMessage, SendError},
};

pub(super) struct Members<'w, D>(pub(super) &'w mut World<D>);

impl<D> Outlets for Members<'_, D> {
    type Key = Key;

    fn with(&mut self, key: &Key, f: impl FnOnce(&mut dyn Outlet)) -> bool {
        let is_there = matches!(self.0.get(*key), Some(Slot { phase: Phase::Open(_), .. }));
        if is_there {
            f(&mut One { world: self.0, index: key.index });
        }
        is_there
    }
}

struct One<'w, D> {
    world: &'w mut World<D>,
    index: usize,
}

impl<D> One<'_, D> {
    fn connection(&self) -> Option<&Connection> {
        match self.world.slots.get(self.index).map(|slot| &slot.phase) {
            Some(Phase::Open(connection)) => Some(connection),
            _ => None,
        }
    }
}

impl<D> Outlet for One<'_, D> {
    #[inline]
    fn write(&mut self, frames: &[u8], messages: usize) -> Option<usize> {
        let slot = self.world.slots.get_mut(self.index)?;
        let Slot { phase: Phase::Open(connection), stream, flags, .. } = slot else { return None };
        if flags.write_failed.is_some() || !stream.is_plain() || !connection.takes_plain_frames() {
            return None;
        }
        match stream.write(&[IoSlice::new(frames)]) {
            Ok(bytes) => {
                if bytes == frames.len() {
                    connection.wrote_plain_frames(messages, bytes);
                }
                Some(bytes)
            }
            Err(error) => (error.kind() == ErrorKind::WouldBlock).then_some(0),
        }
    }

    fn wrote(&mut self, bytes: usize) {
        let World { slots, outbound, now, .. } = &mut *self.world;
        let connection = slots.get_mut(self.index).and_then(Slot::connection);
        if let Some(transmit) = connection.and_then(|connection| connection.poll_transmit(*now, outbound)) {
            transmit.wrote(bytes);
        }
    }

    fn send(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let World { slots, outbound, .. } = &mut *self.world;
        let connection = slots.get_mut(self.index).and_then(Slot::connection).ok_or(SendError::Closed)?;
        connection.send(message, outbound).map(drop)
    }

    fn flush(&mut self) -> Flushed {
        if flush(self.world, self.index) {
            return Flushed::All;
        }
        // Its clock for a peer that takes nothing is to be set.
        self.world.touch(self.index);
        Flushed::Some
    }

    fn queued(&self) -> (usize, usize) {
        self.connection().map_or((0, 0), Connection::queued)
    }

    fn bounds(&self) -> (usize, usize) {
        let config = &self.world.config;
        (config.outbox_messages_max, config.outbox_bytes_max)
    }

    fn retract(&mut self, messages: usize) -> usize {
        self.world.connection(self.index).map_or(0, |connection| connection.retract(messages))
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        // An error says that it is closing already.
        let _ = self.world.close(self.index, code, reason);
    }

    fn tell_when_drained(&mut self, _: &Arc<MemberState>) {
        if let Some(slot) = self.world.slots.get_mut(self.index) {
            slot.flags.behind = true;
            self.world.touch(self.index);
        }
    }
}
