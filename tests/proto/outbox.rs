//! The one way out: in order, whole frames, control frames ahead between them. Catalogue: 4.6, 10.1.

use std::collections::HashSet;

use bytes::Bytes;
use framecast::proto::{Message, OpCode, Outbound, Role, SendError};

use crate::support::{Pair, ROLES, Random, Sent, Wire, close, frame};

/// SN-04 and more are judged by the decoder in the support of every test.
/// RFC 6455 §5.1, §5.2, §5.4 · catalogue: SN-04, SN-05, FR-26
#[test]
fn messages_of_every_length_leave_in_order_in_the_shortest_form() {
    let lens = (0..=130).chain([4095, 4096, 4097, 65_535, 65_536, 65_537, 300_000]);
    for role in ROLES {
        let mut pair = Pair::built(role, |config| config.outbox_bytes_max(10 << 20));
        let mut expected = Vec::new();
        for len in lens.clone() {
            let payload = Random(len as u64).bytes(len);
            pair.sends_bytes(&payload);
            pair.connection.send(Bytes::from(payload.clone()), &mut pair.outbound).expect("room");
            pair.sends(&"t".repeat(len));
            expected.extend([Sent::binary(&payload), Sent::binary(&payload), Sent::Text("t".repeat(len))]);
        }
        assert_eq!(pair.peer_reads(), expected);
        let stats = pair.connection.stats();
        assert_eq!(stats.messages_sent as usize, expected.len());
        assert_eq!(stats.bytes_sent as usize, pair.peer_reads_bytes().len());
    }
}

/// RFC 6455 §5.2 · the exact bytes
#[test]
fn a_servers_hello_is_seven_bytes_and_a_clients_is_masked_with_a_fresh_key() {
    let mut server = Pair::open(Role::Server);
    server.sends("Hello");
    assert_eq!(server.peer_reads_bytes(), [0x81, 5, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    let mut client = Pair::open(Role::Client);
    client.sends("Hello");
    client.sends("Hello");
    let bytes = client.peer_reads_bytes();
    let (first, second) = bytes.split_at(11);
    assert_eq!((&first[..2], &second[..2]), (&[0x81, 0x85][..], &[0x81, 0x85][..]));
    assert_ne!(first[2..6], second[2..6], "each frame has its own key (RFC 6455 §5.3)");
}

/// RFC 6455 §5.3, §10.3 · catalogue: SN-01. With the keys that a driver lends unless told otherwise.
#[test]
fn by_default_no_two_frames_of_a_client_have_the_same_key() {
    let mut keys = HashSet::new();
    for _ in 0..2 {
        let mut client = Pair::open(Role::Client);
        client.outbound = Outbound::default();
        for _ in 0..200 {
            client.sends("x");
            keys.insert(client.peer_reads_bytes()[2..6].to_vec());
        }
    }
    assert!(keys.len() >= 399, "{} keys of 400", keys.len());
}

/// RFC 6455 §5.3, §10.3 · catalogue: SN-01
#[test]
fn control_frames_of_a_client_have_keys_of_their_own_even_in_one_write() {
    let mut client = Pair::open(Role::Client);
    let pings: Vec<_> = (0..16).map(|n: u8| frame(OpCode::Ping).payload([n])).collect();
    client.reads(&pings.wire(Role::Server));
    client.connection.ping(b"ours").expect("one fits");
    client.closes(1000, "");
    let transmit = client.connection.poll_transmit(client.now, &mut client.outbound).expect("all of it");
    let written: Vec<u8> = transmit.slices().iter().flat_map(|slice| slice.iter().copied()).collect();
    let (mut opcodes, mut keys, mut rest) = (Vec::new(), HashSet::new(), &written[..]);
    while let [first, len, a, b, c, d, ..] = *rest {
        opcodes.push(first & 0xf);
        keys.insert([a, b, c, d]);
        rest = &rest[6 + usize::from(len & 0x7f)..];
    }
    let expected = [vec![OpCode::Pong as u8; 16], vec![OpCode::Ping as u8, OpCode::Close as u8]].concat();
    assert_eq!((opcodes, rest), (expected, &[][..]), "one write");
    assert_eq!(keys.len(), 18);
}

/// catalogue: ZC-14, ZC-16, FT-15
#[test]
fn a_write_cut_at_every_offset_loses_nothing() {
    for role in ROLES {
        let large = Bytes::from(Random(9).bytes(5000));
        let queue = |pair: &mut Pair| {
            pair.sends("one");
            pair.connection.send(large.clone(), &mut pair.outbound).expect("room");
            pair.sends(&"two".repeat(50));
            pair.connection.send(large.clone(), &mut pair.outbound).expect("room");
            pair.connection.send(large.clone(), &mut pair.outbound).expect("room");
            pair.sends("three");
        };
        let messages = [
            Sent::text("one"),
            Sent::binary(&large),
            Sent::text(&"two".repeat(50)),
            Sent::binary(&large),
            Sent::binary(&large),
            Sent::text("three"),
        ];
        let mut pair = Pair::open(role);
        queue(&mut pair);
        let len = pair.peer_reads_bytes().len();
        for cut in (0..len).filter(|cut| cut % 97 == 0 || cut % 5000 < 40 || len - cut < 20) {
            let mut pair = Pair::open(role);
            pair.transport_takes(Some(cut));
            queue(&mut pair);
            pair.transport_takes(None);
            assert_eq!(pair.peer_reads(), messages, "{role:?} {cut}");
        }
        for max in [1, 2, 3, 7, 100, 4099] {
            let mut pair = Pair::open(role);
            pair.write_max = max;
            queue(&mut pair);
            assert_eq!(pair.peer_reads(), messages, "{role:?} writes of {max}");
        }
    }
}

/// catalogue: ZC-15. tokio-websockets read out of bounds where more was queued than one call takes.
#[test]
fn thousands_of_owned_buffers_leave_in_order() {
    for role in ROLES {
        for (count, write_max) in [(1025, usize::MAX), (3000, 100_000), (33, 4096), (32, 1)] {
            let mut pair = Pair::built(role, |config| config.outbox_bytes_max(usize::MAX));
            pair.write_max = write_max;
            let payloads: Vec<Bytes> = (0..count).map(|at: usize| vec![at as u8; 4096].into()).collect();
            for payload in &payloads {
                pair.connection.send(payload.clone(), &mut pair.outbound).expect("room");
            }
            let expected: Vec<Sent> = payloads.iter().map(Sent::binary).collect();
            assert!(pair.peer_reads() == expected, "{role:?} {count}");
        }
    }
}

/// DESIGN point 4: a server splices what is owned and large; the write borrows the application's own bytes.
#[test]
fn a_large_owned_payload_is_not_copied_by_a_server() {
    let payload = Bytes::from(vec![7; 4096]);
    let mut pair = Pair::open(Role::Server);
    pair.connection.send(payload.clone(), &mut pair.outbound).expect("room");
    let transmit = pair.connection.poll_transmit(pair.now, &mut pair.outbound).expect("it waits");
    let slices = transmit.slices();
    assert_eq!(slices.len(), 2);
    assert_eq!(slices[1].as_ptr(), payload.as_ptr());
}

/// RFC 6455 §10.3 · catalogue: SN-02, SN-03, ZC-17
#[test]
fn what_the_application_does_with_its_buffer_after_send_does_not_reach_the_wire() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pair.transport_takes(Some(3));
        let mut buffer = vec![1; 10_000];
        pair.sends_bytes(&buffer);
        buffer.fill(2);
        pair.transport_takes(Some(5000));
        buffer.fill(3);
        pair.transport_takes(None);
        assert_eq!(pair.peer_reads(), [Sent::binary(vec![1; 10_000])]);
    }
    let shared = Bytes::from(vec![9; 10_000]);
    let message = Message::binary(shared.clone());
    for seed in [1, 2] {
        let mut client = Pair::seeded(Role::Client, Default::default(), seed);
        client.connection.send(&message, &mut client.outbound).expect("room");
        assert_eq!(client.peer_reads(), [Sent::binary(&shared)]);
    }
    assert!(shared.iter().all(|byte| *byte == 9), "masked in a copy");
}

