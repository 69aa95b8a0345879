//! permessage-deflate on the wire: RFC 7692 §6 and §7.2. Catalogue: 4.5.

use std::sync::Arc;

use flate2::{Compress, Compression as Level, FlushCompress};
use framecast::proto::{
    CloseCode, Compression, Config, Connection, Deflate, DeflateTerms, Inbound, Limit, LimitError, OpCode,
    Outbound, ProtocolError, Role,
};
use proptest::prelude::*;

use crate::support::{Delivery, Frame, Got, Joined, Pair, ROLES, Random, Sent, close, frame};

const TAKEOVER: DeflateTerms = DeflateTerms::LARGEST;
const NO_TAKEOVER: DeflateTerms = DeflateTerms {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    ..DeflateTerms::LARGEST
};

fn pair(role: Role, terms: DeflateTerms) -> Pair {
    Pair::compressing(role, terms, |config| config)
}

/// A message's only or first frame.
fn compressed(payload: impl AsRef<[u8]>) -> Frame {
    frame(OpCode::Text).rsv(4).payload(payload)
}

/// The peer's compressor, without the four bytes that are not sent.
struct Peer(Compress);

impl Peer {
    fn new(window_bits: u8) -> Self {
        Self(Compress::new_with_window_bits(Level::new(6), false, window_bits))
    }

    fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + message.len() / 8 + 64);
        self.0.compress_vec(message, &mut out, FlushCompress::Sync).expect("sound");
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
        out.truncate(out.len() - 4);
        out
    }
}

fn deflated(message: impl AsRef<[u8]>) -> Vec<u8> {
    Peer::new(15).deflate(message.as_ref())
}

/// A stored block (RFC 1951 §3.2.4), the last one of its stream or not.
fn stored(bytes: &[u8], last: bool) -> Vec<u8> {
    let len = bytes.len() as u16;
    [&[u8::from(last)][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes].concat()
}

/// Received in every delivery, by a fresh endpoint of either role: what the application was told.
fn told(terms: DeflateTerms, frames: &[Frame]) -> Vec<Got> {
    let mut all: Vec<Vec<Got>> = Vec::new();
    for role in ROLES {
        for delivery in Delivery::SOME {
            let mut pair = pair(role, terms);
            pair.peer_sends(delivery, frames);
            all.push(pair.events());
        }
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]), "told by how it came: {all:?}");
    all.swap_remove(0)
}

/// The same, and it fails with this error and its code; nothing is told before it but `before`.
fn fails(terms: DeflateTerms, frames: &[Frame], before: &[Got], error: ProtocolError, code: u16) {
    let mut expected = before.to_vec();
    expected.push(Got::error(error));
    assert_eq!(told(terms, frames), expected);
    for role in ROLES {
        let mut pair = pair(role, terms);
        pair.peer_says(frames);
        assert_eq!(pair.peer_reads().pop(), Some(close(code)), "{error}");
    }
}

const INVALID: ProtocolError = ProtocolError::InvalidDeflate;

