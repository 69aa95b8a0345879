//! Is the peer there, does it read, does it go on? All of it in virtual time, to the millisecond.

use framecast::proto::{
    Cause, Config, Limit, LimitError, OpCode, ProtocolError, Role, SendError, State, Want,
};

use crate::support::{
    Frame, Got, Joined, Pair, ROLES, Random, Sent, close, close_frame, frame, millis, seconds,
};

const NO_PONG: ProtocolError = ProtocolError::Limit(LimitError { limit: Limit::Pong, value: 20_000 });
const TOO_SLOW: ProtocolError =
    ProtocolError::Limit(LimitError { limit: Limit::IncompleteMessage, value: 30 << 10 });

/// Waits for our next ping; returns its payload.
fn pinged(pair: &mut Pair) -> Vec<u8> {
    for _ in 0..100 {
        let next = pair.timeout_in().expect("a deadline");
        pair.advance(next);
        if let Some(Sent::Ping(payload)) = pair.peer_reads().pop() {
            return payload;
        }
    }
    panic!("no ping in a hundred deadlines");
}

fn pong(payload: impl AsRef<[u8]>) -> Frame {
    frame(OpCode::Pong).payload(payload)
}

/// Alive for one millisecond less than `left`, and then at its end with `error`.
fn fails_in(pair: &mut Pair, left: std::time::Duration, error: ProtocolError) {
    pair.events();
    pair.advance(left - millis(1));
    assert_eq!(pair.error(), None, "too early");
    pair.advance(millis(1));
    assert_eq!(pair.error(), Some(error));
    assert_eq!(pair.peer_reads().pop(), Some(close(1008)));
    assert_eq!(pair.wants(), Want::ShutdownWrite);
}

/// RFC 6455 §5.5.2 · catalogue: QA-30, §2.3
#[test]
fn a_ping_goes_out_every_20_s_give_or_take_a_fifth() {
    let mut first = Vec::new();
    for seed in 0..200 {
        let mut pair = Pair::seeded(Role::Server, Config::default(), seed);
        first.push(pair.timeout_in().expect("a ping is due"));
        for _ in 0..5 {
            let due = pair.timeout_in().expect("a ping is due");
            assert!((seconds(16)..=seconds(24)).contains(&due), "{due:?}");
            pair.advance(due);
            assert_eq!(pair.peer_answers_pings(), 1);
        }
    }
    first.sort_unstable();
    assert!(first[0] < millis(16_500) && first[199] > millis(23_500), "the jitter uses its room");
    assert!((millis(19_000)..millis(21_000)).contains(&first[100]));
}

/// RFC 6455 §5.5.2 · pings are on schedule whatever the traffic
#[test]
fn an_hour_of_answered_pings_is_alive_and_without_pings_nothing_is_due() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        let pings = pair.advance_answering(seconds(3600));
        assert!((150..=225).contains(&pings), "{pings}");
        assert_eq!(pair.cause(), None);
        let mut quiet = Pair::built(role, |config| config.ping_every(None));
        quiet.advance(seconds(3600));
        assert_eq!((quiet.peer_reads(), quiet.cause()), (vec![], None));
    }
}

/// RFC 6455 §5.5.3 · catalogue: DS-05, FT-06
#[test]
fn a_ping_without_a_pong_is_1008_after_20_s_and_one_ping_is_out_at_a_time() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pinged(&mut pair);
        pair.advance(millis(19_999));
        assert_eq!((pair.peer_reads(), pair.events()), (vec![], vec![]));
        pair.advance(millis(1));
        assert_eq!(pair.events(), [Got::error(NO_PONG)]);
        assert_eq!((pair.peer_reads(), pair.wants()), (vec![close(1008)], Want::ShutdownWrite));
        assert_eq!(pair.close_reason(), "no pong within 20000 ms (RFC 6455 §5.5.2)");
    }
}

