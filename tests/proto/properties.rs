//! Whatever the bytes, whatever the splits: the same events (catalogue: G-12), and what goes in comes out.

use std::collections::VecDeque;

use framecast::proto::{CloseCode, Config, Kind, OpCode, Role, Want};
use proptest::prelude::*;

use crate::support::{Delivery, Frame, Got, Joined, Pair, Random, Sent, Wire, close_frame, frame, raw_frame};

fn roles() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Client, Role::Server])
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let small = prop::collection::vec(any::<u8>(), 0..40);
    let large = (prop::sample::select(vec![124usize, 126, 4095, 4096, 16_384, 20_000, 65_536]), any::<u64>());
    prop_oneof![4 => small, 1 => large.prop_map(|(len, seed)| Random(seed).bytes(len))]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zß-ö가-힣😀-😎]{0,20}", 1 => (100usize..9000).prop_map(|len| "aé€😀".repeat(len / 10))]
}

/// A message, whole or in fragments with control frames between, and what it is told as.
#[derive(Clone, Debug)]
struct Script {
    frames: Vec<Frame>,
    told: Vec<Got>,
}

fn messages() -> impl Strategy<Value = Script> {
    let content = prop_oneof![
        payloads().prop_map(|bytes| (OpCode::Binary, bytes)),
        texts().prop_map(|text| (OpCode::Text, text.into_bytes())),
    ];
    let control = prop::option::weighted(0.3, (any::<bool>(), prop::collection::vec(any::<u8>(), 0..=125)));
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), control), 0..4);
    (content, cuts).prop_map(|((opcode, content), mut cuts)| {
        cuts.sort_by_key(|(cut, _)| cut.index(content.len() + 1));
        let (mut frames, mut told, mut from) = (Vec::new(), Vec::new(), 0);
        let fragment = |from, to, fin| {
            let opcode = if from == usize::MAX { opcode } else { OpCode::Continuation };
            let from = if from == usize::MAX { 0 } else { from };
            frame(opcode).fin(fin).payload(&content[from..to])
        };
        let mut first = true;
        for (cut, control) in cuts {
            let to = cut.index(content.len() + 1);
            frames.push(fragment(if first { usize::MAX } else { from }, to, false));
            (first, from) = (false, to);
            if let Some((ping, payload)) = control {
                frames.push(frame(if ping { OpCode::Ping } else { OpCode::Pong }).payload(&payload));
                told.push(if ping { Got::Ping(payload) } else { Got::Pong(payload) });
            }
        }
        frames.push(fragment(if first { usize::MAX } else { from }, content.len(), true));
        told.push(match opcode {
            OpCode::Text => Got::Text(String::from_utf8(content).expect("made of characters")),
            _ => Got::Binary(content),
        });
        Script { frames, told }
    })
}

fn deliveries(seed: u64, len: usize) -> Vec<Delivery> {
    let mut random = Random(seed);
    let mut deliveries =
        vec![Delivery::Whole, Delivery::Random(seed), Delivery::Split(random.below(len + 1))];
    if len < 20_000 {
        deliveries.push(Delivery::Bytes);
    }
    deliveries
}

