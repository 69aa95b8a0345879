//! What clients are sent. One function a message; the payload is put in as it came.

use std::{collections::BTreeMap, sync::Arc};

use framecast::{
    Message,
    broadcast::{Gap, Position, PresenceChange, PresenceKind, Present, Publication, Subscribed},
    proto::PreparedMessage,
};

use crate::{
    counters::Stats,
    fault::Fault,
    id::Id,
    json::{Json, list},
};

/// A client as it is told to itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome<'w> {
    pub(crate) client_id: &'w str,
    pub(crate) user_id: Option<&'w str>,
    /// Absent while nobody knows who it is.
    pub(crate) resume: Option<&'w str>,
    pub(crate) ping_interval_s: u64,
    pub(crate) dedupe_window_s: u64,
    pub(crate) ts: u64,
}

impl Welcome<'_> {
    pub(crate) fn message(&self) -> Message {
        Json::of_type("connection_established")
            .text("client_id", self.client_id)
            .text_or_null("user_id", self.user_id)
            .number("ping_interval", self.ping_interval_s)
            .number("dedupe_window", self.dedupe_window_s)
            .text_or_null("resume", self.resume)
            .text("server", concat!("framecast/", env!("CARGO_PKG_VERSION")))
            .number("ts", self.ts)
            .message()
    }
}

pub(crate) fn error(id: Option<&Id>, fault: &Fault) -> Message {
    let json = Json::of_type("error")
        .raw("id", id.map_or("null", Id::as_json))
        .text("code", fault.code.as_str())
        .text("message", &fault.message);
    match fault.retry_after_ms() {
        Some(millis) => json.number("retry_after_ms", millis).message(),
        None => json.message(),
    }
}

/// A wildcard has no place of its own.
pub(crate) fn subscribed(
    id: Option<&Id>,
    room: &str,
    subscribed: &Subscribed,
    is_recovered: bool,
) -> Message {
    let json = Json::of_type("subscribed").id(id).text("room", room).number("members", subscribed.members);
    let json = match subscribed.position {
        Some(Position { epoch, offset }) => json.number("epoch", epoch).number("offset", offset),
        None => json,
    };
    json.bool("recovered", is_recovered).message()
}

pub(crate) fn unsubscribed(id: Option<&Id>, room: &str) -> Message {
    Json::of_type("unsubscribed").id(id).text("room", room).message()
}

pub(crate) fn ack_of_message(id: &Id, offset: u64) -> Message {
    Json::of_type("ack").id(Some(id)).number("offset", offset).message()
}

pub(crate) fn ack_of_direct(id: &Id, recipients: u32) -> Message {
    Json::of_type("ack").id(Some(id)).number("recipients", recipients).message()
}

pub(crate) fn receipt(id: &Id, acked: u32, of: u32) -> Message {
    Json::of_type("receipt").id(Some(id)).number("acked", acked).number("of", of).message()
}

pub(crate) fn pong(id: Option<&Id>, ts: u64) -> Message {
    Json::of_type("pong").id(id).number("ts", ts).message()
}

pub(crate) fn authenticated(id: Option<&Id>, user_id: &str, expires_at_ms: Option<u64>) -> Message {
    let json = Json::of_type("authenticated").id(id).text("user_id", user_id);
    match expires_at_ms {
        Some(at) => json.number("expires_at", at).message(),
        None => json.raw("expires_at", "null").message(),
    }
}

/// A room's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted<'p> {
    pub(crate) room: &'p str,
    pub(crate) payload: &'p str,
    pub(crate) user_id: Option<&'p str>,
    pub(crate) client_id: Option<&'p str>,
    /// Live only without it.
    pub(crate) position: Option<Position>,
    pub(crate) ts: u64,
}

impl Posted<'_> {
    pub(crate) fn message(&self) -> Message {
        let json = Json::with_capacity(self.payload.len() + self.room.len() + 192)
            .text("type", "message")
            .text("room", self.room)
            .raw("payload", self.payload)
            .text_or_null("user_id", self.user_id)
            .text_or_null("client_id", self.client_id);
        let json = match self.position {
            Some(Position { epoch, offset }) => json.number("epoch", epoch).number("offset", offset),
            None => json,
        };
        json.number("ts", self.ts).message()
    }
}

/// A room's message that has no place yet, with the one that it has now. `None` for whatever else it is.
pub(crate) fn with_place(text: &str, position: Position) -> Option<Message> {
    // Our own, whose last field is the time, and a string or `null` before it: what is behind them is no peer's.
    let (head, ts) = text.rsplit_once(",\"ts\":")?;
    let is_ours = text.starts_with("{\"type\":\"message\",") && ts.strip_suffix('}')?.parse::<u64>().is_ok();
    let Position { epoch, offset } = position;
    let place = format!(",\"epoch\":{epoch},\"offset\":{offset}");
    (is_ours && !head.ends_with(&place)).then(|| Message::text(format!("{head}{place},\"ts\":{ts}")))
}

/// A message that a broker has kept, as subscribers are sent it.
pub(crate) fn placed(publication: &Publication) -> PreparedMessage {
    let message = publication.message();
    let placed = message.as_text().and_then(|text| with_place(text, publication.position()));
    placed.map_or_else(|| message.clone(), PreparedMessage::new)
}

