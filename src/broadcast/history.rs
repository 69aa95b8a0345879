//! What was published to a topic, for a while: who comes back asks for what it missed.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::publication::Publication;

/// A message's place in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which run of offsets: another one after the topic was forgotten, or with another process.
    pub epoch: u64,
    /// 1 for the first message, and one more for each.
    pub offset: u64,
}

/// The last message that a client has: it wants what came after it.
pub type Since = Position;

/// How much of each topic is kept. All three hold; nothing is kept with a limit of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of payload.
    pub bytes: usize,
    /// How old they may be. A topic that nobody subscribes to is kept that long as well.
    pub age: Duration,
}

impl HistoryLimits {
    /// Nothing is kept.
    pub const NONE: Self = Self { messages: 0, bytes: 0, age: Duration::ZERO };
}

impl Default for HistoryLimits {
    /// 100 messages, 1 MiB, five minutes.
    fn default() -> Self {
        Self { messages: 100, bytes: 1 << 20, age: Duration::from_secs(300) }
    }
}

/// A part of a topic's history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// Where the topic is: the last message's place, or offset 0 before the first.
    pub position: Position,
    /// The messages, the oldest first.
    pub messages: Vec<Arc<Publication>>,
    /// All that came since then are among them; false if some are forgotten, or if the epoch is another one.
    pub complete: bool,
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct History {
    kept: VecDeque<(Instant, Arc<Publication>)>,
    bytes: usize,
}

impl History {
    pub(super) fn push(&mut self, now: Instant, publication: &Arc<Publication>, limits: &HistoryLimits) {
        if limits.messages == 0 || limits.age.is_zero() {
            return;
        }
        if self.kept.back().is_some_and(|(_, last)| !follows(publication, last)) {
            // Given its place by somebody else, from whom something was lost: what is behind a hole can't be recovered.
            self.clear();
        }
        self.bytes += publication.payload_len();
        self.kept.push_back((now, publication.clone()));
        while self.kept.len() > limits.messages || self.bytes > limits.bytes {
            self.forget_oldest();
        }
        self.forget_old(now, limits);
    }

    /// The messages behind `offset`, `last` being the topic's last; `None` if they are not all there.
    pub(super) fn since(
        &mut self,
        now: Instant,
        offset: u64,
        last: u64,
        limits: &HistoryLimits,
    ) -> Option<impl Iterator<Item = &Arc<Publication>>> {
        self.forget_old(now, limits);
        let missed = usize::try_from(last.checked_sub(offset)?).ok()?;
        let from = self.kept.len().checked_sub(missed)?;
        Some(self.kept.range(from..).map(|(_, publication)| publication))
    }

    /// All that is kept.
    pub(super) fn all(
        &mut self,
        now: Instant,
        limits: &HistoryLimits,
    ) -> impl DoubleEndedIterator<Item = &Arc<Publication>> {
        self.forget_old(now, limits);
        self.kept.iter().map(|(_, publication)| publication)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget_old(&mut self, now: Instant, limits: &HistoryLimits) {
        while self.kept.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > limits.age) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, publication)) = self.kept.pop_front() {
            self.bytes -= publication.payload_len();
        }
    }
}

fn follows(publication: &Publication, last: &Publication) -> bool {
    let (this, last) = (publication.position(), last.position());
    this.epoch == last.epoch && this.offset == last.offset + 1
}
