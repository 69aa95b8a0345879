//! A connection as a callback sees it.

use std::{io, net::SocketAddr};

use super::{id::ConnectionId, remote::Remote, world::World};
use crate::{
    broadcast::{Member, Subscribed, Subscription, TopicError},
    proto::{Admission, CloseCode, Compression, DeflateTerms, Outgoing, SendError, State, Stats},
};

/// An open connection, for the time of a callback.
///
/// What is sent by it leaves when the loop has handed over everything that one read brought, in one write; what is sent to
/// others, at the end of the loop's turn.
#[derive(Debug)]
pub struct WebSocket<'w, D> {
    world: &'w mut World<D>,
    index: usize,
}

impl<'w, D> WebSocket<'w, D> {
    #[inline]
    pub(super) fn new(world: &'w mut World<D>, index: usize) -> Self {
        Self { world, index }
    }

    /// Its name, for [`at`](Self::at) and [`Remote`].
    pub fn id(&self) -> ConnectionId {
        self.world.id(self.index)
    }

    /// What the application keeps with it.
    ///
    /// # Panics
    /// Never: a connection is there for the time of its callback.
    #[inline]
    pub fn data(&mut self) -> &mut D {
        &mut self.world.slots[self.index].data
    }

    /// Queues a message. [`Admission::Above`]: more than `outbox_bytes_low` waits, and `drain` will tell when it does no more.
    ///
    /// # Errors
    /// [`SendError::Full`] above `outbox_bytes_max` or `outbox_messages_max`, and `drain` will tell;
    /// [`SendError::Closed`] after the end, or once it was closed.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<Admission, SendError> {
        self.world.send(self.index, message.into(), Compression::Auto)
    }

    /// [`send`](Self::send), compressed or not.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with<'m>(
        &mut self,
        message: impl Into<Outgoing<'m>>,
        compression: Compression,
    ) -> Result<Admission, SendError> {
        self.world.send(self.index, message.into(), compression)
    }

    /// Starts the closing handshake, behind what is queued.
    ///
    /// # Errors
    /// A code that must not be sent, a reason above 123 bytes; [`SendError::Closed`] if it was closed before.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.world.close(self.index, code, reason)
    }

    /// [`close`](Self::close), behind what the reactor's [topics](super::Reactor::topics) have for it: what was published until now leaves
    /// first, however slowly it is read and whatever its rate, then our Close; of what is published from now on it gets nothing.
    ///
    /// Until then the connection is open, and the first such Close counts. `close_within` begins when our Close is queued, and before
    /// that only who takes nothing at all is cut, after `write_stall_after`: call [`close`](Self::close) for who has not taken it in time.
    /// That one follows what is in the outbox already, and what waits behind it is dropped.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn close_behind_topics(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.world.close_behind_topics(self.index, code, reason)
    }

    /// Sends a ping with up to 125 bytes, ahead of what is queued (RFC 6455 §5.5.2).
    ///
    /// # Errors
    /// A longer payload; [`SendError::Full`] while the last ping is not written; [`SendError::Closed`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.world.connection(self.index).ok_or(SendError::Closed)?.ping(payload)?;
        self.world.touch(self.index);
        Ok(())
    }

    /// Stops reading, or goes on. What came in the same read is kept; what the peer sends meanwhile stays in its socket, and
    /// its deadlines stand still.
    pub fn pause_reading(&mut self, on: bool) {
        let Some(slot) = self.world.slots.get_mut(self.index) else { return };
        slot.flags.paused = on;
        self.world.touch(self.index);
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        let slot = &self.world.slots[self.index];
        match &slot.phase {
            super::slot::Phase::Open(connection) => connection.state(),
            super::slot::Phase::Opening(_) => State::Closed,
        }
    }

    /// What it has counted.
    pub fn stats(&mut self) -> Stats {
        self.world.connection(self.index).map(|connection| connection.stats()).unwrap_or_default()
    }

    /// The terms of permessage-deflate, if it is in use.
    pub fn deflate(&mut self) -> Option<DeflateTerms> {
        self.world.connection(self.index)?.deflate()
    }

    /// The peer's address, asked of the system.
    ///
    /// # Errors
    /// The system's: the peer may be gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.world.slots[self.index].stream.peer_addr()
    }

    /// Another open connection of this loop. None: it is gone, or another loop's, which a [`Remote`] reaches.
    pub fn at(&mut self, id: ConnectionId) -> Option<WebSocket<'_, D>> {
        let index = self.world.find(id)?;
        Some(WebSocket { world: self.world, index })
    }

    /// Its part in the topics, if the [reactor](super::Reactor::topics) has any: for subscribing from other threads too.
    pub fn member(&self) -> Option<&Member> {
        self.world.slots[self.index].member.as_ref()
    }

    /// Subscribes to a topic, or to all that match: see [`Member::subscribe`].
    ///
    /// # Errors
    /// [`TopicError::NoTopics`] if the reactor has none; and as [`Member::subscribe`].
    pub fn subscribe(&self, name: &str, subscription: Subscription) -> Result<Subscribed, TopicError> {
        self.member().ok_or(TopicError::NoTopics)?.subscribe(name, subscription)
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, name: &str) -> bool {
        self.member().is_some_and(|member| member.unsubscribe(name))
    }

    /// What reaches all loops, from any thread.
    pub fn remote(&self) -> &Remote {
        &self.world.remote
    }
}