/// RFC 6455 §5.4, §5.5.3 · catalogue: ZC-16
#[test]
fn control_frames_overtake_what_is_queued_and_never_enter_a_frame() {
    for role in ROLES {
        let frame_len = "the first message".len() + if role == Role::Client { 6 } else { 2 };
        for room in 0..2 * frame_len {
            let mut pair = Pair::open(role);
            pair.sends("the first message");
            pair.sends("the other message");
            pair.sends("last");
            pair.transport_takes(Some(room));
            pair.connection.ping(b"ours").expect("one fits");
            pair.peer_says(frame(OpCode::Ping).payload("theirs"));
            pair.transport_takes(None);
            let mut expected =
                vec![Sent::text("the first message"), Sent::text("the other message"), Sent::text("last")];
            let at = room.div_ceil(frame_len);
            expected.splice(at..at, [Sent::pong("theirs"), Sent::ping("ours")]);
            assert_eq!(pair.peer_reads(), expected, "{role:?} {room}");
        }
    }
}

/// RFC 6455 §5.5.2 · one ping of the application's waits
#[test]
fn a_second_ping_is_refused_until_the_first_has_left_and_126_bytes_always_are() {
    let mut pair = Pair::open(Role::Server);
    pair.transport_takes(Some(0));
    let too_long = SendError::PayloadTooLong { bytes: 126 };
    assert_eq!(pair.connection.ping(&[0; 126]), Err(too_long));
    assert_eq!(pair.connection.ping(&[1; 125]), Ok(()));
    assert_eq!(pair.connection.ping(&[2; 125]), Err(SendError::Full));
    pair.transport_takes(None);
    assert_eq!(pair.connection.ping(b""), Ok(()));
    assert_eq!(pair.peer_reads(), [Sent::ping([1; 125]), Sent::ping("")]);
    assert_eq!(
        pair.timeout_in().map(|left| left > crate::support::seconds(15)),
        Some(true),
        "no pong is due"
    );
}

/// RFC 6455 §5.5.1 · catalogue: SN-07
#[test]
fn the_close_is_last_and_there_is_one() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pair.transport_takes(Some(1));
        pair.sends("first");
        pair.closes(1001, "going");
        pair.peer_says(frame(OpCode::Ping).payload("too late"));
        pair.peer_says(crate::support::close_frame(1000));
        pair.transport_takes(None);
        assert_eq!(pair.peer_reads(), [Sent::text("first"), close(1001)]);
        assert_eq!(pair.close_reason(), "going");
    }
}
