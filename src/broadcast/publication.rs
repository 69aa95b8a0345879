//! A message on its way to its subscribers, and what came of it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    gap::{Gap, GapReason},
    history::Position,
    member::Member,
    name::base,
};
use crate::proto::PreparedMessage;

/// A message to publish, and what else is to be known of it. Whatever can be prepared can be published as it is.
///
/// ```
/// use framecast::broadcast::{Publish, Topics};
///
/// let topics = Topics::new();
/// topics.publish("prices", Publish::new("EURUSD 1.0871").key("EURUSD"))?;
/// topics.publish("news", "it rains")?;
/// # Ok::<(), framecast::broadcast::TopicError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Publish {
    pub(super) message: PreparedMessage,
    pub(super) key: Option<Bytes>,
    /// The member that does not get it, by number.
    pub(super) except: u64,
}

impl Publish {
    /// A message for all subscribers.
    pub fn new(message: impl Into<PreparedMessage>) -> Self {
        Self { message: message.into(), key: None, except: 0 }
    }

    /// What it tells of: where messages are [conflated](super::OverflowPolicy::Conflate), a newer one of the same key takes its place.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Not to this member, who has sent it perhaps.
    pub fn except(mut self, member: &Member) -> Self {
        self.except = member.number();
        self
    }
}

impl<T: Into<PreparedMessage>> From<T> for Publish {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}

/// A message that was published, as it is kept and given to subscribers.
pub struct Publication {
    pub(super) topic: Arc<str>,
    position: Position,
    pub(super) message: PreparedMessage,
    pub(super) key: Option<Bytes>,
    pub(super) except: u64,
    outcome: Outcome,
}

impl Publication {
    pub(super) fn new(topic: Arc<str>, position: Position, publish: Publish) -> Self {
        let Publish { message, key, except } = publish;
        Self { topic, position, message, key, except, outcome: Outcome::default() }
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        base(&self.topic).0
    }

    /// Its place there.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The message.
    pub fn message(&self) -> &PreparedMessage {
        &self.message
    }

    pub(super) fn payload_len(&self) -> usize {
        self.message.payload().len()
    }

    /// What its loss is told by.
    pub(super) fn as_gap(&self, reason: GapReason) -> Gap {
        let Position { epoch, offset } = self.position;
        Gap { topic: self.topic.clone(), epoch, from: offset, to: offset, reason }
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Publication");
        debug.field("topic", &self.topic).field("position", &self.position);
        debug.field("message", &self.message).finish_non_exhaustive()
    }
}

/// What came of a publish, over all subscribers of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Subscribers whose socket took it at once; on tokio, of streams of TCP that a listener accepted, which can be written to where it is
    /// published,
    pub delivered: u32,
    /// for whom it waits, behind other messages, for their rate, or for their own task to write it,
    pub queued: u32,
    /// and who do not get it, by their policy or because they are closing.
    pub dropped: u32,
    /// Older messages that made room for it.
    pub displaced: u32,
}

impl Published {
    /// Everybody who was subscribed.
    pub fn subscribers(&self) -> u32 {
        self.delivered + self.queued + self.dropped
    }
}

/// A publish that is under way. It is done whether this is waited for or not: to be published, to have a place, and to be
/// counted are three things. As a future it is ready when every shard has counted; it needs no runtime.
#[derive(Debug)]
pub struct Publishing(pub(super) Arc<Publication>);

impl Publishing {
    /// The message's place in its topic.
    pub fn position(&self) -> Position {
        self.0.position
    }

    /// What came of it, if every shard has counted.
    pub fn published(&self) -> Option<Published> {
        self.0.outcome.get()
    }

    /// Calls `then` once every shard has counted, on the thread of the last one, or here; it must not wait.
    /// A panic in it ends with it, and is reported by the panic hook alone.
    pub fn then(self, then: impl FnOnce(Published) + Send + 'static) {
        self.0.outcome.then(Box::new(then));
    }
}

impl Future for Publishing {
    type Output = Published;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Published> {
        self.0.outcome.poll(cx)
    }
}

/// The counts, and who waits for them.
#[derive(Default)]
struct Outcome {
    /// Shards that have not counted.
    left: AtomicU32,
    delivered: AtomicU32,
    queued: AtomicU32,
    dropped: AtomicU32,
    displaced: AtomicU32,
    waiter: Mutex<Option<Waiter>>,
}

enum Waiter {
    Task(Waker),
    Callback(Callback),
}

type Callback = Box<dyn FnOnce(Published) + Send>;

/// On a thread that many depend on, mostly: a panic in it is nobody else's.
fn call(then: Callback, published: Published) {
    let _ = catch_unwind(AssertUnwindSafe(|| then(published)));
}

impl Outcome {
    fn get(&self) -> Option<Published> {
        let load = |count: &AtomicU32| count.load(Ordering::Relaxed);
        (self.left.load(Ordering::Acquire) == 0).then(|| Published {
            delivered: load(&self.delivered),
            queued: load(&self.queued),
            dropped: load(&self.dropped),
            displaced: load(&self.displaced),
        })
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Published> {
        let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock: whoever counts last looks for a waiter under it.
        if let Some(published) = self.get() {
            return Poll::Ready(published);
        }
        *waiter = Some(Waiter::Task(cx.waker().clone()));
        Poll::Pending
    }

    fn then(&self, then: Callback) {
        let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        match self.get() {
            None => *waiter = Some(Waiter::Callback(then)),
            Some(published) => {
                drop(waiter);
                call(then, published);
            }
        }
    }

    fn count(&self, tally: &Published) {
        for (count, more) in [
            (&self.delivered, tally.delivered),
            (&self.queued, tally.queued),
            (&self.dropped, tally.dropped),
            (&self.displaced, tally.displaced),
        ] {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (waiter, self.get()) {
            (Some(Waiter::Task(waker)), _) => waker.wake(),
            (Some(Waiter::Callback(then)), Some(published)) => call(then, published),
            _ => {}
        }
    }
}

/// One shard's part of a publish: counted once, and at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct Delivery {
    publication: Arc<Publication>,
    tally: Published,
}

impl Delivery {
    /// One for each of `shards`.
    pub(super) fn split(
        publication: &Arc<Publication>,
        shards: usize,
    ) -> impl Iterator<Item = Self> + use<'_> {
        publication.outcome.left.store(shards as u32, Ordering::Release);
        (0..shards).map(|_| Self { publication: publication.clone(), tally: Published::default() })
    }

    pub(super) fn publication(&self) -> &Arc<Publication> {
        &self.publication
    }

    pub(super) fn tally(&mut self) -> &mut Published {
        &mut self.tally
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.publication.outcome.count(&self.tally);
    }
}
