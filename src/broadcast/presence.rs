//! Who is in a topic.

use std::{collections::BTreeMap, sync::Arc};

/// Somebody in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// Who: the [`identity`](super::Subscription::identity) of the subscription.
    pub identity: Arc<str>,
    /// Connections that are this one.
    pub connections: u32,
}

/// A connection with an identity joined or left a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceChange {
    /// The topic.
    pub topic: Arc<str>,
    /// Which of the two.
    pub kind: PresenceKind,
    /// Who.
    pub identity: Arc<str>,
    /// Connections of this one that are in the topic now: 1 after a join, or 0 after a leave, tells that somebody came or went.
    pub connections: u32,
    /// Everybody's connections that are in the topic now, those without an identity too.
    pub members: u32,
    /// One more for each change of the topic: an older one that comes late revives nobody.
    pub version: u64,
}

/// Came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceKind {
    /// Came.
    Join,
    /// Went.
    Leave,
}

/// One topic's.
#[derive(Debug, Default)]
pub(super) struct Presence {
    present: BTreeMap<Arc<str>, u32>,
    version: u64,
}

impl Presence {
    /// Takes note; how many connections of this identity there are, and the change's number.
    pub(super) fn change(&mut self, kind: PresenceKind, identity: &Arc<str>) -> (u32, u64) {
        self.version += 1;
        let connections = match kind {
            PresenceKind::Join => {
                let connections = self.present.entry(identity.clone()).or_default();
                *connections += 1;
                *connections
            }
            PresenceKind::Leave => match self.present.get_mut(identity) {
                Some(connections) if *connections > 1 => {
                    *connections -= 1;
                    *connections
                }
                _ => {
                    self.present.remove(identity);
                    0
                }
            },
        };
        (connections, self.version)
    }

    pub(super) fn list(&self) -> Vec<Present> {
        let each = |(identity, connections): (&Arc<str>, &u32)| Present {
            identity: identity.clone(),
            connections: *connections,
        };
        self.present.iter().map(each).collect()
    }
}
