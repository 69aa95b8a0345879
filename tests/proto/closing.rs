//! RFC 6455 §5.5.1, §7: the closing handshake, and every way that it can go wrong. Catalogue: 4.3.

use std::io::ErrorKind;

use framecast::proto::{
    Cause, CloseCode, CloseFrame, OpCode, ProtocolError, Role, SendError, State, Want, truncate_reason,
};

use crate::support::{
    Delivery, Got, Joined, Pair, ROLES, Sent, close, close_frame, frame, may_be_on_the_wire, millis, seconds,
};

fn frame_of(code: u16, reason: &str) -> CloseFrame {
    CloseFrame::new(CloseCode(code), reason).expect("it may be sent")
}

/// Plays the driver until the transport is dropped: shuts down the write side if asked, and waits.
fn ends(pair: &mut Pair, shuts: bool) {
    if shuts {
        assert_eq!(pair.wants(), Want::ShutdownWrite);
        pair.write_is_shut();
    }
    assert_eq!((pair.wants(), pair.timeout_in()), (Want::Nothing, Some(seconds(2))));
    pair.advance(millis(1999));
    assert_eq!(pair.wants(), Want::Nothing);
    pair.advance(millis(1));
    assert_eq!((pair.wants(), pair.timeout_in()), (Want::Drop, None));
}

/// RFC 6455 §5.5.1, §7.1.5 · catalogue: CL-01
#[test]
fn an_empty_close_is_answered_with_an_empty_one_and_told_as_1005() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.peer_sends(delivery, frame(OpCode::Close));
            assert_eq!(pair.events(), [Got::Closed(Cause::Peer(None))], "{delivery:?}");
            assert_eq!(pair.cause().map(|cause| cause.code()), Some(CloseCode::NO_STATUS));
            assert_eq!(pair.peer_reads(), [Sent::Close(None)]);
            assert!(pair.connection.is_clean());
            ends(&mut pair, role == Role::Server);
        }
    }
}

/// RFC 6455 §5.5.1, §7.1.1 · catalogue: CL-02
#[test]
fn a_close_with_a_reason_of_any_length_is_echoed_by_its_code_and_the_server_ends_tcp_first() {
    for role in ROLES {
        for len in (0..=123).step_by(41).chain([1, 122]) {
            for delivery in Delivery::ALL {
                let reason = "r".repeat(len);
                let mut pair = Pair::open(role);
                let payload = [&[3, 233][..], reason.as_bytes()].concat();
                pair.peer_sends(delivery, frame(OpCode::Close).payload(payload));
                assert_eq!(pair.events(), [Got::Closed(Cause::Peer(Some(frame_of(1001, &reason))))]);
                assert_eq!((pair.peer_reads(), pair.close_reason()), (vec![close(1001)], ""), "{delivery:?}");
                ends(&mut pair, role == Role::Server);
            }
        }
    }
}

/// RFC 6455 §5.5.1 · catalogue: CL-03, V-31
#[test]
fn a_close_of_one_byte_fails_with_1002() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.peer_sends(delivery, frame(OpCode::Close).payload([3]));
            assert_eq!(pair.events(), [Got::error(ProtocolError::ClosePayloadOfOneByte)], "{delivery:?}");
            assert_eq!(pair.peer_reads(), [close(1002)]);
            assert!(!pair.connection.is_clean());
            ends(&mut pair, true);
        }
    }
}

/// RFC 6455 §7.4 · catalogue: CL-10, CL-11, CL-12, CL-13
#[test]
fn every_code_is_echoed_or_refused_and_what_is_refused_cannot_be_sent() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let allowed = may_be_on_the_wire(code);
            let mut pair = Pair::open(role);
            pair.peer_says(close_frame(code));
            let (cause, answer) = if allowed {
                (Cause::Peer(Some(frame_of(code, ""))), close(code))
            } else {
                (Cause::Protocol(ProtocolError::InvalidCloseCode(CloseCode(code))), close(1002))
            };
            assert_eq!((pair.cause(), pair.peer_reads()), (Some(cause), vec![answer]), "{role:?} {code}");

            let mut pair = Pair::open(role);
            let result = pair.connection.close(pair.now, CloseCode(code), "");
            if allowed {
                assert_eq!((result, pair.peer_reads()), (Ok(()), vec![close(code)]));
            } else {
                assert_eq!(result, Err(SendError::InvalidCloseCode(CloseCode(code))));
                assert_eq!((pair.connection.state(), pair.peer_reads()), (State::Open, vec![]));
            }
        }
    }
}

