//! RFC 6455 §5.1 to §5.6: headers, masks, lengths, fragments. Catalogue: 4.1.

use framecast::proto::{
    Cause, CloseCode, Config, Kind, Limit, LimitError, OpCode, ProtocolError, Role, State, Want,
};

use crate::support::{Delivery, Frame, Got, KEY, Pair, ROLES, Sent, Wire, close, frame, raw_frame};

const OPCODES: [OpCode; 6] =
    [OpCode::Continuation, OpCode::Text, OpCode::Binary, OpCode::Close, OpCode::Ping, OpCode::Pong];
const CONTROLS: [OpCode; 3] = [OpCode::Close, OpCode::Ping, OpCode::Pong];

/// What follows must neither be looked at nor answered.
fn canary() -> Frame {
    frame(OpCode::Ping).payload("canary")
}

/// The peer sends `what`; we fail with `error`, its code, and look at nothing behind it, whatever the delivery.
fn fails(role: Role, what: &[Frame], error: ProtocolError) {
    fails_with(role, Config::default(), what, error);
}

fn fails_with(role: Role, config: Config, what: &[Frame], error: ProtocolError) {
    for delivery in Delivery::ALL {
        let mut pair = Pair::with(role, config.clone());
        pair.peer_sends(delivery, what);
        pair.peer_sends(delivery, canary());
        assert_eq!(pair.events().pop(), Some(Got::error(error)), "{role:?} {delivery:?} {what:?}");
        assert_eq!(pair.peer_reads(), [close(error.close_code().0)], "{role:?} {delivery:?} {what:?}");
        assert_eq!(pair.close_reason(), error.to_string());
        assert_eq!((pair.wants(), pair.connection.state()), (Want::ShutdownWrite, State::Closed));
    }
}

/// The peer sends `what`, the application gets `events`, and `sent` goes back, whatever the delivery.
fn passes(role: Role, what: &[Frame], events: &[Got], sent: &[Sent]) {
    for delivery in Delivery::ALL {
        let mut pair = Pair::open(role);
        pair.peer_sends(delivery, what);
        assert_eq!(pair.events(), events, "{role:?} {delivery:?} {what:?}");
        assert_eq!(pair.peer_reads(), sent, "{role:?} {delivery:?} {what:?}");
        assert_eq!((pair.wants(), pair.connection.state()), (Want::Nothing, State::Open));
    }
}

/// On a continuation both where no message is open and inside one.
/// RFC 6455 §5.2 · catalogue: FR-01, FR-40, PD-13
#[test]
fn reserved_bits_on_any_opcode_fail_with_1002() {
    for role in ROLES {
        for opcode in OPCODES {
            for bits in 1..8 {
                let first = 0x80 | bits << 4 | opcode as u8;
                fails(role, &[frame(opcode).rsv(bits)], ProtocolError::ReservedBits(first));
            }
        }
        for (bits, fin) in (1..8).flat_map(|bits| [(bits, false), (bits, true)]) {
            let first = u8::from(fin) << 7 | bits << 4 | OpCode::Continuation as u8;
            let open = frame(OpCode::Text).fin(false).payload("open");
            let inside = frame(OpCode::Continuation).fin(fin).rsv(bits);
            fails(role, &[open, inside], ProtocolError::ReservedBits(first));
        }
    }
}

/// RFC 6455 §5.2 · catalogue: FR-02, FR-03
#[test]
fn reserved_opcodes_fail_with_1002() {
    for role in ROLES {
        for opcode in (3..=7).chain(11..=15) {
            for fin in [true, false] {
                for payload in ["", "payload"] {
                    let frame = raw_frame(opcode).fin(fin).payload(payload);
                    fails(role, &[frame], ProtocolError::ReservedOpCode(opcode));
                }
            }
        }
    }
}

/// RFC 6455 §5.2 · catalogue: FR-04
#[test]
fn a_bad_first_byte_is_told_before_the_second_comes() {
    for (first, error) in [
        (0xc1, ProtocolError::ReservedBits(0xc1)),
        (0xa2, ProtocolError::ReservedBits(0xa2)),
        (0x91, ProtocolError::ReservedBits(0x91)),
        (0x83, ProtocolError::ReservedOpCode(3)),
        (0x8f, ProtocolError::ReservedOpCode(15)),
        (0x09, ProtocolError::FragmentedControl(9)),
        (0x80, ProtocolError::UnexpectedContinuation),
        (0x00, ProtocolError::UnexpectedContinuation),
    ] {
        for role in ROLES {
            let mut pair = Pair::open(role);
            pair.peer_says(vec![first]);
            assert_eq!(pair.error(), Some(error), "{first:#04x}");
            assert_eq!(pair.peer_reads(), [close(1002)]);
        }
    }
}

