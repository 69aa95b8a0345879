//! Writes the JSON of what clients are sent, around payloads that are JSON already.

use std::fmt::Write;

use framecast::Message;

use crate::id::Id;

/// An object that is being written.
#[derive(Debug)]
pub(crate) struct Json(String);

impl Json {
    /// A message of this type.
    pub(crate) fn of_type(kind: &str) -> Self {
        Self::object().text("type", kind)
    }

    pub(crate) fn object() -> Self {
        Self::with_capacity(128)
    }

    /// With room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(&mut self.0, value);
        self
    }

    pub(crate) fn text_or_null(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn number(mut self, name: &str, value: impl Into<u64>) -> Self {
        self.name(name);
        // A string takes everything.
        let _ = write!(self.0, "{}", value.into());
        self
    }

    pub(crate) fn bool(self, name: &str, value: bool) -> Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// What is JSON already.
    pub(crate) fn raw(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    /// The sender's own id, as it wrote it; nothing if it gave none.
    pub(crate) fn id(self, id: Option<&Id>) -> Self {
        match id {
            Some(id) => self.raw("id", id.as_json()),
            None => self,
        }
    }

    pub(crate) fn list(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.name(name);
        self.0.push_str(&list(values));
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    pub(crate) fn message(self) -> Message {
        Message::text(self.end())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

/// Values that are JSON already.
pub(crate) fn list(values: impl IntoIterator<Item = String>) -> String {
    let mut list = String::from("[");
    for value in values {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&value);
    }
    list.push(']');
    list
}

/// RFC 8259 §7.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[from..at]);
        from = at + 1;
        let _ = match byte {
            b'"' => json.write_str("\\\""),
            b'\\' => json.write_str("\\\\"),
            b'\n' => json.write_str("\\n"),
            _ => write!(json, "\\u{byte:04x}"),
        };
    }
    json.push_str(&text[from..]);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_quoted_comes_back() {
        for text in ["", "plain", "\"", "a\\b\"c", "line\nbreak\u{1}\u{7f}", "ünï 🎈", "\u{0}"] {
            let mut json = String::new();
            quote(&mut json, text);
            assert_eq!(serde_json::from_str::<String>(&json).expect("it is JSON"), text);
        }
    }
}