/// RFC 6455 §5.5 · catalogue: CL-13
#[test]
fn a_reason_of_123_bytes_is_sent_and_124_are_an_error_that_changes_nothing() {
    let mut pair = Pair::open(Role::Client);
    let long = "é".repeat(62);
    assert_eq!(
        pair.connection.close(pair.now, CloseCode::NORMAL, &long),
        Err(SendError::ReasonTooLong { bytes: 124 })
    );
    assert_eq!((pair.connection.state(), pair.peer_reads()), (State::Open, vec![]));
    pair.closes(1000, &(truncate_reason(&long).to_owned() + "x"));
    assert_eq!((pair.peer_reads(), pair.close_reason().len()), (vec![close(1000)], 123));
    assert_eq!(truncate_reason(&long).len(), 122);
    assert_eq!(truncate_reason("short"), "short");
}

/// RFC 6455 §5.5.1, §1.4 · catalogue: CL-20, CL-21, G-11
#[test]
fn what_comes_after_a_close_is_ignored() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            let what = [
                close_frame(1000),
                close_frame(1001),
                frame(OpCode::Text).payload("late"),
                frame(OpCode::Ping).payload("late"),
                frame(OpCode::Text).rsv(7),
            ];
            pair.peer_sends(delivery, what);
            assert_eq!(pair.events(), [Got::Closed(Cause::Peer(Some(frame_of(1000, ""))))], "{delivery:?}");
            assert_eq!(pair.peer_reads(), [close(1000)]);
        }
    }
}

/// RFC 6455 §5.5.1 · catalogue: CL-22
#[test]
fn data_after_our_close_is_dropped_and_pings_go_unanswered_until_the_peers_close() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.peer_says(frame(OpCode::Text).fin(false).payload("begun before, "));
            pair.closes(1000, "bye");
            let what = [
                frame(OpCode::Continuation).payload("ended after"),
                frame(OpCode::Text).payload("whole"),
                frame(OpCode::Binary).fin(false).payload("in"),
                frame(OpCode::Ping).payload("p"),
                frame(OpCode::Continuation).payload("two"),
                close_frame(1001),
            ];
            pair.peer_sends(delivery, what);
            let (sent, answer) = (frame_of(1000, "bye"), Some(frame_of(1001, "")));
            assert_eq!(
                pair.events(),
                [Got::ping("p"), Got::Closed(Cause::Local { sent, answer })],
                "{delivery:?}"
            );
            assert_eq!(pair.peer_reads(), [close(1000)]);
            assert!(pair.connection.is_clean());
            assert_eq!(pair.connection.stats().messages_received, 0);
            ends(&mut pair, role == Role::Server);
        }
    }
}

/// RFC 6455 §5.5.1 · catalogue: CL-22, G-12. Data that is dropped was judged when it came in two reads, and was not when
/// it came in one.
#[test]
fn text_after_our_close_is_dropped_unread_however_it_is_split() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.closes(1000, "");
            pair.peer_sends(delivery, [frame(OpCode::Text).payload(b"bad \xff"), close_frame(1000)]);
            let (sent, answer) = (frame_of(1000, ""), Some(frame_of(1000, "")));
            assert_eq!(pair.events(), [Got::Closed(Cause::Local { sent, answer })], "{delivery:?}");
        }
    }
}

/// RFC 6455 §5.5.1 · catalogue: CL-22. A broken frame is still broken: no second Close, and the application is told.
#[test]
fn a_broken_frame_after_our_close_ends_it_without_a_second_close() {
    for role in ROLES {
        for delivery in Delivery::ALL {
            let mut pair = Pair::open(role);
            pair.closes(1000, "");
            pair.peer_sends(delivery, [frame(OpCode::Text).rsv(2), close_frame(1000)]);
            assert_eq!(pair.events(), [Got::error(ProtocolError::ReservedBits(0xa1))], "{delivery:?}");
            assert_eq!((pair.peer_reads(), pair.wants()), (vec![close(1000)], Want::ShutdownWrite));
        }
    }
}

