//! Every limit that the core holds a peer or its own application to, just below, at, just above and at twice its value.

use framecast::proto::{Admission, Config, Limit, LimitError, OpCode, ProtocolError, Role, SendError, Want};

use crate::support::{Delivery, Frame, Got, Pair, ROLES, Sent, close, close_frame, frame, millis};

fn limit(limit: Limit, value: u64) -> ProtocolError {
    ProtocolError::Limit(LimitError { limit, value })
}

/// `len` bytes in fragments of these many bytes at most, the last one with FIN.
fn in_fragments(len: usize, of: usize) -> Vec<Frame> {
    let mut frames: Vec<Frame> = vec![7; len]
        .chunks(of.max(1))
        .map(|piece| frame(OpCode::Continuation).fin(false).payload(piece))
        .collect();
    frames.push(frame(OpCode::Continuation));
    frames[0] = frame(OpCode::Binary).fin(false).payload(vec![7; len.min(of)]);
    frames
}

/// RFC 6455 §10.4 · catalogue: FR-44, FR-46, DS-11
#[test]
fn a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_1009() {
    const L: usize = 1000;
    for role in ROLES {
        for len in [L - 1, L, L + 1, 2 * L] {
            for what in [
                vec![frame(OpCode::Binary).payload(vec![7; len])],
                in_fragments(len, 100),
                in_fragments(len, 999),
            ] {
                for delivery in Delivery::SOME {
                    let mut pair = Pair::built(role, |config| config.message_bytes_max(L as u64));
                    pair.peer_sends(delivery, what.as_slice());
                    if len <= L {
                        assert_eq!(pair.events(), [Got::binary(vec![7; len])], "{len} {delivery:?}");
                    } else {
                        let error = limit(Limit::MessageBytes, L as u64);
                        assert_eq!(pair.events(), [Got::error(error)], "{len} {delivery:?}");
                        assert_eq!(pair.peer_reads(), [close(1009)]);
                        assert_eq!(pair.close_reason(), "message above 1000 bytes (RFC 6455 §10.4)");
                    }
                }
            }
        }
    }
}

/// RFC 6455 §10.4 · catalogue: FR-46. Refused at the header: no byte of the payload is needed.
#[test]
fn a_limits_header_alone_is_refused() {
    for role in ROLES {
        let mut pair = Pair::built(role, |config| config.message_bytes_max(10));
        pair.peer_says(frame(OpCode::Binary).fin(false).payload([1; 10]));
        pair.peer_says(frame(OpCode::Continuation).announcing(1));
        assert_eq!(pair.error(), Some(limit(Limit::MessageBytes, 10)));
    }
}

/// RFC 6455 §10.4 · config at 0, 1 and without a limit
#[test]
fn a_limit_of_zero_takes_empty_messages_and_the_greatest_takes_all() {
    for (max, len, taken) in [
        (0, 0, true),
        (0, 1, false),
        (1, 1, true),
        (1, 2, false),
        (u64::MAX, 3000, true),
        (u64::from(u32::MAX), 3000, true),
    ] {
        for role in ROLES {
            let mut pair = Pair::built(role, |config| config.message_bytes_max(max));
            pair.peer_says(frame(OpCode::Text).payload("x".repeat(len)));
            assert_eq!(pair.error().is_none(), taken, "{max} {len}");
            let mut pair = Pair::built(role, |config| config.message_bytes_max(max));
            pair.peer_says([
                frame(OpCode::Text).fin(false),
                frame(OpCode::Continuation).payload("x".repeat(len)),
            ]);
            assert_eq!(pair.error().is_none(), taken, "{max} {len}");
        }
    }
}

