//! What a driver may take back of what was prepared.

use std::{sync::Arc, time::Instant};

use super::PreparedMessage;
use crate::proto::{CloseCode, Connection, Outbound, Role};

fn wire(connection: &mut Connection, now: Instant, lent: &mut Outbound) -> Vec<u8> {
    let mut wire = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, lent) {
        let from = wire.len();
        transmit.slices().iter().for_each(|slice| wire.extend_from_slice(slice));
        transmit.wrote(wire.len() - from);
    }
    wire
}

#[test]
fn all_but_one_can_be_taken_back_until_the_close_is_queued() {
    let (now, mut lent) = (Instant::now(), Outbound::default());
    let mut connection = Connection::new(Arc::default(), Role::Server, now, 1);
    let message = PreparedMessage::new("hello");
    assert_eq!(connection.retract(1), 0);
    for _ in 0..4 {
        connection.send(&message, &mut lent).expect("there is room");
    }
    assert_eq!(
        (connection.retract(2), connection.queued(), connection.stats().messages_sent),
        (2, (2, 14), 2)
    );
    assert_eq!(
        (connection.retract(9), connection.queued(), connection.stats().messages_sent),
        (1, (1, 7), 1)
    );
    assert_eq!(connection.retract(1), 0);
    connection.send(&message, &mut lent).expect("there is room");
    connection.close(now, CloseCode::NORMAL, "").expect("it is open");
    assert_eq!(connection.retract(1), 0, "the Close stands behind it");
    assert_eq!(wire(&mut connection, now, &mut lent), b"\x81\x05hello\x81\x05hello\x88\x02\x03\xe8");
}

/// A client that keeps its context sends plain what may be taken back: a message that its compressor has seen and the peer never
/// does would be referred to by those behind it.
///
/// RFC 7692 §7.1.1.2 · catalogue: ZC-11
#[cfg(feature = "deflate")]
#[test]
fn what_a_client_takes_back_is_not_referred_to_by_what_comes_next() {
    use crate::proto::{Config, Deflate, DeflateTerms, Event, Inbound};

    let (now, mut lent) = (Instant::now(), Outbound::default());
    let config = Config::builder().deflate(Deflate::takeover().threshold(0)).build().expect("a config");
    let config = Arc::new(config);
    let open = |role| Connection::new(config.clone(), role, now, 1).with_deflate(Some(DeflateTerms::LARGEST));
    let (mut client, mut server) = (open(Role::Client), open(Role::Server));
    let text = "what is said twice is said twice".repeat(20);
    let prepared = PreparedMessage::new(text.as_str());
    client.send("first", &mut lent).expect("there is room");
    client.send(&prepared, &mut lent).expect("there is room");
    assert_eq!(client.retract(1), 1);
    client.send(&*text, &mut lent).expect("there is room");
    let mut wire = wire(&mut client, now, &mut lent);
    let (mut inbound, mut left, mut told) = (Inbound::default(), &mut *wire, Vec::new());
    while let (rest, Some(event)) = server.receive(now, left, &mut inbound) {
        left = rest;
        match event {
            Event::Text(text) => told.push(text.as_str().to_owned()),
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(told, ["first", &text]);
}
