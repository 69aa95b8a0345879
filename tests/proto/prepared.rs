//! Messages that are prepared once and sent to many: the same bytes, by reference. Catalogue: 10.1.

use framecast::proto::{Compression, Kind, Message, OpCode, PreparedMessage, Role, SendError};

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

#[cfg(feature = "deflate")]
mod deflated {
    use std::sync::Arc;

    use flate2::{Decompress, FlushDecompress};
    use framecast::proto::{Config, Connection, Deflate, DeflateTerms, Outbound};

    use super::*;

    fn terms(window_bits: u8, keeps_context: bool) -> DeflateTerms {
        DeflateTerms {
            server_no_context_takeover: !keeps_context,
            client_no_context_takeover: !keeps_context,
            server_max_window_bits: window_bits,
            client_max_window_bits: window_bits,
        }
    }

    /// What is far apart is alike, so that a larger window makes it smaller, and all of it longer than what is copied.
    fn text() -> String {
        let mut random = Random(7);
        let mut word = || random.bytes(9).iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>();
        let words: Vec<String> = (0..3000).map(|_| word()).collect();
        [words.concat(), words.concat()].concat()
    }

    /// By an inflater that has this window and no larger one.
    fn inflated(payload: &[u8], window_bits: u8) -> String {
        let mut inflater = Decompress::new_with_window_bits(false, window_bits);
        let mut out = Vec::with_capacity(1 << 20);
        let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
        inflater.decompress_vec(&whole, &mut out, FlushDecompress::Sync).expect("it is sound");
        assert_eq!(inflater.total_in() as usize, whole.len());
        String::from_utf8(out).expect("it was text")
    }

