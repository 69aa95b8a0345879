//! What a subscriber lost.

use std::sync::Arc;

use super::name::base;

/// Messages that a subscriber did not get, in its place among those that it gets: `from` to `to`, both of them lost too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    pub(super) topic: Arc<str>,
    /// Which run of the topic's offsets is meant.
    pub epoch: u64,
    /// The first one's offset,
    pub from: u64,
    /// and the last one's.
    pub to: u64,
    /// Why. Where it was for more than one reason, the worst: broker, slow, rate.
    pub reason: GapReason,
}

/// Why messages were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// There were more than [`max_rate`](super::Subscription::max_rate) lets through.
    Rate,
    /// The subscriber took them too slowly, and its [`OverflowPolicy`](super::OverflowPolicy) says so.
    Slow,
    /// What brings them from elsewhere lost them.
    Broker,
}

impl GapReason {
    /// As the hub's wire has it: `rate`, `slow`, `broker`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Slow => "slow",
            Self::Broker => "broker",
        }
    }
}

impl Gap {
    /// The topic whose messages are lost.
    pub fn topic(&self) -> &str {
        base(&self.topic).0
    }

    /// Not the topic's messages are lost, but word of who joined and left it: ask anew who is there.
    pub fn is_of_presence(&self) -> bool {
        base(&self.topic).1
    }

    /// How many are lost.
    pub fn count(&self) -> u64 {
        self.to - self.from + 1
    }

    /// Takes in what `other` tells, if it goes on where this one ends.
    pub(super) fn extend(&mut self, other: &Self) -> bool {
        let goes_on = self.epoch == other.epoch && self.to + 1 == other.from && self.topic == other.topic;
        if goes_on {
            self.to = other.to;
            self.reason = self.reason.max(other.reason);
        }
        goes_on
    }
}
