//! The door for applications, and what all shards share: which topics there are, and who wants them.

use std::{
    any::Any,
    fmt,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{
    entry::{Entry, Stripe},
    error::TopicError,
    gap::{Gap, GapReason},
    history::{HistoryLimits, Keeping, Page, Position, Since},
    inbox::{Command, Inbox},
    losses::{Backlog, Counts, Losses},
    member::{Held, Member, MemberState, Subscribed},
    name::{Named, base, check_topic, presence_of},
    options::{Subscription, Terms},
    presence::{PresenceChange, PresenceKind, Present},
    publication::{Delivery, Publication, Publish, Publishing},
    wildcards::Wildcards,
};
use crate::proto::{Message, PreparedMessage};

/// Topics, and who has subscribed to them; a clone is a reference count.
///
/// Publishing encodes a message once and hands one reference to each shard that has subscribers; the shards write. The messages of a
/// topic come in the same order for everybody. Connections take part by a driver: `WebSocket::join` of the tokio driver,
/// `Reactor::topics` of the reactor.
///
/// ```
/// use framecast::broadcast::Topics;
///
/// let topics = Topics::new();
/// let publishing = topics.publish("match:42", "2:1")?;
/// assert_eq!(publishing.position().offset, 1);
/// // Nobody has subscribed, so that it is known at once what came of it. Else `publishing.await`, or `then`.
/// assert_eq!(publishing.published().map(|published| published.subscribers()), Some(0));
/// # Ok::<(), framecast::broadcast::TopicError>(())
/// ```
#[derive(Clone)]
pub struct Topics(pub(super) Arc<Directory>);

/// The terms of [`Topics`].
#[must_use]
pub struct TopicsBuilder(Settings);

pub(super) struct Directory {
    pub(super) settings: Arc<Settings>,
    pub(super) shards: Arc<Shards>,
    stripes: Box<[Mutex<Stripe>]>,
    /// Random, so that nobody can choose names for one stripe (catalogue: DS-43).
    hasher: RandomState,
    topics: AtomicUsize,
    wildcards: Wildcards,
    /// Those of them that have subscribers; what presence is told by is none.
    listed: AtomicUsize,
    epochs: AtomicU64,
    pub(super) keeping: Keeping,
    /// Whose turn it is to be looked at when all is taken that may be kept.
    turns: AtomicUsize,
    /// In a box, apart from what publishers read.
    pub(super) counts: Box<Counts>,
    /// For a driver that has no loops of its own.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "it is the tokio driver's"))]
    seat: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// How something is told to a client.
type Tell<T> = Box<dyn Fn(&T) -> Option<Message> + Send + Sync>;

/// How a message is told its place.
type TellPlace = Box<dyn Fn(Position, &PreparedMessage) -> Option<Message> + Send + Sync>;

pub(super) struct Settings {
    pub(super) subscriptions_max: usize,
    topics_max: usize,
    patterns_max: usize,
    history: HistoryLimits,
    history_bytes_max: usize,
    pub(super) everybody: Terms,
    tell_gap: Tell<Gap>,
    tell_presence: Tell<PresenceChange>,
    tell_place: Option<TellPlace>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    seed: Option<u64>,
}

impl TopicsBuilder {
    /// What is kept of each topic. Default [`HistoryLimits::NONE`].
    pub fn history(mut self, limits: HistoryLimits) -> Self {
        self.0.history = limits;
        self
    }

    /// Bytes that the histories of all topics hold together. Default 256 MiB. A message counts with its payload, its key, and 256 bytes
    /// for what is around them; what was compressed of it comes on top.
    ///
    /// It is never exceeded. Whoever publishes when all is taken makes room with the oldest messages of its own topic, and what then
    /// finds none is not kept, nor is anything before it: that topic's history is shorter, or none, and nobody else's is. What was
    /// published to it reaches its subscribers all the same; who comes back later and asks for what is not there is told so, as with
    /// every other limit: [`recovered`](super::Subscribed::recovered) is `None`, a [`Page`] is not `complete`. There is room again as
    /// others' messages become too old or their topics are forgotten: at the latest after twice the age that they may have, as topics
    /// are used or [swept](Topics::sweep).
    pub fn history_bytes_max(mut self, bytes: usize) -> Self {
        self.0.history_bytes_max = bytes;
        self
    }

    /// Subscriptions of a connection. Default 128.
    pub fn subscriptions_max(mut self, subscriptions: usize) -> Self {
        self.0.subscriptions_max = subscriptions;
        self
    }

    /// Topics that there may be. Default 100,000. If there are as many, one that nobody has subscribed to and that has no history is
    /// forgotten for a new one. One with a history keeps it for its time, and there is no new one until then: else who makes topics
    /// would take others' histories from them.
    pub fn topics_max(mut self, topics: usize) -> Self {
        self.0.topics_max = topics.max(1);
        self
    }

    /// Different wildcards that there may be, however many have subscribed to each. Default 10,000. A new one is refused then, until
    /// the last subscriber of another has gone. A publish costs each shard that has wildcards a step for 64 of them and each part of
    /// the topic's name, and a wildcard takes about 3 KiB at most, of each shard that has it.
    pub fn patterns_max(mut self, patterns: usize) -> Self {
        self.0.patterns_max = patterns;
        self
    }

    /// How who is too slow for what is [published to all](Topics::publish_to_all) is treated. Default: disconnected with 1008.
    pub fn everybody(mut self, subscription: Subscription) -> Self {
        self.0.everybody = subscription.terms;
        self
    }

    /// How a subscriber is told what it lost: the message that takes the lost ones' place. Default: it is not told, and
    /// [`Member::lost`] counts. Called on a shard's thread; it must not wait. It is called again for a gap whose message did not get
    /// into the socket, and then for a larger one perhaps.
    pub fn tell_gap(mut self, tell: impl Fn(&Gap) -> Option<Message> + Send + Sync + 'static) -> Self {
        self.0.tell_gap = Box::new(tell);
        self
    }

    /// How those who [watch](Subscription::watch_presence) are told who joins and leaves. Default: they are not. It must not wait, and
    /// not use the topics.
    pub fn tell_presence(
        mut self,
        tell: impl Fn(&PresenceChange) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        self.0.tell_presence = Box::new(tell);
        self
    }

    /// What is sent in place of a message that is [delivered](Topics::deliver), for those that tell their place and could not know it
    /// when they were published; `None`: the message itself. Default: always itself. It must not wait.
    pub fn tell_place(
        mut self,
        tell: impl Fn(Position, &PreparedMessage) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        self.0.tell_place = Some(Box::new(tell));
        self
    }

    /// The clock that ages what is kept. Default [`Instant::now`].
    pub fn clock(mut self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.0.clock = Box::new(clock);
        self
    }

    /// Where epochs come from, for tests that repeat. Default: at random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = Some(seed);
        self
    }

    /// The topics.
    #[must_use]
    pub fn build(self) -> Topics {
        let hasher = RandomState::new();
        let seed = self.0.seed.unwrap_or_else(|| hasher.hash_one(Instant::now()));
        let keeping = Keeping::new(self.0.history, self.0.history_bytes_max);
        Topics(Arc::new(Directory {
            keeping,
            turns: AtomicUsize::new(0),
            settings: Arc::new(self.0),
            shards: Arc::default(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher,
            topics: AtomicUsize::new(0),
            wildcards: Wildcards::default(),
            listed: AtomicUsize::new(0),
            epochs: AtomicU64::new(seed),
            counts: Box::default(),
            seat: OnceLock::new(),
        }))
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self::new()
    }
}

impl Topics {
    /// With the defaults of [`builder`](Self::builder).
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets the terms.
    pub fn builder() -> TopicsBuilder {
        TopicsBuilder(Settings {
            subscriptions_max: 128,
            topics_max: 100_000,
            patterns_max: 10_000,
            history: HistoryLimits::NONE,
            history_bytes_max: 256 << 20,
            everybody: Terms::default(),
            tell_gap: Box::new(|_| None),
            tell_presence: Box::new(|_| None),
            tell_place: None,
            clock: Box::new(Instant::now),
            seed: None,
        })
    }

    /// Publishes to the subscribers of a topic; from any thread, from inside a callback too. It does not wait: where as much waits for an
    /// event loop or a worker as may, because it is held up, the message is refused for all.
    ///
    /// # Errors
    /// A name that is none; [`TopicError::TooManyTopics`]; [`TopicError::Full`], and then nobody gets it.
    pub fn publish(&self, topic: &str, message: impl Into<Publish>) -> Result<Publishing, TopicError> {
        let publish = message.into();
        self.publish_with(topic, |_| publish)
    }

    /// [`publish`](Self::publish), of a message that tells its own place: `make` is called with it while the topic is locked, so
    /// to use the topics in it is a deadlock.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); `make` may have been called, and its message is dropped.
    pub fn publish_with(
        &self,
        topic: &str,
        make: impl FnOnce(Position) -> Publish,
    ) -> Result<Publishing, TopicError> {
        check_topic(topic)?;
        self.0.publish(topic, None, make, Command::Publish)
    }

    /// Publishes to every connection that takes part, whatever it has subscribed to.
    ///
    /// # Errors
    /// [`TopicError::Full`], and then nobody gets it.
    pub fn publish_to_all(&self, message: impl Into<Publish>) -> Result<Publishing, TopicError> {
        let publish = message.into();
        self.0.publish(EVERYBODY, None, |_| publish, Command::Everybody)
    }

    /// Gives a message to our subscribers that somebody else has published and given its place, a [`Broker`](super::Broker)
    /// for instance. Places that were left out are not noticed: see [`lost`](Self::lost).
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn deliver(
        &self,
        topic: &str,
        position: Position,
        message: impl Into<Publish>,
    ) -> Result<Publishing, TopicError> {
        check_topic(topic)?;
        let mut publish = message.into();
        if let Some(message) = self.0.settings.tell_place(position, &publish.message) {
            publish.message = message.into();
        }
        self.0.publish(topic, Some(position), |_| publish, Command::Publish)
    }

    /// Takes over where a topic is from who gives its messages their places, a [`Broker`](super::Broker) for instance, before it
    /// delivers any: so that who subscribes is told that place. Nothing if we have been as far already; nobody is told of a gap.
    ///
    /// # Errors
    /// A name that is none; [`TopicError::TooManyTopics`].
    pub fn place(&self, topic: &str, position: Position) -> Result<(), TopicError> {
        check_topic(topic)?;
        let now = (self.0.settings.clock)();
        let mut stripe = self.0.stripe(topic);
        let entry = self.0.entered(&mut stripe, topic, now)?;
        if entry.epoch != position.epoch || entry.last < position.offset {
            (entry.epoch, entry.last) = (position.epoch, position.offset);
        }
        self.0.used(&mut stripe, topic, now);
        Ok(())
    }

    /// Tells a topic's subscribers that messages are lost that somebody else has published: from `from` to `to`, both lost too.
    ///
    /// # Errors
    /// A name that is none.
    pub fn lost(&self, topic: &str, from: Position, to: u64) -> Result<(), TopicError> {
        check_topic(topic)?;
        self.0.lose(topic, from, to);
        Ok(())
    }

    /// Where a topic is, if it is known.
    pub fn position(&self, topic: &str) -> Option<Position> {
        self.0.stripe(topic).topics.get(topic).map(|entry| entry.position())
    }

    /// Who is in a topic: the identities of its subscribers by name, in their order.
    pub fn presence(&self, topic: &str) -> Vec<Present> {
        self.0.stripe(topic).topics.get(topic).map(|entry| entry.presence.list()).unwrap_or_default()
    }

    /// How many have subscribed to a topic by its name.
    pub fn members(&self, topic: &str) -> u32 {
        self.0.stripe(topic).topics.get(topic).map_or(0, |entry| entry.members)
    }

    /// Up to `limit` messages of a topic's history: those after `since`, the oldest first; without it, the newest.
    pub fn history(&self, topic: &str, since: Option<Since>, limit: usize) -> Page {
        let Directory { settings, keeping, .. } = &*self.0;
        let now = (settings.clock)();
        let mut stripe = self.0.stripe(topic);
        let none = Position { epoch: 0, offset: 0 };
        let Some(entry) = stripe.topics.get_mut(topic) else {
            return Page { position: none, messages: Vec::new(), complete: since.is_none() };
        };
        let position = entry.position();
        let Some(since) = since else {
            let all = entry.history.all(now, keeping);
            let mut messages: Vec<_> = all.rev().take(limit).cloned().collect();
            messages.reverse();
            return Page { position, messages, complete: true };
        };
        let missed = entry.history.since(now, since, position, keeping);
        let complete = missed.is_some();
        let messages = missed.into_iter().flatten().take(limit).cloned().collect();
        Page { position, messages, complete }
    }

    /// Up to `limit` topics that have subscribers by name, and how many, in the order of their names, `after` one and with a `prefix`.
    pub fn list(&self, prefix: &str, after: &str, limit: usize) -> Vec<(Arc<str>, u32)> {
        let mut found = Vec::new();
        for stripe in &self.0.stripes {
            let stripe = lock(stripe);
            let fits =
                |name: &str| name.starts_with(prefix) && name > after && !name.is_empty() && !base(name).1;
            let entries = stripe.topics.values().filter(|entry| entry.members > 0 && fits(&entry.name));
            found.extend(entries.map(|entry| (entry.name.clone(), entry.members)));
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// What subscribers lost since the beginning, and why.
    pub fn losses(&self) -> Losses {
        self.0.counts.losses()
    }

    /// What waits now for subscribers that cannot take it yet.
    pub fn backlog(&self) -> Backlog {
        self.0.counts.backlog()
    }

    /// Bytes that the histories of all topics hold, as [`history_bytes_max`](TopicsBuilder::history_bytes_max) counts them. It is a
    /// number that is kept.
    pub fn history_bytes(&self) -> usize {
        self.0.keeping.bytes()
    }

    /// Topics that have subscribers by name, as many as [`list`](Self::list) would list without a limit. It is a number that is kept.
    pub fn listed(&self) -> usize {
        self.0.listed.load(Ordering::Relaxed)
    }

    /// Different wildcards that somebody has subscribed to.
    pub fn patterns(&self) -> usize {
        self.0.wildcards.len()
    }

    /// Topics that are known, those with them that nobody has subscribed to and that are not forgotten yet.
    pub fn len(&self) -> usize {
        self.0.topics.load(Ordering::Relaxed)
    }

    /// Whether no topic is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what is too old, a part of it at a time, so that nobody waits for it long: to be called again and again, once a second
    /// or so, by whoever has topics with a history. Where others publish it is done by that; where nobody does, nothing else gives
    /// memory back. The server of `framecast-hub` calls it.
    ///
    /// In a call, 4,096 topics at most are forgotten, or lose what is older than [`age`](HistoryLimits::age). So nothing is kept for
    /// longer than twice its age, and until the next call.
    pub fn sweep(&self) {
        let now = (self.0.settings.clock)();
        for stripe in &self.0.stripes {
            // Each time with the lock anew, as who publishes waits for it.
            for _ in 0..SWEEPS {
                if !self.0.forget_some(&mut lock(stripe), now) {
                    break;
                }
            }
        }
    }

    /// Forgets the topics that nobody has used for longer than they are kept, and of the others' histories what is too old. It is done
    /// bit by bit whenever topics are used; this does it at once and holds everybody up meanwhile; [`sweep`](Self::sweep) does not.
    pub fn forget_idle(&self) {
        let now = (self.0.settings.clock)();
        for stripe in &self.0.stripes {
            let mut stripe = lock(stripe);
            while stripe.forget_old(now, &self.0.keeping) {}
            for _ in 0..stripe.topics.len() {
                let forgotten = stripe.forget_idle(now, &self.0.keeping);
                self.0.topics.fetch_sub(forgotten, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
impl Topics {
    /// Topics that are known, counted one by one.
    pub(super) fn count(&self) -> usize {
        self.0.stripes.iter().map(|stripe| lock(stripe).topics.len()).sum()
    }

    /// Names in the lists of those whose histories age.
    pub(super) fn aging(&self) -> usize {
        self.0.stripes.iter().map(|stripe| lock(stripe).aging()).sum()
    }

    /// Topics for which each of the locks has room, at the most.
    pub(super) fn capacity(&self) -> usize {
        self.0.stripes.iter().map(|stripe| lock(stripe).topics.capacity()).max().unwrap_or_default()
    }
}

/// What the drivers need.
impl Topics {
    /// A new shard's inbox. `ring` wakes the shard; see [`Inbox::wakes`].
    pub(crate) fn attach(&self, ring: Box<dyn Fn() + Send + Sync>) -> Arc<Inbox> {
        let mut shards = self.0.shards.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = shards.iter().position(Option::is_none).unwrap_or(shards.len());
        if number == shards.len() {
            shards.push(None);
        }
        let inbox = Arc::new(Inbox::new(number, ring));
        shards[number] = Some(inbox.clone());
        inbox
    }

    /// Has a connection take part, by the shard of `inbox`, which knows it by `key`.
    pub(crate) fn join(&self, inbox: &Arc<Inbox>, key: Box<dyn Any + Send>) -> Member {
        let number = MEMBERS.fetch_add(1, Ordering::Relaxed);
        let member = Member::new(number, inbox.clone(), self.0.clone());
        inbox.members.fetch_add(1, Ordering::Relaxed);
        inbox.push(Command::Join { member: member.0.clone(), key });
        member
    }

    /// What a driver keeps with the topics.
    #[cfg(feature = "tokio")]
    pub(crate) fn seat(
        &self,
        make: impl FnOnce() -> Arc<dyn Any + Send + Sync>,
    ) -> &Arc<dyn Any + Send + Sync> {
        self.0.seat.get_or_init(make)
    }
}

/// The shards' inboxes, by number.
#[derive(Default)]
pub(super) struct Shards(RwLock<Vec<Option<Arc<Inbox>>>>);

impl Shards {
    fn read(&self) -> RwLockReadGuard<'_, Vec<Option<Arc<Inbox>>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard is over, and its members have left.
    pub(super) fn detach(&self, inbox: &Inbox) {
        self.0.write().unwrap_or_else(PoisonError::into_inner)[inbox.number] = None;
        inbox.end();
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shards").field(&self.read().len()).finish()
    }
}

impl Directory {
    fn stripe(&self, name: &str) -> MutexGuard<'_, Stripe> {
        let hash = self.hasher.hash_one(base(name).0) as usize;
        lock(&self.stripes[hash % self.stripes.len()])
    }

    /// Below 2^53, which is as far as JSON's numbers reach everywhere, and not 0.
    fn epoch(&self) -> u64 {
        let mut z = self.epochs.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11).max(1)
    }

    /// The topic of this name, made if there is none; it is kept until [`used`](Self::used) says that it was.
    fn entered<'s>(
        &self,
        stripe: &'s mut Stripe,
        name: &str,
        now: Instant,
    ) -> Result<&'s mut Entry, TopicError> {
        self.forget_some(stripe, now);
        if !stripe.topics.contains_key(name) {
            self.make_room(stripe, name, now)?;
        }
        Ok(stripe.entry(name, || self.epoch()))
    }

    /// Counts one topic more: as one of those that there may be, or for an idle one without a history.
    fn make_room(&self, stripe: &mut Stripe, name: &str, now: Instant) -> Result<(), TopicError> {
        let max = self.settings.topics_max;
        if self.topics.fetch_add(1, Ordering::Relaxed) < max || name == EVERYBODY {
            return Ok(());
        }
        // Those that others are at work on, and our own, cannot be locked.
        let mut others = self.stripes.iter().filter_map(|stripe| stripe.try_lock().ok());
        let is_forgotten = stripe.forget_one(now, &self.keeping)
            || others.any(|mut stripe| stripe.forget_one(now, &self.keeping));
        self.topics.fetch_sub(1, Ordering::Relaxed);
        if is_forgotten { Ok(()) } else { Err(TopicError::TooManyTopics { max }) }
    }

    /// A topic was used: it is kept for as long from now on, if nobody subscribes to it.
    fn used(&self, stripe: &mut Stripe, name: &str, now: Instant) {
        stripe.used(name, now, &self.keeping);
    }

    fn publish(
        &self,
        topic: &str,
        position: Option<Position>,
        make: impl FnOnce(Position) -> Publish,
        command: fn(Delivery) -> Command,
    ) -> Result<Publishing, TopicError> {
        let mut stripe = self.stripe(topic);
        self.publish_in(&mut stripe, topic, position, make, command)
    }

    /// Under the lock of its topic a message gets its place and is handed to all shards: so its order is the same in all of them,
    /// and it is for all of them or, if one has no room, for none.
    fn publish_in(
        &self,
        stripe: &mut Stripe,
        topic: &str,
        position: Option<Position>,
        make: impl FnOnce(Position) -> Publish,
        command: fn(Delivery) -> Command,
    ) -> Result<Publishing, TopicError> {
        let now = (self.settings.clock)();
        let entry = self.entered(stripe, topic, now)?;
        let position = position.unwrap_or(Position { epoch: entry.epoch, offset: entry.last + 1 });
        let publish = match catch_unwind(AssertUnwindSafe(|| make(position))) {
            Ok(publish) => publish,
            Err(panic) => {
                // The publisher's own; but the topic is to be forgotten like any other.
                self.used(stripe, topic, now);
                resume_unwind(panic);
            }
        };
        let publication = Arc::new(Publication::new(entry.name.clone(), position, publish));
        let bytes = publication.message.frame_bytes();
        let is_wanted = |inbox: &Inbox| {
            let counted = if topic == EVERYBODY { &inbox.members } else { &inbox.patterns };
            counted.load(Ordering::Relaxed) > 0 || entry.wants(inbox.number)
        };
        let shards = self.shards.read();
        // Asked once, as wildcards come and go meanwhile.
        let inboxes: Vec<_> = shards.iter().flatten().filter(|inbox| is_wanted(inbox)).collect();
        // In the order of their numbers, so that two who publish never wait for each other.
        let mut queues: Vec<_> = inboxes.iter().map(|inbox| inbox.lock()).collect();
        if queues.iter().any(|queue| !queue.has_room(bytes)) {
            self.used(stripe, topic, now);
            return Err(TopicError::Full);
        }
        for (queue, delivery) in queues.iter_mut().zip(Delivery::split(&publication, inboxes.len())) {
            queue.push(command(delivery), bytes);
        }
        drop(queues);
        inboxes.iter().for_each(|inbox| inbox.ring());
        drop(shards);
        (entry.epoch, entry.last) = (position.epoch, position.offset);
        if topic != EVERYBODY {
            let has_room = entry.history.push(now, &publication, &self.keeping);
            if !has_room {
                self.forget_elsewhere(now);
            }
        }
        self.used(stripe, topic, now);
        Ok(Publishing(publication))
    }

    /// Forgets what is too old of some topics, of other locks in turn: where nobody uses them any more, nobody else would.
    fn forget_elsewhere(&self, now: Instant) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % self.stripes.len();
        // Those that others are at work on, and our own, cannot be locked.
        if let Ok(mut stripe) = self.stripes[turn].try_lock() {
            self.forget_some(&mut stripe, now);
        }
    }

    /// Whether there is more to be forgotten.
    fn forget_some(&self, stripe: &mut Stripe, now: Instant) -> bool {
        let is_more_old = stripe.forget_old(now, &self.keeping);
        let forgotten = stripe.forget_idle(now, &self.keeping);
        self.topics.fetch_sub(forgotten, Ordering::Relaxed);
        is_more_old || forgotten > 0
    }

    fn lose(&self, topic: &str, from: Position, to: u64) {
        let mut stripe = self.stripe(topic);
        let Some(entry) = stripe.topics.get_mut(topic) else { return };
        let gap = Gap {
            topic: entry.name.clone(),
            epoch: from.epoch,
            from: from.offset,
            to: to.max(from.offset),
            reason: GapReason::Broker,
        };
        (entry.epoch, entry.last) = (from.epoch, gap.to);
        for inbox in self.shards.read().iter().flatten() {
            if entry.wants(inbox.number) || inbox.patterns.load(Ordering::Relaxed) > 0 {
                inbox.push(Command::Lost(gap.clone()));
            }
        }
    }

    /// What a subscriber is told that has the subscription already.
    pub(super) fn stands(&self, name: &str) -> Subscribed {
        let stripe = self.stripe(name);
        let entry = stripe.topics.get(name);
        Subscribed {
            position: entry.map(|entry| entry.position()),
            members: entry.map_or(0, |entry| entry.members),
            recovered: None,
        }
    }

    /// Enters a subscription; its name, as all share it.
    pub(super) fn subscribe(
        &self,
        member: &Arc<MemberState>,
        name: &str,
        named: Named,
        subscription: Subscription,
        tell: impl FnOnce(&Subscribed),
    ) -> Result<(Arc<str>, Subscribed), TopicError> {
        let Subscription { terms, since, identity, presence } = subscription;
        let inbox = &member.inbox;
        let subscribe = |name: &Arc<str>, missed| {
            inbox.push(Command::Subscribe {
                member: member.clone(),
                name: name.clone(),
                is_pattern: named == Named::Pattern,
                terms,
                missed,
            });
        };
        if named == Named::Pattern {
            let name = self.wildcards.come(name, self.settings.patterns_max)?;
            inbox.patterns.fetch_add(1, Ordering::Relaxed);
            let subscribed = Subscribed { position: None, members: 0, recovered: None };
            told(tell, &subscribed);
            subscribe(&name, Vec::new());
            return Ok((name, subscribed));
        }
        let now = (self.settings.clock)();
        let mut stripe = self.stripe(name);
        self.entered(&mut stripe, name, now)?;
        let watched = presence.then(|| presence_of(name));
        if let Some(watched) = &watched
            && let Err(error) = self.entered(&mut stripe, watched, now).map(drop)
        {
            self.used(&mut stripe, name, now);
            return Err(error);
        }
        if let Some(identity) = &identity {
            self.change_presence(&mut stripe, name, PresenceKind::Join, identity);
        }
        let entry = stripe.entry(name, || self.epoch());
        if entry.come(inbox.number) {
            self.listed.fetch_add(1, Ordering::Relaxed);
        }
        let position = entry.position();
        let missed: Option<Vec<_>> = since
            .and_then(|since| entry.history.since(now, since, position, &self.keeping))
            .map(|missed| missed.cloned().collect());
        let subscribed = Subscribed {
            position: Some(position),
            members: entry.members,
            recovered: missed.as_ref().map(Vec::len),
        };
        let name = entry.name.clone();
        // The shard knows nothing of it yet.
        told(tell, &subscribed);
        subscribe(&name, missed.unwrap_or_default());
        if let Some(watched) = watched {
            let entry = stripe.entry(&watched, || self.epoch());
            entry.come(inbox.number);
            subscribe(&entry.name.clone(), Vec::new());
        }
        Ok((name, subscribed))
    }

    /// Gives a subscription back.
    pub(super) fn unsubscribe(&self, member: &Arc<MemberState>, name: &Arc<str>, held: &Held) {
        let inbox = &member.inbox;
        let is_pattern = held.named == Named::Pattern;
        let unsubscribe = |name: Arc<str>| {
            inbox.push(Command::Unsubscribe { member: member.clone(), name, is_pattern });
        };
        if is_pattern {
            inbox.patterns.fetch_sub(1, Ordering::Relaxed);
            self.wildcards.go(name);
            return unsubscribe(name.clone());
        }
        let now = (self.settings.clock)();
        let mut stripe = self.stripe(name);
        let mut leave = |name: &str| {
            let entry = stripe.topics.get_mut(name);
            let was_last = entry.is_some_and(|entry| {
                unsubscribe(entry.name.clone());
                entry.go(inbox.number)
            });
            self.used(&mut stripe, name, now);
            was_last
        };
        if leave(name) {
            self.listed.fetch_sub(1, Ordering::Relaxed);
        }
        if held.presence {
            leave(&presence_of(name));
        }
        if let Some(identity) = &held.identity {
            self.change_presence(&mut stripe, name, PresenceKind::Leave, identity);
        }
    }

    /// Notes who comes or goes, and tells those who watch: before who comes is among them, and after who goes is no more.
    fn change_presence(&self, stripe: &mut Stripe, name: &str, kind: PresenceKind, identity: &Arc<str>) {
        let Some(entry) = stripe.topics.get_mut(name) else { return };
        let (connections, version) = entry.presence.change(kind, identity);
        let members = entry.members + u32::from(kind == PresenceKind::Join);
        let topic = entry.name.clone();
        let watched = presence_of(name);
        if stripe.topics.get(&*watched).is_none_or(|entry| entry.members == 0) {
            return;
        }
        let change =
            PresenceChange { topic, kind, identity: identity.clone(), connections, members, version };
        if let Some(message) = self.settings.tell_presence(&change) {
            // Where a shard has no room, its own subscribers are told by the next change's version that one is missing.
            let _ = self.publish_in(stripe, &watched, None, |_| Publish::new(message), Command::Publish);
        }
    }
}

impl Settings {
    /// How a gap is told. It is somebody's code, on a thread that many depend on: a panic in it is nobody else's.
    pub(super) fn tell_gap(&self, gap: &Gap) -> Option<Message> {
        catch_unwind(AssertUnwindSafe(|| (self.tell_gap)(gap))).unwrap_or_default()
    }

    /// How a place is told. The same.
    fn tell_place(&self, position: Position, message: &PreparedMessage) -> Option<Message> {
        let tell = self.tell_place.as_ref()?;
        catch_unwind(AssertUnwindSafe(|| tell(position, message))).unwrap_or_default()
    }

    /// How somebody's coming or going is told. The same: a loop calls it for whoever is gone.
    fn tell_presence(&self, change: &PresenceChange) -> Option<Message> {
        catch_unwind(AssertUnwindSafe(|| (self.tell_presence)(change))).unwrap_or_default()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscriptions_max, topics_max, patterns_max, history, history_bytes_max, .. } = self;
        let mut debug = f.debug_struct("Settings");
        debug.field("subscriptions_max", subscriptions_max).field("topics_max", topics_max);
        debug.field("patterns_max", patterns_max);
        debug.field("history", history).field("history_bytes_max", history_bytes_max).finish_non_exhaustive()
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for TopicsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicsBuilder").field(&self.0).finish()
    }
}

/// Says what became of a subscription. It is somebody's code: a panic in it is nobody else's, and half a subscription is none.
pub(super) fn told(tell: impl FnOnce(&Subscribed), subscribed: &Subscribed) {
    let _ = catch_unwind(AssertUnwindSafe(|| tell(subscribed)));
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers of members, of all topics of the process: whom a message is not for is nobody else on another broker's node.
static MEMBERS: AtomicU64 = AtomicU64::new(1);
/// Locks over all topics.
const STRIPES: usize = 64;
/// How often a sweep looks at what is under one lock, at the most.
const SWEEPS: usize = 16;
/// The topic of what is for all, whose name nobody can give.
const EVERYBODY: &str = "";
