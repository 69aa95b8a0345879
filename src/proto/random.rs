//! Masking keys (RFC 6455 §5.3, §10.3): from the operating system's generator, or, for a simulation, from a seed.

/// Where a client's masking keys come from; lent by the thread with [`Outbound`](super::Outbound).
#[derive(Debug, Default)]
pub struct Masks(Source);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a thread")]
enum Source {
    /// Drawn in batches: one system call for 64 keys. A process that forks after a draw must make new `Masks` in its
    /// child, or both go on with the same keys.
    System { batch: [u8; BATCH], used: usize },
    /// SplitMix64. A peer that knows the seed knows the keys.
    Seeded(u64),
}

const BATCH: usize = 256;

impl Default for Source {
    fn default() -> Self {
        Self::System { batch: [0; BATCH], used: BATCH }
    }
}

impl Masks {
    /// Keys that repeat with the seed: for tests and simulations only, as a proxy between could be fooled with keys that
    /// are known beforehand (RFC 6455 §10.3).
    pub const fn predictable(seed: u64) -> Self {
        Self(Source::Seeded(seed))
    }

    /// A fresh key.
    ///
    /// # Panics
    /// If the operating system has no random bytes to give.
    #[inline]
    pub fn key(&mut self) -> [u8; 4] {
        match &mut self.0 {
            Source::System { batch, used } => {
                if *used == BATCH {
                    getrandom::fill(batch).expect("the operating system gives random bytes");
                    *used = 0;
                }
                let mut key = [0; 4];
                key.copy_from_slice(&batch[*used..*used + 4]);
                *used += 4;
                key
            }
            Source::Seeded(state) => (split_mix(state) as u32).to_ne_bytes(),
        }
    }
}

/// The next number of SplitMix64 (Steele, Lea, Flood 2014): good enough for jitter, not for secrets.
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// RFC 6455 §5.3, §10.3 · catalogue: SN-01
    #[test]
    fn keys_do_not_repeat_beyond_chance_and_every_byte_is_as_likely() {
        let mut masks = Masks::default();
        let keys: Vec<[u8; 4]> = (0..1_000_000).map(|_| masks.key()).collect();
        let distinct = keys.iter().collect::<HashSet<_>>().len();
        // Birthday: n²/2·2⁻³² ≈ 116 repeats are to be expected.
        assert!((keys.len() - 300..=keys.len()).contains(&distinct), "{distinct} distinct keys");
        for position in 0..4 {
            let mut counts = [0f64; 256];
            keys.iter().for_each(|key| counts[usize::from(key[position])] += 1.0);
            let expected = keys.len() as f64 / 256.0;
            let chi_square: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
            // 255 degrees of freedom: 255 ± 22.6; eight deviations either way do not happen by chance.
            assert!((75.0..435.0).contains(&chi_square), "byte {position}: {chi_square}");
        }
    }
}