/// RFC 6455 §5.5.3 · a pong at the last moment is one
#[test]
fn a_pong_after_19_999_ms_is_in_time() {
    let mut pair = Pair::open(Role::Server);
    for _ in 0..10 {
        let ping = pinged(&mut pair);
        pair.advance(millis(19_999));
        pair.peer_says(pong(&ping));
        pair.advance(millis(1));
        assert_eq!(pair.cause(), None);
    }
}

/// RFC 6455 §5.5.3 · catalogue: DS-22
#[test]
fn a_pong_with_another_payload_is_told_and_does_not_count() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pair.peer_says(pong(""));
        let ping = pinged(&mut pair);
        assert_eq!(pair.connection.stats().round_trip, None);
        let mut other = ping.clone();
        other[0] ^= 1;
        for wrong in [other, vec![], ping[1..].to_vec(), [&ping[..], b"x"].concat()] {
            pair.advance(seconds(4));
            pair.events();
            pair.peer_says(pong(&wrong));
            assert_eq!(pair.events(), [Got::Pong(wrong)]);
        }
        fails_in(&mut pair, seconds(4), NO_PONG);
    }
}

/// RFC 6455 §5.5.3 · catalogue: DS-22. Yesterday's pong is not today's.
#[test]
fn a_pong_for_an_earlier_ping_does_not_count() {
    let mut pair = Pair::open(Role::Server);
    let first = pinged(&mut pair);
    pair.peer_says(pong(&first));
    assert_ne!(pinged(&mut pair), first);
    pair.peer_says(pong(&first));
    fails_in(&mut pair, seconds(20), NO_PONG);
}

/// RFC 6455 §5.5.3 · catalogue: DS-24. Each of our pongs is a write, and once that was progress enough.
#[test]
fn a_peer_that_pings_each_second_and_never_pongs_is_1008() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pinged(&mut pair);
        for _ in 0..19 {
            pair.advance(seconds(1));
            pair.peer_says(frame(OpCode::Ping).payload("are you there?"));
            assert_eq!(pair.peer_reads(), [Sent::pong("are you there?")]);
        }
        fails_in(&mut pair, seconds(1), NO_PONG);
    }
}

/// catalogue: FT-06, FT-07. What the system's buffer takes at once says nothing of a peer that is gone.
#[test]
fn messages_of_either_side_do_not_stand_in_for_the_pong() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pinged(&mut pair);
        for _ in 0..19 {
            pair.advance(seconds(1));
            pair.peer_says(frame(OpCode::Text).payload("in"));
            pair.sends("out");
            assert_eq!(pair.peer_reads(), [Sent::text("out")]);
        }
        fails_in(&mut pair, seconds(1), NO_PONG);
    }
}

/// RFC 6455 §5.5.2 · catalogue: §2.3
#[test]
fn the_pongs_time_begins_with_the_pings_last_byte() {
    let mut pair = Pair::open(Role::Server);
    pair.transport_takes(Some(5));
    let due = pair.timeout_in().expect("a ping is due");
    pair.advance(due);
    pair.advance(seconds(9));
    pair.transport_takes(None);
    assert!(matches!(&pair.peer_reads()[..], [Sent::Ping(_)]));
    fails_in(&mut pair, seconds(20), NO_PONG);
}

/// RFC 6455 §5.5.2 · catalogue: §2.3. The ping may still be behind what the peer is reading.
#[test]
fn progress_of_writes_that_wait_begins_the_pongs_time_again() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pinged(&mut pair);
        pair.advance(seconds(5));
        pair.transport_takes(Some(10));
        pair.sends_bytes(&[0; 1000]);
        for _ in 0..20 {
            pair.advance(seconds(5));
            assert_eq!(pair.cause(), None);
            pair.transport_takes(Some(10));
        }
        pair.transport_takes(None);
        assert_eq!(pair.peer_reads(), [Sent::binary([0; 1000])]);
        fails_in(&mut pair, seconds(20), NO_PONG);
    }
}