/// RFC 6455 §5.5.1 · catalogue: CL-23
#[test]
fn both_ends_close_at_once_and_both_end_clean() {
    let mut joined = Joined::open();
    joined.client.closes(1000, "client");
    joined.server.closes(1001, "server");
    joined.exchange(Delivery::Bytes);
    let (client, server) = (frame_of(1000, "client"), frame_of(1001, "server"));
    assert_eq!(
        joined.client.cause(),
        Some(Cause::Local { sent: client.clone(), answer: Some(server.clone()) })
    );
    assert_eq!(joined.server.cause(), Some(Cause::Local { sent: server, answer: Some(client) }));
    assert!(joined.client.connection.is_clean() && joined.server.connection.is_clean());
    assert_eq!((joined.client.wants(), joined.server.wants()), (Want::Nothing, Want::ShutdownWrite));
}

/// RFC 6455 §5.5.1 · catalogue: CL-24
#[test]
fn nothing_can_be_sent_after_a_close_of_either_side() {
    for role in ROLES {
        for ours in [true, false] {
            let mut pair = Pair::open(role);
            if ours {
                pair.closes(1000, "")
            } else {
                pair.peer_says(close_frame(1000))
            }
            for flushed in [false, true] {
                if flushed {
                    assert_eq!(pair.peer_reads(), [close(1000)]);
                }
                assert_eq!(pair.connection.send("late", &mut pair.outbound), Err(SendError::Closed));
                assert_eq!(pair.connection.ping(b"late"), Err(SendError::Closed));
                assert_eq!(pair.connection.close(pair.now, CloseCode::NORMAL, ""), Err(SendError::Closed));
                if !ours {
                    break;
                }
            }
            assert_eq!(pair.peer_reads().len(), usize::from(!ours));
        }
    }
}

/// RFC 6455 §5.5.1, §5.4 · catalogue: CL-25
#[test]
fn our_close_waits_for_the_half_written_message_and_all_that_is_queued() {
    for role in ROLES {
        for room in 0..40 {
            let mut pair = Pair::open(role);
            pair.sends("the first message");
            pair.transport_takes(Some(room));
            pair.sends("the second");
            pair.closes(1000, "");
            pair.transport_takes(Some(1));
            pair.transport_takes(None);
            let sent = [Sent::text("the first message"), Sent::text("the second"), close(1000)];
            assert_eq!(pair.peer_reads(), sent, "{role:?} {room}");
        }
    }
}

/// RFC 6455 §7.1.7 · catalogue: CL-25, G-11
#[test]
fn a_failures_close_waits_for_what_is_queued() {
    for room in 0..30 {
        let mut pair = Pair::open(Role::Server);
        pair.sends("queued before");
        pair.transport_takes(Some(room));
        pair.peer_says([frame(OpCode::Ping).payload("p"), frame(OpCode::Text).rsv(4)]);
        pair.transport_takes(None);
        let mut sent = pair.peer_reads();
        assert_eq!(sent.pop(), Some(close(1002)));
        assert!(sent.contains(&Sent::text("queued before")) && sent.contains(&Sent::pong("p")), "{room}");
    }
}

/// RFC 6455 §7.1.1 · catalogue: CL-30
#[test]
fn a_close_that_is_not_answered_is_cut_after_5_s() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pair.closes(1000, "");
        assert_eq!((pair.peer_reads(), pair.timeout_in()), (vec![close(1000)], Some(seconds(5))));
        pair.advance(millis(4999));
        assert_eq!(
            (pair.events(), pair.wants(), pair.connection.state()),
            (vec![], Want::Nothing, State::Closing)
        );
        pair.advance(millis(1));
        assert_eq!(pair.events(), [Got::Closed(Cause::CloseUnanswered)]);
        assert_eq!(pair.cause().map(|cause| cause.code()), Some(CloseCode::ABNORMAL));
        assert_eq!((pair.wants(), pair.timeout_in(), pair.connection.is_clean()), (Want::Abort, None, false));
    }
}

/// RFC 6455 §7.1.1 · catalogue: CL-31, CL-42
#[test]
fn a_client_waits_2_s_for_the_servers_end_of_tcp_and_no_longer() {
    let mut pair = Pair::open(Role::Client);
    pair.closes(1000, "");
    pair.peer_says(close_frame(1000));
    ends(&mut pair, false);

    let mut pair = Pair::open(Role::Client);
    pair.peer_says(close_frame(1000));
    assert_eq!(pair.wants(), Want::Nothing);
    pair.peer_ends();
    assert_eq!((pair.wants(), pair.events().len()), (Want::Drop, 1));
}

