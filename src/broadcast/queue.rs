//! What waits for one subscription: messages by reference, and in between what was lost.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    gap::{Gap, GapReason},
    losses::Backlog,
    options::{ConflateBy, Terms},
    publication::Publication,
};

/// Messages and gaps have numbers among all that waits in the shard, and leave in their order. They are kept apart, so that to
/// lose one message more costs the same however much was lost before.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By their numbers; `None` was lost since, and is not the first.
    messages: VecDeque<(u64, Option<Arc<Publication>>)>,
    /// How many of them are there,
    waiting: usize,
    /// and the bytes of their frames.
    bytes: usize,
    /// The number of each key's message.
    keys: HashMap<Key, u64>,
    /// No two of them are neighbours, so that there are no more of a topic than of its messages, and one.
    gaps: BTreeMap<u64, Gap>,
    /// The number of the gap that has its first or last offset there.
    edges: HashMap<(Arc<str>, u64), u64>,
}

/// Something that waits, and its number among all that wait in the shard.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Message(Arc<Publication>),
    Gap(Gap),
}

/// What is the same thing: of one topic, with one key.
pub(super) type Key = (Arc<str>, Option<Bytes>);

pub(super) fn key(publication: &Publication, by: ConflateBy) -> Key {
    let key = match by {
        ConflateBy::Key => publication.key.clone(),
        ConflateBy::Topic => None,
    };
    (publication.topic.clone(), key)
}

impl Queue {
    /// Messages that wait.
    pub(super) fn messages(&self) -> usize {
        self.waiting
    }

    /// Bytes of their frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Both.
    pub(super) fn backlog(&self) -> Backlog {
        Backlog { messages: self.waiting as u64, bytes: self.bytes as u64 }
    }

    /// Gaps that wait to be told.
    pub(super) fn gaps(&self) -> usize {
        self.gaps.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0 && self.gaps.is_empty()
    }

    /// The number of what is next.
    pub(super) fn first(&self) -> Option<u64> {
        let message = self.messages.front().map(|(number, _)| *number);
        let gap = self.gaps.first_key_value().map(|(number, _)| *number);
        message.into_iter().chain(gap).min()
    }

    /// The number of what is last.
    pub(super) fn last(&self) -> Option<u64> {
        let message = self.messages.back().map(|(number, _)| *number);
        let gap = self.gaps.last_key_value().map(|(number, _)| *number);
        message.into_iter().chain(gap).max()
    }

    /// Lets a message wait, behind all others.
    pub(super) fn push(&mut self, number: u64, publication: Arc<Publication>, by: Option<ConflateBy>) {
        if let Some(by) = by {
            self.keys.insert(key(&publication, by), number);
        }
        self.waiting += 1;
        self.bytes += publication.message.frame_bytes();
        self.messages.push_back((number, Some(publication)));
    }

    /// Takes what is next.
    pub(super) fn pop(&mut self, by: Option<ConflateBy>) -> Option<Entry> {
        let number = self.first()?;
        let what = match self.remove_gap(number) {
            Some(gap) => What::Gap(gap),
            None => What::Message(self.pop_message(by)?.1),
        };
        Some(Entry { number, what })
    }

    /// Lets something wait again, in its place before others.
    pub(super) fn put_back(&mut self, number: u64, what: What, by: Option<ConflateBy>) {
        match what {
            What::Gap(gap) => self.note(number, gap),
            What::Message(publication) => {
                if let Some(by) = by {
                    self.keys.insert(key(&publication, by), number);
                }
                self.waiting += 1;
                self.bytes += publication.message.frame_bytes();
                let at = self.messages.partition_point(|(before, _)| *before < number);
                self.messages.insert(at, (number, Some(publication)));
            }
        }
    }

    /// Whether a message of this key waits.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether a message of so many bytes may wait too; the first may in any case.
    pub(super) fn has_room(&self, len: usize, terms: &Terms) -> bool {
        let within = self.waiting < terms.messages_max && self.bytes.saturating_add(len) <= terms.bytes_max;
        self.waiting == 0 || within
    }

    /// A message that finds no room.
    pub(super) fn lose_newest(&mut self, number: u64, publication: &Publication, reason: GapReason) {
        self.note(number, publication.as_gap(reason));
    }

    /// Messages that are lost already.
    pub(super) fn push_gap(&mut self, number: u64, gap: Gap) {
        self.note(number, gap);
    }

    /// The oldest message that waits is lost; whether there was one.
    pub(super) fn lose_oldest(&mut self, reason: GapReason, by: Option<ConflateBy>) -> bool {
        let Some((number, publication)) = self.pop_message(by) else { return false };
        self.note(number, publication.as_gap(reason));
        true
    }

    /// The message that is the same thing as a newer one is lost; whether there was one.
    pub(super) fn lose_older(&mut self, key: &Key, reason: GapReason) -> bool {
        let Some(number) = self.keys.remove(key) else { return false };
        let Ok(at) = self.messages.binary_search_by_key(&number, |(number, _)| *number) else { return false };
        let Some(publication) = self.messages[at].1.take() else { return false };
        self.left(&publication);
        self.note(number, publication.as_gap(reason));
        true
    }

    fn pop_message(&mut self, by: Option<ConflateBy>) -> Option<(u64, Arc<Publication>)> {
        let (number, publication) = self.messages.pop_front()?;
        let publication = publication?;
        if let Some(by) = by {
            let key = key(&publication, by);
            if self.keys.get(&key) == Some(&number) {
                self.keys.remove(&key);
            }
        }
        self.left(&publication);
        Some((number, publication))
    }

    /// A message is no longer among those that wait. Now and then the places of lost ones are thrown out.
    fn left(&mut self, publication: &Publication) {
        self.waiting -= 1;
        self.bytes -= publication.message.frame_bytes();
        while let Some((_, None)) = self.messages.front() {
            self.messages.pop_front();
        }
        if self.messages.len() > 2 * self.waiting + PLACES_KEPT {
            self.messages.retain(|(_, publication)| publication.is_some());
        }
    }

    /// Takes note of a loss: it goes on the gap before it, begins the one behind it, or is one of its own.
    fn note(&mut self, mut number: u64, mut gap: Gap) {
        if let Some((at, mut before)) = self.gap_at(&gap, gap.from.wrapping_sub(1))
            && before.extend(&gap)
        {
            self.remove_gap(at);
            (number, gap) = (at, before);
        }
        if let Some((at, behind)) = self.gap_at(&gap, gap.to.wrapping_add(1))
            && gap.extend(&behind)
        {
            self.remove_gap(at);
        }
        for edge in [gap.from, gap.to] {
            self.edges.insert((gap.topic.clone(), edge), number);
        }
        self.gaps.insert(number, gap);
    }

    /// The gap of the same topic that ends or begins there.
    fn gap_at(&self, gap: &Gap, edge: u64) -> Option<(u64, Gap)> {
        let number = *self.edges.get(&(gap.topic.clone(), edge))?;
        Some((number, self.gaps.get(&number)?.clone()))
    }

    fn remove_gap(&mut self, number: u64) -> Option<Gap> {
        let gap = self.gaps.remove(&number)?;
        for edge in [gap.from, gap.to] {
            self.edges.remove(&(gap.topic.clone(), edge));
        }
        Some(gap)
    }
}

/// Places of lost messages that are let lie in any case.
const PLACES_KEPT: usize = 64;

#[cfg(test)]
mod tests;
