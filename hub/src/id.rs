//! The sender's own name for a message: echoed as it was written, compared by what it means.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::fault::Fault;

/// An id: a string of up to 64 characters, or an integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id(Box<str>);

impl Id {
    /// `null` is none.
    pub(crate) fn parse(raw: &RawValue) -> Result<Option<Self>, Fault> {
        let json = raw.get();
        let fits = match json.as_bytes() {
            b"null" => return Ok(None),
            [b'"', ..] => {
                // An escape is six bytes at most, and a character is four.
                json.len() <= 2 + 12 * CHARS_MAX
                    && text(json).is_ok_and(|text| text.chars().count() <= CHARS_MAX)
            }
            [b'-' | b'0'..=b'9', digits @ ..] => {
                json.len() <= CHARS_MAX && digits.iter().all(u8::is_ascii_digit)
            }
            _ => false,
        };
        match fits {
            true => Ok(Some(Self(json.into()))),
            false => {
                Err(Fault::bad_request("`id` is neither a string of up to 64 characters nor an integer"))
            }
        }
    }

    /// As it was written.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }

    /// The same for whatever means the same: `"a"` may be written as `"\u0061"`.
    pub(crate) fn canonical(&self) -> Cow<'_, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(&self.0);
        }
        match text(&self.0) {
            Ok(text) => Cow::Owned(format!("\"{text}\"")),
            Err(_) => Cow::Borrowed(&self.0),
        }
    }
}

fn text(json: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str(json)
}

const CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Option<Id>, Fault> {
        Id::parse(&RawValue::from_string(json.to_owned()).expect("it is JSON"))
    }

    #[test]
    fn ids_are_checked_at_their_edges() {
        let long = "é".repeat(64);
        for json in ["1", "-7", "0", "\"\"", "12345678901234567890123", &format!("\"{long}\"")] {
            let id = parse(json).expect("it is an id").expect("there is one");
            assert_eq!(id.as_json(), json);
        }
        assert_eq!(parse("null"), Ok(None));
        let (digits, escapes) = ("9".repeat(65), "\\u00e9".repeat(65));
        for json in
            ["1.5", "1e3", "true", "[]", "{}", &format!("\"{long}x\""), &digits, &format!("\"{escapes}\"")]
        {
            assert!(parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let canonical =
            |json| parse(json).expect("it is an id").expect("there is one").canonical().into_owned();
        assert_eq!(canonical(r#""a\u0062""#), canonical(r#""ab""#));
        assert_ne!(canonical(r#""1""#), canonical("1"));
    }
}
