//! A timer wheel: a deadline a connection, armed, moved forward and fired in constant time.
//!
//! It promises to fire no later than a tick past the deadline, and may fire early: who is fired looks at its real deadline and
//! is armed again. So traffic, which only puts deadlines off, never touches it, and one turn of the wheel is all it knows.

use std::time::{Duration, Instant};

/// Keyed by the connections' places.
#[derive(Debug)]
pub(super) struct Wheel {
    epoch: Instant,
    /// Everything up to here has fired.
    tick: u64,
    /// No occupied bucket comes due before this one.
    next: u64,
    heads: Box<[u32; BUCKETS]>,
    /// A bit for each bucket that is not empty.
    occupied: [u64; BUCKETS / 64],
    timers: Vec<Timer>,
}

/// A link in its bucket's list.
#[derive(Clone, Copy, Debug)]
struct Timer {
    /// [`NOBODY`]: not armed.
    bucket: u32,
    before: u32,
    behind: u32,
}

impl Wheel {
    pub(super) fn new(now: Instant, capacity: usize) -> Self {
        Self {
            epoch: now,
            tick: 0,
            next: u64::MAX,
            heads: Box::new([NOBODY; BUCKETS]),
            occupied: [0; BUCKETS / 64],
            timers: Vec::with_capacity(capacity),
        }
    }

    /// Has `who` fire by `deadline`, unless it does earlier anyway.
    pub(super) fn arm(&mut self, who: usize, deadline: Instant) {
        if who >= self.timers.len() {
            self.timers.resize(who + 1, Timer { bucket: NOBODY, before: NOBODY, behind: NOBODY });
        }
        let after = deadline.saturating_duration_since(self.epoch);
        let due = u64::try_from(after.as_millis().div_ceil(TICK_MILLIS)).unwrap_or(u64::MAX);
        let due = due.clamp(self.tick + 1, self.tick + BUCKETS as u64 - 1);
        let armed = self.timers[who].bucket;
        if armed != NOBODY {
            if self.due(armed) <= due {
                return;
            }
            self.unlink(who);
        }
        self.link(who, (due % BUCKETS as u64) as u32);
        self.next = self.next.min(due);
    }

    /// `who` is gone.
    pub(super) fn disarm(&mut self, who: usize) {
        if self.timers.get(who).is_some_and(|timer| timer.bucket != NOBODY) {
            self.unlink(who);
        }
    }

