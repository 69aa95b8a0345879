//! Close codes and the payload of a Close frame (RFC 6455 §5.5.1, §7.4).
//!
//! One table, [`CloseCode::is_sendable`], decides for both directions: what we refuse to send, we refuse to receive.

use std::fmt;

use super::error::{ProtocolError, SendError};

/// A close code: an open number space, so a newtype with constants and not an enum (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a page is left.
    pub const AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a type of data that this endpoint does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the Close frame had no code. Local only, never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: no Close frame came. Local only, never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a policy was broken, a count or rate limit among them.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the client misses an extension that the server did not agree to. Sent by clients only.
    pub const EXTENSION_REQUIRED: Self = Self(1010);
    /// 1011: the server met a condition that it did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts (IANA registry).
    pub const RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry).
    pub const TRY_AGAIN: Self = Self(1013);
    /// 1014: a gateway got a bad answer (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Local only, never on the wire.
    pub const TLS: Self = Self(1015);

    /// Whether a Close frame may carry this code (RFC 6455 §7.4.1, §7.4.2, IANA's registry).
    ///
    /// ```
    /// use framecast::proto::CloseCode;
    /// assert!(CloseCode::NORMAL.is_sendable() && CloseCode(3000).is_sendable());
    /// assert!(!CloseCode::ABNORMAL.is_sendable() && !CloseCode(5000).is_sendable());
    /// ```
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a Close frame says: a code, and a reason of at most 123 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why, as a number. Never one of the local codes 1005, 1006 and 1015.
    pub code: CloseCode,
    /// Why, for people.
    pub reason: Box<str>,
}

/// The longest reason that fits a control frame beside its code, in bytes (RFC 6455 §5.5).
pub const REASON_BYTES_MAX: usize = 123;

impl CloseFrame {
    /// A frame that may be sent.
    ///
    /// # Errors
    /// [`SendError::InvalidCloseCode`] for a code that must not be on the wire, [`SendError::ReasonTooLong`] for a
    /// reason above 123 bytes.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, SendError> {
        if !code.is_sendable() {
            return Err(SendError::InvalidCloseCode(code));
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(SendError::ReasonTooLong { bytes: reason.len() });
        }
        Ok(Self { code, reason: reason.into() })
    }

    /// Reads a Close frame's payload; `None` if it is empty, which is allowed and means 1005.
    ///
    /// # Errors
    /// One byte alone, a code that must not be sent, a reason that is not UTF-8 (RFC 6455 §5.5.1, §7.4, §8.1).
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::ClosePayloadOfOneByte),
            [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
        };
        if !code.is_sendable() {
            return Err(ProtocolError::InvalidCloseCode(code));
        }
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Some(Self { code, reason: reason.into() })),
            Err(error) => Err(ProtocolError::InvalidCloseReason { at: error.valid_up_to() as u64 }),
        }
    }
}

/// Cuts `reason` to at most 123 bytes at a character's boundary, for reasons whose length is not ours to choose.
///
/// ```
/// let long = "é".repeat(100);
/// assert_eq!(framecast::proto::truncate_reason(&long).len(), 122);
/// ```
pub fn truncate_reason(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §7.4 · catalogue: CL-10, CL-11, CL-12
    #[test]
    fn every_code_is_treated_alike_by_sender_and_receiver() {
        for code in 0..=u16::MAX {
            let allowed = (1000..=1003).contains(&code)
                || (1007..=1014).contains(&code)
                || (3000..=4999).contains(&code);
            assert_eq!(CloseFrame::new(CloseCode(code), "").is_ok(), allowed, "sending {code}");
            let parsed = CloseFrame::parse(&code.to_be_bytes());
            assert_eq!(parsed.is_ok(), allowed, "receiving {code}");
            if !allowed {
                assert_eq!(parsed, Err(ProtocolError::InvalidCloseCode(CloseCode(code))));
            }
        }
    }

    /// RFC 6455 §5.5 · catalogue: CL-13
    #[test]
    fn a_reason_of_123_bytes_passes_and_124_is_a_typed_error() {
        assert!(CloseFrame::new(CloseCode::NORMAL, &"x".repeat(123)).is_ok());
        assert_eq!(
            CloseFrame::new(CloseCode::NORMAL, &"x".repeat(124)),
            Err(SendError::ReasonTooLong { bytes: 124 })
        );
    }
}
