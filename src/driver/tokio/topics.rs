//! Topics on a runtime: shards that are worked on by tasks, and connections as a shard has them.
//!
//! A shard has no task of its own while it has nothing to do. Whoever rings first spawns one, which gives the members what was
//! published and ends; it writes to the sockets itself, so that no connection's task is woken for what its socket takes at once.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Instant,
};

use ::tokio::{runtime::Handle, task::yield_now, time::sleep_until};

use super::{
    lent::with_lent,
    shared::{Inner, Shared, now},
    websocket::{Sender, WebSocket},
};
use crate::{
    broadcast::{Flushed, Inbox, Member, MemberState, Outlet, Outlets, Shard, Topics},
    proto::{CloseCode, PreparedMessage, SendError, State},
};

impl WebSocket {
    /// Has the connection take part in `topics`: see [`Sender::join`].
    ///
    /// # Panics
    /// As [`Sender::join`].
    pub fn join(&self, topics: &Topics) -> Member {
        self.as_sender().join(topics)
    }
}

impl Sender {
    /// Has the connection take part in `topics`, until its end: it can [subscribe](Member::subscribe), and gets what is published to all.
    ///
    /// Each call makes another member, which gets everything once more: join once. It ends with the connection, or by
    /// [`leave`](Member::leave).
    ///
    /// A [`Listener`](super::Listener)'s connections are written to where it is published, without their tasks; those of other streams
    /// are woken to write.
    ///
    /// ```
    /// # async fn serve(listener: framecast::Listener) -> std::io::Result<()> {
    /// use framecast::broadcast::{Subscription, Topics};
    ///
    /// let topics = Topics::new();
    /// listener
    ///     .serve(move |mut ws| {
    ///         let topics = topics.clone();
    ///         async move {
    ///             let member = ws.join(&topics);
    ///             let Ok(_) = member.subscribe("room", Subscription::new()) else { return };
    ///             while let Some(message) = ws.recv().await {
    ///                 let Ok(_) = topics.publish("room", message) else { return };
    ///             }
    ///         }
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Panics
    /// If it is the first connection of these topics, and there is no runtime.
    pub fn join(&self, topics: &Topics) -> Member {
        let shared = self.shared();
        let member = Workers::of(topics).join(topics, shared);
        let mut inner = shared.lock();
        inner.tell(&member);
        // Before the first message: until then it would be the pump's to write.
        let pump = inner.ask_for_half();
        drop(inner);
        pump.into_iter().for_each(Waker::wake);
        member
    }
}

/// The shards of a runtime: one a worker.
struct Workers {
    shards: Box<[Arc<Worker>]>,
    next: AtomicUsize,
}

struct Worker {
    inbox: Arc<Inbox>,
    state: Mutex<AtWork>,
    /// The runtime of whoever joined last.
    home: Mutex<Handle>,
}

struct AtWork {
    shard: Shard<Arc<Shared>>,
    /// When tasks ring that wait for a rate, each earlier than the one before it.
    rings_at: Vec<Instant>,
}

impl Workers {
    fn of(topics: &Topics) -> Arc<Self> {
        let seat = topics.seat(|| Arc::new(Self::new(topics, &Handle::current())));
        // Nobody else sits there.
        seat.clone().downcast().unwrap_or_else(|_: Arc<dyn Any + Send + Sync>| unreachable!())
    }

    fn new(topics: &Topics, handle: &Handle) -> Self {
        let worker = |_| Arc::new_cyclic(|worker| Worker::new(worker, topics, handle));
        Self { shards: (0..handle.metrics().num_workers()).map(worker).collect(), next: AtomicUsize::new(0) }
    }

    fn join(&self, topics: &Topics, shared: &Arc<Shared>) -> Member {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let worker = &self.shards[next % self.shards.len()];
        if let Ok(here) = Handle::try_current() {
            // The one of those before may have ended.
            *worker.home() = here;
        }
        topics.join(&worker.inbox, Box::new(shared.clone()))
    }
}

impl Worker {
    fn new(this: &Weak<Self>, topics: &Topics, handle: &Handle) -> Self {
        let ring = {
            let this = this.clone();
            move || {
                if let Some(worker) = this.upgrade() {
                    worker.begin();
                }
            }
        };
        let inbox = topics.attach(Box::new(ring));
        let state = AtWork { shard: Shard::new(topics, inbox.clone()), rings_at: Vec::new() };
        Self { inbox, state: Mutex::new(state), home: Mutex::new(handle.clone()) }
    }

    fn lock(&self) -> MutexGuard<'_, AtWork> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn home(&self) -> MutexGuard<'_, Handle> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the members' runtime: whoever rings may be in one that ends at once, or that has no clock.
    fn begin(self: Arc<Self>) {
        let home = self.home().clone();
        home.spawn(Working { worker: self, place: Place::Home }.work());
    }