/// RFC 6455 §5.1, §5.2, §5.5 · catalogue: FR-04, FR-10, FR-11, FR-20, FR-30
#[test]
fn what_the_length_proves_is_told_at_that_byte() {
    for (role, bytes, error) in [
        (Role::Server, &[0x81, 0x00][..], ProtocolError::NotMasked),
        (Role::Client, &[0x81, 0x80], ProtocolError::Masked),
        (Role::Server, &[0x89, 0xfe], ProtocolError::LongControl(9)),
        (Role::Client, &[0x88, 0x7f], ProtocolError::LongControl(8)),
        (Role::Server, &[0x82, 0xff, 0x80], ProtocolError::LengthTopBit),
    ] {
        for delivery in Delivery::every(bytes.len()) {
            let mut pair = Pair::open(role);
            pair.peer_sends(delivery, bytes);
            assert_eq!(pair.error(), Some(error), "{bytes:x?} {delivery:?}");
            assert_eq!(pair.peer_reads(), [close(1002)]);
        }
    }
}

/// RFC 6455 §5.1 · catalogue: FR-10
#[test]
fn unmasked_frames_from_a_client_fail_with_1002() {
    for opcode in [OpCode::Text, OpCode::Binary, OpCode::Close, OpCode::Ping, OpCode::Pong] {
        for payload in [&b""[..], b"\x03\xe8"] {
            fails(Role::Server, &[frame(opcode).unmasked().payload(payload)], ProtocolError::NotMasked);
        }
    }
    let open = frame(OpCode::Text).fin(false).payload("a");
    fails(Role::Server, &[open, frame(OpCode::Continuation).unmasked()], ProtocolError::NotMasked);
}

/// RFC 6455 §5.1 · catalogue: FR-11
#[test]
fn masked_frames_from_a_server_fail_with_1002() {
    for opcode in [OpCode::Text, OpCode::Binary, OpCode::Close, OpCode::Ping, OpCode::Pong] {
        for (payload, key) in [(&b""[..], [0; 4]), (b"\x03\xe8", KEY)] {
            fails(Role::Client, &[frame(opcode).masked(key).payload(payload)], ProtocolError::Masked);
        }
    }
    let open = frame(OpCode::Text).fin(false).payload("a");
    fails(Role::Client, &[open, frame(OpCode::Continuation).masked(KEY)], ProtocolError::Masked);
}

/// RFC 6455 §5.3 · catalogue: FR-12
#[test]
fn keys_of_all_zeros_and_all_ones_are_keys() {
    for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], KEY] {
        let hello = frame(OpCode::Text).payload("Hello").masked(key);
        passes(Role::Server, &[hello], &[Got::text("Hello")], &[]);
    }
}

/// RFC 6455 §5.3, §5.2 · catalogue: FR-13, FR-26
#[test]
fn payloads_of_every_length_arrive_as_sent() {
    let edges = (0..=300).chain(65_530..=65_540).chain((1 << 20) - 1..=1 << 20);
    for role in ROLES {
        for len in edges.clone() {
            let payload: Vec<u8> = (0..len).map(|at: usize| (at * 167 + len) as u8).collect();
            let wire = frame(OpCode::Binary).payload(&payload).wire(role.peer());
            let cuts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, wire.len() / 2, wire.len() - 1];
            for cut in cuts.into_iter().take(if len > 300 { 12 } else { 15 }) {
                let mut pair = Pair::open(role);
                pair.peer_sends(Delivery::Split(cut), &wire);
                let events = pair.events();
                assert!(matches!(&events[..], [Got::Binary(got)] if *got == payload), "{role:?} {len} {cut}");
            }
        }
    }
}

