//! What reaches the loops from other threads.

use std::{
    fmt,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mio::Waker;

use super::id::ConnectionId;
use crate::proto::{Admission, CloseCode, CloseFrame, Compression, Message, SendError, Stats};

/// Reaches the connections of a [`Reactor`](super::Reactor) from any thread. A clone is a reference count.
///
/// What is asked for is done in the next turn of the connection's loop, in the order in which it was asked. A loop is woken once
/// for all that gathers while it sleeps or runs. Up to 65,536 requests and 64 MiB of messages wait for a loop; then the answer
/// is [`SendError::Full`].
#[derive(Clone)]
pub struct Remote(Arc<Shared>);

/// What all loops of a reactor share.
pub(super) struct Shared {
    loops: Box<[Arc<Mailbox>]>,
    pub(super) connections_max: usize,
    /// Connections that were let in.
    pub(super) admitted: AtomicUsize,
}

/// One loop's.
pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    waker: Waker,
    pub(super) counts: Counts,
}

#[derive(Default)]
struct Queue {
    commands: Vec<Command>,
    bytes: usize,
    /// The loop knows that there is something.
    woken: bool,
    /// The loop has ended.
    over: bool,
}

/// What a loop is asked to do.
pub(super) enum Command {
    Send {
        to: ConnectionId,
        message: Message,
        compression: Compression,
        then: Option<Then<Result<Admission, SendError>>>,
    },
    Close {
        to: ConnectionId,
        frame: CloseFrame,
        behind_topics: bool,
    },
    Stats {
        of: ConnectionId,
        then: Then<Option<Stats>>,
    },
    ShutDown,
}

type Then<T> = Box<dyn FnOnce(T) + Send>;

