//! Inflates as RFC 1951 says it, bit by bit, as Mark Adler's `puff` does. It shares no code with zlib, but finds what is wrong at
//! the same byte; and it says how far a stream referred back.

/// How far a DEFLATE stream was understood.
pub struct Inflated {
    pub plain: Vec<u8>,
    pub stop: Stop,
    /// The farthest that it referred back.
    pub distance_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// Nothing is left, and whole blocks were there, to the bit.
    BetweenBlocks,
    /// More is needed.
    InsideBlock,
    /// Nothing is left behind a block that said it is the last.
    Ended,
    Invalid,
    TooLong,
    TooManyStreams,
}

/// Inflates up to one byte above `max`, referring back as far as `before`. Behind a last block begins another stream.
pub fn inflate(bytes: &[u8], before: &[u8], max: usize) -> Inflated {
    let mut bits = Bits { bytes, at: 0 };
    let mut out = Out { bytes: before.to_vec(), before: before.len(), max, distance_max: 0 };
    let Err(stop) = blocks(&mut bits, &mut out);
    Inflated { plain: out.bytes.split_off(out.before), stop, distance_max: out.distance_max }
}

fn blocks(bits: &mut Bits<'_>, out: &mut Out) -> Result<std::convert::Infallible, Stop> {
    let mut streams = 1;
    loop {
        if bits.at == bits.bytes.len() * 8 {
            return Err(Stop::BetweenBlocks);
        }
        let head = bits.take(3)?;
        match head >> 1 {
            0 => stored(bits, out)?,
            1 => {
                let lens: Vec<u8> = [(8, 144), (9, 112), (7, 24), (8, 8)]
                    .iter()
                    .flat_map(|(len, n)| vec![*len; *n])
                    .collect();
                codes(bits, out, &Code::new(&lens)?, &Code::new(&[5; 32])?)?;
            }
            2 => {
                let (literals, distances) = tables(bits)?;
                codes(bits, out, &literals, &distances)?;
            }
            _ => return Err(Stop::Invalid),
        }
        if head & 1 == 1 {
            bits.align();
            if bits.at == bits.bytes.len() * 8 {
                return Err(Stop::Ended);
            }
            streams += 1;
            if streams > 64 {
                return Err(Stop::TooManyStreams);
            }
        }
    }
}

fn stored(bits: &mut Bits<'_>, out: &mut Out) -> Result<(), Stop> {
    bits.align();
    let (len, check) = (bits.take(16)?, bits.take(16)?);
    if len != !check & 0xffff {
        return Err(Stop::Invalid);
    }
    (0..len).try_for_each(|_| out.push(bits.take(8)? as u8))
}

fn tables(bits: &mut Bits<'_>) -> Result<(Code, Code), Stop> {
    let (literals, distances, lens_of_lens) =
        (bits.take(5)? as usize + 257, bits.take(5)? as usize + 1, bits.take(4)? as usize + 4);
    if literals > 286 || distances > 30 {
        return Err(Stop::Invalid);
    }
    let mut code_lens = [0; 19];
    for place in &[16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15][..lens_of_lens] {
        code_lens[*place] = bits.take(3)? as u8;
    }
    if code_lens == [0; 19] {
        // No code at all cannot be right; zlib takes its time to find that, and both are to say so at the same byte.
        (0..literals + distances).try_for_each(|_| bits.take(1).map(drop))?;
        return Err(Stop::Invalid);
    }
    let code = Code::new(&code_lens)?;
    if !code.complete {
        return Err(Stop::Invalid);
    }
    let mut lens = Vec::new();
    while lens.len() < literals + distances {
        let (len, times) = match code.read(bits)? {
            16 => {
                let times = bits.take(2)? as usize + 3;
                (*lens.last().ok_or(Stop::Invalid)?, times)
            }
            17 => (0, bits.take(3)? as usize + 3),
            18 => (0, bits.take(7)? as usize + 11),
            len => (len as u8, 1),
        };
        lens.extend(vec![len; times]);
    }
    if lens.len() > literals + distances || lens[256] == 0 {
        return Err(Stop::Invalid);
    }
    Ok((Code::new(&lens[..literals])?, Code::new(&lens[literals..])?))
}

fn codes(bits: &mut Bits<'_>, out: &mut Out, literals: &Code, distances: &Code) -> Result<(), Stop> {
    loop {
        let symbol = literals.read(bits)?;
        match symbol {
            0..=255 => out.push(symbol as u8)?,
            256 => return Ok(()),
            257..=285 => {
                let len = match symbol - 257 {
                    28 => 258,
                    short @ 0..=7 => short + 3,
                    n => ((4 + n % 4) << (n / 4 - 1)) + 3 + bits.take(n / 4 - 1)? as usize,
                };
                let distance = match distances.read(bits)? {
                    short @ 0..=3 => short + 1,
                    n @ 4..=29 => ((2 + n % 2) << (n / 2 - 1)) + 1 + bits.take(n / 2 - 1)? as usize,
                    _ => return Err(Stop::Invalid),
                };
                if distance > out.bytes.len() {
                    return Err(Stop::Invalid);
                }
                out.distance_max = out.distance_max.max(distance);
                (0..len).try_for_each(|_| out.push(out.bytes[out.bytes.len() - distance]))?;
            }
            _ => return Err(Stop::Invalid),
        }
    }
}

struct Out {
    bytes: Vec<u8>,
    before: usize,
    max: usize,
    distance_max: usize,
}

impl Out {
    fn push(&mut self, byte: u8) -> Result<(), Stop> {
        self.bytes.push(byte);
        if self.bytes.len() - self.before > self.max { Err(Stop::TooLong) } else { Ok(()) }
    }
}

struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<u32, Stop> {
        if self.at + count > self.bytes.len() * 8 {
            return Err(Stop::InsideBlock);
        }
        let bit = |at: usize| u32::from(self.bytes[at / 8] >> (at % 8) & 1);
        let number = (0..count).fold(0, |number, place| number | bit(self.at + place) << place);
        self.at += count;
        Ok(number)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

/// A Huffman code: how many symbols there are of each length, and the symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
    complete: bool,
}

impl Code {
    fn new(lens: &[u8]) -> Result<Self, Stop> {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for len in 1..16 {
            let of_len = lens.iter().enumerate().filter(|(_, other)| usize::from(**other) == len);
            symbols.extend(of_len.map(|(symbol, _)| symbol));
            counts[len] = symbols.len() - counts.iter().sum::<usize>();
        }
        let left = (1..16).try_fold(1usize, |left, len| (left * 2).checked_sub(counts[len]));
        let left = left.ok_or(Stop::Invalid)?;
        // Only a code of one bit, or none, may leave something unused.
        if left > 0 && symbols.len() != counts[1] {
            return Err(Stop::Invalid);
        }
        Ok(Self { counts, symbols, complete: left == 0 })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, Stop> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for len in 1..16 {
            code |= bits.take(1)? as usize;
            if code < first + self.counts[len] {
                return Ok(self.symbols[index + code - first]);
            }
            index += self.counts[len];
            first = (first + self.counts[len]) << 1;
            code <<= 1;
            if !self.complete {
                break;
            }
        }
        Err(Stop::Invalid)
    }
}
