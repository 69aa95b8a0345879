//! Who is connected to a listener: counted, limited, and told when it shuts down.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

#[cfg(feature = "axum")]
use ::tokio::time::{Instant, sleep_until};
use ::tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::timeout,
};

use super::shared::Shared;
use crate::{
    driver::admission::counts,
    proto::{CloseCode, Config},
};

#[derive(Debug)]
pub(super) struct Book {
    connections_max: usize,
    handshakes_max: usize,
    state: Mutex<State>,
    phase: watch::Sender<Phase>,
    left: Notify,
}

/// Whether connections are let in, and what becomes of those that were just about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// They are refused, and closed when it is their turn.
    #[cfg(feature = "axum")]
    Draining,
    /// They are refused, and closed at once.
    ShuttingDown,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// Who has not finished the opening handshake, the oldest first.
    handshakes: BTreeMap<u64, Option<AbortHandle>>,
    open: HashMap<u64, Weak<Shared>>,
    /// Everybody, the refused too.
    entries: usize,
    /// Everybody but the refused: those who linger after a 503 take nobody's place, or a crowd that comes again and again
    /// would keep itself out of an empty server (catalogue: HS-53).
    admitted: usize,
}

impl Book {
    pub(super) fn new(config: &Config) -> Self {
        let (connections_max, handshakes_max) = counts(config);
        Self {
            connections_max,
            handshakes_max,
            state: Mutex::default(),
            phase: watch::Sender::new(Phase::Open),
            left: Notify::new(),
        }
    }

    /// Enters a connection that TCP has brought. If too many handshakes are unfinished by that, the oldest is cut, so that
    /// silent sockets shut nobody out (catalogue: DS-02).
    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.entries += 1;
        let admitted = state.admitted < self.connections_max;
        state.admitted += usize::from(admitted);
        let oldest =
            if state.handshakes.len() >= self.handshakes_max { state.handshakes.pop_first() } else { None };
        state.handshakes.insert(id, None);
        drop(state);
        if let Some((_, Some(task))) = oldest {
            task.abort();
        }
        Entry { book: self.clone(), id, admitted }
    }

    /// The task that an unfinished handshake can be cut by.
    pub(super) fn can_cut(&self, id: u64, task: AbortHandle) {
        if let Some(place) = self.lock().handshakes.get_mut(&id) {
            *place = Some(task);
        }
    }

    /// Cuts a handshake that should have been finished by now.
    pub(super) fn cut_if_unfinished(&self, id: u64) {
        let unfinished = self.lock().handshakes.remove(&id);
        if let Some(Some(task)) = unfinished {
            task.abort();
        }
    }

    /// Refuses handshakes, closes connections with 1001, and waits until all are gone, or their time to close is up.
    pub(super) async fn shut_down(&self, config: &Config) {
        let Config { close_within, linger_within, .. } = *config;
        let _ = timeout(close_within + linger_within, self.close_all(linger_within)).await;
    }

    /// [`shut_down`](Self::shut_down), one after the other over a time.
    #[cfg(feature = "axum")]
    pub(super) async fn drain(
        &self,
        config: &Config,
        within: Duration,
        close: impl Fn(Duration) -> (CloseCode, String),
    ) {
        self.phase.send_replace(Phase::Draining);
        let (start, open) = (Instant::now(), self.all_open());
        let count = open.len().try_into().unwrap_or(u32::MAX);
        for (number, shared) in (0..).zip(open) {
            sleep_until(start + within * number / count).await;
            let (code, reason) = close(within * (count - 1 - number) / count);
            // An error says that it is closing already.
            let _ = shared.close_behind_topics(code, &reason);
        }
        // Those whose handshake was under way when it began; for the others the first Close counts.
        for shared in self.all_open() {
            let (code, reason) = close(Duration::ZERO);
            // An error says that it is closing already.
            let _ = shared.close_behind_topics(code, &reason);
        }
        let Config { close_within, linger_within, .. } = *config;
        let _ = timeout(close_within + linger_within, self.are_gone()).await;
    }

    /// What topics have for a connection comes before its Close, if it takes it within `patience`.
    async fn close_all(&self, patience: Duration) {
        self.phase.send_replace(Phase::ShuttingDown);
        for shared in self.all_open() {
            // An error says that it is closing already.
            let _ = shared.close_behind_topics(CloseCode::AWAY, "");
        }
        if timeout(patience, self.are_gone()).await.is_ok() {
            return;
        }
        for shared in self.all_open() {
            // An error says that it is closing already.
            let _ = shared.close(CloseCode::AWAY, "");
        }
        self.are_gone().await;
    }

    /// Whether connections are let in, as far as there is room.
    #[cfg(feature = "axum")]
    pub(super) fn is_open(&self) -> bool {
        *self.phase.borrow() == Phase::Open
    }

    /// The oldest first.
    fn all_open(&self) -> Vec<Arc<Shared>> {
        let mut open: Vec<_> =
            self.lock().open.iter().filter_map(|(id, shared)| Some((*id, shared.upgrade()?))).collect();
        open.sort_unstable_by_key(|(id, _)| *id);
        open.into_iter().map(|(_, shared)| shared).collect()
    }

    async fn are_gone(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().entries == 0 {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the book, until it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    book: Arc<Book>,
    id: u64,
    admitted: bool,
}

impl Entry {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Resolves once the answer can only be 503: at once if there are too many, else when the listener shuts down.
    pub(super) fn unavailable(&self) -> impl Future<Output = ()> + use<> {
        let (admitted, mut phase) = (self.admitted, self.book.phase.subscribe());
        async move {
            if admitted && phase.wait_for(|phase| *phase != Phase::Open).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Whether the answer can only be 503, as things are.
    #[cfg(feature = "axum")]
    pub(super) fn is_unavailable(&self) -> bool {
        !self.admitted || !self.book.is_open()
    }

    /// Whether it had to go before its handshake was finished.
    pub(super) fn was_cut(&self) -> bool {
        !self.book.lock().handshakes.contains_key(&self.id)
    }

    /// The opening handshake is done.
    pub(super) fn opened(&self, shared: &Arc<Shared>) {
        let mut state = self.book.lock();
        state.handshakes.remove(&self.id);
        state.open.insert(self.id, Arc::downgrade(shared));
        drop(state);
        // Asked after it is in the book: whoever shuts down meanwhile has seen it there, or is seen here.
        if *self.book.phase.borrow() == Phase::ShuttingDown {
            let _ = shared.close(CloseCode::AWAY, "");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.book.lock();
        state.handshakes.remove(&self.id);
        state.open.remove(&self.id);
        state.entries -= 1;
        state.admitted -= usize::from(self.admitted);
        drop(state);
        self.book.left.notify_waiters();
    }
}