/// RFC 6455 §10.4 · catalogue: FR-44
#[test]
fn a_frame_of_exactly_the_limit_is_taken_and_one_byte_more_is_1009() {
    const L: usize = 500;
    for role in ROLES {
        for len in [0, 1, L - 1, L, L + 1, 2 * L] {
            for delivery in Delivery::SOME {
                let mut pair = Pair::built(role, |config| config.frame_bytes_max(L as u64));
                pair.peer_sends(delivery, frame(OpCode::Binary).payload(vec![7; len]));
                let expected = if len <= L {
                    Got::binary(vec![7; len])
                } else {
                    Got::error(limit(Limit::FrameBytes, L as u64))
                };
                assert_eq!(pair.events(), [expected], "{len} {delivery:?}");
                assert_eq!(pair.peer_reads().contains(&close(1009)), len > L);
            }
        }
        // The message may be larger than its frames.
        let mut pair = Pair::built(role, |config| config.frame_bytes_max(L as u64));
        pair.peer_says(in_fragments(10 * L, L));
        assert_eq!(pair.events(), [Got::binary(vec![7; 10 * L])]);
        // And the reverse.
        let mut pair = Pair::built(role, |config| config.frame_bytes_max(L as u64).message_bytes_max(100));
        pair.peer_says(frame(OpCode::Binary).payload([7; 101]));
        assert_eq!(pair.error(), Some(limit(Limit::MessageBytes, 100)));
    }
}

/// RFC 6455 §5.4, §10.4 · catalogue: FR-47, DS-12, DS-13. ws did not count empty fragments.
#[test]
fn fragments_up_to_the_limit_are_taken_and_one_more_is_1008_empty_or_not() {
    const L: usize = 20;
    for role in ROLES {
        for count in [1, 2, L - 1, L, L + 1, 2 * L] {
            for payload in ["", "x"] {
                let mut what = vec![frame(OpCode::Continuation).fin(false).payload(payload); count];
                what[0] = frame(OpCode::Text).fin(count == 1).payload(payload);
                if count > 1 {
                    what[count - 1] = frame(OpCode::Continuation).payload(payload);
                }
                for delivery in Delivery::SOME {
                    let mut pair = Pair::built(role, |config| config.fragments_max(L as u32));
                    pair.peer_sends(delivery, what.as_slice());
                    if count <= L {
                        assert_eq!(
                            pair.events(),
                            [Got::text(&payload.repeat(count))],
                            "{count} {delivery:?}"
                        );
                    } else {
                        assert_eq!(pair.events(), [Got::error(limit(Limit::Fragments, L as u64))], "{count}");
                        assert_eq!(pair.peer_reads(), [close(1008)]);
                    }
                }
            }
        }
        let mut pair = Pair::built(role, |config| config.fragments_max(1));
        pair.peer_says([frame(OpCode::Text).payload("one is whole"), frame(OpCode::Text).fin(false)]);
        assert_eq!(pair.error(), None);
        pair.peer_says(frame(OpCode::Continuation));
        assert_eq!(pair.error(), Some(limit(Limit::Fragments, 1)));
    }
}

/// RFC 6455 §5.4 · catalogue: DS-12, QA-30. The default, at its edge.
#[test]
fn by_default_16_385_fragments_are_taken_and_one_more_is_1008() {
    for count in [16_385, 16_386] {
        let mut what = vec![frame(OpCode::Continuation).fin(false); count];
        what[0] = frame(OpCode::Text).fin(false);
        what[count - 1] = frame(OpCode::Continuation);
        let mut pair = Pair::open(Role::Server);
        pair.peer_says(what);
        assert_eq!(pair.error().is_some(), count == 16_386);
    }
}

/// RFC 6455 §10.4 · catalogue: DS-20, DS-21, DS-22
#[test]
fn control_frames_up_to_the_burst_are_taken_and_one_more_is_1008() {
    for role in ROLES {
        for opcode in [OpCode::Ping, OpCode::Pong] {
            for count in [99, 100, 101, 200] {
                for delivery in [Delivery::Whole, Delivery::Bytes] {
                    let mut pair = Pair::open(role);
                    pair.peer_sends(delivery, vec![frame(opcode); count]);
                    assert_eq!(pair.events().len(), count.min(101), "{count}");
                    let error = (count > 100).then_some(limit(Limit::ControlFrames, 50));
                    assert_eq!(pair.error(), error);
                    assert_eq!(pair.peer_reads().contains(&close(1008)), count > 100);
                }
            }
        }
    }
}

