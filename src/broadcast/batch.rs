//! A turn's frames side by side: most subscribers of a topic are owed the same ones, and are written the same bytes.

use super::{
    publication::Published,
    shard::{Given, NONE, Parcel},
};

/// The frames of the chain of parcels that was looked at last.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What is in the chain.
    chain: Vec<u32>,
    bytes: Vec<u8>,
    /// They are small enough to be put together, and all are messages.
    is_whole: bool,
    /// Members that were written all of it, and are not counted yet.
    delivered: u32,
}

impl Batch {
    /// The frames of the chain that begins at `first`, and how many it is; `None` if they are better sent one by one.
    pub(super) fn of(
        &mut self,
        first: u32,
        parcels: &[Parcel],
        given: &mut [Given],
    ) -> Option<(&[u8], usize)> {
        if !self.is_of(first, parcels) {
            self.count(given);
            self.gather(first, parcels, given);
        }
        self.is_whole.then_some((&*self.bytes, self.chain.len()))
    }

    /// One more member has all of it.
    pub(super) fn was_delivered(&mut self) {
        self.delivered += 1;
    }

    /// Counts those who have all of it.
    pub(super) fn count(&mut self, given: &mut [Given]) {
        let delivered = std::mem::take(&mut self.delivered);
        if delivered == 0 {
            return;
        }
        for place in &self.chain {
            if let Some(Published { delivered: count, .. }) = given[*place as usize].tally() {
                *count += delivered;
            }
        }
    }

    /// The turn is over, and its numbers mean nothing any more.
    pub(super) fn forget(&mut self, given: &mut [Given]) {
        self.count(given);
        self.chain.clear();
    }

    fn is_of(&self, mut parcel: u32, parcels: &[Parcel]) -> bool {
        for place in &self.chain {
            match parcels.get(parcel as usize) {
                Some(next) if next.given == *place => parcel = next.next,
                _ => return false,
            }
        }
        parcel == NONE && !self.chain.is_empty()
    }

    fn gather(&mut self, mut parcel: u32, parcels: &[Parcel], given: &[Given]) {
        self.chain.clear();
        self.bytes.clear();
        self.is_whole = true;
        while let Some(next) = parcels.get(parcel as usize) {
            self.chain.push(next.given);
            parcel = next.next;
            match given[next.given as usize].publication() {
                Some(publication) if self.is_whole => {
                    let frame = publication.message.frame();
                    self.is_whole = self.bytes.len() + frame.len() <= BATCH_BYTES;
                    if self.is_whole {
                        self.bytes.extend_from_slice(frame);
                    }
                }
                _ => self.is_whole = false,
            }
        }
    }
}

/// More than this is not copied together.
const BATCH_BYTES: usize = 16 << 10;
