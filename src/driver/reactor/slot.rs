//! One connection of a loop: its socket, where it is in its life, and what waits.

use std::io::ErrorKind;

use super::{opening::Opening, stream::Stream};
use crate::{
    broadcast::Member,
    proto::{Cause, Connection, Message},
};

#[derive(Debug)]
pub(super) struct Slot<D> {
    pub(super) stream: Stream,
    pub(super) phase: Phase,
    /// What could not be handed over for want of room for an answer.
    pub(super) held: Option<Box<Held>>,
    /// How it ended, until the application is told.
    pub(super) end: Option<Box<Cause>>,
    /// No other connection ever has it.
    pub(super) serial: u64,
    /// It was let in: it counts against `connections_max`.
    pub(super) admitted: bool,
    pub(super) flags: Flags,
    /// Its part in the topics, if the reactor has any.
    pub(super) member: Option<Member>,
    pub(super) data: D,
}

#[derive(Debug)]
pub(super) enum Phase {
    Opening(Box<Opening>),
    Open(Connection),
}

#[derive(Debug, Default)]
pub(super) struct Flags {
    /// Nothing more will come.
    pub(super) eof: bool,
    /// Writing has failed: what the peer had sent before comes first (catalogue: RT-03).
    pub(super) write_failed: Option<ErrorKind>,
    /// The application was told the end.
    pub(super) told: bool,
    /// The application does not want to read.
    pub(super) paused: bool,
    /// The core knows that we do not read.
    pub(super) stopped: bool,
    /// The outbox was above its low-water mark, or full: `drain` is due.
    pub(super) above: bool,
    /// Messages of its topics wait for its outbox to be empty.
    pub(super) behind: bool,
    /// It was full, and nothing was written since: `drain` could do nothing.
    pub(super) full: bool,
    /// It waits for its turn at the loop's end,
    pub(super) dirty: bool,
    /// or in the loop's next one, to read on.
    pub(super) again: bool,
}

/// Input that was taken from the socket and not looked at, behind a message that was.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) message: Option<Message>,
    pub(super) rest: Vec<u8>,
}

/// A connection's place in the slab, and who had it when this was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: usize,
    pub(super) serial: u64,
}

impl<D> Slot<D> {
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.phase {
            Phase::Open(connection) => Some(connection),
            Phase::Opening(_) => None,
        }
    }
}

// With the three words of the wheel, an idle connection is under 256 bytes and the data of an application.
const _: () = assert!(size_of::<Slot<()>>() <= 224);