/// RFC 6455 §10.4 · catalogue: DS-22. The rate, to the frame: at 1,500 a second it once did not hold at all.
#[test]
fn control_frames_come_back_at_the_rate_and_no_faster() {
    for (rate, burst) in
        [(1, 1), (3, 2), (50, 100), (999, 5), (1000, 5), (1500, 10), (2500, 7), (u16::MAX, u16::MAX)]
    {
        let config = Config::builder().control_frames_per_second(rate).control_frames_burst(burst);
        let mut pair = Pair::with(Role::Server, config.ping_every(None).build().expect("a rate"));
        let mut taken = 0u64;
        // As many as are taken, each millisecond for three seconds.
        let mut admitted = |pair: &mut Pair, count: u64| {
            pair.peer_says(vec![frame(OpCode::Pong); count as usize]);
            taken += count;
            assert_eq!(pair.error(), None, "{rate} {burst} after {taken}");
        };
        admitted(&mut pair, u64::from(burst));
        let mut earned = 0;
        for at in 1..=1000u64 {
            pair.advance(millis(1));
            let now = at * u64::from(rate) / 1000 - earned;
            earned += now;
            if now <= u64::from(burst) {
                admitted(&mut pair, now);
            }
        }
        assert_eq!(earned, u64::from(rate));
        pair.peer_says(frame(OpCode::Pong));
        assert_eq!(pair.error(), Some(limit(Limit::ControlFrames, rate.into())), "{rate} {burst}");
    }
}

/// RFC 6455 §10.4 · what was not used does not add up beyond the burst
#[test]
fn a_long_silence_earns_one_burst_and_not_more() {
    let mut pair = Pair::open(Role::Client);
    pair.advance_answering(crate::support::seconds(3600));
    pair.peer_says(vec![frame(OpCode::Pong); 100]);
    assert_eq!(pair.error(), None);
    pair.peer_says(frame(OpCode::Pong));
    assert_eq!(pair.error(), Some(limit(Limit::ControlFrames, 50)));
}

/// RFC 6455 §5.5.3 · catalogue: DS-20
#[test]
fn beyond_16_pongs_the_newest_takes_the_last_ones_place() {
    for role in ROLES {
        for count in [1, 15, 16, 17, 32u8] {
            let pings: Vec<Frame> = (0..count).map(|at| frame(OpCode::Ping).payload([at])).collect();
            let mut pair = Pair::open(role);
            pair.peer_says(pings);
            let expected: Vec<Sent> = (0..count.min(15))
                .chain((count > 15).then_some(count - 1))
                .map(|at| Sent::pong([at]))
                .collect();
            assert_eq!(pair.peer_reads(), expected, "{count}");
        }
    }
}

/// RFC 6455 §5.5.3 · catalogue: DS-20. Those of one write that was not taken are apart from the 16 that wait.
#[test]
fn a_peer_that_pings_and_never_reads_makes_us_hold_few_pongs() {
    let mut pair =
        Pair::built(Role::Server, |config| config.control_frames_burst(u16::MAX).pongs_pending_max(4));
    pair.transport_takes(Some(0));
    for at in 0..10_000u32 {
        pair.peer_says(frame(OpCode::Ping).payload([vec![0; 121], at.to_be_bytes().to_vec()].concat()));
    }
    pair.transport_takes(None);
    let sent = pair.peer_reads();
    assert!((4..=5).contains(&sent.len()), "{} pongs", sent.len());
    let newest = [vec![0; 121], 9_999u32.to_be_bytes().to_vec()].concat();
    assert_eq!(sent.last(), Some(&Sent::Pong(newest)));
}