/// RFC 6455 §7.1.1 · catalogue: CL-32
#[test]
fn a_peer_that_closes_and_takes_nothing_is_cut_at_the_deadline() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pair.sends("never read");
        pair.transport_takes(Some(3));
        pair.peer_says(close_frame(1000));
        pair.advance(millis(4999));
        assert_eq!(pair.connection.want(), Want::Nothing);
        pair.advance(millis(1));
        assert_eq!((pair.connection.want(), pair.timeout_in()), (Want::Abort, None));
        assert!(!pair.connection.is_clean());
        assert_eq!(pair.events().len(), 1);
    }
}

/// RFC 6455 §7.1.1 · catalogue: CL-33
#[test]
fn a_byte_a_second_after_our_close_does_not_move_the_deadline() {
    let mut pair = Pair::open(Role::Server);
    pair.closes(1000, "");
    pair.peer_says(frame(OpCode::Binary).announcing(1000));
    for _ in 0..4 {
        pair.advance(seconds(1));
        pair.peer_says(vec![0]);
        assert_eq!(pair.events(), []);
    }
    pair.advance(seconds(1));
    assert_eq!((pair.events(), pair.wants()), (vec![Got::Closed(Cause::CloseUnanswered)], Want::Abort));
}

/// RFC 6455 §7.1.1 · catalogue: CL-34
#[test]
fn a_flood_after_our_close_is_read_to_256_kib_and_no_further() {
    let mut pair = Pair::open(Role::Server);
    pair.closes(1000, "");
    assert_eq!(pair.peer_reads(), [close(1000)]);
    let piece = frame(OpCode::Binary).payload(vec![0; 1016]);
    for _ in 0..256 {
        pair.peer_says(&piece);
        assert_eq!(pair.wants(), Want::Nothing);
    }
    assert_eq!(pair.connection.stats().bytes_received, 256 << 10);
    pair.peer_says(&piece);
    assert_eq!((pair.wants(), pair.events()), (Want::StopReading, vec![]));
    pair.advance(seconds(5));
    assert_eq!((pair.events(), pair.wants()), (vec![Got::Closed(Cause::CloseUnanswered)], Want::Abort));
}

/// RFC 6455 §5.5.1 · catalogue: CL-22, CL-34. One read was counted once more for each ping in it, so that a peer that
/// pinged on was given up before its Close was read.
#[test]
fn what_comes_after_our_close_is_counted_once_however_many_pings_are_in_it() {
    let mut pair = Pair::open(Role::Server);
    pair.closes(1000, "");
    assert_eq!(pair.peer_reads(), [close(1000)]);
    let mut what = vec![frame(OpCode::Ping).payload("p"); 60];
    what.push(frame(OpCode::Binary).payload(vec![0; 60_000]));
    pair.peer_says(what);
    assert_eq!(pair.wants(), Want::Nothing);
    pair.peer_says(close_frame(1000));
    assert!(matches!(pair.cause(), Some(Cause::Local { .. })));
}

/// RFC 6455 §5.5.1. A keepalive's ping that came due while we waited for the peer's Close went out behind ours.
#[test]
fn no_ping_of_ours_follows_our_close() {
    for role in ROLES {
        let mut pair = Pair::built(role, |config| config.close_within(seconds(60)).pong_within(seconds(1)));
        pair.advance(seconds(10));
        pair.closes(1000, "");
        pair.advance(seconds(59));
        assert_eq!((pair.peer_reads(), pair.events()), (vec![close(1000)], vec![]));
        pair.advance(seconds(1));
        assert_eq!(pair.events(), [Got::Closed(Cause::CloseUnanswered)]);
    }
}

/// RFC 6455 §5.5.1. Behind a half-written pong the next one waited, and our Close overtook it.
#[test]
fn no_pong_of_ours_follows_our_close() {
    for role in ROLES {
        for room in 1..12 {
            for ours in [true, false] {
                let mut pair = Pair::open(role);
                pair.transport_takes(Some(room));
                pair.peer_says(frame(OpCode::Ping).payload("first"));
                pair.peer_says(frame(OpCode::Ping).payload("second"));
                if ours {
                    pair.closes(1000, "")
                } else {
                    pair.peer_says(close_frame(1000))
                }
                pair.transport_takes(None);
                let sent = [Sent::pong("first"), Sent::pong("second"), close(1000)];
                assert_eq!(pair.peer_reads(), sent, "{role:?} {room} {ours}");
            }
        }
    }
}

