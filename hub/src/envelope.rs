//! A text message's outside: which of the two languages it speaks, and its fields, unparsed.
//!
//! Everything that does not depend on the type is found here: what is no JSON, too deep, no object, or has a field twice. What
//! the fields mean is [`request`](crate::request)'s and [`rpc`](crate::rpc)'s.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::fault::{ErrorCode, Fault};

/// What a text message is.
#[derive(Debug)]
pub(crate) enum Text<'t> {
    /// A message of the hub's own.
    Message(Envelope<'t>),
    /// A JSON-RPC request.
    Request(Envelope<'t>),
    /// JSON-RPC requests.
    Batch(Vec<&'t RawValue>),
}

/// Why a text message is neither.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) fault: Fault,
    /// It was meant as JSON-RPC, as far as one can tell.
    pub(crate) is_rpc: bool,
}

/// The fields that some type has. Others are ignored, however often they come.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Envelope<'t> {
    #[serde(borrow, default, rename = "type", deserialize_with = "raw")]
    pub(crate) kind: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) id: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) room: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) payload: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) since: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) presence: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) policy: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) max_rate: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) echo: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) key: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) to: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) receipt: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) limit: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) token: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) jsonrpc: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) method: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(crate) params: Option<&'t RawValue>,
}

/// Looks at a text message from outside; a batch has `batch_max` requests at most.
pub(crate) fn parse(text: &str, batch_max: usize) -> Result<Text<'_>, Malformed> {
    let is_batch = text.trim_ascii_start().starts_with('[');
    // Nobody can tell what broken JSON was to be: the name is what there is to go by.
    let malformed = |fault| Malformed { fault, is_rpc: is_batch || text.contains("\"jsonrpc\"") };
    check_depth(text).map_err(malformed)?;
    if is_batch {
        let batch: Batch<'_> = serde_json::from_str(text).map_err(|error| malformed(fault(&error)))?;
        return match batch.0.len() > batch_max {
            true => Err(malformed(Fault::new(
                ErrorCode::TooLarge,
                format!("more than {batch_max} requests in a batch"),
            ))),
            false => Ok(Text::Batch(batch.0)),
        };
    }
    let envelope = parse_object(text).map_err(malformed)?;
    Ok(match envelope.jsonrpc {
        Some(_) => Text::Request(envelope),
        None => Text::Message(envelope),
    })
}

/// An object's fields.
pub(crate) fn parse_object(text: &str) -> Result<Envelope<'_>, Fault> {
    if text.trim_ascii_start().starts_with('[') {
        // It would be taken for the fields in their order.
        return Err(Fault::bad_request("not an object"));
    }
    serde_json::from_str(text).map_err(|error| fault(&error))
}

/// The parser's own words would quote what the client sent; where it is, is enough.
fn fault(error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            Fault::new(ErrorCode::BadJson, format!("not JSON at line {line}, column {column}"))
        }
        Category::Data => {
            Fault::bad_request(format!("no object, or a field twice, at line {line}, column {column}"))
        }
    }
}

/// Refuses what is nested deeper than many a receiver's parser survives.
pub(crate) fn check_depth(text: &str) -> Result<(), Fault> {
    match is_deep(text) {
        true => Err(Fault::new(ErrorCode::TooLarge, format!("nested deeper than {DEPTH_MAX}"))),
        false => Ok(()),
    }
}

fn is_deep(text: &str) -> bool {
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    if text.bytes().filter(opens).count() <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_string) = (0_usize, false);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// A value as it is, `null` with the others.
fn raw<'de: 't, 't, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'t RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Up to one more element than may be looked at: nobody is to make us hold a million of them.
struct Batch<'t>(Vec<&'t RawValue>);

impl<'de: 't, 't> Deserialize<'de> for Batch<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() < HELD_MAX {
                        elements.push(element);
                    }
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(Elements).map(Batch)
    }
}

/// As deep as serde_json's own values go.
const DEPTH_MAX: usize = 128;
/// Requests of a batch that are held in any case before it is too long.
const HELD_MAX: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<ErrorCode> {
        parse(text, 100).err().map(|malformed| malformed.fault.code)
    }

    /// catalogue: DS-16
    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code(&format!(r#"{{"payload":{}}}"#, nested(127))), None);
        assert_eq!(code(&format!(r#"{{"payload":{}}}"#, nested(128))), Some(ErrorCode::TooLarge));
        assert_eq!(code(&format!(r#"{{"payload":"{}\"{}"}}"#, "[".repeat(900), "{".repeat(900))), None);
        assert_eq!(code(&format!(r#"{{"payload":[{}]}}"#, vec!["[]"; 1000].join(","))), None);
        assert_eq!(code(&"[".repeat(1 << 20)), Some(ErrorCode::TooLarge));
    }

    #[test]
    fn a_field_twice_is_refused_however_it_is_written() {
        assert_eq!(code(r#"{"room":"a","room":"b"}"#), Some(ErrorCode::BadRequest));
        assert_eq!(code(r#"{"room":"a","\u0072oom":"b"}"#), Some(ErrorCode::BadRequest));
        assert_eq!(code(r#"{"other":1,"other":2}"#), None);
    }

    #[test]
    fn null_is_a_value() {
        let Ok(Text::Message(envelope)) = parse(r#"{"payload":null}"#, 1) else { panic!("it is a message") };
        assert_eq!(envelope.payload.map(RawValue::get), Some("null"));
    }

    #[test]
    fn a_batch_is_held_to_its_length() {
        assert!(matches!(parse("[1,2]", 2), Ok(Text::Batch(batch)) if batch.len() == 2));
        assert_eq!(parse("[1,2,3]", 2).err().map(|error| error.fault.code), Some(ErrorCode::TooLarge));
        assert_eq!(code("[1,2"), Some(ErrorCode::BadJson));
    }
}
