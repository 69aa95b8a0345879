//! Binary messages: the room's name before the bytes, `u16 big-endian length · name · bytes`.

use framecast::broadcast::Named;

use crate::fault::Fault;

/// The room that a binary message is for, and what is behind its name.
pub(crate) fn parse(message: &[u8]) -> Result<(&str, &[u8]), Fault> {
    let (len, rest) =
        message.split_first_chunk().ok_or_else(|| Fault::bad_request("no room for a length"))?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (name, bytes) = rest.split_at_checked(len).ok_or_else(|| {
        Fault::bad_request(format!("a room's name of {len} bytes, and {} follow", rest.len()))
    })?;
    let room = str::from_utf8(name).map_err(|_| Fault::bad_request("a room's name that is not UTF-8"))?;
    match Named::of(room)? {
        Named::Topic => Ok((room, bytes)),
        Named::Pattern => Err(Fault::bad_request("a wildcard is for subscribers only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// catalogue: DS-16
    #[test]
    fn half_a_message_is_none() {
        assert_eq!(parse(b"\x00\x01abc"), Ok(("a", &b"bc"[..])));
        assert_eq!(parse(b"\x00\x01a"), Ok(("a", &b""[..])));
        for broken in
            [&b""[..], b"\x00", b"\x00\x00", b"\x00\x02a", b"\xff\xffa", b"\x00\x01\xff", b"\x00\x01*"]
        {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
