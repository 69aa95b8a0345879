//! permessage-deflate (RFC 7692): what is asked for and agreed on, and the codecs.
//!
//! A codec is lent by the thread for as long as a message takes, so that an idle connection has none. With context takeover
//! a connection keeps what the next message may refer to: the peer's last bytes, up to the window, and a compressor of ours.

mod terms;

#[cfg(feature = "deflate")]
mod deflater;
#[cfg(feature = "deflate")]
mod inflater;

#[cfg(not(feature = "deflate"))]
mod absent;
#[cfg(not(feature = "deflate"))]
use absent as deflater;
#[cfg(not(feature = "deflate"))]
use absent as inflater;

pub use terms::{Deflate, DeflateTerms, DeflateTermsError};
pub(crate) use terms::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

pub(super) use deflater::{Deflater, Deflaters};
pub(super) use inflater::{Inflater, Inflaters};

/// Why a message cannot be inflated.
#[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "nothing is inflated"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    /// It is no DEFLATE data, or ends inside a block.
    Invalid,
    /// More than the limit.
    TooLong,
    /// More blocks that end a stream than anyone needs.
    TooManyStreams,
}

/// What a connection with context takeover keeps between messages.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) deflater: Option<Deflater>,
    pub(super) history: History,
}

/// The last bytes that the peer's messages inflated to: what its next one may refer to.
#[derive(Debug, Default)]
pub(super) struct History(Vec<u8>);

impl History {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Keeps the last `window` bytes of what was kept and of `message`.
    pub(super) fn push(&mut self, message: &[u8], window: usize) {
        let new = &message[message.len().saturating_sub(window)..];
        let kept = self.0.len().min(window - new.len());
        self.0.drain(..self.0.len() - kept);
        // Never more than the window, which a vector that doubles might be.
        self.0.reserve_exact(new.len());
        self.0.extend_from_slice(new);
    }
}

/// Streams that one message may be made of. Each costs the window anew, where two bytes of the peer's are enough for it; a
/// sender that flushes by ending its stream (RFC 7692 §7.2.3.4) makes one or two.
pub(super) const STREAMS_MAX: u32 = 64;

/// How long the compressed form of a message may be whose plain one may have `plain` bytes: literals of nine bits each, the
/// worst that DEFLATE's fixed code does, and some for the blocks' headers.
pub(super) fn wire_bytes_max(plain: u64) -> u64 {
    plain.saturating_add(plain / 8).saturating_add(64)
}

#[cfg(test)]
mod tests {
    use super::History;

    #[test]
    fn history_keeps_the_last_window_and_no_more() {
        let mut history = History::default();
        for (message, kept) in
            [("abc", "abc"), ("de", "bcde"), ("", "bcde"), ("fghijk", "hijk"), ("l", "ijkl")]
        {
            history.push(message.as_bytes(), 4);
            assert_eq!(history.bytes(), kept.as_bytes(), "after {message:?}");
        }
        assert!(history.0.capacity() <= 8, "{}", history.0.capacity());
    }
}