    /// Compressed once for each window, by the first who asks, and the same memory for all who have that window.
    ///
    /// RFC 7692 §7.2.1 · catalogue: ZC-11
    #[test]
    fn each_window_is_compressed_for_once_and_decodes_within_it() {
        let text = text();
        let prepared = PreparedMessage::new(text.as_str());
        let mut lens = Vec::new();
        let mut places = Vec::new();
        for window_bits in 9..=15 {
            let mut of_this = Vec::new();
            // With levels of their own: the first one's is what all get.
            for level in [6, 1, 9] {
                let mut server = Pair::compressing(Role::Server, terms(window_bits, false), |config| {
                    config.deflate(Deflate::takeover().threshold(0).level(level))
                });
                server.connection.send(&prepared, &mut server.outbound).expect("there is room");
                let transmit =
                    server.connection.poll_transmit(server.now, &mut server.outbound).expect("a frame");
                let slices = transmit.slices();
                assert_eq!(slices.len(), 1, "shared and not copied");
                of_this.push((slices[0].as_ptr(), slices[0].len()));
                let [Sent::Compressed(OpCode::Text, payload)] = &server.peer_reads()[..] else {
                    panic!("one compressed message");
                };
                assert!(inflated(payload, window_bits) == text);
            }
            assert_eq!(of_this, vec![of_this[0]; 3], "{window_bits} bits");
            lens.push(of_this[0].1);
            places.push(of_this[0].0);
        }
        assert!(lens.iter().all(|len| *len < text.len()));
        assert!(lens[6] < lens[0] * 2 / 3, "{lens:?}: only the largest window reaches back to what is alike");
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 7, "each window has its own");
    }

    /// RFC 7692 §7.1.1.1: what is compressed for all refers to nobody's context, and a context of one's own knows nothing of it.
    ///
    /// catalogue: ZC-11
    #[test]
    fn who_keeps_its_context_or_has_declined_gets_it_plain() {
        let text = text();
        let prepared = PreparedMessage::new(text.as_str());
        for role in ROLES {
            let mut declined = Pair::built(role, |config| config.deflate(Deflate::default()));
            declined.connection.send(&prepared, &mut declined.outbound).expect("there is room");
            assert_eq!(declined.peer_reads(), [Sent::text(&text)]);

            let mut keeps = Pair::compressing(role, terms(15, true), |config| config);
            let mut own = Vec::new();
            for _ in 0..2 {
                keeps.sends(&text[..30_000]);
                keeps.connection.send(&prepared, &mut keeps.outbound).expect("there is room");
                let [Sent::Compressed(_, of_own), plain] = &keeps.peer_reads()[..] else {
                    panic!("its own compressed, and the prepared one");
                };
                assert_eq!(*plain, Sent::text(&text));
                own.push(of_own.len());
            }
            assert!(own[1] < own[0] / 10, "{own:?}: its own refers to what it has sent itself");
        }
    }

    #[test]
    fn a_client_without_a_context_compresses_its_own_copy() {
        let text = text();
        let prepared = PreparedMessage::new(text.as_str());
        let mut client = Pair::compressing(Role::Client, terms(15, false), |config| config);
        client.connection.send(&prepared, &mut client.outbound).expect("there is room");
        let [Sent::Compressed(OpCode::Text, payload)] = &client.peer_reads()[..] else {
            panic!("one compressed message");
        };
        assert!(inflated(payload, 15) == text);
    }

    fn server(threshold: usize) -> (Connection, Outbound) {
        let config = Config::builder().deflate(Deflate::default().threshold(threshold)).build();
        let config = Arc::new(config.expect("a config"));
        let server = Connection::new(config, Role::Server, std::time::Instant::now(), 1);
        (server.with_deflate(Some(terms(12, false))), Outbound::default())
    }

    fn is_compressed(prepared: &PreparedMessage, threshold: usize, otherwise: Compression) -> bool {
        let (mut server, mut lent) = server(threshold);
        server.send_with(prepared, otherwise, &mut lent).expect("there is room");
        let transmit = server.poll_transmit(std::time::Instant::now(), &mut lent).expect("a frame");
        transmit.slices()[0][0] & 0x40 != 0
    }

    /// Whether it is compressed is said where it is prepared, and what `send_with` says is for others.
    #[test]
    fn a_message_is_compressed_as_it_was_prepared_and_from_the_connections_threshold_on() {
        let text = "ab".repeat(50);
        let [auto, never, always] = [Compression::Auto, Compression::Never, Compression::Always];
        let prepare = |compression| PreparedMessage::with_compression(text.as_str(), compression);
        for otherwise in [auto, never, always] {
            let is_compressed =
                |prepared: &PreparedMessage, threshold| is_compressed(prepared, threshold, otherwise);
            // The same one, for connections with thresholds of their own.
            let by_threshold = prepare(auto);
            let outcome = [101, 100, 99, 101].map(|threshold| is_compressed(&by_threshold, threshold));
            assert_eq!(outcome, [false, true, true, false]);
            assert!(!is_compressed(&prepare(never), 0));
            assert!(is_compressed(&prepare(always), usize::MAX));
        }
    }

    /// Nothing, and what does not become smaller, is sent plain by whatever it was asked for.
    #[test]
    fn what_does_not_become_smaller_is_sent_plain() {
        for payload in [vec![], vec![1], Random(5).bytes(10_000)] {
            let prepared = PreparedMessage::with_compression(payload.clone(), Compression::Always);
            for _ in 0..2 {
                let mut server = Pair::compressing(Role::Server, terms(15, false), |config| config);
                server.connection.send(&prepared, &mut server.outbound).expect("there is room");
                assert_eq!(server.peer_reads(), [Sent::binary(&payload)]);
            }
        }
    }

    /// Compressing takes no room that the plain message would not have; what is queued is counted as it is sent.
    #[test]
    fn room_is_asked_for_by_the_plain_length_and_taken_by_the_compressed_one() {
        let prepared = PreparedMessage::new("x".repeat(10_000));
        let mut server = Pair::compressing(Role::Server, terms(12, false), |config| {
            config.outbox_bytes_low(0).outbox_bytes_max(10_200)
        });
        let mut sent = 0;
        while server.connection.send(&prepared, &mut server.outbound).is_ok() {
            sent += 1;
        }
        let each = server.connection.stats().queued_bytes / sent;
        assert!((10..100).contains(&each), "{each} bytes each");
        let before = (sent - 1) * each + 10_004;
        assert!(before <= 10_200 && before + each > 10_200, "{sent} of {each} bytes");
    }
}
