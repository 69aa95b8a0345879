//! Subscriptions with wildcards, and which of them a topic matches.
//!
//! A pattern has a number. Of each place between colons it is known which numbers take any part there, and which take this one or
//! that one; a topic is matched by those that take its part at each of its places. So a topic costs a word for 64 patterns at each
//! place, at most, whatever the patterns are. In a tree of parts it would cost a walk of all ways that a `*` beside a part leaves
//! open, which somebody would choose so that there are as many as there are parts in all patterns (catalogue: DS-42).

use std::{collections::HashMap, sync::Arc};

use super::{
    name::{ONE, PATTERN_PARTS_MAX, REST, SEPARATOR},
    places::{Places, shrink},
    shard::Room,
};

#[derive(Debug, Default)]
pub(super) struct Patterns {
    numbers: HashMap<Arc<str>, u32>,
    rooms: Places<Room>,
    /// What a topic of so many parts can match, by their number less one; the last one is for all that have more than a pattern.
    lengths: [Numbers; PATTERN_PARTS_MAX + 1],
    levels: [Level; PATTERN_PARTS_MAX],
    /// Used anew for each topic.
    matching: Vec<Word>,
}

/// A place between colons.
#[derive(Debug, Default)]
struct Level {
    /// Those that take any part here: by `*`, or by `>` here or before.
    any: Numbers,
    /// Those that take this part alone.
    parts: HashMap<Box<str>, Numbers>,
}

/// A set of numbers, by words in their order, none of which is empty.
#[derive(Debug, Default)]
struct Numbers(Vec<Word>);

/// 64 numbers, of which some are in the set.
#[derive(Clone, Copy, Debug)]
struct Word {
    at: u32,
    bits: u64,
}

impl Patterns {
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Patterns, and the parts that they ask for at each place.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rooms.len() + self.levels.iter().map(|level| level.parts.len()).sum::<usize>()
    }

    /// The subscribers of `pattern`.
    pub(super) fn room(&mut self, pattern: &Arc<str>) -> &mut Room {
        let number = match self.numbers.get(pattern) {
            Some(number) => *number,
            None => {
                let number = self.rooms.insert(Room::default());
                self.numbers.insert(pattern.clone(), number);
                self.index(pattern, |numbers| numbers.insert(number));
                number
            }
        };
        self.rooms.get_mut(number).expect("it was put in if it was not there")
    }

    /// Forgets a pattern that nobody needs any more.
    pub(super) fn forget(&mut self, pattern: &str) {
        let Some(number) = self.numbers.remove(pattern) else { return };
        shrink(&mut self.numbers);
        self.rooms.remove(number);
        self.index(pattern, |numbers| numbers.remove(number));
    }

    /// Everybody whose pattern `topic` matches, in the order of the patterns' numbers.
    pub(super) fn each(&mut self, topic: &str, found: &mut impl FnMut(&Room)) {
        let Self { rooms, lengths, levels, matching, .. } = self;
        let parts = topic.split(SEPARATOR).take(lengths.len()).count();
        matching.clone_from(&lengths[parts - 1].0);
        for (level, part) in levels.iter().zip(topic.split(SEPARATOR)) {
            if matching.is_empty() {
                return;
            }
            let (mut any, mut this) = (level.any.words(), Words(&[]));
            if let Some(numbers) = level.parts.get(part) {
                this = numbers.words();
            }
            matching.retain_mut(|Word { at, bits }| {
                *bits &= any.bits(*at) | this.bits(*at);
                *bits != 0
            });
        }
        for Word { at, bits } in matching {
            while *bits != 0 {
                if let Some(room) = rooms.get_mut(*at * u64::BITS + bits.trailing_zeros()) {
                    found(room);
                }
                *bits &= *bits - 1;
            }
        }
    }

    /// Changes all sets that tell what `pattern` matches.
    fn index(&mut self, pattern: &str, mut change: impl FnMut(&mut Numbers)) {
        let Self { lengths, levels, .. } = self;
        let mut length = 0;
        for (at, part) in pattern.split(SEPARATOR).enumerate().take(levels.len()) {
            let level = &mut levels[at];
            match part {
                ONE => change(&mut level.any),
                REST => {
                    levels[at..].iter_mut().for_each(|level| change(&mut level.any));
                    return lengths[at..].iter_mut().for_each(change);
                }
                part => {
                    // Looked up before, so that a part that is known is not copied.
                    if !level.parts.contains_key(part) {
                        level.parts.insert(part.into(), Numbers::default());
                    }
                    if let Some(numbers) = level.parts.get_mut(part) {
                        change(numbers);
                        if numbers.0.is_empty() {
                            level.parts.remove(part);
                            shrink(&mut level.parts);
                        }
                    }
                }
            }
            length = at;
        }
        change(&mut lengths[length]);
    }
}

