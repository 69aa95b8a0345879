//! Names of topics, their parts, and wildcards for parts.

use super::error::NameError;

/// Between the parts of a name.
pub(super) const SEPARATOR: char = ':';
/// Stands for one part.
pub(super) const ONE: &str = "*";
/// Stands for the rest: one part or more.
pub(super) const REST: &str = ">";
const BYTES_MAX: usize = 255;
/// Parts of a name with wildcards, which bounds what a pattern takes and what it costs to match it. A topic may have more.
pub(super) const PATTERN_PARTS_MAX: usize = 16;

/// What a subscriber names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// A topic, which can be published to as well.
    Topic,
    /// All topics that match.
    Pattern,
}

impl Named {
    /// What `name` names, for whoever has to say who may before there is a subscription or a message.
    ///
    /// # Errors
    /// It is none.
    pub fn of(name: &str) -> Result<Self, NameError> {
        check(name)
    }
}

/// A name that can be published to.
pub(super) fn check_topic(name: &str) -> Result<(), NameError> {
    match check(name)? {
        Named::Topic => Ok(()),
        Named::Pattern => Err(NameError::Wildcard),
    }
}

/// A name that can be subscribed to.
pub(super) fn check(name: &str) -> Result<Named, NameError> {
    match name.len() {
        0 => return Err(NameError::Empty),
        bytes if bytes > BYTES_MAX => return Err(NameError::TooLong { bytes }),
        _ => {}
    }
    if let Some((at, _)) = name.char_indices().find(|(_, char)| char.is_control()) {
        return Err(NameError::Control { at });
    }
    let mut named = Named::Topic;
    let mut parts = 0;
    let mut left = name.split(SEPARATOR);
    while let Some(part) = left.next() {
        parts += 1;
        match part {
            ONE => named = Named::Pattern,
            REST if left.next().is_some() => return Err(NameError::Wildcard),
            REST => named = Named::Pattern,
            _ => {}
        }
    }
    if named == Named::Pattern && parts > PATTERN_PARTS_MAX {
        return Err(NameError::TooManyParts { parts });
    }
    Ok(named)
}

/// The name of the topic that tells who joins and leaves `topic`. No application can name it, as it begins with a control
/// character.
pub(super) fn presence_of(topic: &str) -> String {
    format!("{PRESENCE}{topic}")
}

/// The topic by itself, and whether the name is that of its presence.
pub(super) fn base(name: &str) -> (&str, bool) {
    match name.strip_prefix(PRESENCE) {
        Some(topic) => (topic, true),
        None => (name, false),
    }
}

const PRESENCE: char = '\u{1}';

#[cfg(test)]
mod tests {
    use super::*;

    /// catalogue: DS-42
    #[test]
    fn names_are_checked_at_their_edges() {
        assert_eq!(check_topic(""), Err(NameError::Empty));
        assert_eq!(check_topic(&"x".repeat(255)), Ok(()));
        assert_eq!(check_topic(&"x".repeat(256)), Err(NameError::TooLong { bytes: 256 }));
        assert_eq!(check_topic("match:4\r\n2"), Err(NameError::Control { at: 7 }));
        assert_eq!(check_topic("a\0"), Err(NameError::Control { at: 1 }));
        assert_eq!(check_topic("\u{85}"), Err(NameError::Control { at: 0 }));
        for name in ["a", "match:42", ":", "a::b", "ünï:🎈", "a*", "*a:>b", "../etc", "[x]?"] {
            assert_eq!(check(name), Ok(Named::Topic), "{name}");
        }
        for name in ["*", ">", "match:*", "match:>", "*:x", "*:>"] {
            assert_eq!(check(name), Ok(Named::Pattern), "{name}");
            assert_eq!(check_topic(name), Err(NameError::Wildcard), "{name}");
        }
        assert_eq!(check(">:x"), Err(NameError::Wildcard));
    }

    /// catalogue: DS-42
    #[test]
    fn a_wildcard_has_16_parts_at_most_and_a_topic_as_many_as_it_has_room_for() {
        let of = |parts: usize, last: &str| format!("{}{last}", "a:".repeat(parts - 1));
        for last in ["*", ">"] {
            assert_eq!(check(&of(16, last)), Ok(Named::Pattern));
            assert_eq!(check(&of(17, last)), Err(NameError::TooManyParts { parts: 17 }));
        }
        assert_eq!(check(&format!("*:{}", of(16, "a"))), Err(NameError::TooManyParts { parts: 17 }));
        assert_eq!(check(&of(128, "a")), Ok(Named::Topic));
        assert_eq!(check(&format!(">:{}", of(16, "a"))), Err(NameError::Wildcard));
        let told = NameError::TooManyParts { parts: 17 }.to_string();
        assert_eq!(told, "a wildcard of 17 parts is above 16");
    }

    #[test]
    fn a_topics_presence_has_a_name_that_nobody_can_give() {
        let name = presence_of("room");
        assert_eq!(base(&name), ("room", true));
        assert_eq!(base("room"), ("room", false));
        assert!(check(&name).is_err());
    }
}
