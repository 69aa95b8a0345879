//! How a connection ended, as the application is told.

use crate::proto::{Cause, CloseCode};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The peer's code, or ours where we failed the connection; 1005 for a Close without one, 1006 where no Close came
    /// (RFC 6455 §7.1.5).
    pub code: CloseCode,
    /// The reason that came with the code; empty if none did.
    pub reason: String,
    /// Who ended it.
    pub initiator: Initiator,
    /// Whether the closing handshake was done: a Close came, and ours was handed to the transport.
    pub clean: bool,
    /// Everything that is known.
    pub cause: Cause,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// We did: by closing, or by failing it.
    Local,
    /// The peer did.
    Peer,
    /// Nobody: the transport broke.
    Transport,
}

impl CloseInfo {
    pub(in crate::driver) fn new(cause: Cause, clean: bool) -> Self {
        let initiator = match &cause {
            Cause::Peer(_) => Initiator::Peer,
            Cause::Eof | Cause::Transport(_) => Initiator::Transport,
            _ => Initiator::Local,
        };
        Self { code: cause.code(), reason: cause.reason().to_owned(), initiator, clean, cause }
    }
}

impl std::fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cause)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {:?}", self.reason) }
    }
}
