//! Direct messages whose sender wants to know who has them: resent to those who have not acknowledged them, then told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use framecast::proto::PreparedMessage;

use crate::{answer, connection::Connection, id::Id, random::Random};

#[derive(Debug)]
pub(crate) struct Receipts {
    /// Before the numbers, so that those of another process are not taken for ours.
    prefix: String,
    next: AtomicU64,
    pending: Mutex<HashMap<u64, Pending>>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// Bytes that wait for receipts, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    of: Arc<AtomicUsize>,
    bytes: usize,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) sender: Arc<Connection>,
    /// The sender's own.
    pub(crate) id: Id,
    pub(crate) message: PreparedMessage,
    /// Who has not acknowledged it.
    pub(crate) waiting: Vec<Arc<Connection>>,
    pub(crate) of: u32,
    pub(crate) resends_left: u32,
    pub(crate) _bytes: Waiting,
}

/// What is due after a while.
#[derive(Debug)]
pub(crate) enum Due {
    /// Nothing: all have acknowledged it.
    Nothing,
    /// It was sent again, and is due once more.
    Resent,
    /// The receipt, of so many who have acknowledged it and were to.
    Receipt { receipt: framecast::Message, acked: u32, of: u32 },
}

impl Receipts {
    pub(crate) fn new(random: &Random, bytes_max: usize) -> Self {
        Self {
            prefix: random.name::<4>("d-") + "-",
            next: AtomicU64::new(1),
            pending: Mutex::default(),
            bytes: Arc::default(),
            bytes_max,
        }
    }

    /// Has bytes wait, if as many may.
    pub(crate) fn wait(&self, bytes: usize) -> Option<Waiting> {
        let add = |waiting: usize| Some(waiting + bytes).filter(|sum| *sum <= self.bytes_max);
        let added = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.ok().map(|_| Waiting { of: self.bytes.clone(), bytes })
    }

    /// A number, and the id that a message has by it.
    pub(crate) fn name(&self) -> (u64, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, format!("{}{number}", self.prefix))
    }

    /// Before the message is sent.
    pub(crate) fn expect(&self, number: u64, pending: Pending) {
        self.lock().insert(number, pending);
    }

    /// Somebody acknowledges a message; if it is the last one who was to, the sender is told;
    /// how many it was then. What does not fit is nothing.
    pub(crate) fn acknowledge(&self, id: &str, by: &Connection) -> Option<u32> {
        let number = id.strip_prefix(&*self.prefix)?.parse().ok()?;
        let mut all = self.lock();
        let pending = all.get_mut(&number)?;
        pending.waiting.retain(|connection| connection.number != by.number);
        if !pending.waiting.is_empty() {
            return None;
        }
        let pending = all.remove(&number)?;
        drop(all);
        pending.sender.send(&pending.receipt().into());
        Some(pending.of)
    }

    /// Time has passed.
    pub(crate) fn due(&self, number: u64) -> Due {
        let mut all = self.lock();
        let Some(pending) = all.get_mut(&number) else { return Due::Nothing };
        let nobody_can = pending.waiting.iter().all(|connection| connection.is_over());
        if pending.resends_left == 0 || nobody_can {
            return all.remove(&number).map_or(Due::Nothing, |pending| Due::Receipt {
                receipt: pending.receipt(),
                acked: pending.acked(),
                of: pending.of,
            });
        }
        pending.resends_left -= 1;
        let (message, waiting) = (pending.message.clone(), pending.waiting.clone());
        drop(all);
        waiting.iter().for_each(|connection| connection.send(&message));
        Due::Resent
    }

    /// The sender is gone: nobody is to be told.
    pub(crate) fn forget(&self, numbers: impl Iterator<Item = u64>) {
        let mut all = self.lock();
        numbers.for_each(|number| drop(all.remove(&number)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a message takes that waits for so many.
pub(crate) fn bytes_of(message: &PreparedMessage, by: &[Arc<Connection>]) -> usize {
    message.payload().len() + size_of_val(by) + AROUND_BYTES
}

/// What is around a message that waits.
const AROUND_BYTES: usize = 512;

impl Pending {
    fn receipt(&self) -> framecast::Message {
        answer::receipt(&self.id, self.acked(), self.of)
    }

    fn acked(&self) -> u32 {
        self.of - self.waiting.len() as u32
    }
}