/// RFC 6455 §5.3 · catalogue: FR-13
#[test]
fn a_masked_payload_survives_every_split_and_every_place_in_the_buffer() {
    let payload: Vec<u8> = (0..=255).collect();
    for align in 0..16 {
        let front = frame(OpCode::Binary).payload(vec![0x5a; align]).masked([1, 2, 3, 4]);
        let frames = [front, frame(OpCode::Binary).payload(&payload)];
        let wire = frames.wire(Role::Client);
        for delivery in Delivery::every(wire.len()) {
            let mut pair = Pair::open(Role::Server);
            pair.peer_sends(delivery, &wire);
            assert_eq!(
                pair.events(),
                [Got::binary(vec![0x5a; align]), Got::binary(&payload)],
                "{delivery:?}"
            );
        }
    }
}

/// RFC 6455 §5.2 · catalogue: FR-20. gorilla, Tomcat, Beast and NATS each took such a length for a negative one.
#[test]
fn lengths_with_the_top_bit_fail_with_1002() {
    for role in ROLES {
        for len in [1 << 63, u64::MAX] {
            for opcode in [OpCode::Text, OpCode::Binary] {
                fails(role, &[frame(opcode).announcing(len)], ProtocolError::LengthTopBit);
            }
        }
    }
}

const TOO_BIG: ProtocolError =
    ProtocolError::Limit(LimitError { limit: Limit::MessageBytes, value: 1 << 20 });

/// RFC 6455 §5.2, §10.4 · catalogue: FR-21, FR-23. undici shifted by 8 where it meant 32.
#[test]
fn legal_lengths_beyond_the_limit_fail_with_1009_at_the_header() {
    for role in ROLES {
        for len in [(1 << 20) + 1, 1 << 32, (1 << 32) + 1, 1 << 53, (1 << 63) - 1] {
            fails(role, &[frame(OpCode::Binary).announcing(len)], TOO_BIG);
        }
    }
}

/// RFC 6455 §5.4, §10.4 · catalogue: FR-22, FR-46. aiohttp added the two lengths, and the sum overflowed.
#[test]
fn a_fragment_whose_length_overflows_the_sum_fails_with_1009() {
    for role in ROLES {
        for len in [(1 << 20) - 2, 1 << 32, (1 << 63) - 1] {
            let first = frame(OpCode::Binary).fin(false).payload("abc");
            fails(role, &[first, frame(OpCode::Continuation).announcing(len)], TOO_BIG);
        }
    }
}

/// RFC 6455 §5.2 · catalogue: FR-24. libsoup's bug was only there without a limit.
#[test]
fn without_a_limit_a_length_of_2_to_the_62_is_waited_for_and_nothing_is_reserved() {
    for role in ROLES {
        for len in [1 << 62, (1 << 63) - 1] {
            let mut pair = Pair::built(role, |config| config.message_bytes_max(Config::UNLIMITED));
            pair.peer_says(frame(OpCode::Binary).announcing(len).payload([7; 100]));
            assert_eq!((pair.events(), pair.wants()), (vec![], Want::Nothing));
            assert!(pair.connection.read_target().is_some());
            pair.peer_ends();
            assert_eq!(pair.cause(), Some(Cause::Eof));
        }
    }
}

/// RFC 6455 §5.2 · catalogue: FR-24, FR-22. Two fragments of 2^63 − 1 do not wrap what was counted either.
#[test]
fn without_a_limit_a_second_fragment_of_the_greatest_length_is_waited_for() {
    let mut pair = Pair::built(Role::Client, |config| config.message_bytes_max(Config::UNLIMITED));
    pair.peer_says(frame(OpCode::Binary).fin(false).payload([1; 300]));
    pair.peer_says(frame(OpCode::Continuation).announcing((1 << 63) - 1).payload([2; 300]));
    assert_eq!((pair.events(), pair.connection.state()), (vec![], State::Open));
}

/// RFC 6455 §5.2 · catalogue: FR-25
#[test]
fn lengths_not_in_shortest_form_fail_with_1002() {
    for role in ROLES {
        for len in [0, 1, 124, 125] {
            let long = frame(OpCode::Binary).payload(vec![1; len]).in_two_bytes();
            fails(role, &[long], ProtocolError::LengthNotMinimal);
        }
        for len in [0, 125, 126, 65_535] {
            let long = frame(OpCode::Text).announcing(len).in_eight_bytes();
            fails(role, &[long], ProtocolError::LengthNotMinimal);
        }
    }
}

