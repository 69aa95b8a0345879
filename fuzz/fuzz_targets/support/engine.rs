//! What the engine makes of a stream that comes in pieces.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use framecast::proto::{
    Cause, Config, ConfigBuilder, Connection, DeflateTerms, Event, Inbound, Role, State, Stats,
};

/// One clock for the whole process: a run that is repeated is the same run.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, PartialEq)]
pub enum Told {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// All that came of a stream. Must not depend on the split.
#[derive(Debug, PartialEq)]
pub struct Heard {
    pub told: Vec<Told>,
    pub cause: Option<Cause>,
    state: State,
    stats: Stats,
}

/// No limit but that on messages: the others have targets of their own.
pub fn config(message_bytes_max: usize) -> ConfigBuilder {
    Config::builder()
        .message_bytes_max(message_bytes_max as u64)
        .fragments_max(u32::MAX)
        .control_frames_burst(u16::MAX)
        .outbox_bytes_max(1 << 30)
}

pub fn connection(config: Config, role: Role, terms: Option<DeflateTerms>) -> Connection {
    Connection::new(Arc::new(config), role, *START, 7).with_deflate(terms)
}

pub fn now() -> Instant {
    *START
}

/// Hears a stream in pieces of these lengths, over and over.
pub fn hear(mut connection: Connection, mut stream: &[u8], lens: &[usize]) -> Heard {
    let message_bytes_max = connection.config().message_bytes_max();
    let mut inbound = Inbound::default();
    let (mut told, mut cause) = (Vec::new(), None);
    for len in lens.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(stream.len().min(*len));
        stream = rest;
        let mut piece = piece.to_vec();
        let mut left = &mut piece[..];
        loop {
            let (rest, event) = connection.receive(now(), left, &mut inbound);
            left = rest;
            let Some(event) = event else { break };
            assert!(cause.is_none(), "{event:?} behind the end, {cause:?}");
            match event {
                Event::Text(text) => told.push(Told::Text(text.as_str().to_owned())),
                Event::Binary(payload) => told.push(Told::Binary(payload.to_vec())),
                Event::Ping(payload) => told.push(Told::Ping(payload.to_vec())),
                Event::Pong(payload) => told.push(Told::Pong(payload.to_vec())),
                Event::Closed(why) => cause = Some(why),
                other => panic!("nothing asked for {other:?}"),
            }
            if let Some(Told::Text(text)) = told.last() {
                assert!(text.len() as u64 <= message_bytes_max, "a text of {} bytes", text.len());
            }
            if let Some(Told::Binary(bytes)) = told.last() {
                assert!(bytes.len() as u64 <= message_bytes_max, "a message of {} bytes", bytes.len());
            }
        }
        assert!(left.is_empty(), "no event, and something is left to look at");
        assert_eq!(connection.poll_event(), None);
    }
    let mut stats = connection.stats();
    // What came behind a broken rule is counted as far as it came with it.
    if matches!(cause, Some(Cause::Protocol(_))) {
        stats.bytes_received = 0;
    }
    Heard { told, cause, state: connection.state(), stats }
}
