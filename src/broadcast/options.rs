//! How a subscriber wants to have a topic, and what it gets where it is too slow.

use std::{sync::Arc, time::Duration};

use super::history::Since;
use crate::proto::CloseCode;

/// What becomes of messages for which a subscriber has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The connection is closed with this code; what waited is dropped, and the reason says how much.
    Disconnect(CloseCode),
    /// The message that has no room is dropped.
    DropNewest,
    /// The topic's oldest ones that wait make room for it.
    DropOldest,
    /// Of those that wait, only the newest of each key stays: prices, scores, cursors. If there are too many keys for the room, the
    /// oldest ones make room.
    Conflate(ConflateBy),
}

impl Default for OverflowPolicy {
    /// [`Disconnect`](Self::Disconnect) with 1008.
    fn default() -> Self {
        Self::Disconnect(CloseCode::POLICY)
    }
}

/// What is the same thing, of which only the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflateBy {
    /// What has the same [`key`](super::Publish::key) in the same topic; messages without one are the same thing too.
    Key,
    /// All of a topic.
    Topic,
}

/// The terms of a subscription.
///
/// ```
/// use framecast::broadcast::{ConflateBy, OverflowPolicy, Subscription};
///
/// // Twice a second the newest price of each symbol, by one message each.
/// let prices = Subscription::new().policy(OverflowPolicy::Conflate(ConflateBy::Key)).max_rate(2);
/// # let _ = prices;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Subscription {
    pub(super) terms: Terms,
    pub(super) since: Option<Since>,
    pub(super) identity: Option<Arc<str>>,
    pub(super) presence: bool,
}

/// What a shard needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) policy: OverflowPolicy,
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
    /// The time between two messages, at least.
    pub(super) every: Option<Duration>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            policy: OverflowPolicy::default(),
            messages_max: usize::MAX,
            bytes_max: usize::MAX,
            every: None,
        }
    }
}

impl Subscription {
    /// From now on, disconnecting who is too slow.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of messages for which there is no room. Default [`OverflowPolicy::Disconnect`] with 1008.
    ///
    /// Whatever it is, a message waits only if that is within the connection's `outbox_messages_max` and `outbox_bytes_max`: with all
    /// that waits of all its topics, as frames without compression, and with what is in its outbox; or if nothing waits. On top come
    /// what the application sends itself meanwhile, the message that tells a gap, and, if others wait for their rate alone, the one that
    /// is being written. What waits leaves once the outbox is empty: a connection that the application itself keeps full gets nothing
    /// of its topics.
    ///
    /// A code of [`OverflowPolicy::Disconnect`] that must not be sent becomes 1008.
    pub fn policy(mut self, policy: OverflowPolicy) -> Self {
        self.terms.policy = match policy {
            OverflowPolicy::Disconnect(code) if !code.is_sendable() => OverflowPolicy::default(),
            policy => policy,
        };
        self
    }

    /// Messages of this subscription that may wait, beside one that is being written and what the system's socket buffer has taken.
    /// Default: as many as the connection may have; 0 counts as 1. Exactly as many are kept.
    pub fn messages_max(mut self, messages: usize) -> Self {
        self.terms.messages_max = messages.max(1);
        self
    }

    /// Bytes of this subscription's frames that may wait, beside one that is being written; one message of any size in any case.
    /// Default: as many as the connection may have.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.terms.bytes_max = bytes;
        self
    }

    /// So many messages a second at most, evenly spread; what came between is dropped but for the newest, or, with
    /// [`OverflowPolicy::Conflate`], for the newest of each key: of these the one that was updated longest ago is next. Default: no
    /// such limit; 0 counts as none.
    ///
    /// If more keys change than may leave, those that change most often come when the others are done. What waits for a full socket does
    /// so by the policy, and leaves at this rate afterwards.
    pub fn max_rate(mut self, messages_a_second: u32) -> Self {
        self.terms.every = Duration::from_secs(1).checked_div(messages_a_second);
        self
    }

    /// [`max_rate`](Self::max_rate), by the time between two messages.
    pub fn at_most_every(mut self, time: Duration) -> Self {
        self.terms.every = (!time.is_zero()).then_some(time);
        self
    }

    /// First what was published since then, if the topic's history still has all of it: [`Subscribed::recovered`] says. It is held to
    /// the bounds and the rate like everything else, and what is lost of it is told. Without a meaning for wildcards.
    ///
    /// [`Subscribed::recovered`]: super::Subscribed::recovered
    pub fn since(mut self, since: Since) -> Self {
        self.since = Some(since);
        self
    }

    /// Who this is among those [present](super::Topics::presence) in the topic; several connections may be the same one. Without
    /// a meaning for wildcards.
    pub fn identity(mut self, identity: impl Into<Arc<str>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Is told who joins and leaves, in the form that [`tell_presence`](super::TopicsBuilder::tell_presence) gives. Without a meaning for
    /// wildcards.
    pub fn watch_presence(mut self, on: bool) -> Self {
        self.presence = on;
        self
    }
}
