//! Messages compressed by somebody else (miniz_oxide), in frames, out of few bytes; sound, or broken in some way.

use arbitrary::{Result, Unstructured};
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};

use crate::engine::Told;

/// A peer that writes.
pub struct Writer {
    pub stream: Vec<u8>,
    /// What a receiver should make of it, while nothing is broken.
    pub told: Vec<Told>,
    masked: bool,
    /// The next message may refer to those before it.
    takeover: bool,
    compressor: Option<Box<CompressorOxide>>,
    plain: Vec<u8>,
}

impl Writer {
    pub fn new(masked: bool, takeover: bool) -> Self {
        let (stream, told, plain) = Default::default();
        Self { stream, told, masked, takeover, compressor: None, plain }
    }

    /// Frames and messages that `bytes` describe, with anything wrong.
    pub fn write_anything(&mut self, bytes: &[u8]) {
        let mut input = Unstructured::new(bytes);
        while !input.is_empty() && self.stream.len() < STREAM_BYTES_MAX {
            if self.write_any(&mut input).is_err() {
                break;
            }
        }
    }

    /// Messages that `bytes` describe, with nothing wrong.
    pub fn write_messages(&mut self, bytes: &[u8]) {
        let mut input = Unstructured::new(bytes);
        while !input.is_empty() && self.stream.len() < STREAM_BYTES_MAX {
            let Ok((text, plain)) = message(&mut input, &self.plain) else { break };
            let (Ok(how), Ok(places)) = (input.arbitrary(), input.arbitrary()) else { break };
            let payload = self.compress(&plain, how);
            self.write_in_fragments(text, &payload, places);
            self.tell(text, plain);
        }
    }

    fn write_any(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let [first, shape] = input.arbitrary()?;
        if shape & 1 == 0 {
            // A frame as it is described.
            let payload = input.bytes(usize::from(shape >> 1).min(input.len()))?;
            self.write_frame(first, payload);
            return Ok(());
        }
        let (text, plain) = message(input, &self.plain)?;
        let [how, places, place] = input.arbitrary()?;
        let mut payload = self.compress(&plain, how);
        let place = usize::from(place);
        match shape >> 1 & 7 {
            0 => payload.truncate(payload.len().saturating_sub(place % 16 + 1)),
            1 => {
                if let Some(byte) = payload.get_mut(place) {
                    *byte ^= first;
                }
            }
            2 => payload.extend(input.bytes((place % 16).min(input.len()))?),
            // A whole stream before the message, or many.
            3 => payload.splice(..0, EMPTY_AND_LAST.repeat(place % 80)).for_each(drop),
            4 => payload.extend_from_slice(&EMPTY_STORED.repeat(place % 4)),
            _ => {}
        }
        self.write_in_fragments(text, &payload, places);
        self.plain = plain;
        Ok(())
    }

    /// `how`: the level, the strategy, and whether the last block says so.
    fn compress(&mut self, plain: &[u8], how: u8) -> Vec<u8> {
        let flags = create_comp_flags_from_zip_params(i32::from(how % 11), -15, i32::from(how / 11 % 5));
        let mut compressor = self.compressor.take().unwrap_or_else(|| Box::new(CompressorOxide::new(flags)));
        let last = how > 200;
        let mut payload = Vec::new();
        let flush = if last { TDEFLFlush::Finish } else { TDEFLFlush::Sync };
        compress_to_output(&mut compressor, plain, flush, |bytes| {
            payload.extend_from_slice(bytes);
            true
        });
        if !last {
            // A flush of nothing may write nothing.
            match payload.strip_suffix(&TAIL).map(<[u8]>::len) {
                Some(len) => payload.truncate(len),
                None => payload = vec![0],
            }
            self.compressor = Some(compressor).filter(|_| self.takeover);
        }
        payload
    }

    fn write_in_fragments(&mut self, text: bool, payload: &[u8], places: u8) {
        let first = if text { 0x41 } else { 0x42 };
        let (head, rest) = payload.split_at(payload.len() * usize::from(places & 0x0f) / 16);
        if head.is_empty() {
            return self.write_frame(0x80 | first, rest);
        }
        self.write_frame(first, head);
        if places & 0x10 != 0 {
            self.write_frame(0x89, b"between");
            self.told.push(Told::Ping(b"between".to_vec()));
        }
        if places & 0x20 != 0 {
            self.write_frame(0, b"");
        }
        self.write_frame(0x80, rest);
    }

    fn write_frame(&mut self, first: u8, payload: &[u8]) {
        let bit = if self.masked { 0x80 } else { 0 };
        self.stream.push(first);
        match payload.len() {
            short @ 0..=125 => self.stream.push(bit | short as u8),
            len @ 126..=0xffff => {
                self.stream.push(bit | 126);
                self.stream.extend((len as u16).to_be_bytes());
            }
            len => {
                self.stream.push(bit | 127);
                self.stream.extend((len as u64).to_be_bytes());
            }
        }
        let key = if self.masked { [0x37, 0xfa, 0x21, 0x3d] } else { [0; 4] };
        self.stream.extend(key.iter().take(if self.masked { 4 } else { 0 }));
        self.stream.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    fn tell(&mut self, text: bool, plain: Vec<u8>) {
        self.plain.clone_from(&plain);
        self.told.push(match String::from_utf8(plain) {
            Ok(plain) if text => Told::Text(plain),
            Ok(plain) => Told::Binary(plain.into_bytes()),
            Err(error) => Told::Binary(error.into_bytes()),
        });
    }
}

/// A message's plain bytes, and whether they are text: as described, or of one letter, or of text, or noise, or much like the one
/// `before`.
pub fn message(input: &mut Unstructured<'_>, before: &[u8]) -> Result<(bool, Vec<u8>)> {
    let [shape, seed] = input.arbitrary()?;
    let len = LENGTHS[usize::from(shape >> 3) % LENGTHS.len()];
    Ok(match shape & 7 {
        0 => (false, input.bytes(usize::from(seed).min(input.len()))?.to_vec()),
        1 => (true, vec![seed & 0x7f; len]),
        2 => (true, "aé€😀".repeat(len / 10 + 1).into_bytes()),
        3 => (true, (0..len).map(|at| noise(at, seed) & 0x7f).collect()),
        4 => (false, (0..len).map(|at| noise(at, seed)).collect()),
        5 => (false, before.to_vec()),
        6 => (false, before.iter().rev().skip(seed.into()).take(len).copied().collect()),
        _ => (false, [before, &[seed][..]].concat().into_iter().skip(1).take(len).collect()),
    })
}

fn noise(at: usize, seed: u8) -> u8 {
    ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(seed) << 40) >> 33) as u8
}

/// Lengths at the edges: of the windows, of the limits that the targets set, of what zlib takes at once.
const LENGTHS: [usize; 16] =
    [0, 1, 2, 5, 99, 100, 101, 256, 511, 513, 1025, 4096, 5000, 16_390, 33_000, 70_000];
const STREAM_BYTES_MAX: usize = 100_000;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// A block that says it is the last, and has nothing in it.
const EMPTY_AND_LAST: [u8; 2] = [3, 0];
const EMPTY_STORED: [u8; 5] = [0, 0, 0, 0xff, 0xff];
