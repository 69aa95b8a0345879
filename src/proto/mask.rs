//! Masking: XOR with a key of four bytes, the same both ways (RFC 6455 §5.3).
//!
//! One function over two builds of one loop: AVX2 where the processor has it, and whatever the target has elsewhere.

/// XORs `payload` with `key`, whose first byte meets the payload's first byte. Any length, any alignment.
///
/// ```
/// let mut payload = *b"Hello";
/// framecast::proto::mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]); // RFC 6455 §5.7
/// ```
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    // Under 64 bytes the call that cannot be inlined costs more than the wider registers save.
    #[cfg(target_arch = "x86_64")]
    if payload.len() >= 64 && is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calls a function compiled for AVX2")]
        // SAFETY: AVX2 was detected on the line above; `xor_avx2` is otherwise safe code.
        return unsafe { xor_avx2(payload, key) };
    }
    xor(payload, key);
}

/// `key` as the payload's byte at `offset` meets it: what a payload in pieces goes on with.
#[inline]
pub(super) const fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (offset as u32 & 3)).to_le_bytes()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn xor_avx2(payload: &mut [u8], key: [u8; 4]) {
    // A long payload goes from a cache line's start on: half of its XORs would otherwise reach into two of them.
    let unaligned = if payload.len() < ALIGN_MIN { 0 } else { payload.as_ptr().align_offset(CACHE_LINE) };
    let (head, rest) = payload.split_at_mut(unaligned.min(payload.len()));
    xor(head, key);
    xor(rest, rotate(key, head.len()));
}

#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
/// From here on a start of its own is worth its while.
#[cfg(target_arch = "x86_64")]
const ALIGN_MIN: usize = 1 << 10;

/// Blocks of 128 bytes become four 32-byte XORs under AVX2; the rest goes by words of 8 and 4, then by bytes.
#[inline(always)]
fn xor(payload: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let word = u64::from(word) << 32 | u64::from(word);
    let (blocks, rest) = payload.as_chunks_mut::<128>();
    for block in blocks {
        for lane in block.as_chunks_mut::<8>().0 {
            *lane = (u64::from_ne_bytes(*lane) ^ word).to_ne_bytes();
        }
    }
    let (lanes, rest) = rest.as_chunks_mut::<8>();
    for lane in lanes {
        *lane = (u64::from_ne_bytes(*lane) ^ word).to_ne_bytes();
    }
    let (quads, rest) = rest.as_chunks_mut::<4>();
    for quad in quads {
        *quad = (u32::from_ne_bytes(*quad) ^ word as u32).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
        payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect()
    }

    /// RFC 6455 §5.3 · catalogue: FR-12, FR-13
    #[test]
    fn agrees_with_byte_by_byte_at_every_length_and_alignment() {
        let bytes: Vec<u8> = (0..700u32).map(|at| (at * 167 + 13) as u8).collect();
        for key in [[0; 4], [0xff; 4], [0x37, 0xfa, 0x21, 0x3d], [1, 2, 3, 4]] {
            for align in 0..16 {
                for len in 0..=300 {
                    let mut ours = bytes.clone();
                    mask(&mut ours[align..align + len], key);
                    assert_eq!(
                        ours[align..align + len],
                        naive(&bytes[align..align + len], key),
                        "{align} {len}"
                    );
                    assert_eq!(ours[..align], bytes[..align]);
                    assert_eq!(ours[align + len..], bytes[align + len..]);
                }
            }
            for len in (65_530..65_540).chain((1 << 20) - 1..(1 << 20) + 2) {
                let mut ours = vec![0x5a; len];
                let expected = naive(&ours, key);
                mask(&mut ours, key);
                assert_eq!(ours, expected, "{len}");
                let mut portable = vec![0x5a; len];
                xor(&mut portable, key);
                assert_eq!(portable, expected, "{len}");
            }
        }
    }

    /// RFC 6455 §5.3 · catalogue: FR-13
    #[test]
    fn a_payload_in_pieces_is_masked_as_the_whole_is() {
        let key = [9, 8, 7, 6];
        let bytes: Vec<u8> = (0..=255).collect();
        for cut in 0..=bytes.len() {
            let mut pieces = bytes.clone();
            mask(&mut pieces[..cut], key);
            mask(&mut pieces[cut..], rotate(key, cut));
            assert_eq!(pieces, naive(&bytes, key), "{cut}");
        }
    }
}
