//! What is said to a server of rooms, and what its messages are: of our hub, of one that relays bare texts, of socket.io.
//!
//! A delivery, of which there are many a second, is told by its first bytes and cut by the known length of its payload; all
//! else is rare.

use clap::ValueEnum;
use serde_json::Value;

/// How a server of rooms is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::bench) enum Dialect {
    /// framecast's hub: docs/protocol.md.
    Hub,
    /// The path names the room, and each text goes to all of it as it is.
    Plain,
    /// socket.io 4 over WebSocket: `join` with an ack, then `message` with the room and the payload.
    Socketio,
}

/// What a message of the server's is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'m> {
    /// Nothing of ours.
    Other,
    /// To be answered by this.
    Answer(String),
    /// The room is joined: from now on its messages come, behind this offset of a hub's.
    Joined { offset: Option<u64> },
    /// A message of the room's, and its place there.
    Delivery { payload: &'m [u8], offset: Option<u64> },
}

impl Dialect {
    /// Whether who is connected is in the room already.
    pub(super) fn joins_by_connecting(self) -> bool {
        self == Self::Plain
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Plain => "plain",
            Self::Socketio => "socketio",
        }
    }

    /// Replaces what is in `into` by the message that publishes `payload`, which is JSON.
    pub(super) fn publish(self, room: &str, payload: &[u8], into: &mut Vec<u8>) {
        into.clear();
        let (head, tail) = match self {
            Self::Hub => ([r#"{"type":"message","room":""#, room, r#"","payload":"#], "}"),
            Self::Plain => (["", "", ""], ""),
            Self::Socketio => ([r#"42["message",""#, room, r#"","#], "]"),
        };
        head.iter().for_each(|part| into.extend_from_slice(part.as_bytes()));
        into.extend_from_slice(payload);
        into.extend_from_slice(tail.as_bytes());
    }

    /// What `text` is, to a connection that is to be in `room`; payloads have `size` bytes.
    #[inline]
    pub(super) fn hear<'m>(self, text: &'m str, room: &str, size: usize) -> Result<Heard<'m>, String> {
        match self {
            Self::Plain => Ok(Heard::Delivery { payload: text.as_bytes(), offset: None }),
            Self::Hub if text.starts_with(r#"{"type":"message","#) => hub_delivery(text, size),
            Self::Hub => hub_says(text, room),
            Self::Socketio => match text.strip_prefix(r#"42["message","#) {
                Some(rest) => {
                    let payload = rest.strip_suffix(']').ok_or_else(|| strange(text))?;
                    Ok(Heard::Delivery { payload: payload.as_bytes(), offset: None })
                }
                None => socketio_says(text, room),
            },
        }
    }
}

/// A payload has no `"offset":` in it.
fn hub_delivery(text: &str, size: usize) -> Result<Heard<'_>, String> {
    let payload = text.split_once(r#""payload":"#).and_then(|(_, rest)| rest.as_bytes().get(..size));
    let offset = text.rsplit_once(r#""offset":"#).map(|(_, rest)| rest);
    let digits = offset.and_then(|rest| rest.split([',', '}']).next());
    match (payload, digits.and_then(|digits| digits.parse().ok())) {
        (Some(payload), offset @ Some(_)) => Ok(Heard::Delivery { payload, offset }),
        _ => Err(strange(text)),
    }
}

fn hub_says(text: &str, room: &str) -> Result<Heard<'static>, String> {
    let said: Value = serde_json::from_str(text).map_err(|_| strange(text))?;
    match said["type"].as_str() {
        Some("connection_established") => {
            Ok(Heard::Answer(format!(r#"{{"type":"subscribe","room":"{room}"}}"#)))
        }
        Some("subscribed") => Ok(Heard::Joined { offset: said["offset"].as_u64() }),
        // What is lost, or refused, is the end of a measurement that is to deliver everything.
        Some("error" | "gap") => Err(format!("the server said {}", shortened(text))),
        Some(_) => Ok(Heard::Other),
        None => Err(strange(text)),
    }
}

/// Engine.io's packet is told by the first digit, socket.io's in a message of it by the second.
fn socketio_says(text: &str, room: &str) -> Result<Heard<'static>, String> {
    match text.as_bytes() {
        [b'0', ..] => Ok(Heard::Answer("40".to_owned())),
        [b'2'] => Ok(Heard::Answer("3".to_owned())),
        [b'4', b'0', ..] => Ok(Heard::Answer(format!(r#"420["join","{room}"]"#))),
        [b'4', b'3', b'0', ..] => Ok(Heard::Joined { offset: None }),
        [b'6'] => Ok(Heard::Other),
        _ => Err(strange(text)),
    }
}

#[cold]
fn strange(text: &str) -> String {
    format!("does not belong here: {}", shortened(text))
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN_MAX)).unwrap_or(text)
}

/// Bytes that are shown of what is wrong.
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"n":"1"}"#;

    fn published(dialect: Dialect) -> String {
        let mut text = Vec::new();
        dialect.publish("r", PAYLOAD.as_bytes(), &mut text);
        String::from_utf8(text).expect("UTF-8")
    }

    fn hear(dialect: Dialect, text: &str) -> Result<Heard<'_>, String> {
        dialect.hear(text, "r", PAYLOAD.len())
    }

    fn answer(text: &str) -> Result<Heard<'static>, String> {
        Ok(Heard::Answer(text.to_owned()))
    }

    #[test]
    fn each_dialect_publishes_a_payload_in_its_own_way() {
        assert_eq!(published(Dialect::Hub), r#"{"type":"message","room":"r","payload":{"n":"1"}}"#);
        assert_eq!(published(Dialect::Plain), PAYLOAD);
        assert_eq!(published(Dialect::Socketio), r#"42["message","r",{"n":"1"}]"#);
    }

    #[test]
    fn a_delivery_is_cut_out_of_what_is_around_it() {
        let payload = PAYLOAD.as_bytes();
        let of_hub = r#"{"type":"message","room":"r","payload":{"n":"1"},"user_id":null,"offset":17,"ts":1}"#;
        assert_eq!(hear(Dialect::Hub, of_hub), Ok(Heard::Delivery { payload, offset: Some(17) }));
        let last = r#"{"type":"message","payload":{"n":"1"},"offset":18}"#;
        assert_eq!(hear(Dialect::Hub, last), Ok(Heard::Delivery { payload, offset: Some(18) }));
        let without = Ok(Heard::Delivery { payload, offset: None });
        assert_eq!(hear(Dialect::Plain, PAYLOAD), without);
        assert_eq!(hear(Dialect::Socketio, r#"42["message",{"n":"1"}]"#), without);
    }

    #[test]
    fn the_way_into_a_room_is_answered_step_by_step() {
        let welcome = r#"{"type":"connection_established","client_id":"c","ping_interval":20}"#;
        assert_eq!(hear(Dialect::Hub, welcome), answer(r#"{"type":"subscribe","room":"r"}"#));
        let subscribed =
            r#"{"type":"subscribed","room":"r","members":1,"epoch":5,"offset":4,"recovered":false}"#;
        assert_eq!(hear(Dialect::Hub, subscribed), Ok(Heard::Joined { offset: Some(4) }));
        assert_eq!(hear(Dialect::Socketio, r#"0{"sid":"x"}"#), answer("40"));
        assert_eq!(hear(Dialect::Socketio, r#"40{"sid":"y"}"#), answer(r#"420["join","r"]"#));
        assert_eq!(hear(Dialect::Socketio, "430[]"), Ok(Heard::Joined { offset: None }));
        assert_eq!(hear(Dialect::Socketio, "2"), answer("3"));
    }

    #[test]
    fn what_is_refused_lost_or_strange_is_told_with_its_words() {
        for (dialect, text, why) in [
            (Dialect::Hub, r#"{"type":"error","code":"rate_limited"}"#, "the server said "),
            (Dialect::Hub, r#"{"type":"gap","from":1,"to":2}"#, "the server said "),
            (Dialect::Hub, r#"{"type":"message","room":"r"}"#, "does not belong here: "),
            (Dialect::Hub, "hello", "does not belong here: "),
            (Dialect::Socketio, r#"44{"message":"no"}"#, "does not belong here: "),
            (Dialect::Socketio, r#"42["message",1"#, "does not belong here: "),
        ] {
            assert_eq!(hear(dialect, text), Err(format!("{why}{text}")));
        }
        assert_eq!(hear(Dialect::Hub, r#"{"type":"broadcast","payload":1}"#), Ok(Heard::Other));
        let long = "é".repeat(150);
        assert_eq!(hear(Dialect::Hub, &long), Err(format!("does not belong here: {}", "é".repeat(100))));
    }
}
