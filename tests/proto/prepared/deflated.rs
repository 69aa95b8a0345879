//! Compressed once for each window, and by whom it can be shared: RFC 7692. Catalogue: ZC-11.

use std::sync::Arc;

use flate2::{Decompress, FlushDecompress};
use framecast::proto::{
    Compression, Config, Connection, Deflate, DeflateTerms, OpCode, Outbound, PreparedMessage, Role,
};

use crate::support::{Pair, ROLES, Random, Sent};

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