/// Frames right and wrong, so that much of what is arbitrary gets past the first byte.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let frames =
        (0u8..16, prop::num::u8::ANY, prop::bool::weighted(0.9), prop::collection::vec(any::<u8>(), 0..30));
    let frames = frames.prop_map(|(opcode, dice, fin, payload)| {
        let mut frame =
            raw_frame(if dice < 230 { [0, 1, 2, 9, 10, 8][usize::from(opcode % 6)] } else { opcode });
        frame = frame.fin(fin).payload(payload);
        match dice % 40 {
            0 => frame.rsv(dice / 40 + 1),
            1 => frame.unmasked(),
            2 => frame.masked([dice; 4]),
            3 => frame.in_two_bytes(),
            4 => frame.in_eight_bytes(),
            5 => frame.announcing(1 << (dice / 4)),
            _ => frame,
        }
    });
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    (prop::collection::vec(frames, 0..6), bytes, roles()).prop_map(|(frames, bytes, role)| {
        let mut wire = frames.wire(role);
        wire.extend(bytes);
        wire
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// RFC 6455 §5 · catalogue: G-12, FR-13, FR-33, UT-03
    #[test]
    fn no_split_of_a_valid_stream_changes_what_is_told(
        role in roles(), scripts in prop::collection::vec(messages(), 1..6), seed: u64, straight: bool,
    ) {
        let wire: Vec<u8> = scripts.iter().flat_map(|script| script.frames.wire(role.peer())).collect();
        let told: Vec<Got> = scripts.iter().flat_map(|script| script.told.clone()).collect();
        for delivery in deliveries(seed, wire.len()) {
            let mut pair = Pair::open(role);
            pair.reads_straight = straight;
            pair.peer_sends(delivery, &wire);
            prop_assert_eq!(&pair.events(), &told, "{:?}", delivery);
            let pongs = told.iter().filter(|got| matches!(got, Got::Ping(_))).count();
            prop_assert_eq!(pair.peer_reads().len(), pongs);
        }
    }

    /// RFC 6455 §5 · the same in pieces: put together, they are the messages
    #[test]
    fn parts_put_together_are_the_messages(
        role in roles(), scripts in prop::collection::vec(messages(), 1..5), seed: u64,
    ) {
        let wire: Vec<u8> = scripts.iter().flat_map(|script| script.frames.wire(role.peer())).collect();
        let told: Vec<Got> = scripts.iter().flat_map(|script| script.told.clone()).collect();
        for delivery in deliveries(seed, wire.len()) {
            let mut pair = Pair::built(role, |config| config.parts(true));
            pair.peer_sends(delivery, &wire);
            let (mut open, mut messages) = (Vec::new(), Vec::new());
            for event in pair.events() {
                let Got::Part { kind, piece, last } = event else { messages.push(event); continue };
                open.extend(piece);
                if last {
                    let whole = std::mem::take(&mut open);
                    messages.push(match kind {
                        Kind::Text => Got::Text(String::from_utf8(whole).expect("it was checked")),
                        Kind::Binary => Got::Binary(whole),
                    });
                }
            }
            prop_assert_eq!(&messages, &told, "{:?}", delivery);
        }
    }

    /// RFC 6455 §5 · catalogue: G-12, G-11
    #[test]
    fn no_split_of_any_bytes_changes_what_is_told_and_answered(
        role in roles(), wire in rubbish(), seed: u64, closing: bool, lenient: bool, text in any::<bool>(),
    ) {
        let config = Config::builder().message_bytes_max(50).frame_bytes_max(25).fragments_max(3);
        let config = config.accept_long_lengths(lenient).text(text).build().expect("a config");
        let run = |delivery| {
            let mut pair = Pair::with(role, config.clone());
            if closing {
                pair.closes(1000, "");
            }
            pair.peer_sends(delivery, &wire);
            (pair.events(), pair.peer_reads(), pair.wants(), pair.connection.state())
        };
        let whole = run(Delivery::Whole);
        for delivery in deliveries(seed, wire.len()).into_iter().chain((1..14).map(Delivery::Split)) {
            prop_assert_eq!(&run(delivery), &whole, "{:?}", delivery);
        }
    }

    /// RFC 6455 §5, §7 · catalogue: FT-15
    #[test]
    fn what_one_of_ours_sends_the_other_is_told(
        up in prop::collection::vec(payloads(), 0..6), down in prop::collection::vec(texts(), 0..6),
        write_max in prop::sample::select(vec![1usize, 3, 14, 100, 5000, usize::MAX]), seed: u64, straight: bool,
    ) {
        let mut joined = Joined::open();
        for end in [&mut joined.client, &mut joined.server] {
            end.write_max = write_max;
            end.reads_straight = straight;
        }
        for payload in &up {
            joined.client.sends_bytes(payload);
        }
        for text in &down {
            joined.server.sends(text);
        }
        joined.exchange(Delivery::Random(seed));
        joined.client.closes(3000, "done");
        joined.exchange(Delivery::Bytes);
        let mut at_server = joined.server.events();
        prop_assert!(matches!(at_server.pop(), Some(Got::Closed(_))));
        prop_assert_eq!(at_server, up.into_iter().map(Got::Binary).collect::<Vec<_>>());
        let mut at_client = joined.client.events();
        prop_assert!(matches!(at_client.pop(), Some(Got::Closed(_))));
        prop_assert_eq!(at_client, down.into_iter().map(Got::Text).collect::<Vec<_>>());
        prop_assert!(joined.client.connection.is_clean() && joined.server.connection.is_clean());
    }

    /// RFC 6455 §5.4, §5.5 · catalogue: ZC-14, ZC-16, SN-04, SN-07. Against a model that is a queue and nothing else.
    #[test]
    fn the_outbox_behaves_as_a_queue_that_control_frames_overtake(
        role in roles(), ops in prop::collection::vec((0u8..6, 0usize..6000), 1..60),
    ) {
        let mut pair = Pair::built(role, |config| config.outbox_bytes_max(usize::MAX));
        pair.transport_takes(Some(0));
        let (mut data, mut control) = (VecDeque::new(), 0usize);
        let mut closed = false;
        for (op, len) in ops {
            match op {
                0 | 1 if !closed => {
                    let payload = Random(len as u64).bytes(len);
                    if op == 0 { pair.sends_bytes(&payload) } else {
                        let owned = bytes::Bytes::from(payload.clone());
                        pair.connection.send(owned, &mut pair.outbound).expect("room");
                    }
                    data.push_back(Sent::Binary(payload));
                }
                2 if !closed && control < 90 => {
                    pair.peer_says(frame(OpCode::Ping).payload([control as u8]));
                    control += 1;
                }
                3 if len < 200 && !closed => {
                    closed = true;
                    pair.closes(1000, "");
                    data.push_back(Sent::Close(Some(1000)));
                }
                _ => pair.transport_takes(Some(len)),
            }
        }
        pair.transport_takes(None);
        let sent = pair.peer_reads();
        let pongs: Vec<&Sent> = sent.iter().filter(|sent| matches!(sent, Sent::Pong(_))).collect();
        prop_assert!(pongs.len() <= control && (control == 0 || !pongs.is_empty()));
        let last = control.checked_sub(1).map(|last| Sent::pong([last as u8]));
        prop_assert_eq!(pongs.last().copied(), last.as_ref(), "the newest is always answered");
        let rest: Vec<&Sent> = sent.iter().filter(|sent| !matches!(sent, Sent::Pong(_))).collect();
        prop_assert_eq!(rest, data.iter().collect::<Vec<_>>());
        prop_assert_eq!(pair.connection.stats().queued_bytes, 0);
    }

    /// RFC 6455 §5 · catalogue: G-1, G-6. Whatever comes, in whatever order, with time between: one end at most, no panic.
    #[test]
    fn no_order_of_calls_breaks_it(
        role in roles(), ops in prop::collection::vec((0u8..12, any::<u16>()), 1..60),
    ) {
        let mut pair = Pair::open(role);
        for (op, number) in ops {
            let len = usize::from(number % 300);
            match op {
                0 => pair.peer_says(frame(OpCode::Binary).payload(vec![0; len])),
                1 => pair.peer_says(frame(OpCode::Ping).payload(vec![1; len % 126])),
                2 => pair.peer_says(frame(OpCode::Text).fin(false).payload("x")),
                3 => pair.peer_says(frame(OpCode::Binary).announcing(20_000 + u64::from(number))),
                4 => pair.reads(&vec![0; len]),
                5 => pair.advance(std::time::Duration::from_millis(u64::from(number))),
                6 => pair.transport_takes((number % 2 == 0).then_some(len)),
                7 => _ = pair.connection.send(&vec![7; len * 20][..], &mut pair.outbound),
                8 => _ = pair.connection.ping(&[2; 3]),
                9 => pair.connection.pause_reading(pair.now, number % 2 == 0),
                10 if number % 8 == 0 => pair.peer_says(close_frame(1000)),
                10 if number % 8 == 1 => pair.peer_ends(),
                10 if number % 8 == 2 => pair.connection.handle_transport_error(std::io::ErrorKind::BrokenPipe),
                10 if number % 8 == 3 => _ = pair.connection.close(pair.now, CloseCode(1000), ""),
                11 if pair.connection.want() == Want::ShutdownWrite => pair.write_is_shut(),
                _ => pair.sleeps(std::time::Duration::from_millis(u64::from(number))),
            }
        }
        pair.events();
        // G-10: with a silent peer there is nothing left to wait for in the end.
        let _ = pair.connection.close(pair.now, CloseCode(1000), "");
        pair.advance(std::time::Duration::from_secs(20));
        if pair.connection.want() == Want::ShutdownWrite {
            pair.write_is_shut();
        }
        pair.advance(std::time::Duration::from_secs(20));
        prop_assert_eq!(pair.connection.poll_timeout(), None);
        prop_assert!(pair.cause().is_some());
    }
}
