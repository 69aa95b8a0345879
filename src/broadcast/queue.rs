//! What waits for one subscription: messages by reference, and in between what was lost.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    gap::{Gap, GapReason},
    options::ConflateBy,
    publication::Publication,
};

#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// Messages among them,
    messages: usize,
    /// and the bytes of their frames.
    bytes: usize,
    /// The number of each key's message.
    keys: HashMap<Key, u64>,
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
    /// Lost, and told by a gap before it.
    Gone,
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
        self.messages
    }

    /// Bytes of their frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries that are no messages.
    pub(super) fn losses(&self) -> usize {
        self.entries.len() - self.messages
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of what is next.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.number)
    }

    /// Lets a message wait, behind all others.
    pub(super) fn push(&mut self, number: u64, publication: Arc<Publication>, by: Option<ConflateBy>) {
        if let Some(by) = by {
            self.keys.insert(key(&publication, by), number);
        }
        self.messages += 1;
        self.bytes += publication.message.frame_bytes();
        self.entries.push_back(Entry { number, what: What::Message(publication) });
    }

    /// Takes what is next.
    pub(super) fn pop(&mut self, by: Option<ConflateBy>) -> Option<Entry> {
        loop {
            let entry = self.entries.pop_front()?;
            match &entry.what {
                What::Gone => continue,
                What::Gap(_) => {}
                What::Message(publication) => self.left(&publication.clone(), entry.number, by),
            }
            return Some(entry);
        }
    }

    /// Puts back what was taken last.
    pub(super) fn put_back(&mut self, entry: Entry, by: Option<ConflateBy>) {
        if let What::Message(publication) = &entry.what {
            self.messages += 1;
            self.bytes += publication.message.frame_bytes();
            if let Some(by) = by {
                // One that came meanwhile is newer.
                self.keys.entry(key(publication, by)).or_insert(entry.number);
            }
        }
        self.entries.push_front(entry);
    }

    /// A message that finds no room.
    pub(super) fn lose_newest(&mut self, number: u64, publication: &Publication, reason: GapReason) {
        self.push_gap(number, publication.as_gap(reason));
    }

    /// Messages that are lost already.
    pub(super) fn push_gap(&mut self, number: u64, gap: Gap) {
        if !extend(self.entries.iter_mut().rev(), &gap) {
            self.entries.push_back(Entry { number, what: What::Gap(gap) });
        }
        self.tidy();
    }

    /// The oldest message that waits is lost; whether there was one.
    pub(super) fn lose_oldest(&mut self, reason: GapReason, by: Option<ConflateBy>) -> bool {
        // Gaps before it: one, or one of each topic of a wildcard.
        let mut before = Vec::new();
        while let Some(entry) = self.entries.pop_front() {
            match entry.what {
                What::Gone => {}
                What::Gap(_) => before.push(entry),
                What::Message(publication) => {
                    self.left(&publication, entry.number, by);
                    let gap = publication.as_gap(reason);
                    if !extend(before.iter_mut().rev(), &gap) {
                        before.push(Entry { number: entry.number, what: What::Gap(gap) });
                    }
                    before.into_iter().rev().for_each(|entry| self.entries.push_front(entry));
                    return true;
                }
            }
        }
        self.entries.extend(before);
        false
    }

    /// The message that is the same thing as a newer one is lost; whether there was one.
    pub(super) fn lose_older(&mut self, key: &Key, reason: GapReason) -> bool {
        let Some(number) = self.keys.remove(key) else { return false };
        let Ok(at) = self.entries.binary_search_by_key(&number, |entry| entry.number) else { return false };
        let What::Message(publication) = &self.entries[at].what else { return false };
        let publication = publication.clone();
        self.messages -= 1;
        self.bytes -= publication.message.frame_bytes();
        let gap = publication.as_gap(reason);
        let told = extend(self.entries.range_mut(..at).rev().take(LOOK_BACK), &gap);
        self.entries[at].what = if told { What::Gone } else { What::Gap(gap) };
        self.tidy();
        true
    }

    /// A message is no longer among those that wait.
    fn left(&mut self, publication: &Publication, number: u64, by: Option<ConflateBy>) {
        self.messages -= 1;
        self.bytes -= publication.message.frame_bytes();
        if let Some(by) = by {
            let key = key(publication, by);
            if self.keys.get(&key) == Some(&number) {
                self.keys.remove(&key);
            }
        }
    }

    /// Joins neighbouring gaps and throws out what is gone, now and then: so there are hardly more of them than messages.
    fn tidy(&mut self) {
        if self.losses() <= 2 * self.messages + LOSSES_KEPT {
            return;
        }
        let mut tidied: VecDeque<Entry> = VecDeque::with_capacity(self.entries.len() - self.messages);
        for entry in self.entries.drain(..) {
            match &entry.what {
                What::Gone => continue,
                What::Gap(gap) if extend(tidied.iter_mut().rev(), gap) => continue,
                _ => tidied.push_back(entry),
            }
        }
        self.entries = tidied;
    }
}

/// Has the last gap of the same topic tell this loss too, if no message is between; whether one does.
fn extend<'e>(backwards: impl Iterator<Item = &'e mut Entry>, loss: &Gap) -> bool {
    for entry in backwards {
        match &mut entry.what {
            What::Message(_) => return false,
            What::Gap(gap) => {
                if gap.extend(loss) {
                    return true;
                }
            }
            What::Gone => {}
        }
    }
    false
}

/// How far is looked back for a gap that can tell one more loss; `tidy` finds the others.
const LOOK_BACK: usize = 32;
/// Gaps and gone ones that are let lie in any case.
const LOSSES_KEPT: usize = 64;
