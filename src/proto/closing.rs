//! How a connection ends (RFC 6455 §5.5.1, §7.1): the closing handshake, and every other way.

use std::{fmt, io};

use super::{
    close::{CloseCode, CloseFrame},
    error::ProtocolError,
    time::Deadline,
};

/// Why a connection ended. There is one for each connection, told once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The peer closed, with this frame; `None` if its payload was empty (1005). Our answer is queued.
    Peer(Option<CloseFrame>),
    /// We closed, and the peer has answered.
    Local {
        /// Our Close.
        sent: CloseFrame,
        /// The peer's; `None` if its payload was empty.
        answer: Option<CloseFrame>,
    },
    /// The peer broke a rule; the Close that says so is queued.
    Protocol(ProtocolError),
    /// The peer did not answer our Close within `close_within`, or sent more than `linger_bytes_max` instead.
    CloseUnanswered,
    /// The peer took nothing of what was queued for `write_stall_after`.
    WriteStall,
    /// TCP ended without a Close.
    Eof,
    /// The transport failed.
    Transport(io::ErrorKind),
}

impl Cause {
    /// The code that the application is told: the peer's, or ours where we failed the connection, 1005 for a Close without
    /// one, 1006 where no Close came (RFC 6455 §7.1.5).
    pub fn code(&self) -> CloseCode {
        match self {
            Self::Peer(frame) | Self::Local { answer: frame, .. } => {
                frame.as_ref().map_or(CloseCode::NO_STATUS, |frame| frame.code)
            }
            Self::Protocol(error) => error.close_code(),
            Self::CloseUnanswered | Self::WriteStall | Self::Eof | Self::Transport(_) => CloseCode::ABNORMAL,
        }
    }

    /// The reason that came with the code; empty where none did.
    pub fn reason(&self) -> &str {
        match self {
            Self::Peer(Some(frame)) | Self::Local { answer: Some(frame), .. } => &frame.reason,
            _ => "",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(_) => write!(f, "peer closed with {}", self.code()),
            Self::Local { sent, .. } => write!(f, "closed with {}, answered with {}", sent.code, self.code()),
            Self::Protocol(error) => error.fmt(f),
            Self::CloseUnanswered => write!(f, "peer did not answer our close in time"),
            Self::WriteStall => write!(f, "peer stopped reading"),
            Self::Eof => write!(f, "connection ended without a close"),
            Self::Transport(kind) => write!(f, "connection failed: {kind}"),
        }
    }
}

/// What a driver is to do once [`poll_transmit`](super::Connection::poll_transmit) has nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To go on reading.
    Nothing,
    /// To read no more, until the deadline: the peer has sent more than enough after our Close. Dropping the transport at
    /// once would reset it, and the peer might not see the Close.
    StopReading,
    /// To shut down the transport's write side, say so by
    /// [`write_is_shut`](super::Connection::write_is_shut), and go on reading.
    ShutdownWrite,
    /// To drop the transport: both sides are done with it.
    Drop,
    /// To drop it at once, whatever is queued; a reset is in order.
    Abort,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// A Close is queued or out; nothing more can be sent.
    Closing,
    /// The end was told; the transport may still be in use.
    Closed,
}

/// The closing handshake.
///
/// ```text
/// Open ──we close──► Awaiting ──peer's Close──┐
///   │                                         ▼           server, or a failure
///   └──peer's Close, failure, EOF────────► Flushing ──flushed──► Shutting ──► Lingering ──EOF──► Done
///                                                       client ─────────────────┘
/// ```
/// Each state but the first has a deadline; the first that passes cuts the connection.
#[derive(Debug)]
pub(super) enum Closing {
    Open,
    /// Ours is queued or out; we read on, for the peer's.
    Awaiting {
        deadline: Deadline,
        sent: Box<CloseFrame>,
    },
    /// The end was told; what is queued, a Close last, still leaves.
    Flushing {
        deadline: Deadline,
        then: Then,
    },
    /// The driver is to shut down the write side.
    Shutting {
        deadline: Deadline,
    },
    /// We wait for the peer's end of TCP, so that ours does not become a reset (RFC 6455 §7.1.1).
    Lingering {
        deadline: Deadline,
    },
    Done {
        abort: bool,
    },
}

/// What follows once all is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// We end TCP first: a server, and whoever fails the connection.
    Shutdown,
    /// The server ends TCP first (RFC 6455 §7.1.1).
    AwaitEof,
    /// The peer's end of TCP is in.
    Drop,
}

impl Closing {
    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Self::Awaiting { deadline, .. }
            | Self::Flushing { deadline, .. }
            | Self::Shutting { deadline }
            | Self::Lingering { deadline } => *deadline,
            Self::Open | Self::Done { .. } => Deadline::NEVER,
        }
    }

    pub(super) fn renew(&mut self, millis: u32) {
        match self {
            Self::Awaiting { deadline, .. }
            | Self::Flushing { deadline, .. }
            | Self::Shutting { deadline }
            | Self::Lingering { deadline } => *deadline = deadline.earlier(millis),
            Self::Open | Self::Done { .. } => {}
        }
    }
}

const _: () = assert!(size_of::<Closing>() <= 16);