/// RFC 6455 §5.4 · catalogue: §2.3. Inside a frame no pong can come.
#[test]
fn bytes_inside_a_data_frame_begin_the_pongs_time_again() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        let start = frame(OpCode::Binary).fin(false).announcing(200_000);
        pair.peer_says(start);
        for _ in 0..100 {
            pair.advance(seconds(1));
            pair.peer_says(vec![0; 1999]);
            assert_eq!(pair.cause(), None);
        }
        assert!(matches!(&pair.peer_reads()[..], [Sent::Ping(_)]));
        // Its last bytes end the frame, so the time runs from those before.
        pair.advance(seconds(1));
        pair.peer_says(vec![0; 100]);
        fails_in(&mut pair, seconds(19), NO_PONG);
    }
}

/// RFC 6455 §5.5.2 · the time of a ping, measured
#[test]
fn the_round_trip_is_from_the_pings_last_byte_to_its_pong() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        for trip in [0, 1, 250, 19_000] {
            let ping = pinged(&mut pair);
            pair.advance(millis(trip));
            pair.peer_says(pong(&ping));
            assert_eq!(pair.connection.stats().round_trip, Some(millis(trip)));
        }
    }
}

/// DESIGN point 3 · known: the application's pings ask for no pong
#[test]
fn the_applications_pings_need_no_pong() {
    let mut pair = Pair::built(Role::Client, |config| config.ping_every(None));
    for _ in 0..100 {
        assert_eq!(pair.connection.ping(b"mine"), Ok(()));
        assert_eq!(pair.peer_reads(), [Sent::ping("mine")]);
        pair.advance(seconds(60));
    }
    assert_eq!(pair.cause(), None);
}

/// catalogue: FT-11, FT-35. Up to a quarter late counts as in time; beyond that we slept, and the peer gets a round more.
#[test]
fn a_process_that_slept_gives_each_peer_one_more_round() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pinged(&mut pair);
        pair.sleeps(millis(25_000));
        assert_eq!(pair.error(), Some(NO_PONG), "5 s late is late by a quarter");

        let mut pair = Pair::open(role);
        let ping = pinged(&mut pair);
        pair.sleeps(millis(25_001));
        assert_eq!(pair.cause(), None);
        pair.advance(seconds(5));
        pair.peer_says(pong(&ping));
        pair.advance_answering(seconds(100));
        assert_eq!(pair.cause(), None);

        let mut pair = Pair::open(role);
        pinged(&mut pair);
        pair.sleeps(seconds(3600));
        fails_in(&mut pair, seconds(20), NO_PONG);
    }
}

/// catalogue: FT-11 · the same for the write stall and the unfinished message
#[test]
fn after_a_sleep_stalls_and_unfinished_messages_get_one_more_round_too() {
    let mut pair = Pair::built(Role::Server, |config| config.ping_every(None));
    pair.transport_takes(Some(0));
    pair.sends("stalls");
    pair.sleeps(millis(12_501));
    assert_eq!(pair.cause(), None);
    pair.advance(millis(9_999));
    assert_eq!(pair.cause(), None);
    pair.advance(millis(1));
    assert_eq!(pair.cause(), Some(Cause::WriteStall));

    let mut pair = Pair::built(Role::Server, |config| config.ping_every(None));
    pair.peer_says(frame(OpCode::Text).fin(false));
    pair.sleeps(millis(37_501));
    assert_eq!(pair.cause(), None);
    fails_in(&mut pair, seconds(30), TOO_SLOW);
}

/// catalogue: §2.3: while we pause reading, the peer's deadlines stand still
#[test]
fn while_reading_is_paused_the_peers_deadlines_stand_still() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pinged(&mut pair);
        pair.advance(seconds(15));
        pair.connection.pause_reading(pair.now, true);
        pair.connection.pause_reading(pair.now, true);
        pair.advance(seconds(1000));
        assert_eq!(pair.cause(), None);
        pair.connection.pause_reading(pair.now, false);
        pair.connection.pause_reading(pair.now, false);
        fails_in(&mut pair, seconds(5), NO_PONG);

        let mut pair = Pair::built(role, |config| config.ping_every(None));
        pair.peer_says(frame(OpCode::Text).fin(false));
        pair.advance(seconds(10));
        pair.connection.pause_reading(pair.now, true);
        pair.advance(seconds(1000));
        pair.connection.pause_reading(pair.now, false);
        fails_in(&mut pair, seconds(20), TOO_SLOW);
    }
}

