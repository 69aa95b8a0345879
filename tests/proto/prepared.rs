//! Messages that are prepared once and sent to many: the same bytes, by reference. Catalogue: 10.1.

#[cfg(feature = "deflate")]
mod deflated;

use framecast::proto::{Kind, Message, OpCode, PreparedMessage, Role, SendError};

use crate::support::{Delivery, Pair, ROLES, Random, Sent, Wire, close, frame};

/// RFC 6455 §5.2
#[test]
fn a_prepared_message_is_the_frame_that_a_server_sends_at_every_edge_of_its_header() {
    for (len, header) in [
        (0, &[0x82, 0][..]),
        (1, &[0x82, 1]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (4092, &[0x82, 126, 0x0f, 0xfc]),
        (4096, &[0x82, 126, 0x10, 0]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = Random(len as u64).bytes(len);
        let prepared = PreparedMessage::new(payload.clone());
        assert_eq!(
            (prepared.payload(), prepared.kind(), prepared.as_text()),
            (&*payload, Kind::Binary, None)
        );
        assert_eq!(prepared.frame_bytes(), header.len() + len);
        assert_eq!(prepared.to_message(), Message::binary(payload.clone()));
        let mut server = Pair::open(Role::Server);
        for _ in 0..2 {
            server.connection.send(&prepared, &mut server.outbound).expect("there is room");
            assert!(server.peer_reads_bytes() == [header, &payload].concat(), "{len} bytes");
        }
        assert_eq!(server.connection.stats().messages_sent, 2);
    }
    let text = PreparedMessage::new("grün");
    assert_eq!((text.kind(), text.as_text(), text.to_message()), (Kind::Text, Some("grün"), "grün".into()));
    let mut server = Pair::open(Role::Server);
    server.connection.send(&text, &mut server.outbound).expect("there is room");
    assert_eq!(server.peer_reads_bytes(), b"\x81\x05gr\xc3\xbcn");
}

/// RFC 6455 §5.1, §5.3: a client's frames are masked, each with its own key, and what is shared stays as it is.
#[test]
fn a_client_masks_a_copy_of_its_own() {
    for len in [5, 5000] {
        let payload = Random(1).bytes(len);
        let prepared = PreparedMessage::new(payload.clone());
        let mut client = Pair::open(Role::Client);
        for _ in 0..2 {
            client.connection.send(&prepared, &mut client.outbound).expect("there is room");
        }
        // The decoder fails what is not masked.
        assert_eq!(client.peer_reads(), [Sent::binary(&payload), Sent::binary(&payload)]);
        let bytes = client.peer_reads_bytes();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let header = if len == 5 { 2 } else { 4 };
        assert_ne!(first[header..header + 4], second[header..header + 4], "each has its own key");
        assert_eq!(prepared.payload(), payload);
    }
}

/// Large frames of any number of connections are the same memory.
#[test]
fn what_is_sent_to_many_is_not_copied() {
    let prepared = PreparedMessage::new(vec![7; 4092]);
    for _ in 0..3 {
        let mut server = Pair::open(Role::Server);
        server.connection.send(&prepared, &mut server.outbound).expect("there is room");
        let transmit = server.connection.poll_transmit(server.now, &mut server.outbound).expect("a frame");
        let slices = transmit.slices();
        assert_eq!((slices.len(), slices[0].len()), (1, 4096));
        assert_eq!(slices[0][4..].as_ptr(), prepared.payload().as_ptr());
    }
}

/// It is counted like any message: at the limit it is taken, above it not, and one of any size by an outbox that is empty.
#[test]
fn prepared_messages_are_within_the_outboxs_bounds() {
    let hundred = PreparedMessage::new(vec![0; 98]);
    for (bytes_max, fits) in [(399, 3), (400, 4), (401, 4)] {
        for role in ROLES {
            let mut pair = Pair::built(role, |config| config.outbox_bytes_low(0).outbox_bytes_max(bytes_max));
            let mut sent = 0;
            while pair.connection.send(&hundred, &mut pair.outbound).is_ok() {
                sent += 1;
            }
            let fits = if role == Role::Server { fits } else { 3 };
            assert_eq!(sent, fits, "{role:?}, {bytes_max} bytes");
        }
    }
    let mut server = Pair::built(Role::Server, |config| config.outbox_bytes_low(0).outbox_bytes_max(1));
    assert!(server.connection.send(&hundred, &mut server.outbound).is_ok());
    assert_eq!(server.connection.send(&hundred, &mut server.outbound), Err(SendError::Full));
    let mut server = Pair::built(Role::Server, |config| config.outbox_messages_max(2));
    let sent = [(); 3].map(|()| server.connection.send(&hundred, &mut server.outbound).is_ok());
    assert_eq!(sent, [true, true, false]);
    server.closes(1000, "");
    assert_eq!(server.connection.send(&hundred, &mut server.outbound), Err(SendError::Closed));
    assert_eq!(server.peer_reads(), [Sent::binary([0; 98]), Sent::binary([0; 98]), close(1000)]);
}

/// Wherever the write has stopped inside a prepared frame, the pong waits for its end.
///
/// RFC 6455 §5.5 · catalogue: ZC-14, ZC-16
#[test]
fn a_ping_that_comes_inside_a_prepared_frame_is_answered_at_its_end() {
    let payload = Random(3).bytes(5000);
    let prepared = PreparedMessage::new(payload.clone());
    let ping = frame(OpCode::Ping).payload(b"?");
    for written in (0..=5004).step_by(13).chain([1, 2, 3, 4, 5, 5003]) {
        let mut server = Pair::open(Role::Server);
        server.transport_takes(Some(written));
        for _ in 0..2 {
            server.connection.send(&prepared, &mut server.outbound).expect("there is room");
        }
        server.flush();
        server.peer_sends(Delivery::Whole, ping.wire(Role::Client));
        server.transport_takes(None);
        let mut expected = vec![Sent::binary(&payload), Sent::binary(&payload)];
        expected.insert(written.div_ceil(5004), Sent::pong(b"?"));
        assert_eq!(server.peer_reads(), expected, "after {written} bytes");
    }
}