/// catalogue: DS-30 · DESIGN point 3: admitted if nothing is queued, or if it stays within
#[test]
fn the_outbox_takes_bytes_up_to_its_mark_and_refuses_the_next() {
    const L: usize = 1000;
    for role in ROLES {
        let head = if role == Role::Client { 6 } else { 2 };
        for frame_bytes in [L - 1, L, L + 1, 2 * L] {
            let mut pair = Pair::built(role, |config| config.outbox_bytes_max(L).outbox_bytes_low(500));
            pair.transport_takes(Some(0));
            // One of 100 bytes on the wire, then one that fills it to `frame_bytes`.
            pair.sends_bytes(&vec![1; 100 - head]);
            let rest = frame_bytes - 100;
            let long_head = head + if rest - head > 125 { 2 } else { 0 };
            let result = pair.connection.send(&vec![2; rest - long_head][..], &mut pair.outbound);
            let expected = if frame_bytes <= L { Ok(Admission::Above) } else { Err(SendError::Full) };
            assert_eq!(result, expected, "{role:?} {frame_bytes}");
            let queued = if frame_bytes <= L { frame_bytes } else { 100 };
            assert_eq!(pair.connection.stats().queued_bytes, queued);
            pair.transport_takes(None);
            assert_eq!(pair.connection.stats().queued_bytes, 0);
        }
        // An empty outbox takes what is above its mark too.
        let mut pair = Pair::built(role, |config| config.outbox_bytes_max(1).outbox_bytes_low(0));
        pair.sends_bytes(&vec![3; 100_000]);
        assert_eq!(pair.connection.send("x", &mut pair.outbound), Err(SendError::Full));
        assert_eq!(pair.peer_reads(), [Sent::binary(vec![3; 100_000])]);
        pair.sends("x");
    }
}

/// catalogue: DS-30
#[test]
fn the_outbox_takes_messages_up_to_their_count_and_one_more_once_one_has_left() {
    for role in ROLES {
        for max in [1, 5, 16_384] {
            let mut pair = Pair::built(role, |config| config.outbox_messages_max(max));
            pair.transport_takes(Some(0));
            for _ in 0..max {
                pair.sends("");
            }
            assert_eq!(pair.connection.send("", &mut pair.outbound), Err(SendError::Full));
            assert_eq!(pair.connection.stats().queued_messages, max);
            let frame = if role == Role::Client { 6 } else { 2 };
            pair.transport_takes(Some(frame - 1));
            assert_eq!(pair.connection.send("", &mut pair.outbound), Err(SendError::Full));
            pair.transport_takes(Some(1));
            pair.sends("");
            assert_eq!(pair.connection.stats().messages_sent, max as u64 + 1);
        }
    }
}

/// DESIGN point 3 · the low mark
#[test]
fn admission_says_below_up_to_the_low_mark() {
    for (len, expected) in
        [(97, Admission::Below), (98, Admission::Below), (99, Admission::Above), (196, Admission::Above)]
    {
        let mut pair = Pair::built(Role::Server, |config| config.outbox_bytes_low(100));
        assert_eq!(pair.connection.send(&vec![0; len][..], &mut pair.outbound), Ok(expected), "{len}");
    }
}

/// RFC 6455 §7.1.1 · catalogue: CL-34, FR-45
#[test]
fn after_our_close_bytes_are_thrown_away_up_to_the_linger_bound() {
    for (max, sent, wants) in [
        (0, 0, Want::Nothing),
        (0, 1, Want::StopReading),
        (1000, 999, Want::Nothing),
        (1000, 1000, Want::Nothing),
        (1000, 1001, Want::StopReading),
        (1000, 2000, Want::StopReading),
        (u32::MAX, 5000, Want::Nothing),
    ] {
        for delivery in Delivery::SOME {
            let mut pair = Pair::built(Role::Client, |config| config.linger_bytes_max(max));
            pair.peer_says(close_frame(1000));
            assert_eq!(pair.wants(), Want::Nothing);
            pair.peer_sends(delivery, vec![0x55; sent]);
            assert_eq!(pair.wants(), wants, "{max} {sent}");
        }
    }
}
