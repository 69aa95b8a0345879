//! RFC 6455 §8.1: text is UTF-8, and what is not is told at the first byte that proves it. Catalogue: 4.2.

use framecast::proto::{OpCode, ProtocolError, Role};

use crate::support::{Delivery, Frame, Got, Pair, ROLES, Random, Wire, close, frame};

/// Sends `what` in every delivery; the peer must read 1007, and the application where the text went wrong.
fn fails_at(what: &[Frame], at: u64) {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.peer_sends(delivery, what);
            assert_eq!(
                pair.events(),
                [Got::error(ProtocolError::InvalidUtf8 { at })],
                "{delivery:?} {what:?}"
            );
            assert_eq!(pair.peer_reads(), [close(1007)], "{delivery:?} {what:?}");
        }
    }
}

fn text(payload: impl AsRef<[u8]>) -> Frame {
    frame(OpCode::Text).payload(payload)
}

fn more(payload: impl AsRef<[u8]>) -> Frame {
    frame(OpCode::Continuation).payload(payload)
}

/// RFC 6455 §8.1 · catalogue: UT-01
#[test]
fn text_that_is_not_utf8_fails_with_1007() {
    let bad: &[&[u8]] = &[
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc3A",
        b"\xe2\x82A",
        b"\xf0\x9f\x98A",
        b"\xed\xa0\x80\xed\xb0\x80",
    ];
    for bad in bad {
        fails_at(&[text(bad)], 0);
        fails_at(&[text([b"caf\xc3\xa9 ", *bad, b" behind"].concat())], 6);
        let fragments = [text("caf").fin(false), more([b"\xc3\xa9", *bad].concat()).fin(false), more("x")];
        fails_at(&fragments, 5);
    }
}

