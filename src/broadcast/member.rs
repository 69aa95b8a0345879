//! A connection that takes part.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    error::TopicError,
    gap::GapReason,
    history::Position,
    inbox::{Command, Inbox},
    losses::Backlog,
    name::{self, Named},
    options::Subscription,
    shard::Given,
    topics::{Directory, told},
};
use crate::proto::CloseFrame;

/// A connection that takes part in [`Topics`](super::Topics): subscribes and unsubscribes, from any thread. A clone is a reference
/// count; it does not keep the connection open, and when the connection ends, so do its subscriptions.
#[derive(Clone)]
pub struct Member(pub(super) Arc<MemberState>);

pub(crate) struct MemberState {
    pub(super) number: u64,
    pub(super) inbox: Arc<Inbox>,
    directory: Arc<Directory>,
    book: Mutex<Book>,
    /// It takes part no more. Set under the book's lock.
    left: AtomicBool,
    lost: AtomicU64,
}

#[derive(Default)]
struct Book {
    subscriptions: HashMap<Arc<str>, Held>,
}

/// What has to be given back.
pub(super) struct Held {
    pub(super) identity: Option<Arc<str>>,
    pub(super) presence: bool,
    pub(super) named: Named,
}

/// A subscription that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscribed {
    /// Where the topic was: what is published from here on is received, or told as a gap. Wildcards have none.
    pub position: Option<Position>,
    /// Subscribers of the topic by its name, this one with them; for a wildcard 0.
    pub members: u32,
    /// Everything since [`since`](Subscription::since) comes first, so many messages; `None` if not all of it is there, or nothing was
    /// asked for.
    pub recovered: Option<usize>,
}

impl Member {
    pub(super) fn new(number: u64, inbox: Arc<Inbox>, directory: Arc<Directory>) -> Self {
        let (book, left, lost) = (Mutex::default(), AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(MemberState { number, inbox, directory, book, left, lost }))
    }

    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    /// Subscribes to a topic, or, with wildcards, to all topics that match: `*` stands for one part between colons, `>` at the end
    /// for one part or more; a name with wildcards has 16 parts at most, and topics with more match by `>` alone. A message that several subscriptions match comes once, by the terms of the exact one, else of the
    /// first that is found; if these have rates, what one of them holds back may come after what the other lets through.
    ///
    /// What is published after this returns is received. Who has the subscription already keeps it as it is, whatever `subscription` says
    /// now, and is told where the topic is: for other terms, [unsubscribe](Self::unsubscribe) first.
    ///
    /// # Errors
    /// A name that is none; [`TopicError::TooManySubscriptions`], [`TopicError::TooManyTopics`], [`TopicError::TooManyPatterns`];
    /// [`TopicError::Closed`].
    pub fn subscribe(&self, name: &str, subscription: Subscription) -> Result<Subscribed, TopicError> {
        self.subscribe_with(name, subscription, |_| ())
    }

    /// [`subscribe`](Self::subscribe), for a protocol that answers: `tell` is called once the subscription is certain and before any
    /// of its messages is on its way, those that were missed with them, so that what it sends to the connection comes first.
    ///
    /// It is called while the topic is locked: it must not wait, and to use the topics in it is a deadlock. A panic in it ends with it, and is reported by
    /// the panic hook alone.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), and then `tell` is not called.
    pub fn subscribe_with(
        &self,
        name: &str,
        subscription: Subscription,
        tell: impl FnOnce(&Subscribed),
    ) -> Result<Subscribed, TopicError> {
        let named = name::check(name)?;
        let mut book = self.0.lock();
        if self.0.has_left() {
            return Err(TopicError::Closed);
        }
        if book.subscriptions.contains_key(name) {
            let stands = self.0.directory.stands(name);
            told(tell, &stands);
            return Ok(stands);
        }
        let max = self.0.directory.settings.subscriptions_max;
        if book.subscriptions.len() >= max {
            return Err(TopicError::TooManySubscriptions { max });
        }
        let held = Held {
            identity: subscription.identity.clone().filter(|_| named == Named::Topic),
            presence: subscription.presence && named == Named::Topic,
            named,
        };
        let (name, subscribed) = self.0.directory.subscribe(&self.0, name, named, subscription, tell)?;
        book.subscriptions.insert(name, held);
        Ok(subscribed)
    }