    /// When to call [`fire`](Self::fire) next.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.next != u64::MAX).then(|| self.epoch + TICK * u32::try_from(self.next).unwrap_or(u32::MAX))
    }

    /// Takes out who is due at `now`.
    pub(super) fn fire(&mut self, now: Instant, fired: &mut Vec<usize>) {
        let elapsed = now.saturating_duration_since(self.epoch).as_millis() / TICK_MILLIS;
        let until = u64::try_from(elapsed).unwrap_or(u64::MAX);
        if until < self.next {
            self.tick = self.tick.max(until);
            return;
        }
        // After a long sleep every bucket is due, and none twice.
        let from = self.tick.max(until.saturating_sub(BUCKETS as u64));
        for due in from + 1..=until {
            let bucket = (due % BUCKETS as u64) as usize;
            while self.heads[bucket] != NOBODY {
                let who = self.heads[bucket] as usize;
                self.unlink(who);
                fired.push(who);
            }
        }
        self.tick = until;
        self.next = self.find_next();
    }

    /// The tick that a bucket stands for: there is one of each within a turn.
    fn due(&self, bucket: u32) -> u64 {
        let ahead = (u64::from(bucket) + BUCKETS as u64 - (self.tick + 1) % BUCKETS as u64) % BUCKETS as u64;
        self.tick + 1 + ahead
    }

    fn find_next(&self) -> u64 {
        let first = ((self.tick + 1) % BUCKETS as u64) as usize;
        // The word that we begin in comes twice: what lies behind the beginning, and what lies before it.
        for step in 0..=WORDS {
            let word = (first / 64 + step) % WORDS;
            let mask = match step {
                0 => u64::MAX << (first % 64),
                WORDS => !(u64::MAX << (first % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                return self.due((word * 64) as u32 + bits.trailing_zeros());
            }
        }
        u64::MAX
    }

    fn link(&mut self, who: usize, bucket: u32) {
        let head = std::mem::replace(&mut self.heads[bucket as usize], who as u32);
        if head != NOBODY {
            self.timers[head as usize].before = who as u32;
        }
        self.timers[who] = Timer { bucket, before: NOBODY, behind: head };
        self.occupied[bucket as usize / 64] |= 1 << (bucket % 64);
    }

    fn unlink(&mut self, who: usize) {
        let Timer { bucket, before, behind } = self.timers[who];
        self.timers[who].bucket = NOBODY;
        if behind != NOBODY {
            self.timers[behind as usize].before = before;
        }
        if before != NOBODY {
            self.timers[before as usize].behind = behind;
            return;
        }
        self.heads[bucket as usize] = behind;
        if behind == NOBODY {
            self.occupied[bucket as usize / 64] &= !(1 << (bucket % 64));
        }
    }
}

/// A tick is 8 ms, and a turn of the wheel half a minute: an idle connection, which pings every 20 s, is looked at twice a
/// minute at most.
const TICK_MILLIS: u128 = 8;
const TICK: Duration = Duration::from_millis(TICK_MILLIS as u64);
const BUCKETS: usize = 4096;
const WORDS: usize = BUCKETS / 64;
const NOBODY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fired(wheel: &mut Wheel, now: Instant) -> Vec<usize> {
        let mut fired = Vec::new();
        wheel.fire(now, &mut fired);
        fired.sort_unstable();
        fired
    }

    #[test]
    fn a_deadline_fires_within_a_tick_and_not_before() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, 0);
        wheel.arm(3, start + Duration::from_millis(100));
        assert_eq!(wheel.next(), Some(start + Duration::from_millis(104)));
        assert!(fired(&mut wheel, start + Duration::from_millis(103)).is_empty());
        assert_eq!(fired(&mut wheel, start + Duration::from_millis(104)), [3]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn only_an_earlier_deadline_moves_it_and_who_is_disarmed_is_silent() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, 0);
        wheel.arm(0, start + Duration::from_secs(2));
        wheel.arm(0, start + Duration::from_secs(9));
        wheel.arm(1, start + Duration::from_secs(2));
        wheel.arm(1, start + Duration::from_secs(1));
        wheel.arm(2, start + Duration::from_secs(1));
        wheel.disarm(2);
        wheel.disarm(7);
        assert_eq!(fired(&mut wheel, start + Duration::from_secs(1)), [1]);
        assert_eq!(fired(&mut wheel, start + Duration::from_secs(2)), [0]);
    }

    /// catalogue: RT-21, FT-35
    #[test]
    fn a_hundred_thousand_and_a_jump_of_hours_fire_once_each() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, 0);
        (0..100_000).for_each(|who| wheel.arm(who, start + Duration::from_millis(who as u64)));
        assert_eq!(fired(&mut wheel, start + Duration::from_secs(7200)).len(), 100_000);
        assert!(fired(&mut wheel, start + Duration::from_secs(9000)).is_empty());
        wheel.arm(5, start);
        assert_eq!(fired(&mut wheel, start + Duration::from_secs(9001)), [5]);
    }

    proptest! {
        /// Against the plainest of models: nobody later than a tick, nobody forgotten · catalogue: RT-21
        #[test]
        fn nobody_fires_late(steps in proptest::collection::vec((0usize..20, 0u64..90_000, 0u64..3_000, any::<bool>()), 1..200)) {
            let start = Instant::now();
            let mut wheel = Wheel::new(start, 0);
            let mut due = [None::<u64>; 20];
            let mut now = 0;
            for (who, after, passes, disarm) in steps {
                if disarm {
                    wheel.disarm(who);
                    due[who] = None;
                } else {
                    wheel.arm(who, start + Duration::from_millis(now + after));
                    due[who] = Some(due[who].map_or(now + after, |due| due.min(now + after)));
                }
                let earliest = due.iter().flatten().min();
                let next = wheel.next().map(|next| (next - start).as_millis() as u64);
                let latest = earliest.map(|due| (*due).max(now) + 16);
                prop_assert!(earliest.is_none() || next.is_some_and(|next| Some(next) <= latest), "{:?}", next);
                now += passes;
                for who in fired(&mut wheel, start + Duration::from_millis(now)) {
                    // Early is allowed: it is armed again.
                    match due[who] {
                        Some(real) if real > now => wheel.arm(who, start + Duration::from_millis(real)),
                        Some(_) => due[who] = None,
                        None => prop_assert!(false, "{} was disarmed", who),
                    }
                }
                prop_assert!(due.iter().flatten().all(|due| due + 16 > now), "{:?} at {}", due, now);
            }
        }
    }
}