/// RFC 6455 §8.1 · catalogue: UT-01
#[test]
fn every_pair_of_bytes_is_judged_as_the_standard_library_does() {
    for first in 0x80..=0xff {
        for second in [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff] {
            for rest in [&b""[..], b"\x80", b"\x80\x80", b"\xbf\xbf", b"A"] {
                let bytes = [&[first, second][..], rest].concat();
                let expected = match std::str::from_utf8(&bytes) {
                    Ok(text) => Got::text(text),
                    Err(error) => Got::error(ProtocolError::InvalidUtf8 { at: error.valid_up_to() as u64 }),
                };
                for delivery in [Delivery::Whole, Delivery::Bytes, Delivery::Split(7)] {
                    let mut pair = Pair::open(Role::Server);
                    pair.peer_sends(delivery, text(&bytes));
                    assert_eq!(pair.events(), std::slice::from_ref(&expected), "{bytes:x?} {delivery:?}");
                }
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-02
#[test]
fn noncharacters_nul_and_the_byte_order_mark_are_text() {
    let fine = [
        "\0",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{feff}bom",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{10000}",
    ];
    for role in ROLES {
        for fine in fine {
            for delivery in Delivery::ALL {
                let mut pair = Pair::open(role);
                pair.peer_sends(delivery, text(fine));
                assert_eq!(pair.events(), [Got::text(fine)], "{delivery:?}");
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-03
#[test]
fn characters_cut_by_fragments_and_pings_come_out_whole() {
    let whole = "κόσμε €😀 z";
    for cut in 0..=whole.len() {
        for next in [cut, (cut + 1).min(whole.len()), whole.len()] {
            let (front, middle, back) =
                (&whole.as_bytes()[..cut], &whole.as_bytes()[cut..next], &whole.as_bytes()[next..]);
            let what = [text(front).fin(false), frame(OpCode::Ping), more(middle).fin(false), more(back)];
            for delivery in Delivery::ALL {
                let mut pair = Pair::open(Role::Server);
                pair.peer_sends(delivery, what.as_slice());
                assert_eq!(pair.events(), [Got::ping(""), Got::text(whole)], "{cut} {next} {delivery:?}");
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-04 (Autobahn 6.4)
#[test]
fn a_bad_byte_early_in_an_unfinished_frame_fails_before_the_frame_ends() {
    for role in ROLES {
        for (bad, proved_by) in [(&b"\xf4\x90"[..], 2), (b"\xff", 1), (b"\xed\xa0", 2), (b"\xc0", 1)] {
            let payload = [b"ok: ", bad].concat();
            let wire = text(&payload).announcing(1 << 19).wire(role.peer());
            for delivery in Delivery::every(wire.len()) {
                let mut pair = Pair::open(role);
                // All but the byte that proves it.
                pair.peer_sends(delivery, &wire[..wire.len() - 1]);
                assert_eq!(pair.events(), [], "{bad:x?}");
                pair.peer_says(&wire[wire.len() - 1..]);
                assert_eq!(pair.error(), Some(ProtocolError::InvalidUtf8 { at: 4 }), "{bad:x?} {proved_by}");
                assert_eq!(pair.peer_reads(), [close(1007)]);
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-05
#[test]
fn a_message_that_ends_inside_a_character_fails_with_1007() {
    for whole in ["é", "€", "😀"] {
        for cut in 1..whole.len() {
            let half = &whole.as_bytes()[..cut];
            fails_at(&[text([b"abc", half].concat())], 3);
            fails_at(&[text("abc").fin(false), more(half)], 3);
            fails_at(&[text([b"abc", half].concat()).fin(false), more("")], 3);
            // The next message does not go on with it.
            fails_at(&[text(half), text(&whole.as_bytes()[cut..])], 0);
        }
    }
}

/// RFC 6455 §5.5.1, §8.1 · catalogue: UT-07
#[test]
fn a_close_reason_that_is_not_utf8_fails_with_1007() {
    for (reason, at) in [(&b"\xff"[..], 0), (b"caf\xc3", 3), (b"\xed\xa0\x80", 0), (b"ok \xf0\x9f\x98", 3)] {
        for role in ROLES {
            for delivery in Delivery::ALL {
                let mut pair = Pair::open(role);
                pair.peer_sends(delivery, frame(OpCode::Close).payload([b"\x03\xe8", reason].concat()));
                assert_eq!(pair.events(), [Got::error(ProtocolError::InvalidCloseReason { at })]);
                assert_eq!(pair.peer_reads(), [close(1007)], "{delivery:?}");
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-08, UT-10
#[test]
fn a_bad_byte_at_any_place_of_any_length_is_found_where_it_is() {
    let mut random = Random(8);
    for len in 1..=130usize {
        for _ in 0..8 {
            let at = random.below(len);
            let bad = [0x80, 0xc3, 0xe2, 0xf0, 0xff][random.below(5)];
            let mut bytes = vec![b'a'; len];
            bytes[at] = bad;
            for delivery in [
                Delivery::Whole,
                Delivery::Split(6 + at),
                Delivery::Split(7 + at),
                Delivery::Random(at as u64),
            ] {
                let mut pair = Pair::open(Role::Server);
                pair.peer_sends(delivery, text(&bytes));
                assert_eq!(
                    pair.error(),
                    Some(ProtocolError::InvalidUtf8 { at: at as u64 }),
                    "{len} {bad:x} {delivery:?}"
                );
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-10
#[test]
fn a_lead_byte_at_the_end_of_a_run_of_ascii_is_not_forgotten() {
    for run in [15, 16, 31, 32, 63, 64, 127, 128] {
        for lead in [b"\xc3", b"\xe2", b"\xf0"] {
            let bytes = [vec![b'a'; run - 1], lead.to_vec()].concat();
            fails_at(&[text(&bytes)], run as u64 - 1);
            fails_at(&[text(&bytes).fin(false), more("b")], run as u64 - 1);
        }
    }
}

/// RFC 6455 §5.6 · catalogue: UT-01
#[test]
fn binary_is_any_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    for delivery in Delivery::ALL {
        let mut pair = Pair::open(Role::Client);
        pair.peer_sends(delivery, [frame(OpCode::Binary).fin(false).payload(&all), more(&all)]);
        assert_eq!(pair.events(), [Got::binary([&all[..], &all].concat())]);
    }
}
