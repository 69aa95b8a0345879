//! The one way into a shard, from any thread: what is asked of it, in order.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    gap::Gap,
    member::MemberState,
    options::Terms,
    publication::{Delivery, Publication},
};
use crate::proto::CloseFrame;

pub(crate) struct Inbox {
    /// Its place among the shards.
    pub(super) number: usize,
    queue: Mutex<Queue>,
    /// Its subscriptions with wildcards: with any, everything that is published is for it.
    pub(super) patterns: AtomicUsize,
    /// Its members: without any, nothing that is for all is for it.
    pub(super) members: AtomicUsize,
    /// The shard works, or will soon: nobody has to ring.
    awake: AtomicBool,
    ring: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    commands: VecDeque<Command>,
    bytes: usize,
    /// Which of them is the last that tells a topic's losses, if nothing of the topic has come since.
    losses: HashMap<Arc<str>, usize>,
    /// Nobody will look here again.
    over: bool,
}

/// What a shard is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Somebody takes part; `key` is what the driver knows the connection by.
    Join {
        member: Arc<MemberState>,
        key: Box<dyn Any + Send>,
    },
    /// Somebody is gone.
    Leave {
        member: Arc<MemberState>,
    },
    Subscribe {
        member: Arc<MemberState>,
        name: Arc<str>,
        is_pattern: bool,
        terms: Terms,
        missed: Vec<Arc<Publication>>,
    },
    Unsubscribe {
        member: Arc<MemberState>,
        name: Arc<str>,
        is_pattern: bool,
    },
    /// To the subscribers of its topic.
    Publish(Delivery),
    /// To everybody.
    Everybody(Delivery),
    /// What a broker lost, to the subscribers of its topic.
    Lost(Gap),
    /// Somebody's outbox is empty again.
    Drained {
        member: Arc<MemberState>,
    },
    /// Somebody is to be closed, once it has what waits for it.
    Close {
        member: Arc<MemberState>,
        frame: Box<CloseFrame>,
    },
}

impl Inbox {
    /// `ring` wakes the shard, from any thread; it is called once for what gathers until the shard has looked.
    pub(super) fn new(number: usize, ring: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            number,
            queue: Mutex::default(),
            patterns: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            awake: AtomicBool::new(false),
            ring,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for what only its members' number bounds.
    pub(super) fn push(&self, command: Command) {
        self.lock().push(command, 0);
        self.ring();
    }

    /// Something was put in.
    pub(crate) fn ring(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            (self.ring)();
        }
    }

    /// The shard looks at everything before it [sleeps](Self::sleeps): nobody has to ring.
    pub(crate) fn wakes(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }

    /// The shard is about to sleep; false if there is something to do.
    pub(crate) fn sleeps(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        let nothing = self.lock().commands.is_empty();
        if !nothing {
            self.wakes();
        }
        nothing
    }

    /// Whoever worked is gone before it was done.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "it is the tokio driver's"))]
    pub(crate) fn is_left(&self) {
        self.awake.store(false, Ordering::SeqCst);
    }

    /// Whether so much waits that it had better be taken soon.
    #[cfg_attr(not(feature = "reactor"), expect(dead_code, reason = "it is the reactor's"))]
    pub(crate) fn is_filling(&self) -> bool {
        let queue = self.lock();
        queue.commands.len() > COMMANDS_MAX / 4 || queue.bytes > BYTES_MAX / 4
    }

    /// Takes what there is, in exchange for an empty queue.
    pub(super) fn take(&self, commands: &mut VecDeque<Command>) {
        let mut queue = self.lock();
        queue.bytes = 0;
        queue.losses.clear();
        std::mem::swap(&mut queue.commands, commands);
    }

    /// Nobody will look here again.
    pub(super) fn end(&self) {
        let mut queue = self.lock();
        queue.over = true;
        let left = std::mem::take(&mut queue.commands);
        drop(queue);
        drop(left);
    }
}

#[cfg(test)]
impl Inbox {
    /// What is asked for and not taken.
    pub(super) fn len(&self) -> usize {
        self.lock().commands.len()
    }
}

impl Queue {
    /// Whether a message of so many bytes may be put in; one of any size, if there is none.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.over
            || self.bytes == 0
            || (self.commands.len() < COMMANDS_MAX && self.bytes + bytes <= BYTES_MAX)
    }

    pub(super) fn push(&mut self, command: Command, bytes: usize) {
        if !self.over && !self.is_told(&command) {
            self.bytes += bytes;
            self.commands.push_back(command);
        }
    }

    /// Whether it is a loss that goes on one that waits already: while a shard is stuck, a broker may lose any number of messages.
    fn is_told(&mut self, command: &Command) -> bool {
        match command {
            Command::Lost(gap) => {
                let at = self.losses.insert(gap.topic.clone(), self.commands.len());
                if let Some(at) = at
                    && let Some(Command::Lost(before)) = self.commands.get_mut(at)
                    && before.extend(gap)
                {
                    self.losses.insert(gap.topic.clone(), at);
                    return true;
                }
            }
            Command::Publish(delivery) if !self.losses.is_empty() => {
                self.losses.remove(&delivery.publication().topic);
            }
            // Who comes or goes is told of what is lost from then on, or until then.
            Command::Subscribe { .. } | Command::Unsubscribe { .. } | Command::Close { .. } => {
                self.losses.clear()
            }
            _ => {}
        }
        false
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What may wait for a shard: so many requests,
const COMMANDS_MAX: usize = 64 << 10;
/// and so many bytes of messages.
const BYTES_MAX: usize = 64 << 20;
