//! Frames out of few bytes: a fuzzer that has only raw bytes seldom writes a message of 64 KiB.
//!
//! Each frame is three bytes (its first; a shape; a key) and what the shape takes. Everything can still be wrong with it: reserved
//! bits, opcodes, order, lengths in a long form or announced and not kept, the mask bit.

use arbitrary::Unstructured;

/// The stream that `bytes` describe; `masked` as a client's frames are.
pub fn build(bytes: &[u8], masked: bool) -> Vec<u8> {
    let mut input = Unstructured::new(bytes);
    let mut stream = Vec::new();
    while !input.is_empty() && stream.len() < STREAM_BYTES_MAX {
        let (Ok(first), Ok(shape), Ok(key)) = (input.arbitrary(), input.arbitrary(), input.arbitrary())
        else {
            break;
        };
        push_frame(&mut stream, &mut input, first, shape, masked.then_some(key));
    }
    stream
}

fn push_frame(stream: &mut Vec<u8>, input: &mut Unstructured<'_>, first: u8, shape: u8, key: Option<u8>) {
    let number = shape >> 3;
    let payload = match shape & 7 {
        0..=2 => input.bytes(usize::from(number).min(input.len())).unwrap_or_default().to_vec(),
        3 | 4 => vec![number.wrapping_mul(5) + b'A'; LENGTHS[usize::from(number) % LENGTHS.len()]],
        5 => "aé€😀"
            .bytes()
            .cycle()
            .skip(usize::from(number >> 3))
            .take(LENGTHS[usize::from(number) % LENGTHS.len()])
            .collect(),
        _ => input.bytes(usize::from(number & 3).min(input.len())).unwrap_or_default().to_vec(),
    };
    // What is announced, and in how many bytes.
    let (announced, form) = match shape & 7 {
        6 => (payload.len() as u64, [0u8, 2, 8][usize::from(number >> 2) % 3]),
        7 => (ANNOUNCED[usize::from(number >> 2) % ANNOUNCED.len()], 0),
        _ => (payload.len() as u64, 0),
    };
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    stream.push(first);
    match (form, announced) {
        (0, 0..=125) => stream.push(mask_bit | announced as u8),
        (0, 126..=0xffff) | (2, _) => {
            stream.push(mask_bit | 126);
            stream.extend_from_slice(&(announced as u16).to_be_bytes());
        }
        _ => {
            stream.push(mask_bit | 127);
            stream.extend_from_slice(&announced.to_be_bytes());
        }
    }
    let key = key.map(|key| [key, key.wrapping_mul(3), key ^ 0x5a, !key]);
    stream.extend(key.into_iter().flatten());
    let start = stream.len();
    stream.extend_from_slice(&payload);
    for (at, byte) in stream[start..].iter_mut().enumerate() {
        *byte ^= key.map_or(0, |key| key[at % 4]);
    }
}

/// Lengths at the edges: of the header's forms, of the limits that the target sets, of what is read straight or spliced.
const LENGTHS: [usize; 16] =
    [0, 1, 99, 100, 101, 125, 126, 127, 4095, 4096, 16_383, 16_390, 20_000, 40_000, 65_535, 65_536];
/// Lengths that are announced and not kept.
const ANNOUNCED: [u64; 8] = [17_000, 65_536, 70_000, 1 << 20, (1 << 20) + 1, 1 << 32, (1 << 63) - 1, 1 << 63];
const STREAM_BYTES_MAX: usize = 200_000;