    /// Rings when the next message is due.
    fn ring_at(self: &Arc<Self>, state: &mut AtWork, at: Instant) {
        if state.rings_at.last().is_some_and(|before| *before <= at) {
            return;
        }
        state.rings_at.push(at);
        let worker = Arc::downgrade(self);
        ::tokio::spawn(async move {
            sleep_until(at.into()).await;
            let Some(worker) = worker.upgrade() else { return };
            worker.lock().rings_at.retain(|rings_at| *rings_at != at);
            worker.inbox.ring();
        });
    }
}

/// A shard's task, until it is done or dropped with its runtime.
struct Working {
    worker: Arc<Worker>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Home,
    /// Where somebody rang when home had ended.
    Abroad,
    /// Nothing is left to do.
    Done,
}

impl Working {
    async fn work(mut self) {
        let worker = &self.worker;
        loop {
            let more = {
                let mut state = worker.lock();
                let more = state.shard.work(now(), &mut Sockets, MEMBERS_A_TURN);
                if let Some(at) = state.shard.poll_timeout().filter(|_| !more) {
                    worker.ring_at(&mut state, at);
                }
                more
            };
            if !more && worker.inbox.sleeps() {
                self.place = Place::Done;
                return;
            }
            yield_now().await;
        }
    }
}

/// Dropped before it is done, with its runtime, it goes on in the one that we are in; if that has no place for it either, it
/// leaves the bell to the next one who rings.
impl Drop for Working {
    fn drop(&mut self) {
        if self.place == Place::Done {
            return;
        }
        let elsewhere = Handle::try_current().ok().filter(|_| self.place == Place::Home);
        match elsewhere {
            Some(elsewhere) => {
                let abroad = Self { worker: self.worker.clone(), place: Place::Abroad };
                elsewhere.spawn(abroad.work());
            }
            None => self.worker.inbox.is_left(),
        }
    }
}

struct Sockets;

impl Outlets for Sockets {
    type Key = Arc<Shared>;

    fn with(&mut self, shared: &Arc<Shared>, f: impl FnOnce(&mut dyn Outlet)) -> bool {
        let mut one = One { inner: shared.lock(), wakers: Vec::new() };
        if one.inner.connection.state() != State::Open {
            return false;
        }
        f(&mut one);
        let One { inner, wakers } = one;
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        true
    }
}

struct One<'s> {
    inner: MutexGuard<'s, Inner>,
    /// Who is to be woken once the lock is let go of.
    wakers: Vec<Waker>,
}

impl Outlet for One<'_> {
    #[inline]
    fn write(&mut self, frames: &[u8], messages: usize) -> Option<usize> {
        self.inner.write_beside(frames, messages)
    }

    fn wrote(&mut self, bytes: usize) {
        with_lent(|lent| {
            let transmit = self.inner.connection.poll_transmit(now(), &mut lent.outbound);
            transmit.into_iter().for_each(|transmit| transmit.wrote(bytes));
        });
    }

    #[inline]
    fn send(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        with_lent(|lent| self.inner.connection.send(message, &mut lent.outbound)).map(drop)
    }

    fn flush(&mut self) -> Flushed {
        let flushed = self.inner.write_from_elsewhere();
        match flushed {
            Flushed::All => self.wakers.extend(self.inner.wakers_of_written()),
            Flushed::Some | Flushed::ByOthers => self.wakers.extend(self.inner.call_pump()),
        }
        flushed
    }

    fn queued(&self) -> (usize, usize) {
        self.inner.connection.queued()
    }

    fn bounds(&self) -> (usize, usize) {
        let config = self.inner.connection.config();
        (config.outbox_messages_max, config.outbox_bytes_max)
    }

    fn retract(&mut self, messages: usize) -> usize {
        self.inner.connection.retract(messages)
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        // An error says that it is closing already.
        let _ = self.inner.connection.close(now(), code, reason);
        self.wakers.extend(self.inner.wakers_of_close());
    }

    fn tell_when_drained(&mut self, member: &Arc<MemberState>) {
        self.inner.wait_for_flush(&Waker::from(member.clone()));
        self.wakers.extend(self.inner.call_pump());
    }
}

/// To be woken is to hear that the outbox is empty.
impl Wake for MemberState {
    fn wake(self: Arc<Self>) {
        self.drained();
    }
}

/// To be woken is to hear that the connection has ended.
struct Ended(Member);

impl Wake for Ended {
    fn wake(self: Arc<Self>) {
        self.0.leave();
    }
}

impl Inner {
    /// Has a member leave when the connection ends, or now if it has.
    fn tell(&mut self, member: &Member) {
        if self.is_told() {
            return member.leave();
        }
        self.set_member(member);
        self.wait_for_end(&Waker::from(Arc::new(Ended(member.clone()))));
    }
}

/// Members that are given what was published, before others have their turn: some hundred microseconds.
const MEMBERS_A_TURN: usize = 64;
