//! The ids that a client has sent lately, and what came of them: a message that comes twice is delivered once.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::id::Id;

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

/// One client's.
#[derive(Debug)]
pub(crate) struct Seen {
    hasher: RandomState,
    order: VecDeque<(Instant, Digest)>,
    outcomes: HashMap<Digest, (Instant, Outcome)>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), order: VecDeque::new(), outcomes: HashMap::new() }
    }

    pub(crate) fn digest(&self, id: &Id) -> Digest {
        self.hasher.hash_one(id.canonical())
    }

    /// What came of it before; `None` if it is new, and pending from now on.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        digest: Digest,
        window: Duration,
        ids_max: usize,
    ) -> Option<Outcome> {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= window;
        while let Some((at, digest)) = self.order.front().copied()
            && (is_old(at) || self.order.len() > ids_max)
        {
            self.order.pop_front();
            if self.outcomes.get(&digest).is_some_and(|(of, _)| *of == at) {
                self.outcomes.remove(&digest);
            }
        }
        if let Some((_, outcome)) = self.outcomes.get(&digest) {
            return Some(*outcome);
        }
        self.order.push_back((now, digest));
        self.outcomes.insert(digest, (now, Outcome::Pending));
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(120);

    #[test]
    fn an_id_is_remembered_for_the_window() {
        let (mut seen, start) = (Seen::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seen.begin(at(0), 1, WINDOW, 10), None);
        assert_eq!(seen.begin(at(1), 1, WINDOW, 10), Some(Outcome::Pending));
        seen.settle(1, Outcome::Published(7));
        assert_eq!(seen.begin(at(119), 1, WINDOW, 10), Some(Outcome::Published(7)));
        assert_eq!(seen.begin(at(120), 1, WINDOW, 10), None);
    }

    #[test]
    fn what_came_to_nothing_may_be_tried_again() {
        let (mut seen, start) = (Seen::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seen.begin(at(0), 1, WINDOW, 10), None);
        seen.forget(1);
        assert_eq!(seen.begin(at(60), 1, WINDOW, 10), None);
        assert_eq!(seen.begin(at(130), 1, WINDOW, 10), Some(Outcome::Pending), "by the second time");
    }

    #[test]
    fn no_more_than_the_limit_are_held() {
        let (mut seen, now) = (Seen::new(), Instant::now());
        for digest in 0..1000 {
            assert_eq!(seen.begin(now, digest, WINDOW, 10), None);
            assert!(seen.order.len() <= 11 && seen.outcomes.len() <= 11);
        }
    }
}