/// RFC 6455 §5.2 · catalogue: FR-25, the leniency
#[test]
fn lengths_not_in_shortest_form_pass_where_they_are_allowed_but_not_on_control_frames() {
    let lenient = Config::builder().accept_long_lengths(true).build().expect("a leniency");
    for delivery in Delivery::ALL {
        for role in ROLES {
            let mut pair = Pair::with(role, lenient.clone());
            let two = frame(OpCode::Text).payload("two").in_two_bytes();
            pair.peer_sends(delivery, [two, frame(OpCode::Text).payload("eight").in_eight_bytes()]);
            assert_eq!(pair.events(), [Got::text("two"), Got::text("eight")], "{delivery:?}");
        }
    }
    for role in ROLES {
        let ping = frame(OpCode::Ping).payload("ab").in_two_bytes();
        fails_with(role, lenient.clone(), &[ping], ProtocolError::LongControl(9));
    }
}

/// RFC 6455 §5.5 · catalogue: FR-30, CL-04
#[test]
fn control_frames_with_a_longer_length_form_fail_with_1002_without_their_payload() {
    for role in ROLES {
        for opcode in CONTROLS {
            for len in [0, 125, 126, 65_535] {
                let error = ProtocolError::LongControl(opcode as u8);
                fails(role, &[frame(opcode).announcing(len).in_two_bytes()], error);
                fails(role, &[frame(opcode).announcing(len).in_eight_bytes()], error);
            }
        }
    }
}

/// RFC 6455 §5.5 · catalogue: FR-31, FR-32
#[test]
fn fragmented_control_frames_fail_with_1002_at_the_first() {
    for role in ROLES {
        for opcode in CONTROLS {
            let error = ProtocolError::FragmentedControl(opcode as u8);
            fails(role, &[frame(opcode).fin(false)], error);
            fails(role, &[frame(opcode).fin(false).payload("ab"), frame(OpCode::Continuation)], error);
            let open = frame(OpCode::Text).fin(false).payload("a");
            fails(role, &[open, frame(opcode).fin(false)], error);
        }
    }
}

/// RFC 6455 §5.4, §5.5.2 · catalogue: FR-33. aiohttp's ping between fragments overwrote the message's state.
#[test]
fn control_frames_between_fragments_are_answered_and_leave_the_message_whole() {
    for role in ROLES {
        for len in [0, 1, 124, 125] {
            let payload = vec![b'p'; len];
            let what = [
                frame(OpCode::Ping).payload(&payload),
                frame(OpCode::Text).fin(false).payload("one "),
                frame(OpCode::Ping).payload(&payload),
                frame(OpCode::Pong).payload(&payload),
                frame(OpCode::Continuation).fin(false).payload("two "),
                frame(OpCode::Ping),
                frame(OpCode::Continuation).payload("three"),
            ];
            let (ping, pong) = (Got::ping(&payload), Got::pong(&payload));
            let events = [ping.clone(), ping, pong, Got::ping(""), Got::text("one two three")];
            passes(role, &what, &events, &[Sent::pong(&payload), Sent::pong(&payload), Sent::pong("")]);
        }
    }
}

/// RFC 6455 §5.5.2, §5.5.3 · catalogue: FR-33
#[test]
fn pings_of_every_length_are_answered_with_their_payload() {
    for role in ROLES {
        for len in 0..=125usize {
            let payload: Vec<u8> = (0..len).map(|at| (at * 31 + len) as u8).collect();
            let ping = frame(OpCode::Ping).payload(&payload);
            passes(role, &[ping], &[Got::ping(&payload)], &[Sent::pong(&payload)]);
        }
    }
}

/// RFC 6455 §5.4 · catalogue: FR-34
#[test]
fn continuations_of_nothing_fail_with_1002() {
    for role in ROLES {
        for fin in [true, false] {
            let stray = frame(OpCode::Continuation).fin(fin).payload("stray");
            fails(role, std::slice::from_ref(&stray), ProtocolError::UnexpectedContinuation);
            let whole = frame(OpCode::Text).payload("whole");
            fails(role, &[whole, stray.clone()], ProtocolError::UnexpectedContinuation);
            let [first, last] = [frame(OpCode::Text).fin(false), frame(OpCode::Continuation)];
            fails(role, &[first, last, stray], ProtocolError::UnexpectedContinuation);
        }
    }
}

