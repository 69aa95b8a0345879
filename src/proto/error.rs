//! What can go wrong, by whose fault: the peer's ([`ProtocolError`], with [`LimitError`] inside it), the
//! application's ([`SendError`]), the embedder's ([`ConfigError`](super::ConfigError) lives with the config).

use std::fmt;

use super::close::CloseCode;

/// A rule the peer broke: the connection fails with [`close_code`](Self::close_code) and reads no more
/// (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit that no negotiated extension gives a meaning; the byte is the frame's first. RFC 6455 §5.2.
    ReservedBits(u8),
    /// A reserved opcode, 3–7 or 11–15. RFC 6455 §5.2.
    ReservedOpCode(u8),
    /// A control frame with FIN clear; the number is its opcode. RFC 6455 §5.5.
    FragmentedControl(u8),
    /// A control frame with more than 125 bytes of payload; the number is its opcode. RFC 6455 §5.5.
    LongControl(u8),
    /// A client's frame that is not masked. RFC 6455 §5.1.
    NotMasked,
    /// A server's frame that is masked. RFC 6455 §5.1.
    Masked,
    /// A length that is not in its shortest form. RFC 6455 §5.2.
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set. RFC 6455 §5.2.
    LengthTopBit,
    /// A continuation where no message is open. RFC 6455 §5.4.
    UnexpectedContinuation,
    /// A new message inside an unfinished one. RFC 6455 §5.4.
    ExpectedContinuation,
    /// Text that is not UTF-8; `at` counts bytes from the start of the message. RFC 6455 §8.1.
    InvalidUtf8 {
        /// Where the first character begins that is bad, or broken off by the message's end.
        at: u64,
    },
    /// A compressed message that is no DEFLATE data, refers back beyond what is kept of the messages before it or by more than
    /// 32 KiB, or ends inside a block. RFC 7692 §7.2.2.
    InvalidDeflate,
    /// A Close frame with a payload of one byte. RFC 6455 §5.5.1.
    ClosePayloadOfOneByte,
    /// A Close frame with a code that must not be sent. RFC 6455 §7.4.
    InvalidCloseCode(CloseCode),
    /// A Close frame whose reason is not UTF-8. RFC 6455 §5.5.1, §8.1.
    InvalidCloseReason {
        /// The first bad byte of the reason.
        at: u64,
    },
    /// A text message where only binary is taken, or the reverse. RFC 6455 §7.4.1.
    UnsupportedType,
    /// A limit of ours was met: which, and its value. RFC 6455 §10.4.
    Limit(LimitError),
}

impl ProtocolError {
    /// The code of the Close frame that answers it.
    pub const fn close_code(self) -> CloseCode {
        // No `_` arm: a new rule cannot forget its code.
        match self {
            Self::ReservedBits(_)
            | Self::ReservedOpCode(_)
            | Self::FragmentedControl(_)
            | Self::LongControl(_)
            | Self::NotMasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::ClosePayloadOfOneByte
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL,
            Self::InvalidUtf8 { .. } | Self::InvalidDeflate | Self::InvalidCloseReason { .. } => {
                CloseCode::INVALID_DATA
            }
            Self::UnsupportedType => CloseCode::UNSUPPORTED,
            Self::Limit(limit) => limit.close_code(),
        }
    }