    /// Ends a subscription; whether there was one. What is published after this returns is not received; what was published before still
    /// is, unless its rate holds it back.
    pub fn unsubscribe(&self, name: &str) -> bool {
        let mut book = self.0.lock();
        let Some((name, held)) = book.subscriptions.remove_entry(name) else { return false };
        self.0.directory.unsubscribe(&self.0, &name, &held);
        true
    }

    /// The names that it has subscribed to, in no order.
    pub fn subscriptions(&self) -> Vec<Arc<str>> {
        self.0.lock().subscriptions.keys().cloned().collect()
    }

    /// Whether it has subscribed to this name.
    pub fn is_subscribed(&self, name: &str) -> bool {
        self.0.lock().subscriptions.contains_key(name)
    }

    /// Messages that it has lost, over all subscriptions, by its shard's count.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Its outbox is empty again.
    #[cfg_attr(not(feature = "reactor"), expect(dead_code, reason = "it is the reactor's"))]
    pub(crate) fn drained(&self) {
        self.0.drained();
    }

    /// Has the connection closed once it has what was published until now; it gets no more. The first one counts. Whether its shard
    /// sees to it: for one that has left it does not.
    ///
    /// Without the book's lock, as `tell` of [`subscribe_with`](Self::subscribe_with) may want it.
    pub(crate) fn close(&self, frame: CloseFrame) -> bool {
        if self.0.has_left() {
            return false;
        }
        self.0.inbox.push(Command::Close { member: self.0.clone(), frame: Box::new(frame) });
        // It may have left in between, and before its Close then.
        !self.0.has_left()
    }

    /// Takes part no more: all subscriptions end, and it gets nothing that is published from now on. The end of the connection does
    /// this by itself; dropping a `Member` does not.
    pub fn leave(&self) {
        let mut book = self.0.lock();
        if self.0.left.swap(true, Ordering::SeqCst) {
            return;
        }
        for (name, held) in book.subscriptions.drain() {
            self.0.directory.unsubscribe(&self.0, &name, &held);
        }
        drop(book);
        self.0.inbox.members.fetch_sub(1, Ordering::Relaxed);
        self.0.inbox.push(Command::Leave { member: self.0.clone() });
    }
}

impl MemberState {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part no more.
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Messages are lost, which it is told.
    pub(super) fn count_lost(&self, reason: GapReason, messages: u64) {
        if messages > 0 {
            self.lost.fetch_add(messages, Ordering::Relaxed);
            self.directory.counts.lost(reason, messages);
        }
    }

    /// Messages that a rate held back are not wanted any more, and it is not told of them.
    pub(super) fn count_left_out(&self, messages: u64) {
        self.directory.counts.lost(GapReason::Rate, messages);
    }

    /// It is disconnected as too slow, and so many messages are lost by that.
    pub(super) fn count_disconnected(&self, messages: u64) {
        self.lost.fetch_add(messages, Ordering::Relaxed);
        self.directory.counts.disconnected();
        self.count_closed(messages);
    }

    /// Messages are lost as it is closed, or gone.
    pub(super) fn count_closed(&self, messages: u64) {
        self.directory.counts.closed(messages);
    }

    /// Something of this turn is lost as it is closed, or gone; but what a broker lost is that one's.
    pub(super) fn count_not_given(&self, given: &mut Given) {
        match given {
            Given::Lost(gap) => self.directory.counts.lost(gap.reason, gap.count()),
            Given::Live(_) | Given::Missed(..) => self.count_closed(1),
        }
        if let Some(tally) = given.tally() {
            tally.dropped += 1;
        }
    }

    /// What waits for it is not what it was.
    pub(super) fn count_waiting(&self, before: Backlog, now: Backlog) {
        if before != now {
            self.directory.counts.waits(before, now);
        }
    }

    /// Its outbox is empty again.
    pub(crate) fn drained(self: &Arc<Self>) {
        self.inbox.push(Command::Drained { member: self.clone() });
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("number", &self.0.number).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberState").field("number", &self.number).finish_non_exhaustive()
    }
}