impl Remote {
    pub(super) fn new(loops: Box<[Arc<Mailbox>]>, connections_max: usize) -> Self {
        Self(Arc::new(Shared { loops, connections_max, admitted: AtomicUsize::new(0) }))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Sends a message, some time soon. Whether it could be queued there is counted
    /// ([`Numbers::undelivered`]); [`send_then`](Self::send_then) is told.
    ///
    /// # Errors
    /// [`SendError::Full`] if too much waits for the loop; [`SendError::Closed`] if the loop has ended.
    pub fn send(&self, to: ConnectionId, message: impl Into<Message>) -> Result<(), SendError> {
        let (message, compression) = (message.into(), Compression::Auto);
        self.post(to, Command::Send { to, message, compression, then: None })
    }

    /// [`send`](Self::send), compressed or not; calls `then` with what came of it, on the loop's thread:
    /// [`SendError::Closed`] if the connection is gone.
    ///
    /// # Errors
    /// As [`send`](Self::send); `then` is not called.
    pub fn send_then(
        &self,
        to: ConnectionId,
        message: impl Into<Message>,
        compression: Compression,
        then: impl FnOnce(Result<Admission, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let message = message.into();
        self.post(to, Command::Send { to, message, compression, then: Some(Box::new(then)) })
    }

    /// Closes a connection, behind what is queued. One that is gone is closed already.
    ///
    /// # Errors
    /// A code that must not be sent, a reason above 123 bytes; and as [`send`](Self::send).
    pub fn close(&self, to: ConnectionId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.post(to, Command::Close { to, frame: CloseFrame::new(code, reason)?, behind_topics: false })
    }

    /// Closes a connection behind what its topics have for it: see [`WebSocket::close_behind_topics`](super::WebSocket::close_behind_topics).
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn close_behind_topics(
        &self,
        to: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), SendError> {
        self.post(to, Command::Close { to, frame: CloseFrame::new(code, reason)?, behind_topics: true })
    }

    /// Calls `then`, on the loop's thread, with what a connection has counted; with `None` if it is gone.
    ///
    /// # Errors
    /// As [`send`](Self::send); `then` is not called.
    pub fn stats(
        &self,
        of: ConnectionId,
        then: impl FnOnce(Option<Stats>) + Send + 'static,
    ) -> Result<(), SendError> {
        self.post(of, Command::Stats { of, then: Box::new(then) })
    }

    /// What all loops have counted, as it is now. Wakes nobody.
    pub fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        for mailbox in &self.0.loops {
            let counts = &mailbox.counts;
            numbers.connections += load(&counts.connections);
            numbers.handshakes += load(&counts.handshakes);
            numbers.opened += load(&counts.opened);
            numbers.refused += load(&counts.refused);
            numbers.ended += load(&counts.ended);
            numbers.panics += load(&counts.panics);
            numbers.undelivered += load(&counts.undelivered);
            numbers.accept_errors += load(&counts.accept_errors);
            numbers.turns += load(&counts.turns);
            numbers.slow_turns += load(&counts.slow_turns);
            let longest = Duration::from_micros(load(&counts.longest_turn_micros));
            numbers.longest_turn = numbers.longest_turn.max(longest);
        }
        numbers
    }

    /// Ends the reactor in order: no more are accepted, unfinished handshakes get 503, connections are closed with 1001 behind
    /// what is queued; [`Bound::run`](super::Bound::run) returns when they are gone, or after their time to close. What topics have for
    /// a connection comes before its Close, if it takes it within [`linger_within`](crate::proto::ConfigBuilder::linger_within).
    pub fn shut_down(&self) {
        for mailbox in &self.0.loops {
            // One that has ended has nothing to do.
            let _ = mailbox.push(Command::ShutDown);
        }
    }

    fn post(&self, to: ConnectionId, command: Command) -> Result<(), SendError> {
        let mailbox = self.0.loops.get(usize::from(to.loop_number)).ok_or(SendError::Closed)?;
        mailbox.push(command)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// The mailbox in the hands of its loop, or of who is to run it: however that goes away, what waits is answered.
#[derive(Debug)]
pub(super) struct Owned(pub(super) Arc<Mailbox>);

impl Deref for Owned {
    type Target = Mailbox;

    fn deref(&self) -> &Mailbox {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.end();
    }
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self { queue: Mutex::default(), waker, counts: Counts::default() }
    }

    fn push(&self, command: Command) -> Result<(), SendError> {
        let bytes = match &command {
            Command::Send { message, .. } => message.len(),
            _ => 0,
        };
        let mut queue = self.lock();
        if queue.over {
            return Err(SendError::Closed);
        }
        let is_full =
            queue.commands.len() >= COMMANDS_MAX || queue.bytes + bytes > BYTES_MAX && queue.bytes > 0;
        if is_full && !matches!(command, Command::ShutDown) {
            return Err(SendError::Full);
        }
        queue.bytes += bytes;
        queue.commands.push(command);
        if !std::mem::replace(&mut queue.woken, true) {
            drop(queue);
            self.wake();
        }
        Ok(())
    }

    pub(super) fn wake(&self) {
        // It fails only where the loop's poll is gone, and the loop with it.
        let _ = self.waker.wake();
    }

    /// Takes what waits, in exchange for an empty vector.
    pub(super) fn take(&self, commands: &mut Vec<Command>) {
        let mut queue = self.lock();
        queue.woken = false;
        queue.bytes = 0;
        std::mem::swap(&mut queue.commands, commands);
    }

    /// Nobody will look here again.
    pub(super) fn end(&self) {
        let mut queue = self.lock();
        queue.over = true;
        let left = std::mem::take(&mut queue.commands);
        drop(queue);
        for command in left {
            // `then` is somebody's code, and the others' are to be called too.
            let told = catch_unwind(AssertUnwindSafe(|| match command {
                Command::Send { then: Some(then), .. } => then(Err(SendError::Closed)),
                Command::Stats { then, .. } => then(None),
                _ => {}
            }));
            if told.is_err() {
                add(&self.counts.panics, 1);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Written by one loop, read by anybody.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connections: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) undelivered: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) turns: AtomicU64,
    pub(super) slow_turns: AtomicU64,
    pub(super) longest_turn_micros: AtomicU64,
}

/// Adds to a counter of which we are the only writer: no locked instruction is needed.
pub(super) fn add(counter: &AtomicU64, more: i64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add_signed(more), Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What the loops of a [`Reactor`](super::Reactor) have counted since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbers {
    /// Connections that are open now, the closing ones with them,
    pub connections: u64,
    /// and those whose opening handshake is not done, or that were refused and are not gone.
    pub handshakes: u64,
    /// Connections that were opened,
    pub opened: u64,
    /// requests that were refused, by a rule, the application, or for want of room,
    pub refused: u64,
    /// and connections of which the end was told.
    pub ended: u64,
    /// Callbacks that panicked.
    pub panics: u64,
    /// Messages of [`Remote::send`] that could not be queued: the connection was gone, or its outbox full.
    pub undelivered: u64,
    /// Accepts that failed, for want of files mostly.
    pub accept_errors: u64,
    /// Turns of the loops,
    pub turns: u64,
    /// and those above 100 ms, by which everybody on the loop is late: a callback is slow, or the machine is short of time.
    pub slow_turns: u64,
    /// The longest turn of any loop.
    pub longest_turn: Duration,
}

/// From here on a turn is slow.
pub(super) const SLOW_TURN: Duration = Duration::from_millis(100);
/// What may wait for a loop: so many requests,
const COMMANDS_MAX: usize = 64 << 10;
/// and so many bytes of messages; or one message of any size.
const BYTES_MAX: usize = 64 << 20;