    /// The section of RFC 6455 that holds the rule; `None` for rates and times that are ours alone, and for
    /// compression, which has an RFC of its own.
    pub const fn section(self) -> Option<&'static str> {
        Some(match self {
            Self::NotMasked | Self::Masked => "5.1",
            Self::ReservedBits(_) | Self::ReservedOpCode(_) | Self::LengthNotMinimal | Self::LengthTopBit => {
                "5.2"
            }
            Self::UnexpectedContinuation | Self::ExpectedContinuation => "5.4",
            Self::FragmentedControl(_) | Self::LongControl(_) => "5.5",
            Self::ClosePayloadOfOneByte => "5.5.1",
            Self::InvalidCloseCode(_) => "7.4",
            Self::UnsupportedType => "7.4.1",
            Self::InvalidDeflate => return None,
            Self::InvalidUtf8 { .. } | Self::InvalidCloseReason { .. } => "8.1",
            Self::Limit(limit) => match limit.limit {
                Limit::MessageBytes | Limit::FrameBytes | Limit::Fragments => "10.4",
                Limit::Pong => "5.5.2",
                Limit::DeflateStreams | Limit::ControlFrames | Limit::IncompleteMessage => return None,
            },
        })
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(byte) => write!(f, "reserved bits set in frame byte {byte:#04x}")?,
            Self::ReservedOpCode(code) => write!(f, "reserved opcode {code:#x}")?,
            Self::FragmentedControl(code) => write!(f, "fragmented control frame, opcode {code:#x}")?,
            Self::LongControl(code) => write!(f, "control frame above 125 bytes, opcode {code:#x}")?,
            Self::NotMasked => write!(f, "frame from client is not masked")?,
            Self::Masked => write!(f, "frame from server is masked")?,
            Self::LengthNotMinimal => write!(f, "length not in shortest form")?,
            Self::LengthTopBit => write!(f, "length has its top bit set")?,
            Self::UnexpectedContinuation => write!(f, "continuation without a message")?,
            Self::ExpectedContinuation => write!(f, "new message inside an unfinished one")?,
            Self::InvalidUtf8 { at } => write!(f, "text is not UTF-8 at byte {at}")?,
            Self::InvalidDeflate => write!(f, "compressed message cannot be inflated (RFC 7692 §7.2.2)")?,
            Self::ClosePayloadOfOneByte => write!(f, "close payload of one byte")?,
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent")?,
            Self::InvalidCloseReason { at } => write!(f, "close reason is not UTF-8 at byte {at}")?,
            Self::UnsupportedType => write!(f, "message type not accepted here")?,
            Self::Limit(limit) => write!(f, "{limit}")?,
        }
        match self.section() {
            Some(section) => write!(f, " (RFC 6455 §{section})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// A limit that was met: which one, and its value as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// Which limit.
    pub limit: Limit,
    /// Its value, in the unit of the [`Config`](super::Config) knob of that name.
    pub value: u64,
}

/// The limits that a peer can meet, each named as its knob in [`Config`](super::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// `message_bytes_max`; of a compressed message that is too long on the wire, the value is what it may have there.
    MessageBytes,
    /// `frame_bytes_max`; of a compressed message as above.
    FrameBytes,
    /// `fragments_max`.
    Fragments,
    /// Streams that a compressed message is made of: blocks that say they are the last. Not an option; the value is 64.
    DeflateStreams,
    /// `control_frames_burst` and `control_frames_per_second`; the value is the rate.
    ControlFrames,
    /// `incomplete_bytes_min` in `incomplete_window`; the value is in bytes.
    IncompleteMessage,
    /// `pong_within`; the value is in milliseconds.
    Pong,
}

impl LimitError {
    /// 1009 for sizes, 1008 for counts, rates and times.
    pub const fn close_code(self) -> CloseCode {
        match self.limit {
            Limit::MessageBytes | Limit::FrameBytes => CloseCode::TOO_BIG,
            Limit::Fragments
            | Limit::DeflateStreams
            | Limit::ControlFrames
            | Limit::IncompleteMessage
            | Limit::Pong => CloseCode::POLICY,
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.limit {
            Limit::MessageBytes => write!(f, "message above {value} bytes"),
            Limit::FrameBytes => write!(f, "frame above {value} bytes"),
            Limit::Fragments => write!(f, "more than {value} fragments in a message"),
            Limit::DeflateStreams => {
                write!(f, "more than {value} streams in a compressed message (RFC 7692 §7.2.3.4)")
            }
            Limit::ControlFrames => write!(f, "more than {value} control frames a second"),
            Limit::IncompleteMessage => {
                write!(f, "unfinished message brought less than {value} bytes in its window")
            }
            Limit::Pong => write!(f, "no pong within {value} ms"),
        }
    }
}

impl std::error::Error for LimitError {}

/// Why something could not be sent. The connection is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    Closed,
    /// The outbox holds as much as it may; wait until it drains.
    Full,
    /// This code must not be on the wire (RFC 6455 §7.4).
    InvalidCloseCode(CloseCode),
    /// A close reason above 123 bytes (RFC 6455 §5.5); see [`truncate_reason`](super::truncate_reason).
    ReasonTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A ping's payload above 125 bytes (RFC 6455 §5.5).
    PayloadTooLong {
        /// Its length.
        bytes: usize,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "connection is closed"),
            Self::Full => write!(f, "outbox is full"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::ReasonTooLong { bytes } => write!(f, "close reason of {bytes} bytes is above 123"),
            Self::PayloadTooLong { bytes } => write!(f, "ping payload of {bytes} bytes is above 125"),
        }
    }
}

impl std::error::Error for SendError {}
