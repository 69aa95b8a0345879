//! What callbacks may touch: the loop's connections, what is lent to them, and who is to be looked after later.

use std::{sync::Arc, time::Instant};

use slab::Slab;

use super::{
    id::ConnectionId,
    remote::Remote,
    slot::{Key, Phase, Slot},
};
use crate::proto::{
    Admission, CloseCode, CloseFrame, Compression, Config, Connection, Outbound, Outgoing, SendError, State,
};

#[derive(Debug)]
pub(super) struct World<D> {
    pub(super) slots: Slab<Slot<D>>,
    pub(super) outbound: Outbound,
    /// Those that something was done to outside of their own turn.
    pub(super) dirty: Vec<Key>,
    /// Whose turn it is: it is looked after anyway.
    pub(super) active: usize,
    /// The time, as it was at the beginning of the turn.
    pub(super) now: Instant,
    pub(super) config: Arc<Config>,
    pub(super) remote: Remote,
    pub(super) loop_number: u16,
    pub(super) next_serial: u64,
}

impl<D> World<D> {
    /// The open connection of this id, if it is one of this loop's and is still there.
    pub(super) fn find(&self, id: ConnectionId) -> Option<usize> {
        let slot = self.slots.get(id.index as usize)?;
        let is_it = id.loop_number == self.loop_number && slot.serial == id.serial;
        (is_it && matches!(slot.phase, Phase::Open(_))).then_some(id.index as usize)
    }

    pub(super) fn id(&self, index: usize) -> ConnectionId {
        let serial = self.slots.get(index).map_or(0, |slot| slot.serial);
        ConnectionId { loop_number: self.loop_number, index: index as u32, serial }
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Slot<D>> {
        self.slots.get_mut(key.index).filter(|slot| slot.serial == key.serial)
    }

    #[inline]
    pub(super) fn connection(&mut self, index: usize) -> Option<&mut Connection> {
        self.slots.get_mut(index)?.connection()
    }

    #[inline]
    pub(super) fn send(
        &mut self,
        index: usize,
        message: Outgoing<'_>,
        compression: Compression,
    ) -> Result<Admission, SendError> {
        let Some(slot) = self.slots.get_mut(index) else { return Err(SendError::Closed) };
        let Phase::Open(connection) = &mut slot.phase else { return Err(SendError::Closed) };
        let sent = connection.send_with(message, compression, &mut self.outbound);
        if matches!(sent, Ok(Admission::Above) | Err(SendError::Full)) {
            slot.flags.above = true;
            slot.flags.full |= sent.is_err();
        }
        if index != self.active {
            self.touch(index);
        }
        sent
    }

    pub(super) fn close(&mut self, index: usize, code: CloseCode, reason: &str) -> Result<(), SendError> {
        // Not the turn's: a callback may have taken longer than the peer has for its answer.
        let now = Instant::now();
        self.connection(index).ok_or(SendError::Closed)?.close(now, code, reason)?;
        self.touch(index);
        Ok(())
    }

    /// [`close`](Self::close), behind what topics have for it.
    pub(super) fn close_behind_topics(
        &mut self,
        index: usize,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        let slot = self.slots.get(index).ok_or(SendError::Closed)?;
        match (&slot.phase, &slot.member) {
            (Phase::Open(connection), _) if connection.state() != State::Open => Err(SendError::Closed),
            (Phase::Open(_), Some(member)) if member.close(frame) => Ok(()),
            _ => self.close(index, code, reason),
        }
    }

    /// It is to be written to, or has ended: at the end of the turn.
    #[inline]
    pub(super) fn touch(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if index != self.active && !std::mem::replace(&mut slot.flags.dirty, true) {
            self.dirty.push(Key { index, serial: slot.serial });
        }
    }
}

/// Nobody's turn.
pub(super) const NOBODY: usize = usize::MAX;
