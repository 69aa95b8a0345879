//! Subscriptions with wildcards, as a tree of parts: a publish walks down what can match its name.

use std::collections::HashMap;

use super::{
    name::{ONE, REST, SEPARATOR},
    shard::Room,
};

#[derive(Debug, Default)]
pub(super) struct Patterns(Node);

#[derive(Debug, Default)]
struct Node {
    parts: HashMap<Box<str>, Node>,
    /// `*`
    one: Option<Box<Node>>,
    /// `>`, which ends a pattern
    rest: Room,
    /// Patterns that end here.
    here: Room,
}

impl Patterns {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parts of all patterns.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The subscribers of `pattern`.
    pub(super) fn room(&mut self, pattern: &str) -> &mut Room {
        let mut node = &mut self.0;
        for part in pattern.split(SEPARATOR) {
            node = match part {
                REST => return &mut node.rest,
                ONE => node.one.get_or_insert_default(),
                part => node.parts.entry(part.into()).or_default(),
            };
        }
        &mut node.here
    }

    /// Forgets the parts that nobody needs any more.
    pub(super) fn prune(&mut self, pattern: &str) {
        self.0.prune(pattern.split(SEPARATOR));
    }

    /// Everybody whose pattern `topic` matches.
    pub(super) fn each(&self, topic: &str, found: &mut impl FnMut(&Room)) {
        self.0.each(Some(topic), found);
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.one.is_none() && self.rest.is_empty() && self.here.is_empty()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let below = self.parts.values().chain(self.one.as_deref());
        below.map(|node| 1 + node.len()).sum()
    }

    fn prune<'p>(&mut self, mut parts: impl Iterator<Item = &'p str>) {
        match parts.next() {
            None | Some(REST) => {}
            Some(ONE) => {
                if let Some(one) = &mut self.one {
                    one.prune(parts);
                }
                self.one.take_if(|one| one.is_empty());
            }
            Some(part) => {
                let Some(node) = self.parts.get_mut(part) else { return };
                node.prune(parts);
                if node.is_empty() {
                    self.parts.remove(part);
                }
            }
        }
    }

    /// `left` are the parts below this one.
    fn each(&self, left: Option<&str>, found: &mut impl FnMut(&Room)) {
        let Some(left) = left else { return found(&self.here) };
        found(&self.rest);
        let (part, left) = match left.split_once(SEPARATOR) {
            Some((part, left)) => (part, Some(left)),
            None => (left, None),
        };
        if let Some(one) = &self.one {
            one.each(left, found);
        }
        if let Some(node) = self.parts.get(part) {
            node.each(left, found);
        }
    }
}