/// RFC 7692 §7.2.3.1 to §7.2.3.6, byte for byte · catalogue: PD-01, PD-06, PD-10
#[test]
fn the_examples_of_the_rfc_are_received() {
    let whole: [(&str, &[u8], &str); 5] = [
        ("one fixed block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        ("a stored block", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], "Hello"),
        ("a block with BFINAL", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
        (
            "two blocks",
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            "Hello",
        ),
        ("an empty message", &[0x00], ""),
    ];
    for (what, payload, text) in whole {
        assert_eq!(told(NO_TAKEOVER, &[compressed(payload)]), [Got::text(text)], "{what}");
    }
    let fragments = [
        compressed([0xf2, 0x48, 0xcd]).fin(false),
        frame(OpCode::Continuation).payload([0xc9, 0xc9, 0x07, 0x00]),
    ];
    assert_eq!(told(NO_TAKEOVER, &fragments), [Got::text("Hello")]);
    let again =
        [compressed([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), compressed([0xf2, 0x00, 0x11, 0x00, 0x00])];
    assert_eq!(told(TAKEOVER, &again), [Got::text("Hello"), Got::text("Hello")]);
}

/// Catalogue: PD-01, PD-06, PD-07, PD-24
#[test]
fn blocks_of_every_kind_are_received_and_the_last_bytes_with_them() {
    let text = "the quick brown fox ".repeat(200);
    let dynamic = deflated(&text);
    let mut two_streams = stored(b"one ", true);
    two_streams.extend(stored(b"two", true));
    // The tail that the sender should have taken away, and the byte that makes the stream whole again behind it.
    let with_tail = [&deflated("Hello")[..], &[0, 0, 0xff, 0xff, 0]].concat();
    for (what, payload, text) in [
        ("dynamic codes", dynamic, text.as_str()),
        ("the last block of a stream, and nothing behind it", stored(b"final", true), "final"),
        ("two streams", two_streams, "one two"),
        ("the tail left in place", with_tail, "Hello"),
        (
            "three stored blocks",
            [stored(b"a", false), stored(b"b", false), stored(b"c", false), vec![0]].concat(),
            "abc",
        ),
    ] {
        assert_eq!(told(NO_TAKEOVER, &[compressed(payload)]), [Got::text(text)], "{what}");
    }
}

/// Catalogue: PD-02, PD-12, FR-33
#[test]
fn fragments_are_cut_anywhere_with_control_frames_in_between() {
    let text = "fragment ".repeat(40);
    let payload = deflated(&text);
    for cut in 0..=payload.len() {
        let frames = [
            frame(OpCode::Ping).payload("before"),
            compressed(&payload[..cut]).fin(false),
            frame(OpCode::Ping).payload("between"),
            frame(OpCode::Continuation).fin(false),
            frame(OpCode::Continuation).payload(&payload[cut..]),
        ];
        let mut pair = pair(Role::Server, NO_TAKEOVER);
        pair.peer_says(&frames[..]);
        assert_eq!(pair.events(), [Got::ping("before"), Got::ping("between"), Got::text(&text)], "{cut}");
    }
}

/// RFC 7692 §6.2 · catalogue: PD-03
#[test]
fn plain_messages_between_compressed_ones_leave_the_context_alone() {
    let mut peer = Peer::new(15);
    let (first, second) =
        (peer.deflate(b"some context to refer to"), peer.deflate(b"some context to refer to"));
    assert!(second.len() < 8, "it refers to the first");
    let frames =
        [compressed(first), frame(OpCode::Text).payload("plain, and no context"), compressed(second)];
    let context = Got::text("some context to refer to");
    assert_eq!(told(TAKEOVER, &frames), [context.clone(), Got::text("plain, and no context"), context]);
}

/// RFC 7692 §7.1.1, §7.2.2 · catalogue: PD-04, PD-05
#[test]
fn a_message_may_refer_to_the_ones_before_it_where_takeover_was_agreed_on() {
    let mut peer = Peer::new(15);
    let text = "what was said before ".repeat(3);
    let frames = [compressed(peer.deflate(text.as_bytes())), compressed(peer.deflate(text.as_bytes()))];
    assert_eq!(told(TAKEOVER, &frames), [Got::text(&text), Got::text(&text)]);
    fails(NO_TAKEOVER, &frames, &[Got::text(&text)], INVALID, 1007);
    // What one direction keeps, the other need not.
    for role in ROLES {
        let terms = match role {
            Role::Server => DeflateTerms { client_no_context_takeover: false, ..NO_TAKEOVER },
            Role::Client => DeflateTerms { server_no_context_takeover: false, ..NO_TAKEOVER },
        };
        let mut pair = pair(role, terms);
        pair.peer_says(&frames[..]);
        assert_eq!(pair.events(), [Got::text(&text), Got::text(&text)]);
    }
}

/// RFC 7692 §7.1.2 · catalogue: PD-04
#[test]
fn references_reach_as_far_back_as_the_window_that_was_agreed_on() {
    for bits in 9..=15u8 {
        let window = 1usize << bits;
        let terms = DeflateTerms { server_max_window_bits: bits, client_max_window_bits: bits, ..TAKEOVER };
        // Noise, so that the only copy is that of what is repeated here, at one exact distance. The peer has the largest
        // window, of which zlib uses a little less; and may begin with a literal or two.
        let distances =
            if bits == 15 { vec![(32_000, true)] } else { vec![(window, true), (window + 16, false)] };
        for (distance, reaches) in distances {
            let noise = Random(7).bytes(distance);
            let mut peer = Peer::new(15);
            let first = peer.deflate(&noise);
            let again = peer.deflate(&noise[..100]);
            assert!(again.len() < 10, "it refers back: {again:02x?}");
            let frames =
                [frame(OpCode::Binary).rsv(4).payload(first), frame(OpCode::Binary).rsv(4).payload(again)];
            let binary = Got::binary(&noise);
            if reaches {
                assert_eq!(told(terms, &frames), [binary, Got::binary(&noise[..100])], "{bits} {distance}");
            } else {
                fails(terms, &frames, &[binary], INVALID, 1007);
            }
        }
    }
}

/// Catalogue: PD-08, PD-09, PD-14, PD-15
#[test]
fn what_cannot_be_inflated_is_1007_and_never_a_short_message() {
    let hello = deflated("Hello, hello, hello, and hello again: there is more to come");
    for cut in 1..hello.len() {
        fails(NO_TAKEOVER, &[compressed(&hello[..cut])], &[], INVALID, 1007);
    }
    let zlib = [&[0x78, 0x9c][..], &hello].concat();
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &hello].concat();
    let mut wrong_len = stored(b"Hello", false);
    wrong_len[3] ^= 1;
    let cases: [(&str, &[u8]); 10] = [
        ("no data", &[]),
        ("block type 3", &[0x06, 0x00]),
        ("a stored length that is not its complement's", &wrong_len),
        ("a stored block that is cut short", &stored(b"Hello", false)[..8]),
        ("a stored block that is cut short by the tail", &stored(b"Hello\x00\x00\xff\xff", false)[..10]),
        ("a distance before the beginning", &[0xf2, 0x00, 0x11, 0x00, 0x00]),
        ("code lengths that are too many", &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("zlib's header", &zlib),
        ("gzip's header", &gzip),
        ("rubbish behind a last block", &[&stored(b"Hello", true)[..], &[0xff, 0xff]].concat()),
    ];
    for (what, payload) in cases {
        assert_eq!(told(NO_TAKEOVER, &[compressed(payload)]), [Got::error(INVALID)], "{what}");
    }
    fails(NO_TAKEOVER, &[compressed([])], &[], INVALID, 1007);
}

/// Catalogue: PD-26, G-11
#[test]
fn after_an_error_nothing_is_inflated_any_more() {
    let frames =
        [compressed([0x06, 0x00]), compressed(deflated("too late")), frame(OpCode::Text).payload("too late")];
    fails(TAKEOVER, &frames, &[], INVALID, 1007);
}

/// RFC 7692 §6, §6.1 · catalogue: PD-11, PD-13, FR-40
#[test]
fn rsv1_on_control_frames_and_continuations_fails_with_1002() {
    for opcode in [OpCode::Ping, OpCode::Pong, OpCode::Close] {
        let first = 0xc0 | opcode as u8;
        fails(NO_TAKEOVER, &[frame(opcode).rsv(4)], &[], ProtocolError::ReservedBits(first), 1002);
    }
    let continuation = frame(OpCode::Continuation).rsv(4).payload([0]);
    for first in [compressed([]).fin(false), frame(OpCode::Text).fin(false)] {
        fails(NO_TAKEOVER, &[first, continuation.clone()], &[], ProtocolError::ReservedBits(0xc0), 1002);
    }
    for rsv in [1, 2, 3, 5, 6, 7] {
        let first = 0x80 | rsv << 4 | 1;
        fails(NO_TAKEOVER, &[frame(OpCode::Text).rsv(rsv)], &[], ProtocolError::ReservedBits(first), 1002);
    }
    for role in ROLES {
        let mut plain = Pair::open(role);
        plain.peer_says(compressed(deflated("Hello")));
        assert_eq!(plain.error(), Some(ProtocolError::ReservedBits(0xc1)), "nobody negotiated it");
    }
}

/// RFC 6455 §8.1 · catalogue: UT-06, PD-24
#[test]
fn compressed_text_is_checked_as_it_comes() {
    let bad = deflated(b"sound \xff and more behind it");
    fails(NO_TAKEOVER, &[compressed(bad)], &[], ProtocolError::InvalidUtf8 { at: 6 }, 1007);
    // Long before the message ends.
    let mut early = stored(b"ab\xc3", false);
    early.extend(stored(b"(", false));
    fails(NO_TAKEOVER, &[compressed(early).fin(false)], &[], ProtocolError::InvalidUtf8 { at: 2 }, 1007);
    let broken_off = deflated("half a character: \u{20ac}".as_bytes().split_last().expect("not empty").1);
    fails(NO_TAKEOVER, &[compressed(broken_off)], &[], ProtocolError::InvalidUtf8 { at: 18 }, 1007);
}

/// Catalogue: PD-20, PD-21, PD-22, PD-23, FR-22
#[test]
fn inflating_stops_above_the_limit_whatever_the_ratio() {
    const LIMIT: usize = 10_000;
    let too_big = ProtocolError::Limit(LimitError { limit: Limit::MessageBytes, value: LIMIT as u64 });
    let deliver = |role, frames: &[Frame], delivery| {
        let mut pair = Pair::compressing(role, TAKEOVER, |config| config.message_bytes_max(LIMIT as u64));
        pair.peer_sends(delivery, frames);
        (pair.events(), pair.peer_reads().pop())
    };
    let binary = |payload: Vec<u8>| frame(OpCode::Binary).rsv(4).payload(payload);
    for role in ROLES {
        for delivery in Delivery::SOME {
            for noise in [vec![0; LIMIT + 1], Random(1).bytes(LIMIT + 1)] {
                let exactly = deliver(role, &[binary(deflated(&noise[..LIMIT]))], delivery);
                assert_eq!(exactly, (vec![Got::binary(&noise[..LIMIT])], None));
                let above = deliver(role, &[binary(deflated(&noise))], delivery);
                assert_eq!(above, (vec![Got::error(too_big)], Some(close(1009))));
            }
            // What is left of the limit may be nothing, which is no word for "no limit".
            let (full, more) = (stored(&vec![7; LIMIT], false), stored(b"x", false));
            let pieces =
                |rest: &[u8]| [binary(full.clone()).fin(false), frame(OpCode::Continuation).payload(rest)];
            let none_more = deliver(role, &pieces(&[0]), delivery);
            assert_eq!(none_more.0, [Got::binary(vec![7; LIMIT])]);
            let one_more = deliver(role, &pieces(&[&more[..], &[0]].concat()), delivery);
            assert_eq!(one_more, (vec![Got::error(too_big)], Some(close(1009))));
        }
        // A bomb in fragments, and one whose header alone is too much.
        let bomb = deflated(vec![0; 1 << 20]);
        let mut fragments = vec![binary(Vec::new()).fin(false)];
        fragments.extend(bomb.iter().map(|byte| frame(OpCode::Continuation).payload([*byte]).fin(false)));
        assert_eq!(deliver(role, &fragments, Delivery::Whole).1, Some(close(1009)));
        let long = LIMIT as u64 + LIMIT as u64 / 8 + 65;
        let header = [binary(Vec::new()).announcing(long)];
        let on_the_wire = LimitError { limit: Limit::MessageBytes, value: long - 1 };
        let expected = (vec![Got::error(ProtocolError::Limit(on_the_wire))], Some(close(1009)));
        assert_eq!(deliver(role, &header, Delivery::Bytes), expected);
    }
}

/// Catalogue: PD-28
#[test]
fn a_bomb_is_refused_also_while_nothing_can_be_written() {
    for role in ROLES {
        let mut pair = Pair::compressing(role, NO_TAKEOVER, |config| config.message_bytes_max(10_000));
        pair.sends(&"what waits ".repeat(10));
        pair.transport_takes(Some(5));
        pair.peer_says(frame(OpCode::Binary).rsv(4).payload(deflated(vec![0; 1 << 20])));
        let error = LimitError { limit: Limit::MessageBytes, value: 10_000 };
        assert_eq!(pair.events(), [Got::error(ProtocolError::Limit(error))]);
        pair.transport_takes(None);
        let sent = pair.peer_reads();
        assert!(matches!(&sent[..], [Sent::Compressed(..), last] if *last == close(1009)), "{sent:?}");
    }
}

/// RFC 7692 §7.2.3.4 · catalogue: PD-27
#[test]
fn a_message_has_at_most_64_streams() {
    let streams = |count: usize| [compressed([0x03, 0x00].repeat(count))];
    assert_eq!(told(NO_TAKEOVER, &streams(64)), [Got::text("")]);
    let error = ProtocolError::Limit(LimitError { limit: Limit::DeflateStreams, value: 64 });
    fails(NO_TAKEOVER, &streams(65), &[], error, 1008);
    // Empty blocks of one stream are only bytes.
    let empty = [compressed([&stored(b"", false).repeat(20_000)[..], &[0]].concat())];
    let mut server = pair(Role::Server, NO_TAKEOVER);
    server.peer_says(&empty[..]);
    assert_eq!(server.events(), [Got::text("")]);
}

/// A window outlives the end of a stream, inside of a message and behind it · RFC 7692 §7.2.3.4 · catalogue: PD-06
#[test]
fn the_context_goes_on_behind_a_last_block() {
    let mut peer = Peer::new(15);
    let first = [&stored(b"some context to refer to", true)[..]].concat();
    peer.0.set_dictionary(b"some context to refer to").expect("a raw stream");
    let again = peer.deflate(b"some context to refer to");
    assert!(again.len() < 8, "it refers back");
    let text = Got::text("some context to refer to");
    assert_eq!(told(TAKEOVER, &[compressed(&first), compressed(&again)]), [text.clone(), text]);
    let both = [compressed([first, again].concat())];
    assert_eq!(told(NO_TAKEOVER, &both), [Got::text(&"some context to refer to".repeat(2))]);
}

/// RFC 7692 §7.2.1 · catalogue: PD-30
#[test]
fn a_message_leaves_compressed_in_one_frame_without_its_tail() {
    let text = "compress me ".repeat(100);
    for role in ROLES {
        for (opcode, terms) in [(OpCode::Text, NO_TAKEOVER), (OpCode::Binary, TAKEOVER)] {
            let mut pair = pair(role, terms);
            match opcode {
                OpCode::Text => pair.sends(&text),
                _ => pair.sends_bytes(text.as_bytes()),
            }
            let sent = pair.peer_reads();
            let [Sent::Compressed(sent_as, payload)] = &sent[..] else { panic!("{sent:?}") };
            assert_eq!(*sent_as, opcode);
            assert!(payload.len() < 50 && !payload.ends_with(&[0, 0, 0xff, 0xff]), "{payload:02x?}");
            assert_eq!(told(NO_TAKEOVER, &[compressed(payload)]), [Got::text(&text)]);
        }
    }
}

/// RFC 7692 §7.1.1 · catalogue: PD-31, ZC-11
#[test]
fn without_takeover_the_same_message_leaves_as_the_same_bytes() {
    let text = "the same again ".repeat(20);
    let payloads = |terms| {
        let mut pair = pair(Role::Server, terms);
        pair.sends(&text);
        pair.sends(&text);
        pair.peer_reads()
    };
    let alone = payloads(NO_TAKEOVER);
    assert_eq!(alone[0], alone[1]);
    let [Sent::Compressed(_, first), Sent::Compressed(_, second)] = &payloads(TAKEOVER)[..] else { panic!() };
    assert!(second.len() < 8 && first.len() > 20, "{first:02x?} {second:02x?}");
    // A repetition beyond the window that was agreed on is not referred to.
    let far = [&Random(3).bytes(2000)[..], "a".repeat(600).as_bytes()].concat();
    for bits in 9..=15u8 {
        let terms = DeflateTerms { server_max_window_bits: bits, ..TAKEOVER };
        let mut pair = pair(Role::Server, terms);
        pair.connection.send_with(&far[..], Compression::Always, &mut pair.outbound).expect("room");
        pair.connection.send_with(&far[..], Compression::Always, &mut pair.outbound).expect("room");
        let sent = pair.peer_reads();
        let Sent::Compressed(_, second) = &sent[1] else { panic!("{sent:?}") };
        assert_eq!(second.len() < 500, bits >= 12, "{bits} bits: {} bytes", second.len());
    }
}

/// Catalogue: PD-30, PD-32
#[test]
fn what_is_small_or_does_not_shrink_leaves_plain() {
    let config = Config::builder().deflate(Deflate::default()).build().expect("sound");
    let now = std::time::Instant::now();
    let mut server = Connection::new(Arc::new(config), Role::Server, now, 1).with_deflate(Some(NO_TAKEOVER));
    let mut lent = Outbound::default();
    let mut first_byte = |message: &[u8], compression| {
        server.send_with(message, compression, &mut lent).expect("room");
        let transmit = server.poll_transmit(now, &mut lent).expect("it waits");
        let (first, len) = (transmit.slices()[0][0], transmit.slices().iter().map(|slice| slice.len()).sum());
        transmit.wrote(len);
        (first, len)
    };
    let (small, large, noise) = ([7; 1023], [7; 1024], Random(5).bytes(5000));
    assert_eq!(first_byte(&small, Compression::Auto), (0x82, 1027), "below the threshold");
    assert_eq!(first_byte(&large, Compression::Auto).0, 0xc2, "at the threshold");
    assert_eq!(first_byte(&small, Compression::Always).0, 0xc2);
    assert_eq!(first_byte(&large, Compression::Never), (0x82, 1028));
    assert_eq!(first_byte(&noise, Compression::Always), (0x82, 5004), "it would not shrink");
    assert_eq!(first_byte(&[], Compression::Always), (0x82, 2));
    assert_eq!(first_byte(&large, Compression::Auto).0, 0xc2, "and goes on");
}

/// RFC 7692 §7.2 · catalogue: PD-04, PD-31
#[test]
fn what_one_of_ours_compresses_the_other_inflates() {
    for bits in 9..=15u8 {
        for terms in [TAKEOVER, NO_TAKEOVER] {
            let terms = DeflateTerms { server_max_window_bits: bits, client_max_window_bits: bits, ..terms };
            let mut joined = joined(terms);
            let text = "{\"price\": 12.5, \"volume\": 300}, ".repeat(1500);
            let noise = Random(bits.into()).bytes(40_000);
            for _ in 0..3 {
                joined.client.sends(&text);
                joined.client.sends_bytes(&noise);
                joined.server.sends(&text);
                joined.server.sends("short");
            }
            joined.exchange(Delivery::Whole);
            let [at_server, at_client] = [joined.server.events(), joined.client.events()];
            assert_eq!(at_server, vec![[Got::text(&text), Got::binary(&noise)]; 3].concat(), "{bits}");
            assert_eq!(at_client, vec![[Got::text(&text), Got::text("short")]; 3].concat(), "{bits}");
        }
    }
}

/// A peer that is answered 8 for its window cannot be obeyed by zlib: it is sent plain messages · catalogue: PN-03
#[test]
fn a_window_of_8_bits_is_read_and_never_written() {
    let terms = DeflateTerms { server_max_window_bits: 8, client_max_window_bits: 8, ..TAKEOVER };
    for role in ROLES {
        let mut pair = pair(role, terms);
        pair.sends(&"plain ".repeat(100));
        assert_eq!(pair.peer_reads(), [Sent::text(&"plain ".repeat(100))]);
        pair.peer_says(compressed(deflated("Hello")));
        assert_eq!(pair.events(), [Got::text("Hello")]);
    }
}

/// Catalogue: ZC-21, V-20, PD-26
#[test]
fn connections_that_share_a_thread_never_share_a_context() {
    let config = Arc::new(Config::builder().deflate(Deflate::takeover()).build().expect("sound"));
    let now = std::time::Instant::now();
    let mut lent = Inbound::default();
    let secret = "the secret of one connection ".repeat(10);
    let mut peer = Peer::new(15);
    let (first, again) = (peer.deflate(secret.as_bytes()), peer.deflate(secret.as_bytes()));
    for terms in [TAKEOVER, NO_TAKEOVER] {
        let mut other = Connection::new(config.clone(), Role::Client, now, 2).with_deflate(Some(terms));
        let mut owner = Connection::new(config.clone(), Role::Client, now, 1).with_deflate(Some(TAKEOVER));
        let wire = |payload: &[u8]| [&[0xc1, payload.len() as u8][..], payload].concat();
        let mut told = |connection: &mut Connection, payload: &[u8]| {
            let mut wire = wire(payload);
            let (_, event) = connection.receive(now, &mut wire, &mut lent);
            event.map(Got::from)
        };
        assert_eq!(told(&mut owner, &first), Some(Got::text(&secret)));
        assert_eq!(told(&mut other, &again), Some(Got::error(INVALID)), "it refers to what it never sent");
        assert_eq!(told(&mut owner, &again), Some(Got::text(&secret)), "and harms nobody");
    }
}

/// After our Close what is compressed is passed over, as everything is, to find the peer's · RFC 6455 §5.5.1
#[test]
fn after_our_close_compressed_messages_are_passed_over() {
    for delivery in Delivery::SOME {
        let mut pair = pair(Role::Server, TAKEOVER);
        pair.peer_says(compressed(&deflated("never finished")[..5]).fin(false));
        pair.closes(1000, "");
        let rest = [
            frame(OpCode::Continuation).payload(&deflated("never finished")[5..]),
            compressed([0x06, 0x00]),
            crate::support::close_frame(1000),
        ];
        pair.peer_sends(delivery, &rest[..]);
        let events = pair.events();
        assert!(matches!(&events[..], [Got::Closed(cause)] if cause.code() == CloseCode(1000)), "{events:?}");
    }
}

fn joined(terms: DeflateTerms) -> Joined {
    let mut joined = Joined::open();
    joined.client = pair(Role::Client, terms);
    joined.server = pair(Role::Server, terms);
    joined.server.now = joined.client.now;
    joined
}

prop_compose! {
    fn terms()(server in any::<bool>(), client in any::<bool>(), server_bits in 9..=15u8, client_bits in 9..=15u8)
        -> DeflateTerms {
        DeflateTerms {
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Catalogue: PD-02, PD-04, PD-31, G-12
    #[test]
    fn any_messages_arrive_as_they_were_sent(
        terms in terms(),
        messages in prop::collection::vec((0usize..40_000, 0u64..4, any::<bool>()), 1..12),
        seed in any::<u64>(),
    ) {
        let mut joined = joined(terms);
        let mut sent = Vec::new();
        for (len, kind, up) in messages {
            // From all of one byte to noise.
            let mut random = Random(seed ^ len as u64);
            let bytes: Vec<u8> = (0..len).map(|_| (random.next() % [1, 3, 40, 256][kind as usize]) as u8).collect();
            let end = if up { &mut joined.client } else { &mut joined.server };
            end.sends_bytes(&bytes);
            joined.exchange(if len < 2000 { Delivery::Random(seed) } else { Delivery::Whole });
            sent.push((up, Got::binary(bytes)));
            let got = if up { joined.server.events() } else { joined.client.events() };
            prop_assert_eq!(&got[..], &[sent[sent.len() - 1].1.clone()][..]);
        }
    }
}