/// catalogue: §2.3. A ping that left during the pause got the whole pause on top.
#[test]
fn a_deadline_that_begins_in_a_pause_has_its_own_time_from_the_end() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        pair.connection.pause_reading(pair.now, true);
        pinged(&mut pair);
        pair.advance(seconds(300));
        pair.connection.pause_reading(pair.now, false);
        fails_in(&mut pair, seconds(20), NO_PONG);

        let mut pair = Pair::built(role, |config| config.ping_every(None));
        pair.connection.pause_reading(pair.now, true);
        pair.advance(seconds(300));
        pair.peer_says(frame(OpCode::Text).fin(false));
        pair.connection.pause_reading(pair.now, false);
        fails_in(&mut pair, seconds(30), TOO_SLOW);
    }
}

/// catalogue: DS-23, DS-32, DS-30
#[test]
fn a_peer_that_takes_nothing_for_10_s_is_cut_though_it_pongs() {
    for role in ROLES {
        let mut pair = Pair::open(role);
        let ping = pinged(&mut pair);
        pair.transport_takes(Some(0));
        pair.sends("not taken");
        pair.advance(millis(9_999));
        pair.peer_says(pong(&ping));
        pair.events();
        assert_eq!(pair.cause(), None);
        pair.advance(millis(1));
        assert_eq!(pair.events(), [Got::Closed(Cause::WriteStall)]);
        assert_eq!((pair.connection.want(), pair.timeout_in()), (Want::Abort, None));
        assert_eq!(pair.connection.send("x", &mut pair.outbound), Err(SendError::Closed));
        assert_eq!(pair.connection.stats().queued_messages, 1, "what was lost is told");
    }
}

/// catalogue: DS-23 · progress, a byte of it, gives 10 s more; an empty outbox asks for none
#[test]
fn a_byte_of_progress_begins_the_write_stall_again() {
    let mut pair = Pair::built(Role::Server, |config| config.ping_every(None));
    pair.transport_takes(Some(0));
    pair.sends("0123456789");
    for _ in 0..11 {
        pair.advance(millis(9_999));
        pair.transport_takes(Some(1));
    }
    pair.advance(millis(9_999));
    assert_eq!(pair.cause(), None);
    pair.transport_takes(None);
    pair.advance(seconds(3600));
    assert_eq!((pair.cause(), pair.peer_reads()), (None, vec![Sent::text("0123456789")]));
}

/// catalogue: DS-34, CL-32 · our Close is out, or the peer's is in
#[test]
fn a_stall_behind_a_close_ends_it_once() {
    for ours in [true, false] {
        let mut pair = Pair::built(Role::Server, |config| config.close_within(seconds(60)));
        pair.transport_takes(Some(0));
        pair.sends_bytes(&[0; 100_000]);
        if ours {
            pair.closes(1000, "")
        } else {
            pair.peer_says(close_frame(1000))
        }
        pair.advance(seconds(10));
        assert_eq!(pair.connection.want(), Want::Abort);
        let events = pair.events();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0] == Got::Closed(Cause::WriteStall), ours);
    }
}

/// catalogue: DS-17, DS-10, §2.3
#[test]
fn an_unfinished_message_must_bring_30_kib_in_each_30_s() {
    for role in ROLES {
        for opening in
            [frame(OpCode::Binary).announcing(1 << 20), frame(OpCode::Binary).fin(false).announcing(1 << 20)]
        {
            for (brought, enough) in [(0, false), (1, false), ((30 << 10) - 1, false), (30 << 10, true)] {
                let mut pair = Pair::built(role, |config| config.ping_every(None));
                pair.peer_says(&opening);
                pair.advance(millis(29_900));
                pair.peer_says(vec![0; brought]);
                pair.advance(millis(99));
                assert_eq!(pair.cause(), None);
                if !enough {
                    fails_in(&mut pair, millis(1), TOO_SLOW);
                    continue;
                }
                pair.advance(millis(1));
                assert_eq!(pair.cause(), None);
                // The next window asks for as much again.
                pair.peer_says(vec![0; (30 << 10) - 1]);
                fails_in(&mut pair, seconds(30), TOO_SLOW);
            }
        }
    }
}