/// A direct message, by the hub's own id.
pub(crate) fn direct(
    id: &str,
    user_id: Option<&str>,
    payload: &str,
    wants_receipt: bool,
    ts: u64,
) -> Message {
    let json = Json::with_capacity(payload.len() + 160)
        .text("type", "direct")
        .text("id", id)
        .text_or_null("user_id", user_id)
        .raw("payload", payload);
    let json = if wants_receipt { json.bool("receipt", true) } else { json };
    json.number("ts", ts).message()
}

pub(crate) fn broadcast(payload: &str, ts: u64) -> Message {
    Json::with_capacity(payload.len() + 64)
        .text("type", "broadcast")
        .raw("payload", payload)
        .number("ts", ts)
        .message()
}

/// Without a type: JSON-RPC's answer is the same object.
pub(crate) fn presence(json: Json, room: &str, present: &[Present]) -> Json {
    let mut users: BTreeMap<Option<&str>, u32> = BTreeMap::new();
    for present in present {
        *users.entry(identity_parts(&present.identity).0).or_default() += present.connections;
    }
    let users = users.into_iter().map(|(user_id, connections)| {
        Json::object().text_or_null("user_id", user_id).number("connections", connections).end()
    });
    json.text("room", room).list("users", users)
}

/// Leaves as many messages as an answer of so many bytes holds, the last ones or the first ones, and one in any case; the bytes that
/// they take then.
pub(crate) fn fit_history(messages: &mut Vec<Arc<Publication>>, newest: bool, bytes_max: usize) -> usize {
    let (mut bytes, mut count) = (AROUND_BYTES, 0);
    let ordered: &mut dyn Iterator<Item = _> =
        if newest { &mut messages.iter().rev() } else { &mut messages.iter() };
    for publication in ordered {
        let message = publication.message();
        // A message of bytes is told with its room's name, and without them.
        let len = PLACE_BYTES + message.as_text().map_or(AROUND_BYTES, str::len);
        if count > 0 && bytes + len > bytes_max {
            break;
        }
        (bytes, count) = (bytes + len, count + 1);
    }
    match newest {
        true => drop(messages.drain(..messages.len() - count)),
        false => messages.truncate(count),
    }
    bytes
}

pub(crate) fn history(json: Json, room: &str, position: Position, messages: &[Arc<Publication>]) -> Json {
    let messages = messages.iter().map(|publication| match publication.message().as_text() {
        Some(text) => match with_place(text, publication.position()).as_ref().and_then(Message::as_text) {
            Some(placed) => placed.to_owned(),
            None => text.to_owned(),
        },
        // Its bytes are no JSON: that it is there, and how long, is all that can be said here.
        None => Json::of_type("binary")
            .text("room", room)
            .number("bytes", publication.message().payload().len() as u64)
            .number("epoch", publication.position().epoch)
            .number("offset", publication.position().offset)
            .end(),
    });
    json.text("room", room)
        .number("epoch", position.epoch)
        .number("offset", position.offset)
        .list("messages", messages)
}

pub(crate) fn gap(gap: &Gap) -> Message {
    let json = Json::of_type("gap").text("room", gap.topic());
    match gap.is_of_presence() {
        // Offsets of joins and leaves are nobody's: ask anew who is there.
        true => json.bool("presence", true).text("reason", gap.reason.as_str()).message(),
        false => {
            json.number("from", gap.from).number("to", gap.to).text("reason", gap.reason.as_str()).message()
        }
    }
}

/// A client that connects again before its older connection has ended neither joins nor leaves.
pub(crate) fn presence_change(change: &PresenceChange) -> Option<Message> {
    let kind = match (change.kind, change.connections) {
        (PresenceKind::Join, 1) => "join",
        (PresenceKind::Leave, 0) => "leave",
        _ => return None,
    };
    let (user_id, client_id) = identity_parts(&change.identity);
    let json = Json::of_type(kind).text("room", &change.topic);
    let json = json.text_or_null("user_id", user_id).text("client_id", client_id);
    Some(json.number("members", change.members).message())
}

pub(crate) fn rooms(rooms: &[(Arc<str>, u32)]) -> String {
    let rooms = rooms
        .iter()
        .map(|(name, members)| Json::object().text("name", name).number("members", *members).end());
    Json::object().raw("rooms", &list(rooms)).end()
}

pub(crate) fn stats(stats: &Stats, broker: Option<&str>) -> String {
    Json::object()
        .number("total_connections", stats.total_connections)
        .number("total_rooms", stats.total_rooms)
        .number("messages_in", stats.messages_in)
        .number("messages_out", stats.messages_out)
        .number("dropped", stats.dropped)
        .number("uptime_s", stats.uptime_s)
        .text_or_null("broker", broker)
        .end()
}

/// Who somebody is in a room, as the rooms keep it: user and client, neither of which has a control character.
pub(crate) fn identity(user_id: Option<&str>, client_id: &str) -> String {
    format!("{}\0{client_id}", user_id.unwrap_or_default())
}

fn identity_parts(identity: &str) -> (Option<&str>, &str) {
    let (user_id, client_id) = identity.split_once('\0').unwrap_or((identity, ""));
    (Some(user_id).filter(|user_id| !user_id.is_empty()), client_id)
}

/// What is around the messages of a history, its room's name with all its quotes among it.
const AROUND_BYTES: usize = 1024;
/// An epoch, an offset and a comma.
const PLACE_BYTES: usize = 64;
