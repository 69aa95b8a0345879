//! Large payloads read straight into their message (`read_target`): the same story as by way of a shared buffer.

use framecast::proto::{OpCode, ProtocolError, Role};

use crate::support::{Delivery, Frame, Got, Pair, ROLES, Random, Wire, close, frame};

/// Both ways of reading, in pieces of `size`; they must tell the same.
fn both_ways(role: Role, what: &[Frame], size: usize) -> Vec<Got> {
    let wire = what.wire(role.peer());
    let mut told = [false, true].map(|straight| {
        let mut pair = Pair::open(role);
        pair.reads_straight = straight;
        for piece in wire.chunks(size) {
            pair.peer_says(piece);
        }
        let stats = pair.connection.stats();
        if pair.cause().is_none() {
            assert_eq!(stats.bytes_received, wire.len() as u64, "{straight} {size}");
        }
        (pair.events(), pair.peer_reads())
    });
    assert_eq!(told[0], told[1], "pieces of {size}");
    std::mem::take(&mut told[1].0)
}

/// RFC 6455 §5.3 · catalogue: ZC-22, FR-13, DS-15
#[test]
fn large_payloads_come_out_the_same_read_straight_or_not() {
    let mut random = Random(1);
    for role in ROLES {
        for len in [0, 4095, 4096, 16_383, 16_384, 16_385, 16_400, 32_768, 65_535, 65_536, 200_001] {
            let payload = random.bytes(len);
            for size in [1, 13, 1000, 16_384, 65_536, 1 << 20] {
                if size == 1 && len > 20_000 {
                    continue;
                }
                let what = [frame(OpCode::Binary).payload(&payload), frame(OpCode::Text).payload("behind")];
                assert_eq!(
                    both_ways(role, &what, size),
                    [Got::binary(&payload), Got::text("behind")],
                    "{len} {size}"
                );
            }
        }
    }
}

/// RFC 6455 §5.4 · catalogue: FR-33
#[test]
fn large_fragments_with_pings_between_come_out_whole() {
    let text = "grüezi €😀 ".repeat(3000);
    for role in ROLES {
        for cut in [20_000, 20_001, 20_002, 20_003] {
            let (front, back) = text.as_bytes().split_at(cut);
            let what = [
                frame(OpCode::Text).fin(false).payload(front),
                frame(OpCode::Ping).payload("p"),
                frame(OpCode::Continuation).payload(back),
            ];
            for size in [17, 4096, 50_000] {
                assert_eq!(both_ways(role, &what, size), [Got::ping("p"), Got::text(&text)]);
            }
        }
    }
}

/// RFC 6455 §8.1 · catalogue: UT-04
#[test]
fn a_bad_byte_that_was_read_straight_fails_before_the_frame_ends() {
    for role in ROLES {
        for at in [16, 20_000, 39_999] {
            let mut payload = vec![b'a'; 40_000];
            payload[at] = 0xff;
            let what = [frame(OpCode::Text).announcing(100_000).payload(payload)];
            for size in [100, 4096, 1 << 20] {
                let error = ProtocolError::InvalidUtf8 { at: at as u64 };
                assert_eq!(both_ways(role, &what, size), [Got::error(error)], "{at} {size}");
            }
        }
        let mut pair = Pair::open(role);
        pair.reads_straight = true;
        pair.peer_says(frame(OpCode::Text).announcing(100_000));
        pair.peer_says(vec![0xff ^ crate::support::KEY[0]; 1]);
        let told = pair.error();
        assert_eq!(told.is_some(), role == Role::Server);
        assert_eq!(pair.peer_reads().contains(&close(1007)), role == Role::Server);
    }
}

/// DESIGN points 1, 2 · catalogue: DS-10, V-07, V-08, V-09
#[test]
fn a_target_is_offered_where_it_is_worth_it_and_reserves_what_was_received() {
    use bytes::BufMut;
    let mut pair = Pair::built(Role::Server, |config| config.message_bytes_max(u64::MAX));
    assert!(pair.connection.read_target().is_none(), "no message");
    pair.peer_says(frame(OpCode::Binary).announcing(16_383));
    assert!(pair.connection.read_target().is_none(), "too little");
    let mut pair = Pair::built(Role::Server, |config| config.message_bytes_max(u64::MAX));
    pair.peer_says(frame(OpCode::Binary).announcing(1 << 62));
    let mut received = 0usize;
    while received < 4 << 20 {
        let mut target = pair.connection.read_target().expect("a large payload");
        let mut buffer = target.buffer();
        let room = buffer.remaining_mut();
        assert!(room <= 2 * received.max(16 << 10) + 64, "{room} after {received}");
        buffer.put_bytes(0, room);
        received += room;
        drop(target);
        pair.reads(&[]);
    }
    // Where the application gets pieces, or the end is near, there is none.
    let mut pair = Pair::built(Role::Client, |config| config.parts(true));
    pair.peer_says(frame(OpCode::Binary).announcing(1 << 20));
    assert!(pair.connection.read_target().is_none());
    let mut pair = Pair::open(Role::Client);
    pair.peer_says(frame(OpCode::Binary).announcing(1 << 20));
    assert!(pair.connection.read_target().is_some());
    pair.closes(1000, "");
    assert!(pair.connection.read_target().is_none());
}

/// RFC 6455 §5.2 · what is behind the payload is not read into it
#[test]
fn a_target_takes_no_byte_beyond_the_payload() {
    use bytes::BufMut;
    for len in [16_384usize, 16_390, 40_000] {
        let mut pair = Pair::open(Role::Client);
        pair.peer_says(frame(OpCode::Binary).announcing(len as u64));
        let mut read = 0;
        while let Some(mut target) = pair.connection.read_target() {
            let mut buffer = target.buffer();
            let room = buffer.remaining_mut();
            buffer.put_bytes(5, room);
            read += room;
            assert!(read <= len);
        }
        pair.reads(&vec![5; len - read]);
        assert_eq!(pair.events(), [Got::binary(vec![5; len])]);
    }
}

/// DESIGN point 2 · the delivery's splits meet the target's
#[test]
fn every_split_of_the_header_before_a_target_is_right() {
    let payload = Random(3).bytes(20_000);
    for role in ROLES {
        let wire = frame(OpCode::Binary).payload(&payload).wire(role.peer());
        for cut in (1..30).chain([3600, 3616, 3617, 19_999]) {
            let mut pair = Pair::open(role);
            pair.reads_straight = true;
            pair.peer_sends(Delivery::Split(cut), &wire);
            assert_eq!(pair.events(), [Got::binary(&payload)], "{cut}");
        }
    }
}
