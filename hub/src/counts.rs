//! What was counted, as a metrics endpoint reads it; and how something is counted by its kind.
//!
//! A label's values are those of an enum here: nothing that comes from a peer is ever one (catalogue: DS-52).

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

/// All that a hub has counted, at about the same time.
#[derive(Clone, Debug)]
pub struct Counts(Vec<Count>);

/// One number, which only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// What is counted, in lower case with underscores. Those of one name follow each other, and differ by their label's value.
    pub name: &'static str,
    /// The same in words.
    pub help: &'static str,
    /// Of which kind, by the label's name and value.
    pub label: Option<(&'static str, &'static str)>,
    /// How many.
    pub value: u64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Count> {
        self.0.iter()
    }

    pub(crate) fn as_slice(&self) -> &[Count] {
        &self.0
    }

    /// One of them, by its name and its label's value; `None` if there is none.
    pub fn get(&self, name: &str, kind: Option<&str>) -> Option<u64> {
        let is_it = |count: &&Count| count.name == name && count.label.map(|(_, value)| value) == kind;
        self.iter().find(is_it).map(|count| count.value)
    }

    pub(crate) fn one(&mut self, name: &'static str, help: &'static str, count: &AtomicU64) {
        let value = count.load(Ordering::Relaxed);
        self.0.push(Count { name, help, label: None, value });
    }

    pub(crate) fn family<K: Kind>(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        family: &Family<K>,
    ) {
        self.0.extend(K::ALL.iter().map(|kind| Count {
            name,
            help,
            label: Some((label, kind.name())),
            value: family.get(*kind),
        }));
    }

    /// What somebody else has counted of a kind that is there already.
    pub(crate) fn more(&mut self, name: &str, kind: impl Kind, more: u64) {
        let is_it = |count: &&mut Count| {
            count.name == name && count.label.is_some_and(|(_, value)| value == kind.name())
        };
        if let Some(count) = self.0.iter_mut().find(is_it) {
            count.value += more;
        }
    }
}

impl<'c> IntoIterator for &'c Counts {
    type Item = &'c Count;
    type IntoIter = std::slice::Iter<'c, Count>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A label's values.
pub(crate) trait Kind: Copy + 'static {
    /// In the order of their places.
    const ALL: &'static [Self];

    fn place(self) -> usize;

    fn name(self) -> &'static str;
}

/// An enum whose variants are counted by their names.
macro_rules! kinds {
    ($(#[$doc:meta])* $vis:vis enum $kind:ident { $($(#[$of:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $kind { $($(#[$of])* $variant,)+ }

        impl $crate::counts::Kind for $kind {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn place(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}
pub(crate) use kinds;

/// A number for each kind.
pub(crate) struct Family<K> {
    counts: Box<[AtomicU64]>,
    kinds: PhantomData<fn(K)>,
}

impl<K: Kind> Family<K> {
    pub(crate) fn add(&self, kind: K) {
        self.add_many(kind, 1);
    }

    pub(crate) fn add_many(&self, kind: K, count: u64) {
        if let Some(counted) = self.counts.get(kind.place()) {
            counted.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn get(&self, kind: K) -> u64 {
        self.counts.get(kind.place()).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl<K: Kind> Default for Family<K> {
    fn default() -> Self {
        Self { counts: K::ALL.iter().map(|_| AtomicU64::new(0)).collect(), kinds: PhantomData }
    }
}

impl<K> fmt::Debug for Family<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.fmt(f)
    }
}
