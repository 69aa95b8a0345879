//! A peer's words for a terminal: what could steer it, or deceive its reader, is shown escaped.

use std::fmt::Write;

use framecast::handshake::RefusedByServer;

/// Text as it is but for control characters (C0, DEL, C1) and those that turn the direction of writing, which become
/// `\u{…}`; a line feed starts an indented line, so that a message cannot look like two.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => shown.push_str("\n  "),
            '\t' => shown.push('\t'),
            char if steers(char) => shown.extend(char.escape_unicode()),
            char => shown.push(char),
        }
    }
    shown
}

/// The same in one line, line feeds and tabs escaped too.
pub(crate) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if steers(char) { shown.extend(char.escape_unicode()) } else { shown.push(char) }
    }
    shown
}

/// And not without end.
pub(crate) fn short_line(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => one_line(&text[..end]) + "…",
        None => one_line(text),
    }
}

/// Bytes in hexadecimal, as in `3 bytes: 00 ff 0a`.
pub(crate) fn binary(bytes: &[u8]) -> String {
    let mut shown = match bytes.len() {
        0 => return "0 bytes".to_owned(),
        1 => "1 byte:".to_owned(),
        len => format!("{len} bytes:"),
    };
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(shown, " {byte:02x}");
    }
    shown
}

/// A line of JSON: what its escapes leave alone and a terminal may not. Such characters are inside strings only.
pub(crate) fn json(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for char in line.chars() {
        if steers(char) && char != '\n' {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(char);
        }
    }
    shown
}

/// What a server said in place of the 101: the status, where a redirect leads, the body's first line.
pub(crate) fn refusal(response: &RefusedByServer) -> String {
    let mut said = format!("server answered {}", response.status);
    let field = |name| response.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(location) = field("location") {
        let _ = write!(said, ", location {}", short_line(&location));
    }
    let body = String::from_utf8_lossy(&response.body);
    let mut lines = body.lines().map(str::trim);
    if field("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked")) {
        // The size of the first chunk.
        lines.next();
    }
    if let Some(line) = lines.find(|line| !line.is_empty()) {
        let _ = write!(said, ": {}", short_line(line));
    }
    said
}

fn steers(char: char) -> bool {
    // Line and paragraph separators, marks, embeddings, overrides and isolates of the bidirectional algorithm.
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(text("a\x1b[2Jb\u{9b}c\x7f\r\0"), "a\\u{1b}[2Jb\\u{9b}c\\u{7f}\\u{d}\\u{0}");
        assert_eq!(text("ab\u{202e}cd"), "ab\\u{202e}cd");
        assert_eq!(text("tab\there\nand é 🦀"), "tab\there\n  and é 🦀");
        assert_eq!(one_line("a\nb\t\x1b"), "a\\u{a}b\\u{9}\\u{1b}");
        assert_eq!(short_line(&"é".repeat(300)), format!("{}…", "é".repeat(200)));
        assert_eq!(short_line(&"\x1b".repeat(200)), "\\u{1b}".repeat(200));
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal() {
        assert_eq!(binary(b""), "0 bytes");
        assert_eq!(binary(b"\x1b"), "1 byte: 1b");
        assert_eq!(binary(b"\x00\xff\n"), "3 bytes: 00 ff 0a");
    }

    #[test]
    fn json_stays_the_same_json() {
        let line = serde_json::to_string("\x1b\u{9b}\u{7f}\u{202e}é").expect("a string");
        assert_eq!(json(&line), "\"\\u001b\\u009b\\u007f\\u202eé\"");
        assert_eq!(serde_json::from_str::<String>(&json(&line)).expect("JSON"), "\x1b\u{9b}\u{7f}\u{202e}é");
    }
}
