//! UTF-8, checked as it comes (RFC 6455 §8.1): [`Utf8`] fails at the first byte that cannot be right, wherever the pieces
//! are cut; [`Utf8Bytes`] is bytes that passed.

use std::{fmt, ops::Deref};

use bytes::Bytes;

/// A check that goes on from piece to piece: what is kept is the character that the last piece broke off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    broken_off: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Checks the next piece, whose first byte is the text's byte `at`.
    ///
    /// # Errors
    /// Where in the text the first bad character begins. It is raised by the first byte that proves it bad, not later.
    pub(super) fn feed(&mut self, piece: &[u8], at: u64) -> Result<(), u64> {
        let mut start = 0;
        while self.len > 0 {
            let Some(&byte) = piece.get(start) else { return Ok(()) };
            self.complete(byte).map_err(|len| at + start as u64 - u64::from(len))?;
            start += 1;
        }
        let rest = &piece[start..];
        let Err(error) = simdutf8::compat::from_utf8(rest) else { return Ok(()) };
        let valid = error.valid_up_to();
        if error.error_len().is_some() {
            return Err(at + (start + valid) as u64);
        }
        let tail = &rest[valid..];
        self.broken_off[..tail.len()].copy_from_slice(tail);
        self.len = tail.len() as u8;
        Ok(())
    }

    /// How many bytes of a broken-off character wait for the rest; 0 where the text may end.
    pub(super) const fn broken_off(self) -> u64 {
        self.len as u64
    }

    /// One byte more for the broken-off character. The error is how many bytes of it there were before.
    fn complete(&mut self, byte: u8) -> Result<(), u8> {
        let len = usize::from(self.len);
        let mut bytes = [0; 4];
        bytes[..len].copy_from_slice(&self.broken_off[..len]);
        bytes[len] = byte;
        match std::str::from_utf8(&bytes[..=len]) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_some() => return Err(self.len),
            Err(_) => {
                self.broken_off[len] = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Bytes that are UTF-8: text that is shared by a reference count and read as `&str` without a second check.
///
/// ```
/// use framecast::proto::Utf8Bytes;
///
/// let text = Utf8Bytes::from("grüezi");
/// assert_eq!(&*text, "grüezi");
/// assert!(Utf8Bytes::try_from(bytes::Bytes::from_static(b"\xff")).is_err());
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Utf8Bytes(Bytes);

impl Utf8Bytes {
    /// Text without an allocation.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        #[expect(unsafe_code, reason = "what passed a check is not checked again")]
        // SAFETY: each way to make a `Utf8Bytes` takes a `str` or checks the bytes, and nothing lends them out mutably.
        unsafe {
            std::str::from_utf8_unchecked(&self.0)
        }
    }

    /// Wraps what [`Utf8`] has seen whole: the receiver's way in, after a check in pieces.
    pub(super) fn from_checked(bytes: Bytes) -> Self {
        debug_assert!(std::str::from_utf8(&bytes).is_ok(), "only checked text gets here");
        Self(bytes)
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        match simdutf8::basic::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            // The fast check does not say where; the standard library's, which does, is asked again.
            Err(_) => std::str::from_utf8(&bytes).map(|_| Self::default()),
        }
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds one byte at a time; where the text is bad, and after how many bytes that was known.
    fn feed_bytes(text: &[u8]) -> Result<u64, (u64, usize)> {
        let mut utf8 = Utf8::default();
        for (at, byte) in text.iter().enumerate() {
            utf8.feed(&[*byte], at as u64).map_err(|bad| (bad, at + 1))?;
        }
        Ok(utf8.broken_off())
    }

    /// RFC 6455 §8.1 · catalogue: UT-01, UT-02
    #[test]
    fn every_sequence_of_up_to_three_bytes_is_judged_as_the_standard_library_does() {
        let leads_and_edges: Vec<u8> = (0..=255u8)
            .filter(|byte| {
                *byte >= 0x80 && (*byte < 0x82 || matches!(byte, 0x8f..=0x91 | 0x9f..=0xa1 | 0xbf..))
            })
            .chain([0, 0x41, 0x7f])
            .collect();
        for first in 0..=255u8 {
            for &second in &leads_and_edges {
                for &third in &leads_and_edges {
                    for &fourth in &[0x41, 0x80, 0xbf, 0xc0] {
                        compare(&[first, second, third, fourth]);
                    }
                }
            }
        }
    }

    fn compare(text: &[u8]) {
        match (std::str::from_utf8(text), feed_bytes(text)) {
            (Ok(_), Ok(0)) => {}
            (Err(expected), Ok(broken_off)) => {
                assert_eq!(expected.error_len(), None, "{text:x?}");
                assert_eq!(text.len() as u64 - broken_off, expected.valid_up_to() as u64, "{text:x?}");
            }
            (Err(expected), Err((at, _))) => assert_eq!(at, expected.valid_up_to() as u64, "{text:x?}"),
            (Ok(_), judged) => panic!("{text:x?} is fine, not {judged:?}"),
        }
    }

    /// RFC 6455 §8.1 · catalogue: UT-04
    #[test]
    fn the_byte_that_proves_it_raises_it() {
        // Autobahn 6.4: F4 90 can no more become a character, though two bytes are still to come.
        assert_eq!(feed_bytes(b"ab\xf4\x90\x80\x80"), Err((2, 4)));
        assert_eq!(feed_bytes(b"\xed\xa0\x80"), Err((0, 2)), "a surrogate");
        assert_eq!(feed_bytes(b"\xc0\x80"), Err((0, 1)));
    }

    proptest! {
        /// RFC 6455 §8.1 · catalogue: UT-03, UT-08, UT-10
        #[test]
        fn no_split_and_no_alignment_changes_the_verdict(
            text in prop::collection::vec(prop_oneof![Just("a".repeat(31)), "[a-zß-ö가-힣😀-😎]{0,4}"], 0..8),
            rubbish in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut text = text.concat().into_bytes();
            if let Some((at, byte)) = rubbish && !text.is_empty() {
                let at = at.index(text.len());
                text[at] = byte;
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut utf8 = Utf8::default();
            let judged = cuts.windows(2).try_for_each(|cut| utf8.feed(&text[cut[0]..cut[1]], cut[0] as u64));
            match std::str::from_utf8(&text) {
                Ok(_) => prop_assert_eq!((judged, utf8.broken_off()), (Ok(()), 0)),
                Err(error) if error.error_len().is_none() => {
                    prop_assert_eq!(judged, Ok(()));
                    prop_assert_eq!(text.len() as u64 - utf8.broken_off(), error.valid_up_to() as u64);
                }
                Err(error) => prop_assert_eq!(judged, Err(error.valid_up_to() as u64)),
            }
        }
    }
}
