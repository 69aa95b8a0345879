//! Who is meant: a name for a connection that outlives it and never becomes another one's.

use std::fmt;

/// Names a connection of one [`Reactor`](super::Reactor), for as long as it lives and ever after: no other one of that reactor is
/// given the same name, so a stale one is an error and never somebody else. Another reactor gives the same names to its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(super) serial: u64,
    pub(super) index: u32,
    pub(super) loop_number: u16,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.loop_number, self.index, self.serial)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}
