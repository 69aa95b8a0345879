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
    /// Nothing that came since then is missing, between them or before them; where there were more than the limit, the others
    /// follow. False if some are forgotten, or if the epoch is another one.
    pub complete: bool,
}

/// The ring: of one epoch, and by their offsets.
#[derive(Debug, Default)]
pub(super) struct History {
    kept: VecDeque<(Instant, Arc<Publication>)>,
    bytes: usize,
}

impl History {
    pub(super) fn push(&mut self, now: Instant, publication: &Arc<Publication>, limits: &HistoryLimits) {
        if limits.messages == 0 || limits.bytes == 0 || limits.age.is_zero() {
            return;
        }
        let Position { epoch, offset } = publication.position();
        let is_behind = |last: Position| last.epoch == epoch && last.offset < offset;
        if self.kept.back().is_some_and(|(_, last)| !is_behind(last.position())) {
            self.kept.clear();
            self.bytes = 0;
        }
        self.bytes += publication.payload_len();
        self.kept.push_back((now, publication.clone()));
        while self.kept.len() > limits.messages || self.bytes > limits.bytes {
            self.forget_oldest();
        }
        self.forget_old(now, limits);
    }

    /// The messages behind `since`, `last` being the topic's last; `None` if they are not all there.
    pub(super) fn since(
        &mut self,
        now: Instant,
        since: Since,
        last: Position,
        limits: &HistoryLimits,
    ) -> Option<impl Iterator<Item = &Arc<Publication>>> {
        self.forget_old(now, limits);
        let missed = last.offset.checked_sub(since.offset).filter(|_| since.epoch == last.epoch)?;
        // Of another epoch, or up to there. A broker may have left some out: then there are fewer behind than were missed.
        let is_before = |position: Position| position.epoch != since.epoch || position.offset <= since.offset;
        let from = self.kept.partition_point(|(_, publication)| is_before(publication.position()));
        let kept = self.kept.range(from..);
        (kept.len() as u64 == missed).then(|| kept.map(|(_, publication)| publication))
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
