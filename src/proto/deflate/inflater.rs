//! The receiving side: a message's compressed bytes in, as they come, its plain ones out (RFC 7692 §7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use super::{InflateError, STREAMS_MAX};

/// Inflates one message.
///
/// Its own window is always the largest, so that what it makes of a message does not depend on how the message was split: zlib
/// forgets what is beyond a smaller one at the end of each call. How far the first bytes may refer is a matter of what it is begun
/// with.
#[derive(Debug)]
pub(crate) struct Inflater {
    decompress: Decompress,
    /// The last block said that it was the last; what follows it, if anything, is another stream.
    ended: bool,
    streams: u32,
}

/// Spare inflaters of a thread.
#[derive(Debug, Default)]
pub(crate) struct Inflaters(
    #[expect(clippy::vec_box, reason = "the boxes are what is lent")] Vec<Box<Inflater>>,
);

impl Inflaters {
    /// One for a message that may refer to `before`.
    pub(crate) fn borrow(&mut self, before: &[u8]) -> Option<Box<Inflater>> {
        let mut inflater = self.0.pop().unwrap_or_else(|| {
            Box::new(Inflater { decompress: Decompress::new(false), ended: false, streams: 1 })
        });
        inflater.begin(before);
        Some(inflater)
    }

    pub(crate) fn give_back(&mut self, mut inflater: Box<Inflater>) {
        if self.0.len() < SPARE_MAX {
            inflater.decompress.reset(false);
            (inflater.ended, inflater.streams) = (false, 1);
            self.0.push(inflater);
        }
    }
}

impl Inflater {
    fn begin(&mut self, before: &[u8]) {
        if !before.is_empty() {
            // It fails only for streams with a zlib header.
            let _ = self.decompress.set_dictionary(before);
        }
    }

    /// Inflates more of the message behind `out`, which has all of it up to here, until all of `input` is used.
    ///
    /// Stops one byte above `limit`, whatever is still to come.
    pub(crate) fn inflate(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        limit: u64,
        before: &[u8],
    ) -> Result<(), InflateError> {
        loop {
            if self.ended {
                if input.is_empty() {
                    return Ok(());
                }
                self.next_stream(out, before)?;
            }
            let left =
                usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX).saturating_sub(out.len());
            let room = input.len().saturating_mul(4).clamp(ROOM_MIN, ROOM_MAX).min(left);
            grow(out, room, limit);
            let start = out.len();
            let (taken, made) = (self.decompress.total_in(), self.decompress.total_out());
            // Zeros first, as what has room may be larger than what may come out.
            out.resize(start + room, 0);
            let status = self.decompress.decompress(input, &mut out[start..], FlushDecompress::None);
            let taken = (self.decompress.total_in() - taken) as usize;
            let made = (self.decompress.total_out() - made) as usize;
            out.truncate(start + made);
            input = &input[taken..];
            if out.len() as u64 > limit {
                return Err(InflateError::TooLong);
            }
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(Status::Ok | Status::BufError) => {
                    // Only an output with room left says that nothing more is to come of what it was given.
                    if input.is_empty() && made < room {
                        return Ok(());
                    }
                    if taken == 0 && made == 0 {
                        return if input.is_empty() { Ok(()) } else { Err(InflateError::Invalid) };
                    }
                }
                Err(_) => return Err(InflateError::Invalid),
            }
        }
    }

    /// Ends the message: it must end between two blocks. What is added brings no bytes: those that it does bring belong to a
    /// stored block that was cut short by just as many.
    pub(crate) fn finish(
        &mut self,
        out: &mut Vec<u8>,
        limit: u64,
        before: &[u8],
    ) -> Result<(), InflateError> {
        if self.ended {
            return Ok(());
        }
        let made = out.len();
        let ended = self.inflate(&TAIL_AND_END, out, limit, before);
        if out.len() > made {
            out.truncate(made);
            return Err(InflateError::Invalid);
        }
        ended?;
        if self.ended { Ok(()) } else { Err(InflateError::Invalid) }
    }

    /// A block that ends the stream does not end the message, nor its window (RFC 7692 §7.2.3.4).
    fn next_stream(&mut self, out: &[u8], before: &[u8]) -> Result<(), InflateError> {
        self.streams += 1;
        if self.streams > STREAMS_MAX {
            return Err(InflateError::TooManyStreams);
        }
        self.ended = false;
        self.decompress.reset(false);
        if out.len() >= WINDOW {
            self.begin(&out[out.len() - WINDOW..]);
        } else {
            let older = &before[before.len().saturating_sub(WINDOW - out.len())..];
            self.begin(&[older, out].concat());
        }
        Ok(())
    }
}

/// Makes room, by doubling as a vector does, but not beyond the limit.
fn grow(out: &mut Vec<u8>, room: usize, limit: u64) {
    let needed = out.len() + room;
    if needed > out.capacity() {
        let most = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
        out.reserve_exact(needed.max(out.capacity().saturating_mul(2).min(most)) - out.len());
    }
}

/// What the sender has left away (RFC 7692 §7.2.2), and behind it a block that ends the stream. That one is understood only
/// between two blocks: inside of one, its bits are data, or broken. So a message that was cut short is never delivered.
const TAIL_AND_END: [u8; 6] = [0, 0, 0xff, 0xff, 0x03, 0x00];
/// The farthest that DEFLATE can refer back.
const WINDOW: usize = 32 << 10;
/// Room that is made for what comes out, at least
const ROOM_MIN: usize = 512;
/// and at most: a bomb is noticed soon.
const ROOM_MAX: usize = 64 << 10;
/// Spare inflaters a thread keeps.
const SPARE_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Catalogue: PD-20, PD-22
    #[test]
    fn nothing_is_made_beyond_one_byte_above_the_limit() {
        let mut bomb = Vec::with_capacity(8192);
        let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
        compress.compress_vec(&vec![0; 1 << 20], &mut bomb, flate2::FlushCompress::Sync).expect("sound");
        for limit in [0, 1, 511, 512, 4096, 100_000, 500_000] {
            let mut inflater = Inflaters::default().borrow(&[]).expect("one is lent");
            let mut out = Vec::new();
            assert_eq!(inflater.inflate(&bomb, &mut out, limit, &[]), Err(InflateError::TooLong));
            assert_eq!(out.len() as u64, limit + 1);
            assert!(out.capacity() as u64 <= limit + 1, "{} bytes of room for {limit}", out.capacity());
        }
    }

    /// RFC 7692 §7.2.2: "four" of a stored block of eight or ten bytes, where what a receiver adds is four bytes, and six with
    /// our end.
    #[test]
    fn a_stored_block_that_misses_as_many_bytes_as_are_added_is_invalid() {
        for (payload, whole) in [
            (b"\x00\x08\x00\xf7\xfffour", false),
            (b"\x01\x08\x00\xf7\xfffour", false),
            (b"\x00\x0a\x00\xf5\xfffour", false),
            (b"\x01\x0a\x00\xf5\xfffour", false),
            (b"\x01\x04\x00\xfb\xfffour", true),
        ] {
            let mut inflater = Inflaters::default().borrow(&[]).expect("one is lent");
            let mut out = Vec::new();
            assert_eq!(inflater.inflate(payload, &mut out, 100, &[]), Ok(()));
            let expected = if whole { Ok(()) } else { Err(InflateError::Invalid) };
            assert_eq!(inflater.finish(&mut out, 100, &[]), expected, "{payload:x?}");
            assert_eq!(out, b"four");
        }
    }
}
