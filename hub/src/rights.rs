//! Who may subscribe to what, and publish where: lists of room patterns.
//!
//! A right covers a wildcard subscription only if it covers every room that the wildcard stands for: nobody widens a right by
//! asking for more than it says (catalogue: ZC-40).

use std::{error::Error, fmt, sync::Arc};

use framecast::broadcast::{NameError, Named};

/// Rooms by patterns, as in subscriptions: `*` is one part, `>` is the rest. A clone is a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Arc<[Box<str>]>);

/// A pattern that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Its place in the list, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub error: NameError,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Rooms to subscribe to, and to ask for presence and history.
    pub subscribe: Patterns,
    /// Rooms to publish to.
    pub publish: Patterns,
}

impl Patterns {
    /// # Errors
    /// The first of them that could not be subscribed to.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, PatternError> {
        let check = |(at, pattern): (usize, &'p str)| match Named::of(pattern) {
            Ok(_) => Ok(pattern.into()),
            Err(error) => Err(PatternError { at, error }),
        };
        patterns.into_iter().enumerate().map(check).collect::<Result<_, _>>().map(Self)
    }

    /// Every room.
    pub fn all() -> Self {
        Self(Arc::new([REST.into()]))
    }

    /// No room.
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Whether a room, or every room of a wildcard, is among these.
    pub fn cover(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| covers(pattern, name))
    }
}

impl Rights {
    /// Everything.
    pub fn all() -> Self {
        Self { subscribe: Patterns::all(), publish: Patterns::all() }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { subscribe: Patterns::none(), publish: Patterns::none() }
    }
}

/// Whether all that `name` stands for is among what `pattern` stands for.
fn covers(pattern: &str, name: &str) -> bool {
    let (mut granted, mut asked) = (pattern.split(SEPARATOR), name.split(SEPARATOR));
    loop {
        match (granted.next(), asked.next()) {
            (None, None) => return true,
            // One part or more.
            (Some(REST), Some(_)) => return true,
            (Some(ONE), Some(part)) if part != REST => {}
            (Some(part), Some(same)) if part == same && part != ONE => {}
            _ => return false,
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room pattern {}: {}", self.at, self.error)
    }
}

impl Error for PatternError {}

const SEPARATOR: char = ':';
const ONE: &str = "*";
const REST: &str = ">";

#[cfg(test)]
mod tests {
    use super::*;

    /// catalogue: ZC-40
    #[test]
    fn a_wildcard_does_not_widen_a_right() {
        for (pattern, covered, not) in [
            (
                "match:42",
                &["match:42"][..],
                &["match:*", "match:>", "match", "match:42:x", "*:42", ">", "Match:42"][..],
            ),
            (
                "match:*",
                &["match:1", "match:*", "match:"],
                &["match", "match:>", "match:1:2", "*:1", "*:*", ">"],
            ),
            (
                "match:>",
                &["match:1", "match:1:2", "match:*", "match:>", "match:*:>"],
                &["match", ">", "*:1", "*:>"],
            ),
            ("*:chat", &["a:chat", "*:chat"], &["a:b", "a:*", "a:b:chat", "a:>", ">"]),
            ("*", &["a", "*", "a*"], &["a:b", ">", "*:*"]),
            (">", &["a", "a:b", "*", ">", "a:>"], &[]),
        ] {
            for name in covered {
                assert!(covers(pattern, name), "{pattern} covers {name}");
            }
            for name in not {
                assert!(!covers(pattern, name), "{pattern} does not cover {name}");
            }
        }
    }

    #[test]
    fn all_is_all_and_none_is_none() {
        for name in ["a", "a:b", "*", ">"] {
            assert!(Patterns::all().cover(name) && !Patterns::none().cover(name));
        }
        assert!(Patterns::new(["a", ">:x"]).is_err_and(|error| error.at == 1));
    }
}
