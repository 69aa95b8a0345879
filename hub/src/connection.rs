//! A connection as others reach it: to send to it, to close it, and to have it take part in rooms.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use framecast::{
    CloseCode, SendError, Sender,
    broadcast::{Local, Member, Topics},
    proto::PreparedMessage,
};

use crate::{counters::Counters, ending::Ending};

/// The way to a connection, from any thread. None of it may wait.
pub trait Line: Send + Sync {
    /// Queues a message behind all others.
    ///
    /// # Errors
    /// [`SendError::Full`] if there is no room: then the connection is closed, as too slow. [`SendError::Closed`].
    fn send(&self, message: &PreparedMessage) -> Result<(), SendError>;

    /// Starts the closing handshake, as the first to do so.
    fn close(&self, code: CloseCode, reason: &str);

    /// Has the connection take part in topics. Called once, after the first messages were sent: what is published to all comes
    /// behind them.
    fn join(&self, topics: &Topics) -> Member;
}

/// With the driver over tokio.
impl Line for Sender {
    fn send(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.try_send(message)
    }

    fn close(&self, code: CloseCode, reason: &str) {
        // An error says that it is closing already.
        let _ = Self::close(self, code, reason);
    }

    fn join(&self, topics: &Topics) -> Member {
        Self::join(self, topics)
    }
}

/// Inside the process; it takes part in the topics that it was made with.
impl Line for Arc<Local> {
    fn send(&self, message: &PreparedMessage) -> Result<(), SendError> {
        Local::send(self, message)
    }

    fn close(&self, code: CloseCode, reason: &str) {
        Local::close(self, code, reason);
    }

    fn join(&self, _: &Topics) -> Member {
        self.member().clone()
    }
}

/// A connection as the hub knows it.
pub(crate) struct Connection {
    pub(crate) number: u64,
    line: Box<dyn Line>,
    counters: Arc<Counters>,
    /// Nothing more is to be done for it: it is closing, or somebody else is its client now.
    over: AtomicBool,
    /// Who it is, once that is known; it never changes then.
    user_id: OnceLock<Arc<str>>,
}

impl Connection {
    pub(crate) fn new(number: u64, line: Box<dyn Line>, counters: Arc<Counters>) -> Self {
        Self { number, line, counters, over: AtomicBool::new(false), user_id: OnceLock::new() }
    }

    /// Sends, or closes who is too slow to be sent to.
    pub(crate) fn send(&self, message: &PreparedMessage) {
        if self.is_over() {
            return;
        }
        if self.line.send(message) == Err(SendError::Full) {
            self.close(Ending::TooSlow, "too slow a reader");
        }
    }

    pub(crate) fn close(&self, ending: Ending, reason: &str) {
        if self.ends_by(ending) {
            self.line.close(ending.code(), reason);
        }
    }

    pub(crate) fn join(&self, topics: &Topics) -> Member {
        self.line.join(topics)
    }

    pub(crate) fn user_id(&self) -> Option<&Arc<str>> {
        self.user_id.get()
    }

    pub(crate) fn is_of(&self, user_id: &Arc<str>) {
        // The first one stays: users are not swapped.
        let _ = self.user_id.set(user_id.clone());
    }

    /// It is over from now on; whether it was not before.
    pub(crate) fn ends(&self) -> bool {
        !self.over.swap(true, Ordering::AcqRel)
    }

    /// The same, by the hub's own doing.
    pub(crate) fn ends_by(&self, ending: Ending) -> bool {
        let ends = self.ends();
        if ends {
            self.counters.closes.add(ending);
        }
        ends
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("number", &self.number).finish_non_exhaustive()
    }
}