/// catalogue: DS-17 · known: only the payload of data frames counts
#[test]
fn a_drip_with_pings_and_empty_fragments_is_1008_after_30_s() {
    for role in ROLES {
        let mut pair = Pair::built(role, |config| config.ping_every(None));
        pair.peer_says(frame(OpCode::Text).fin(false).payload("x"));
        for _ in 0..29 {
            pair.advance(seconds(1));
            pair.peer_says(vec![frame(OpCode::Ping).payload([0; 125]); 40]);
            pair.peer_says(vec![frame(OpCode::Continuation).fin(false); 200]);
            assert_eq!(pair.cause(), None);
        }
        fails_in(&mut pair, seconds(1), TOO_SLOW);
    }
}

/// catalogue: DS-17 · a header's first byte, or a ping's, opens the window as well
#[test]
fn a_broken_off_header_or_ping_is_1008_after_30_s() {
    for role in ROLES {
        let ping = if role == Role::Server { &[0x89, 0x85, 1, 2, 3, 4, 5][..] } else { &[0x89, 5, 1] };
        for begun in [&[0x82][..], ping] {
            let mut pair = Pair::built(role, |config| config.ping_every(None));
            pair.advance(seconds(1000));
            pair.peer_says(begun);
            fails_in(&mut pair, seconds(30), TOO_SLOW);
        }
    }
}

/// catalogue: §2.3: an honest client at 64 kbit/s passes; and a new message has a new window
#[test]
fn an_honest_slow_client_passes() {
    let mut pair = Pair::built(Role::Server, |config| config.ping_every(None));
    for _ in 0..3 {
        pair.peer_says(frame(OpCode::Binary).announcing(800_000));
        for _ in 0..100 {
            pair.advance(seconds(1));
            pair.peer_says(vec![0; 8000]);
        }
        assert_eq!(pair.events().len(), 1);
        // Small ones that come in two reads, each of which has a window of its own.
        for _ in 0..10 {
            pair.peer_says(frame(OpCode::Text).fin(false).payload("a"));
            pair.advance(seconds(29));
            pair.peer_says(frame(OpCode::Continuation));
            assert_eq!(pair.events(), [Got::text("a")]);
        }
        pair.advance(seconds(3600));
    }
    assert_eq!(pair.cause(), None);
}

/// catalogue: DS-17 · what else can be set
#[test]
fn the_window_holds_at_its_smallest_and_without_a_minimum() {
    let mut pair = Pair::built(Role::Client, |config| {
        config.ping_every(None).incomplete_window(millis(1)).incomplete_bytes_min(1)
    });
    pair.peer_says(frame(OpCode::Text).fin(false).payload("a"));
    pair.advance(millis(1));
    assert_eq!(pair.cause(), None);
    pair.advance(millis(1));
    assert!(pair.error().is_some());
    let mut pair = Pair::built(Role::Client, |config| config.ping_every(None).incomplete_bytes_min(0));
    pair.peer_says(frame(OpCode::Text).fin(false));
    pair.advance(seconds(3600));
    assert_eq!(pair.cause(), None);
}

/// catalogue: FT-34 · times are kept in 32 bits, whose epoch moves
#[test]
fn months_pass_and_every_deadline_is_still_exact() {
    let day = seconds(24 * 3600);
    for role in ROLES {
        let mut pair = Pair::built(role, |config| config.ping_every(Some(11 * day)).pong_within(day));
        assert!((10..=25).contains(&pair.advance_answering(200 * day)));
        let ping = pinged(&mut pair);
        pair.advance(millis(1234));
        pair.peer_says(pong(&ping));
        assert_eq!((pair.cause(), pair.connection.stats().round_trip), (None, Some(millis(1234))));
        pair.closes(1000, "");
        assert_eq!(pair.timeout_in(), Some(seconds(5)));
        pair.advance(millis(4999));
        assert_eq!(pair.cause(), None);
        pair.advance(millis(1));
        assert_eq!(pair.cause(), Some(Cause::CloseUnanswered));
    }
}

