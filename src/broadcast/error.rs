//! What cannot be subscribed to or published, and why.

use std::{error::Error, fmt};

use super::name::PATTERN_PARTS_MAX;

/// Why a name is none: a topic's is 1 to 255 bytes of UTF-8 without control characters; with wildcards, of 16 parts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// It has no bytes.
    Empty,
    /// It has so many, and 255 at most are allowed.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// There is a control character at this byte.
    Control {
        /// Bytes before it.
        at: usize,
    },
    /// It has a wildcard, which is for subscribers only; or `>` in front of other parts.
    Wildcard,
    /// It has a wildcard and so many parts between colons, and 16 at most are allowed. A topic may have more.
    TooManyParts {
        /// Its parts.
        parts: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the topic has no name"),
            Self::TooLong { bytes } => write!(f, "a topic's name of {bytes} bytes is above 255"),
            Self::Control { at } => write!(f, "control character at byte {at} of the topic's name"),
            Self::Wildcard => f.write_str("a wildcard where the topic's name has none"),
            Self::TooManyParts { parts } => {
                write!(f, "a wildcard of {parts} parts is above {PATTERN_PARTS_MAX}")
            }
        }
    }
}

impl Error for NameError {}

/// Why nothing was subscribed to or published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is none.
    Name(NameError),
    /// There are as many topics as there may be, and none of them is idle.
    TooManyTopics {
        /// The limit, [`topics_max`](super::TopicsBuilder::topics_max).
        max: usize,
    },
    /// There are as many wildcards as there may be, and this is another one.
    TooManyPatterns {
        /// The limit, [`patterns_max`](super::TopicsBuilder::patterns_max).
        max: usize,
    },
    /// The connection has as many subscriptions as it may have.
    TooManySubscriptions {
        /// The limit, [`subscriptions_max`](super::TopicsBuilder::subscriptions_max).
        max: usize,
    },
    /// As much waits for an event loop or a worker as may. Nothing was published, to nobody.
    Full,
    /// The connection has ended.
    Closed,
    /// The server that the connection belongs to has no topics.
    NoTopics,
}

impl From<NameError> for TopicError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::TooManyTopics { max } => write!(f, "topics_max of {max} is reached"),
            Self::TooManyPatterns { max } => write!(f, "patterns_max of {max} is reached"),
            Self::TooManySubscriptions { max } => write!(f, "subscriptions_max of {max} is reached"),
            Self::Full => f.write_str("too much waits to be delivered"),
            Self::Closed => f.write_str("the connection has ended"),
            Self::NoTopics => f.write_str("the server has no topics"),
        }
    }
}

impl Error for TopicError {}