/// RFC 6455 §7.1.5 · catalogue: FT-16, FT-02
#[test]
fn a_failed_transport_is_told_once_and_nothing_more_is_offered_to_it() {
    for role in ROLES {
        for closing in [false, true] {
            let mut pair = Pair::open(role);
            pair.transport_takes(Some(2));
            pair.sends("lost");
            if closing {
                pair.closes(1000, "");
            }
            pair.connection.handle_transport_error(ErrorKind::ConnectionReset);
            pair.connection.handle_transport_error(ErrorKind::BrokenPipe);
            assert_eq!(pair.events(), [Got::Closed(Cause::Transport(ErrorKind::ConnectionReset))]);
            assert!(pair.connection.poll_transmit(pair.now, &mut pair.outbound).is_none());
            assert_eq!((pair.connection.want(), pair.timeout_in()), (Want::Abort, None));
            assert!(pair.connection.stats().queued_bytes > 0, "what was lost is told");
            assert!(!pair.connection.is_clean());
            pair.advance(seconds(100));
            assert_eq!(pair.events(), []);
        }
    }
}

/// RFC 6455 §7.1.5 · catalogue: FT-05, G-6, G-10
#[test]
fn the_end_of_tcp_in_every_state_ends_it_once() {
    for role in ROLES {
        // Open, with something queued: it is written while that goes.
        let mut pair = Pair::open(role);
        pair.transport_takes(Some(0));
        pair.sends("flushed");
        pair.peer_ends();
        assert_eq!(pair.connection.want(), Want::Nothing);
        pair.transport_takes(None);
        assert_eq!((pair.peer_reads(), pair.wants()), (vec![Sent::text("flushed")], Want::Drop));
        assert_eq!(pair.events(), [Got::Closed(Cause::Eof)]);
        // Our Close is out.
        let mut pair = Pair::open(role);
        pair.closes(1000, "");
        pair.peer_ends();
        assert_eq!((pair.events(), pair.wants()), (vec![Got::Closed(Cause::Eof)], Want::Drop));
        // After both, before and after the write side was shut.
        for shut in [false, true] {
            let mut pair = Pair::open(role);
            pair.closes(1000, "");
            pair.peer_says(close_frame(1000));
            if shut && pair.wants() == Want::ShutdownWrite {
                pair.write_is_shut();
            }
            pair.peer_ends();
            pair.peer_ends();
            assert_eq!((pair.events().len(), pair.wants(), pair.timeout_in()), (1, Want::Drop, None));
            assert!(pair.connection.is_clean());
        }
    }
}

/// RFC 6455 §7.1.1 · catalogue: G-10
#[test]
fn every_state_of_the_end_has_a_deadline() {
    // A driver that never shuts the write side down.
    let mut pair = Pair::open(Role::Server);
    pair.peer_says(close_frame(1000));
    assert_eq!((pair.wants(), pair.timeout_in()), (Want::ShutdownWrite, Some(seconds(5))));
    pair.advance(seconds(5));
    assert_eq!((pair.wants(), pair.timeout_in()), (Want::Drop, None));
    // A failure whose Close nobody takes.
    let mut pair = Pair::open(Role::Client);
    pair.transport_takes(Some(0));
    pair.peer_says(frame(OpCode::Text).rsv(1));
    pair.advance(seconds(5));
    assert_eq!((pair.connection.want(), pair.timeout_in()), (Want::Abort, None));
}

/// RFC 6455 §7.1.2 · the whole story, between two of ours
#[test]
fn a_close_of_either_end_ends_both_clean() {
    for delivery in Delivery::SOME {
        for client_closes in [true, false] {
            let mut joined = Joined::open();
            joined.client.sends("up");
            joined.server.sends("down");
            let closing = if client_closes { &mut joined.client } else { &mut joined.server };
            closing.closes(4000, "done");
            joined.exchange(delivery);
            let told = frame_of(4000, "done");
            let peer = Got::Closed(Cause::Peer(Some(told.clone())));
            let local = Got::Closed(Cause::Local { sent: told, answer: Some(frame_of(4000, "")) });
            if client_closes {
                assert_eq!(joined.server.events(), [Got::text("up"), peer], "{delivery:?}");
                assert_eq!(joined.client.events().pop(), Some(local));
            } else {
                assert_eq!(joined.client.events(), [Got::text("down"), peer], "{delivery:?}");
                assert_eq!(joined.server.events().pop(), Some(local));
            }
            assert!(joined.client.connection.is_clean() && joined.server.connection.is_clean());
            assert_eq!((joined.server.wants(), joined.client.wants()), (Want::ShutdownWrite, Want::Nothing));
        }
    }
}