/// catalogue: FT-34. Without pings nothing was ever due, and after 49 days the clock stood still.
#[test]
fn a_connection_without_pings_outlives_its_clock() {
    let day = seconds(24 * 3600);
    for days in [24, 25, 49, 50, 51, 75, 400] {
        let mut pair = Pair::built(Role::Server, |config| config.ping_every(None));
        pair.advance(days * day);
        pair.peer_says(frame(OpCode::Text).fin(false));
        pair.advance(seconds(29));
        assert_eq!(pair.cause(), None, "{days}");
        pair.peer_says(frame(OpCode::Continuation));
        pair.closes(1000, "");
        assert_eq!(pair.timeout_in(), Some(seconds(5)), "{days}");
    }
}

/// catalogue: FT-34 · each deadline that stands when the epoch moves
#[test]
fn deadlines_that_stand_when_the_clock_is_renewed_keep_their_time() {
    let (day, hour) = (seconds(24 * 3600), seconds(3600));
    let before = seconds((1 << 31) / 1000) - hour;
    // A ping's pong, an unfinished message, a stall, a pause, a Close: two hours each, an hour before.
    let open = || {
        let mut pair = Pair::built(Role::Server, |config| {
            let config = config.pong_within(2 * hour).incomplete_window(2 * hour).write_stall_after(2 * hour);
            config.close_within(2 * hour).ping_every(Some(11 * day))
        });
        pair.advance_answering(before);
        pair
    };
    let mut pair = open();
    pair.peer_says(frame(OpCode::Text).fin(false));
    fails_in(&mut pair, 2 * hour, TOO_SLOW);
    let mut pair = open();
    pair.transport_takes(Some(0));
    pair.sends("stalls");
    pair.advance(2 * hour - millis(1));
    assert_eq!(pair.cause(), None);
    pair.advance(millis(1));
    assert_eq!(pair.cause(), Some(Cause::WriteStall));
    let mut pair = open();
    pair.closes(1000, "");
    pair.advance(2 * hour - millis(1));
    assert_eq!(pair.cause(), None);
    pair.advance(millis(1));
    assert_eq!(pair.cause(), Some(Cause::CloseUnanswered));
    let mut pair = open();
    pair.peer_says(frame(OpCode::Text).fin(false));
    pair.connection.pause_reading(pair.now, true);
    pair.advance(3 * hour);
    pair.connection.pause_reading(pair.now, false);
    fails_in(&mut pair, 2 * hour, TOO_SLOW);
    // The pong's: a ping that leaves within the hour before.
    let mut pair =
        Pair::built(Role::Server, |config| config.pong_within(2 * hour).ping_every(Some(seconds(50 * 60))));
    pair.advance_answering(before);
    pinged(&mut pair);
    fails_in(&mut pair, 2 * hour, ProtocolError::Limit(LimitError { limit: Limit::Pong, value: 7_200_000 }));
}

/// DESIGN point 7 · catalogue: G-10
#[test]
fn looking_too_early_or_too_often_does_no_harm() {
    let mut random = Random(5);
    let mut pair = Pair::open(Role::Server);
    for _ in 0..5000 {
        pair.sleeps(millis(random.below(900) as u64));
        pair.peer_answers_pings();
    }
    assert_eq!((pair.cause(), pair.connection.state()), (None, State::Open));
}

/// RFC 6455 §5.5.2 · two of ours keep each other alive
#[test]
fn two_of_ours_answer_each_other_for_a_day() {
    let mut joined = Joined::open();
    joined.advance(seconds(24 * 3600));
    assert_eq!((joined.client.cause(), joined.server.cause()), (None, None));
    let round_trip = joined.server.connection.stats().round_trip;
    assert_eq!(round_trip, Some(millis(0)));
}
