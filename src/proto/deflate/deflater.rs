//! The sending side: a message in, its compressed form out (RFC 7692 §7.2.1).

use flate2::{Compress, Compression, FlushCompress, Status};

use super::{terms::WINDOW_BITS_MIN, wire_bytes_max};

/// A compressor, of one window and one level.
#[derive(Debug)]
pub(crate) struct Deflater {
    compress: Compress,
    window_bits: u8,
    level: u8,
}

/// What a thread lends to those who compress: compressors, and room for what comes out.
#[derive(Debug, Default)]
pub(crate) struct Deflaters {
    spare: Vec<Deflater>,
    out: Vec<u8>,
}

impl Deflater {
    fn new(window_bits: u8, level: u8) -> Self {
        let level_of_zlib = Compression::new(level.into());
        Self {
            compress: Compress::new_with_window_bits(level_of_zlib, false, window_bits),
            window_bits,
            level,
        }
    }

    /// Compresses a message into `out`, as a continuation of those before it; whether that made it smaller. If not, what was
    /// before is forgotten, as the peer never sees this one.
    fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        // Room for the worst: a compressor that has to stop in the middle is of no more use, see below.
        out.reserve(usize::try_from(wire_bytes_max(message.len() as u64)).unwrap_or(usize::MAX));
        let before = self.compress.total_in();
        let status = self.compress.compress_vec(message, out, FlushCompress::Sync);
        let taken = self.compress.total_in() - before;
        // An output that is full may lack the flush's end.
        let whole =
            matches!(status, Ok(Status::Ok)) && taken == message.len() as u64 && out.len() < out.capacity();
        let smaller = whole && out.ends_with(&TAIL) && out.len() - TAIL.len() < message.len();
        if smaller {
            out.truncate(out.len() - TAIL.len());
        } else if whole {
            self.compress.reset();
        } else {
            // zlib-rs 0.6.8 forgets on a reset that bytes were waiting, but not where, and panics once that room is missing.
            *self = Self::new(self.window_bits, self.level);
        }
        smaller
    }
}

impl Deflaters {
    /// Compresses a message by itself; `None` if that does not make it smaller.
    pub(crate) fn deflate(&mut self, message: &[u8], window_bits: u8, level: u8) -> Option<&[u8]> {
        if window_bits < WINDOW_BITS_MIN {
            return None;
        }
        let fits = |spare: &Deflater| spare.window_bits == window_bits && spare.level == level;
        let at = match self.spare.iter().position(fits) {
            Some(at) => at,
            None => {
                if self.spare.len() >= SPARE_MAX {
                    self.spare.remove(0);
                }
                self.spare.push(Deflater::new(window_bits, level));
                self.spare.len() - 1
            }
        };
        let deflater = &mut self.spare[at];
        let smaller = deflater.deflate(message, &mut self.out);
        if smaller {
            deflater.compress.reset();
        }
        self.compressed(smaller)
    }

    /// Compresses a message behind those before it, by the connection's `own` compressor.
    pub(crate) fn deflate_on(
        &mut self,
        message: &[u8],
        window_bits: u8,
        level: u8,
        own: &mut Option<Deflater>,
    ) -> Option<&[u8]> {
        if window_bits < WINDOW_BITS_MIN {
            return None;
        }
        let deflater = own.get_or_insert_with(|| Deflater::new(window_bits, level));
        let smaller = deflater.deflate(message, &mut self.out);
        self.compressed(smaller)
    }

    fn compressed(&mut self, smaller: bool) -> Option<&[u8]> {
        if !smaller {
            self.out.clear();
        }
        if self.out.capacity() > OUT_KEPT_MAX {
            self.out.shrink_to(OUT_KEPT_MAX);
        }
        smaller.then_some(&*self.out)
    }
}

/// What a flush ends with, which is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Spare compressors of a thread: one for each window and level in use, most likely one.
const SPARE_MAX: usize = 4;
/// Room that is kept for the next message.
const OUT_KEPT_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::deflate::Inflaters;

    /// RFC 7692 §7.2.1: a compressor that could not make messages smaller goes on with the next one. Two such messages
    /// in a row once made zlib-rs panic.
    #[test]
    fn noise_is_sent_plain_and_what_follows_it_is_compressed() {
        let mut state = 7;
        let noise: Vec<u8> = (0..70_000).map(|_| crate::proto::random::split_mix(&mut state) as u8).collect();
        let text = b"what follows ".repeat(1000);
        for (window_bits, level) in
            [9, 12, 15].into_iter().flat_map(|bits| [1, 3, 9].map(|level| (bits, level)))
        {
            let (mut deflaters, mut own) = (Deflaters::default(), None);
            for _ in 0..2 {
                for len in [33_000, 70_000, 50_000] {
                    assert_eq!(deflaters.deflate_on(&noise[..len], window_bits, level, &mut own), None);
                    assert_eq!(deflaters.deflate(&noise[..len], window_bits, level), None);
                }
                for compressed in [
                    deflaters.deflate_on(&text, window_bits, level, &mut own).map(<[u8]>::to_vec),
                    deflaters.deflate(&text, window_bits, level).map(<[u8]>::to_vec),
                ] {
                    let compressed = compressed.expect("it becomes smaller");
                    let mut inflater = Inflaters::default().borrow(&[]).expect("one is lent");
                    let mut plain = Vec::new();
                    assert_eq!(inflater.inflate(&compressed, &mut plain, 1 << 20, &[]), Ok(()));
                    assert_eq!(inflater.finish(&mut plain, 1 << 20, &[]), Ok(()));
                    assert!(plain == text, "{window_bits} bits, level {level}");
                }
            }
        }
    }
}