/// RFC 6455 §5.4 · catalogue: FR-35
#[test]
fn a_new_message_inside_an_unfinished_one_fails_with_1002() {
    for role in ROLES {
        for (first, second) in [
            (OpCode::Text, OpCode::Text),
            (OpCode::Text, OpCode::Binary),
            (OpCode::Binary, OpCode::Text),
            (OpCode::Binary, OpCode::Binary),
        ] {
            for fin in [true, false] {
                let what = [
                    frame(first).fin(false).payload("a"),
                    frame(OpCode::Ping),
                    frame(second).fin(fin).payload("b"),
                ];
                for delivery in Delivery::ALL {
                    let mut pair = Pair::open(role);
                    pair.peer_sends(delivery, what.as_slice());
                    assert_eq!(
                        pair.events(),
                        [Got::ping(""), Got::error(ProtocolError::ExpectedContinuation)],
                        "{delivery:?}"
                    );
                    assert_eq!(pair.peer_reads(), [Sent::pong(""), close(1002)]);
                }
            }
        }
    }
}

/// RFC 6455 §5.4 · catalogue: FR-36, FR-37
#[test]
fn empty_fragments_make_the_message_and_its_first_opcode_the_type() {
    let more = |payload: &str| frame(OpCode::Continuation).fin(false).payload(payload);
    let last = |payload: &str| frame(OpCode::Continuation).payload(payload);
    for role in ROLES {
        for (opcode, got) in
            [(OpCode::Text, Got::text as fn(&str) -> Got), (OpCode::Binary, |bytes| Got::binary(bytes))]
        {
            let first = |payload: &str| frame(opcode).fin(false).payload(payload);
            passes(role, &[first(""), more("a"), last("b")], &[got("ab")], &[]);
            passes(role, &[first("a"), more(""), last("b")], &[got("ab")], &[]);
            passes(role, &[first("a"), more("b"), last("")], &[got("ab")], &[]);
            passes(role, &[first(""), more(""), last("")], &[got("")], &[]);
            passes(role, &[first(""), last(""), frame(opcode)], &[got(""), got("")], &[]);
        }
    }
}

/// RFC 6455 §5.5.1 · catalogue: FR-38
#[test]
fn a_close_between_fragments_closes_and_the_message_is_never_told() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            let what = [
                frame(OpCode::Text).fin(false).payload("never"),
                frame(OpCode::Close).payload([3, 232]),
                frame(OpCode::Continuation).payload("told"),
                canary(),
            ];
            pair.peer_sends(delivery, what);
            let events = pair.events();
            assert!(matches!(&events[..], [Got::Closed(Cause::Peer(Some(frame)))] if frame.code.0 == 1000));
            assert_eq!(pair.peer_reads(), [close(1000)], "{delivery:?}");
        }
    }
}

/// RFC 6455 §7.4.1 · catalogue: FR-41
#[test]
fn a_type_that_is_not_taken_fails_with_1003() {
    let text_only = Config::builder().binary(false).build().expect("text is enough");
    let binary_only = Config::builder().text(false).build().expect("binary is enough");
    for role in ROLES {
        for (config, refused, taken) in
            [(&text_only, OpCode::Binary, OpCode::Text), (&binary_only, OpCode::Text, OpCode::Binary)]
        {
            for fin in [true, false] {
                let bad = frame(refused).fin(fin).payload("x");
                fails_with(role, config.clone(), &[bad], ProtocolError::UnsupportedType);
            }
            let mut pair = Pair::with(role, config.clone());
            pair.peer_says(frame(taken).payload("fine"));
            assert_eq!(pair.events().len(), 1);
        }
    }
    assert_eq!(ProtocolError::UnsupportedType.close_code(), CloseCode::UNSUPPORTED);
}

/// RFC 6455 §7.1.5 · catalogue: FR-42, FR-43, FT-03
#[test]
fn the_end_of_tcp_inside_a_frame_is_1006_and_no_close_goes_out() {
    for role in ROLES {
        let frames = [
            frame(OpCode::Binary).payload(vec![9; 70_000]),
            frame(OpCode::Binary).payload(vec![9; 300]),
            frame(OpCode::Text).fin(false).payload("open"),
            frame(OpCode::Ping).payload("ping"),
            frame(OpCode::Close).payload([3, 232]),
        ];
        for what in frames {
            let wire = what.wire(role.peer());
            for cut in (1..wire.len().min(30)).chain([wire.len() - 1]) {
                for delivery in [Delivery::Whole, Delivery::Bytes] {
                    let mut pair = Pair::open(role);
                    pair.peer_sends(delivery, &wire[..cut]);
                    pair.peer_ends();
                    assert_eq!(pair.events(), [Got::Closed(Cause::Eof)], "{what:?} cut at {cut}");
                    assert_eq!(pair.cause().map(|cause| cause.code().0), Some(1006));
                    assert_eq!((pair.peer_reads(), pair.wants()), (vec![], Want::Drop));
                }
            }
        }
    }
}

