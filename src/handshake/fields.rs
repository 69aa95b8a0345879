//! The grammar inside field values: tokens, lists, quoted strings (RFC 9110 §5.6; RFC 6455 §9.1).
//!
//! Written by hand, one pass forward, nothing looked at twice: the histories of `ws` and of faye's parsers are
//! regular expressions that took minutes over a run of spaces or backslashes (catalogue: V-45).

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A value that does not fit its grammar, or is a list beyond what we count to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// `tchar` of RFC 9110 §5.6.2.
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `text` is a token: one `tchar` or more.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_tchar)
}

/// `text` without spaces and tabs at its ends; nothing else is white space here (RFC 9110 §5.6.3).
pub(super) fn trim_ows(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|byte| !is_ows(*byte)) else { return &[] };
    let end = text.iter().rposition(|byte| !is_ows(*byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// A field that must not be repeated: its value, or `None` when it is absent. More than one line is [`Malformed`].
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Malformed> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (value, None) => Ok(value),
        _ => Err(Malformed),
    }
}

/// The elements of a list without quoted strings, over all lines of the field, empty ones included.
pub(super) fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(trim_ows))
}

/// The tokens of a list, `1#token`: at least one, at most [`LIST_NAMES_MAX`], up to [`EMPTY_ELEMENTS_MAX`] empty
/// elements skipped. An absent field is an empty list.
pub(super) fn token_list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Vec<&'h str>, Malformed> {
    let mut tokens = Vec::new();
    let mut empty = 0;
    for element in elements(headers, name) {
        if element.is_empty() {
            empty += 1;
        } else if is_token(element) {
            tokens.push(std::str::from_utf8(element).map_err(|_| Malformed)?);
        } else {
            return Err(Malformed);
        }
        if empty > EMPTY_ELEMENTS_MAX || tokens.len() > LIST_NAMES_MAX {
            return Err(Malformed);
        }
    }
    if tokens.is_empty() && empty > 0 { Err(Malformed) } else { Ok(tokens) }
}

/// Reads a value from its front.
pub(super) struct Cursor<'v> {
    rest: &'v [u8],
}

impl<'v> Cursor<'v> {
    pub(super) fn new(value: &'v [u8]) -> Self {
        Self { rest: value }
    }

    /// Skips white space; then the next byte, or `None` at the end.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Skips white space, and `byte` if it comes next; says whether it did.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.rest = &self.rest[1..];
        }
        next
    }

    /// Skips white space and takes a token.
    pub(super) fn token(&mut self) -> Result<&'v str, Malformed> {
        self.peek();
        let end = self.rest.iter().position(|byte| !is_tchar(*byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if token.is_empty() { Err(Malformed) } else { std::str::from_utf8(token).map_err(|_| Malformed) }
    }

    /// Skips white space and takes a token, or a quoted string that holds one once its backslashes are taken away:
    /// RFC 6455 §9.1 allows no other.
    pub(super) fn token_or_quoted(&mut self) -> Result<String, Malformed> {
        if !self.take(b'"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        loop {
            let [byte, rest @ ..] = self.rest else { return Err(Malformed) };
            let (byte, rest) = match (byte, rest) {
                (b'"', _) => {
                    self.rest = rest;
                    return if value.is_empty() { Err(Malformed) } else { Ok(value) };
                }
                (b'\\', [escaped, rest @ ..]) => (escaped, rest),
                _ => (byte, rest),
            };
            if !is_tchar(*byte) {
                return Err(Malformed);
            }
            value.push(char::from(*byte));
            self.rest = rest;
        }
    }
}

fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110 §5.6.1.2 asks recipients to skip "a reasonable number" of empty elements, and calls more an attack.
pub(super) const EMPTY_ELEMENTS_MAX: usize = 8;

/// Names in one list. Peers send a handful; each costs us an allocation, thirty times its two bytes on the wire.
pub(super) const LIST_NAMES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_space_and_tab_are_white_space() {
        for (text, trimmed) in [
            (&b" \ta b\t "[..], &b"a b"[..]),
            (b"", b""),
            (b" ", b""),
            (b"\xa0a", b"\xa0a"),
            (b"a\x85", b"a\x85"),
        ] {
            assert_eq!(trim_ows(text), trimmed);
        }
    }

    #[test]
    fn quoted_strings_hold_tokens_only() {
        let read = |text: &str| Cursor::new(text.as_bytes()).token_or_quoted();
        assert_eq!(read(r#""a\b""#), Ok("ab".to_owned()));
        assert_eq!(read(" \tab;"), Ok("ab".to_owned()));
        for bad in [r#""""#, r#""a b""#, r#""a"#, r#""a\"#, r#""a\""#, r#""\"""#, "", ";"] {
            assert_eq!(read(bad), Err(Malformed), "{bad}");
        }
    }
}
