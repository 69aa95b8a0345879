//! The ids that a client has sent lately, and what came of them: a message that comes twice is delivered once.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{id::Id, limits::Limits};

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is on its way.
    Pending,
    /// It has this offset in its room.
    Published(u64),
    /// So many connections were sent it.
    Sent(u32),
}

/// An id by its hash, which is keyed: 8 bytes for what may be 256, and nobody can choose two of one hash.
pub(crate) type Digest = u64;

/// How many are remembered of all clients together; a clone is a reference count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered(Arc<Ids>);

#[derive(Debug, Default)]
struct Ids {
    count: AtomicUsize,
    forgotten_early: AtomicU64,
}

/// One client's.
#[derive(Debug)]
pub(crate) struct Seen {
    all: Remembered,
    hasher: RandomState,
    order: VecDeque<(Instant, Digest)>,
    outcomes: HashMap<Digest, (Instant, Outcome)>,
}

impl Remembered {
    /// Whether there are as many as may be.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.0.count.load(Ordering::Relaxed) >= limits.dedupe_ids_total_max
    }

    /// How many were forgotten within the window, as there were too many.
    pub(crate) fn forgotten_early(&self) -> &AtomicU64 {
        &self.0.forgotten_early
    }
}

impl Seen {
    pub(crate) fn new(all: &Remembered) -> Self {
        Self {
            all: all.clone(),
            hasher: RandomState::new(),
            order: VecDeque::new(),
            outcomes: HashMap::new(),
        }
    }

    pub(crate) fn digest(&self, id: &Id) -> Digest {
        self.hasher.hash_one(id.canonical())
    }

    /// What came of it before; `None` if it is new, and pending from now on. When all clients have as many as they may, the oldest of
    /// this one go for it, but for the last few.
    pub(crate) fn begin(&mut self, now: Instant, digest: Digest, limits: &Limits) -> Option<Outcome> {
        self.forget_old(now, limits.dedupe_window);
        if let Some((_, outcome)) = self.outcomes.get(&digest) {
            return Some(*outcome);
        }
        while self.order.len() >= limits.dedupe_ids_max.max(1)
            || (self.order.len() >= KEPT_IN_ANY_CASE && self.all.is_full(limits))
        {
            self.forget_oldest();
            self.all.0.forgotten_early.fetch_add(1, Ordering::Relaxed);
        }
        self.order.push_back((now, digest));
        self.all.0.count.fetch_add(1, Ordering::Relaxed);
        self.outcomes.insert(digest, (now, Outcome::Pending));
        None
    }

    /// Forgets what is older than the window, and gives its memory back.
    pub(crate) fn forget_old(&mut self, now: Instant, window: Duration) {
        while let Some((at, _)) = self.order.front()
            && now.saturating_duration_since(*at) >= window
        {
            self.forget_oldest();
        }
        if self.order.len() < self.order.capacity() / 8 {
            self.order.shrink_to(2 * self.order.len());
            self.outcomes.shrink_to(2 * self.order.len());
        }
    }

    fn forget_oldest(&mut self) {
        let Some((at, digest)) = self.order.pop_front() else { return };
        self.all.0.count.fetch_sub(1, Ordering::Relaxed);
        if self.outcomes.get(&digest).is_some_and(|(of, _)| *of == at) {
            self.outcomes.remove(&digest);
        }
    }

    pub(crate) fn settle(&mut self, digest: Digest, outcome: Outcome) {
        if let Some((_, pending)) = self.outcomes.get_mut(&digest) {
            *pending = outcome;
        }
    }

    /// It came to nothing, and may be tried again.
    pub(crate) fn forget(&mut self, digest: Digest) {
        self.outcomes.remove(&digest);
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.all.0.count.fetch_sub(self.order.len(), Ordering::Relaxed);
    }
}

/// What a client resends when its connection has broken is rarely more.
const KEPT_IN_ANY_CASE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { dedupe_ids_max: 10, ..Limits::default() }
    }

    #[test]
    fn an_id_is_remembered_for_the_window() {
        let (mut seen, start) = (Seen::new(&Remembered::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seen.begin(at(0), 1, &limits()), None);
        assert_eq!(seen.begin(at(1), 1, &limits()), Some(Outcome::Pending));
        seen.settle(1, Outcome::Published(7));
        assert_eq!(seen.begin(at(119), 1, &limits()), Some(Outcome::Published(7)));
        assert_eq!(seen.begin(at(120), 1, &limits()), None);
    }

    #[test]
    fn what_came_to_nothing_may_be_tried_again() {
        let (mut seen, start) = (Seen::new(&Remembered::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seen.begin(at(0), 1, &limits()), None);
        seen.forget(1);
        assert_eq!(seen.begin(at(60), 1, &limits()), None);
        assert_eq!(seen.begin(at(130), 1, &limits()), Some(Outcome::Pending), "by the second time");
    }

    #[test]
    fn no_more_than_the_limit_are_held() {
        let (mut seen, now) = (Seen::new(&Remembered::default()), Instant::now());
        for digest in 0..1000 {
            assert_eq!(seen.begin(now, digest, &limits()), None);
            assert!(seen.order.len() <= 11 && seen.outcomes.len() <= 11);
        }
    }

    #[test]
    fn all_clients_together_have_a_limit() {
        let (all, now) = (Remembered::default(), Instant::now());
        let limits = Limits { dedupe_ids_total_max: 100, ..Limits::default() };
        let count = || all.0.count.load(Ordering::Relaxed);
        let (mut greedy, mut late) = (Seen::new(&all), Seen::new(&all));
        for digest in 0..1000 {
            assert_eq!(greedy.begin(now, digest, &limits), None);
            assert!(count() <= 100);
        }
        for digest in 0..1000 {
            assert_eq!(late.begin(now, digest, &limits), None);
            assert!(late.order.len() <= KEPT_IN_ANY_CASE);
        }
        assert_eq!(count(), 100 + KEPT_IN_ANY_CASE);
        assert_eq!(late.begin(now, 999, &limits), Some(Outcome::Pending), "the last ones are known");
        late.forget_old(now + limits.dedupe_window, limits.dedupe_window);
        assert_eq!((count(), late.order.capacity()), (100, 0));
        drop(greedy);
        assert_eq!(count(), 0);
    }
}