/// RFC 6455 §10.4 · catalogue: FR-45
#[test]
fn an_oversized_payload_is_drained_after_the_close_until_the_linger_bound() {
    let mut pair = Pair::built(Role::Server, |config| config.linger_bytes_max(1000));
    pair.peer_says(frame(OpCode::Binary).announcing((1 << 20) + 1));
    assert_eq!((pair.error(), pair.peer_reads()), (Some(TOO_BIG), vec![close(1009)]));
    assert_eq!(pair.wants(), Want::ShutdownWrite);
    pair.write_is_shut();
    pair.peer_says(vec![0; 1000]);
    assert_eq!(pair.wants(), Want::Nothing);
    pair.peer_says(vec![0; 1]);
    assert_eq!(pair.wants(), Want::StopReading);
}

/// RFC 6455 §5.4 · DESIGN point 2
#[test]
fn parts_are_handed_on_as_they_come_and_nothing_is_assembled() {
    let config = Config::builder().parts(true).message_bytes_max(4).build().expect("parts");
    let what = [
        frame(OpCode::Text).fin(false).payload("grü"),
        frame(OpCode::Ping).payload("p"),
        frame(OpCode::Continuation).fin(false),
        frame(OpCode::Continuation).payload("ezi"),
        frame(OpCode::Binary),
    ];
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::with(role, config.clone());
            pair.peer_sends(delivery, what.as_slice());
            let (mut text, mut ends) = (Vec::new(), Vec::new());
            for event in pair.events() {
                match event {
                    Got::Part { kind: Kind::Text, piece, last } => {
                        assert!(!piece.is_empty() || last);
                        text.extend(piece);
                        if last {
                            ends.push(Kind::Text);
                        }
                    }
                    Got::Part { kind: Kind::Binary, piece, last } => {
                        assert_eq!((piece, last), (vec![], true));
                        ends.push(Kind::Binary);
                    }
                    other => assert_eq!(other, Got::ping("p")),
                }
            }
            assert_eq!(text, "grüezi".as_bytes(), "{delivery:?}");
            assert_eq!(ends, [Kind::Text, Kind::Binary], "{delivery:?}");
            assert_eq!(pair.connection.stats().messages_received, 2);
        }
    }
}

/// RFC 6455 §7.1.7 · catalogue: G-12. The rule that a first byte breaks is told the same, whether the second, which
/// breaks another, came with it or after it.
#[test]
fn of_two_broken_rules_the_first_on_the_wire_is_told_however_it_is_split() {
    let text_only = Config::builder().binary(false).build().expect("text is enough");
    for (what, error) in [
        (frame(OpCode::Binary).unmasked(), ProtocolError::UnsupportedType),
        (frame(OpCode::Text).rsv(4).unmasked(), ProtocolError::ReservedBits(0xc1)),
        (frame(OpCode::Ping).rsv(4).announcing(300), ProtocolError::ReservedBits(0xc9)),
        (frame(OpCode::Continuation).unmasked(), ProtocolError::UnexpectedContinuation),
        (frame(OpCode::Continuation).announcing(1 << 63), ProtocolError::UnexpectedContinuation),
    ] {
        fails_with(Role::Server, text_only.clone(), &[what], error);
    }
    let what = [frame(OpCode::Text).fin(false).payload("a"), frame(OpCode::Text).unmasked()];
    fails(Role::Server, &what, ProtocolError::ExpectedContinuation);
}

/// RFC 6455 §5 · what was counted
#[test]
fn bytes_and_messages_are_counted_once_whatever_the_delivery() {
    let what = [
        frame(OpCode::Text).payload("one"),
        frame(OpCode::Ping),
        frame(OpCode::Binary).fin(false).payload([1; 200]),
        frame(OpCode::Continuation).payload([2; 200]),
    ];
    for role in ROLES {
        let wire = what.wire(role.peer());
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.peer_sends(delivery, &wire);
            let stats = pair.connection.stats();
            assert_eq!(
                (stats.bytes_received, stats.messages_received),
                (wire.len() as u64, 2),
                "{delivery:?}"
            );
        }
    }
}
