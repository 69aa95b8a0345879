//! What a line of input says: a message, or one of the commands that begin with `/`.

use framecast::{CloseCode, Message, proto::CloseFrame};

/// A line of input, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Message(Message),
    Ping(Vec<u8>),
    Close(CloseFrame),
}

impl Line {
    /// `line` is without its line feed.
    ///
    /// # Errors
    /// What is wrong with it, and what to do, in one line.
    pub(super) fn parse(line: Vec<u8>, binary: bool, commands: bool) -> Result<Self, String> {
        if !commands || line.first() != Some(&b'/') {
            return message(line, binary).map(Self::Message);
        }
        if line.get(1) == Some(&b'/') {
            return message(line[1..].to_vec(), binary).map(Self::Message);
        }
        let (name, rest) = match line.iter().position(|&byte| byte == b' ') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (&line[..], &[][..]),
        };
        match name {
            b"/ping" if rest.len() > 125 => Err(format!("ping payload of {} bytes is above 125", rest.len())),
            b"/ping" => Ok(Self::Ping(rest.to_vec())),
            b"/close" => close(rest).map(Self::Close),
            _ => Err(format!(
                "no command {:?}; there are /ping and /close, and // sends a line that begins with /",
                String::from_utf8_lossy(name)
            )),
        }
    }
}

fn message(line: Vec<u8>, binary: bool) -> Result<Message, String> {
    if binary {
        return Ok(Message::binary(line));
    }
    let text = String::from_utf8(line).map_err(|_| "a line is not UTF-8; --binary sends it as it is")?;
    Ok(Message::text(text))
}

/// `[CODE] [REASON]`
fn close(arguments: &[u8]) -> Result<CloseFrame, String> {
    let arguments = str::from_utf8(arguments).map_err(|_| "close reason is not UTF-8")?.trim();
    if arguments.is_empty() {
        return CloseFrame::new(CloseCode::NORMAL, "").map_err(|error| error.to_string());
    }
    let (code, reason) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let code =
        code.parse().map_err(|_| format!("close code {code:?} is no number, as in /close 1000 bye"))?;
    CloseFrame::new(CloseCode(code), reason.trim_start()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Line, String> {
        Line::parse(line.as_bytes().to_vec(), false, true)
    }

    fn text(text: &str) -> Result<Line, String> {
        Ok(Line::Message(Message::text(text)))
    }

    fn closing(code: u16, reason: &str) -> Result<Line, String> {
        Ok(Line::Close(CloseFrame { code: CloseCode(code), reason: reason.into() }))
    }

    #[test]
    fn lines_are_messages_and_two_slashes_send_one() {
        assert_eq!(parsed("hello"), text("hello"));
        assert_eq!(parsed(""), text(""));
        assert_eq!(parsed(" /ping"), text(" /ping"));
        assert_eq!(parsed("//etc/hosts"), text("/etc/hosts"));
        assert_eq!(parsed("//"), text("/"));
        assert_eq!(Line::parse(b"/ping".to_vec(), false, false), text("/ping"));
        assert_eq!(Line::parse(b"//".to_vec(), false, false), text("//"));
    }

    #[test]
    fn binary_lines_may_hold_anything_and_text_may_not() {
        let bytes = b"\xff\x00\r".to_vec();
        assert_eq!(Line::parse(bytes.clone(), true, true), Ok(Line::Message(Message::binary(bytes.clone()))));
        let error = Line::parse(bytes, false, true).expect_err("no UTF-8");
        assert_eq!(error, "a line is not UTF-8; --binary sends it as it is");
    }

    #[test]
    fn pings_carry_the_rest_of_the_line() {
        assert_eq!(parsed("/ping"), Ok(Line::Ping(vec![])));
        assert_eq!(parsed("/ping a b "), Ok(Line::Ping(b"a b ".to_vec())));
        assert_eq!(parsed(&format!("/ping {}", "x".repeat(125))), Ok(Line::Ping(vec![b'x'; 125])));
        let error = parsed(&format!("/ping {}", "x".repeat(126))).expect_err("too long");
        assert_eq!(error, "ping payload of 126 bytes is above 125");
    }

    #[test]
    fn a_close_has_a_code_and_a_reason_or_neither() {
        assert_eq!(parsed("/close"), closing(1000, ""));
        assert_eq!(parsed("/close 4001"), closing(4001, ""));
        assert_eq!(parsed("/close 1001 going away"), closing(1001, "going away"));
        assert_eq!(parsed("/close 1006").expect_err("local"), "close code 1006 must not be sent");
        assert_eq!(
            parsed("/close bye").expect_err("no code"),
            "close code \"bye\" is no number, as in /close 1000 bye"
        );
        assert!(parsed(&format!("/close 1000 {}", "x".repeat(124))).is_err());
    }

    #[test]
    fn an_unknown_command_is_an_error_and_not_a_message() {
        let error = parsed("/pong x").expect_err("unknown");
        assert_eq!(
            error,
            "no command \"/pong\"; there are /ping and /close, and // sends a line that begins with /"
        );
    }
}
