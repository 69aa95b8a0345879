//! How bytes come in: catalogue, section 0. What is right in one delivery must be right in all.

use super::Random;

/// One way to cut a stream of bytes into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// One read.
    Whole,
    /// A byte a read.
    Bytes,
    /// Two reads, the first of this many bytes.
    Split(usize),
    /// Reads of 1 to 16 bytes, by a seed.
    Random(u64),
}

impl Delivery {
    /// All four, with a split at each of the first 40 offsets: more than any header and a short payload.
    pub(crate) const ALL: [Self; 46] = {
        let mut all = [Self::Whole; 46];
        all[1] = Self::Bytes;
        let mut at = 2;
        while at < 42 {
            all[at] = Self::Split(at - 1);
            at += 1;
        }
        while at < 46 {
            all[at] = Self::Random(at as u64);
            at += 1;
        }
        all
    };

    /// One of each kind, for what is long or dear.
    pub(crate) const SOME: [Self; 5] =
        [Self::Whole, Self::Bytes, Self::Split(1), Self::Split(7), Self::Random(7)];

    /// All four, with a split at every offset of an input of `len` bytes.
    pub(crate) fn every(len: usize) -> impl Iterator<Item = Self> {
        [Self::Whole, Self::Bytes, Self::Random(1), Self::Random(2), Self::Random(3)]
            .into_iter()
            .chain((1..len).map(Self::Split))
    }

    pub(crate) fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Bytes => bytes.chunks(1).collect(),
            Self::Split(at) => {
                let (front, back) = bytes.split_at(at.min(bytes.len()));
                if back.is_empty() { vec![front] } else { vec![front, back] }
            }
            Self::Random(seed) => {
                let (mut random, mut rest, mut pieces) = (Random(seed), bytes, Vec::new());
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(rest.len().min(1 + random.below(16)));
                    pieces.push(piece);
                    rest = behind;
                }
                pieces
            }
        }
    }
}
