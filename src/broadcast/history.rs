//! What was published to a topic, for a while: who comes back asks for what it missed.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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

/// How much of each topic is kept, within what [all of them](super::TopicsBuilder::history_bytes_max) may hold. All three hold; nothing is kept with a limit of 0.
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

/// What all histories together hold, which is never more than they may.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) limits: HistoryLimits,
    bytes_max: usize,
    bytes: AtomicUsize,
}

impl Keeping {
    pub(super) fn new(limits: HistoryLimits, bytes_max: usize) -> Self {
        Self { limits, bytes_max, bytes: AtomicUsize::new(0) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts what comes and no longer what goes for it, if it all fits then. Where as much comes as goes, nobody's count is touched.
    fn exchange(&self, gone: usize, new: usize) -> bool {
        let exchanged = |bytes: usize| Some(bytes - gone + new).filter(|bytes| *bytes <= self.bytes_max);
        gone == new || self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, exchanged).is_ok()
    }

    fn release(&self, gone: usize) {
        if gone > 0 {
            self.bytes.fetch_sub(gone, Ordering::Relaxed);
        }
    }
}

impl History {
    /// Keeps a message, and forgets the oldest ones of this topic until it is within all limits; or all of them, if it cannot be.
    /// Whether there was room among all histories, or the topic's own had to do.
    pub(super) fn push(&mut self, now: Instant, publication: &Arc<Publication>, keeping: &Keeping) -> bool {
        let limits = &keeping.limits;
        if limits.messages == 0 || limits.bytes == 0 || limits.age.is_zero() {
            return true;
        }
        let Position { epoch, offset } = publication.position();
        let is_behind = |last: Position| last.epoch == epoch && last.offset < offset;
        if self.kept.back().is_some_and(|(_, last)| !is_behind(last.position())) {
            self.clear(keeping);
        }
        self.forget_old(now, keeping);
        let (bytes, held_bytes) = (publication.payload_len(), held_bytes(publication));
        let (mut gone, mut has_room) = (0, true);
        loop {
            if self.kept.len() < limits.messages && self.bytes + bytes <= limits.bytes {
                if keeping.exchange(gone, held_bytes) {
                    self.bytes += bytes;
                    self.kept.push_back((now, publication.clone()));
                    return has_room;
                }
                has_room = false;
            }
            // If it cannot be kept, what came before it is of no use to anybody.
            let Some(bytes) = self.forget_oldest() else {
                keeping.release(gone);
                return has_room;
            };
            gone += bytes;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The messages behind `since`, `last` being the topic's last; `None` if they are not all there.
    pub(super) fn since(
        &mut self,
        now: Instant,
        since: Since,
        last: Position,
        keeping: &Keeping,
    ) -> Option<impl Iterator<Item = &Arc<Publication>>> {
        self.forget_old(now, keeping);
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
        keeping: &Keeping,
    ) -> impl DoubleEndedIterator<Item = &Arc<Publication>> {
        self.forget_old(now, keeping);
        self.kept.iter().map(|(_, publication)| publication)
    }

    pub(super) fn clear(&mut self, keeping: &Keeping) {
        keeping.release(self.kept.iter().map(|(_, publication)| held_bytes(publication)).sum());
        self.kept.clear();
        self.bytes = 0;
    }

    pub(super) fn forget_old(&mut self, now: Instant, keeping: &Keeping) {
        let mut gone = 0;
        let is_old = |at: Instant| now.saturating_duration_since(at) > keeping.limits.age;
        while self.kept.front().is_some_and(|(at, _)| is_old(*at)) {
            gone += self.forget_oldest().unwrap_or_default();
        }
        if self.kept.is_empty() {
            // Somebody may stay in many topics that are not published to any more.
            self.kept = VecDeque::new();
        }
        keeping.release(gone);
    }

    /// The bytes that are no longer held by that.
    fn forget_oldest(&mut self) -> Option<usize> {
        let (_, publication) = self.kept.pop_front()?;
        self.bytes -= publication.payload_len();
        Some(held_bytes(&publication))
    }
}

/// What a message takes that is kept. It counts among all histories' bytes, as many small ones are more around them than in them.
fn held_bytes(publication: &Publication) -> usize {
    AROUND_BYTES + publication.payload_len() + publication.key.as_ref().map_or(0, |key| key.len())
}

/// The publication, what was encoded, and what an allocator adds to both.
const AROUND_BYTES: usize = 256;