impl Numbers {
    fn insert(&mut self, number: u32) {
        let (at, bit) = (number / u64::BITS, 1 << (number % u64::BITS));
        match self.0.binary_search_by_key(&at, |word| word.at) {
            Ok(place) => self.0[place].bits |= bit,
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    // By half at most, and one at first: most parts are of one pattern, or a few.
                    self.0.reserve_exact(self.0.len() / 2 + 1);
                }
                self.0.insert(place, Word { at, bits: bit });
            }
        }
    }

    fn remove(&mut self, number: u32) {
        let (at, bit) = (number / u64::BITS, 1 << (number % u64::BITS));
        let Ok(place) = self.0.binary_search_by_key(&at, |word| word.at) else { return };
        self.0[place].bits &= !bit;
        if self.0[place].bits == 0 {
            self.0.remove(place);
            if self.0.len() <= self.0.capacity() / 4 {
                self.0.shrink_to(2 * self.0.len());
            }
        }
    }

    fn words(&self) -> Words<'_> {
        Words(&self.0)
    }
}

/// What is left of a set, for who goes through it in its order.
struct Words<'n>(&'n [Word]);

impl Words<'_> {
    #[inline]
    fn bits(&mut self, at: u32) -> u64 {
        while let [first, rest @ ..] = self.0
            && first.at <= at
        {
            if first.at == at {
                return first.bits;
            }
            self.0 = rest;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As simple as it gets.
    fn matches(pattern: &str, topic: &str) -> bool {
        let (mut parts, mut topic) = (pattern.split(':'), topic.split(':'));
        loop {
            match (parts.next(), topic.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) => return true,
                (Some(part), Some(of)) if part == "*" || part == of => {}
                _ => return false,
            }
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, max: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % max
        }

        fn name(&mut self, of: &[&str], parts: u64) -> String {
            let parts: Vec<_> = (0..parts).map(|_| of[self.below(of.len() as u64) as usize]).collect();
            parts.join(":")
        }
    }

    fn found(patterns: &mut Patterns, topic: &str) -> usize {
        let mut found = 0;
        patterns.each(topic, &mut |_| found += 1);
        found
    }

    #[test]
    fn what_matches_is_what_is_found_while_patterns_come_and_go() {
        let (mut random, mut patterns) = (Random(1), Patterns::default());
        let mut known: Vec<Arc<str>> = Vec::new();
        for _ in 0..20_000 {
            let length = 1 + random.below(PATTERN_PARTS_MAX as u64);
            let mut pattern = random.name(&["*", "*", "a", "a", "b", ""], length);
            if random.below(4) == 0 && length > 1 {
                pattern = format!("{}>", pattern.trim_end_matches(|char| char != ':'));
            }
            match known.iter().position(|name| **name == *pattern) {
                None if random.below(500) >= known.len() as u64 => {
                    let pattern: Arc<str> = pattern.into();
                    patterns.room(&pattern);
                    known.push(pattern);
                }
                None => patterns.forget(&known.swap_remove(random.below(known.len() as u64) as usize)),
                Some(at) => patterns.forget(&known.swap_remove(at)),
            }
            let length = 1 + random.below(PATTERN_PARTS_MAX as u64 + 4);
            let topic = random.name(&["a", "a", "b", "", "c"], length);
            let expected = known.iter().filter(|pattern| matches(pattern, &topic)).count();
            assert_eq!(found(&mut patterns, &topic), expected, "{topic} {known:?}");
        }
        assert!(known.len() > 200);
        known.iter().for_each(|pattern| patterns.forget(pattern));
        assert_eq!((patterns.is_empty(), patterns.len()), (true, 0));
        let sets = patterns.lengths.iter().chain(patterns.levels.iter().map(|level| &level.any));
        assert!(sets.map(|numbers| numbers.0.capacity()).all(|words| words == 0));
    }

    /// 20 connections, each of which has all wildcards that it may have, chosen so that a tree of them is wide, and a topic that
    /// none of them matches at its end only. A walk of that tree took 31 ms when patterns had 128 parts.
    ///
    /// catalogue: DS-41, DS-42
    #[test]
    fn a_topic_costs_a_word_for_64_patterns_at_each_place() {
        let (mut random, mut patterns) = (Random(2), Patterns::default());
        let before = PATTERN_PARTS_MAX as u64 - 1;
        while patterns.numbers.len() < 20 * 128 {
            let pattern: Arc<str> = format!("{}:c", random.name(&["*", "a"], before)).into();
            patterns.room(&pattern);
        }
        let words = 20 * 128 / 64;
        let most = |level: &Level| level.parts.values().map(|numbers| numbers.0.len()).max().unwrap_or(0);
        for level in &patterns.levels {
            assert!(level.any.0.len() <= words && most(level) <= words);
        }
        let topic = |last| format!("{}:{last}", vec!["a"; before as usize].join(":"));
        assert_eq!((found(&mut patterns, &topic("b")), found(&mut patterns, &topic("c"))), (0, 20 * 128));
    }
}
