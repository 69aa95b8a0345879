//! What the core allocates, counted: nothing a small message, and never more than a peer has really sent.
//!
//! Each test counts on its own thread, so that they may run side by side.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "deflate")]
mod deflate;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
    time::Instant,
};

use bytes::BufMut;
use framecast::proto::{
    Cause, Config, Connection, Event, Inbound, Limit, LimitError, OpCode, ProtocolError, Role,
};

use support::{ROLES, Wire, frame, predictable};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(allocated: isize) {
    // A thread that ends has no counters any more, and nothing to count.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + u64::from(allocated > 0)));
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + allocated);
        PEAK.try_with(|peak| peak.set(peak.get().max(live.get())))
    });
}

#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator with the arguments it came with; beside it only numbers change.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `System` with this layout, as every method here passes on to it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(-(layout.size() as isize));
        count(size as isize);
        // SAFETY: as for `dealloc`, and `size` is the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// How many allocations `work` makes.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Bytes held now, and the most since the last [`mark`].
fn live() -> isize {
    LIVE.get()
}

fn mark() -> isize {
    PEAK.set(LIVE.get());
    LIVE.get()
}

/// An endpoint and what its thread lends, with no log that would allocate.
struct End {
    connection: Connection,
    inbound: Inbound,
    outbound: framecast::proto::Outbound,
    now: Instant,
}

impl End {
    fn new(role: Role, config: Config) -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::new(Arc::new(config), role, now, 1),
            inbound: Inbound::default(),
            outbound: predictable(1),
            now,
        }
    }

    /// Reads `pieces`, sends each message back, writes once; returns how many messages and bytes.
    fn echoes<'p>(&mut self, pieces: impl Iterator<Item = &'p mut [u8]>) -> (u32, usize) {
        let (mut messages, mut written) = (0, 0);
        for mut input in pieces {
            loop {
                let (rest, event) = self.connection.receive(self.now, input, &mut self.inbound);
                input = rest;
                match event {
                    Some(Event::Text(text)) => {
                        self.connection.send(text, &mut self.outbound).expect("room");
                        messages += 1;
                    }
                    Some(Event::Binary(payload)) => {
                        self.connection.send(payload, &mut self.outbound).expect("room");
                        messages += 1;
                    }
                    Some(other) => panic!("{other:?}"),
                    None => break,
                }
            }
        }
        while let Some(transmit) = self.connection.poll_transmit(self.now, &mut self.outbound) {
            let len = transmit.slices().iter().map(|slice| slice.len()).sum();
            transmit.wrote(len);
            written += len;
        }
        (messages, written)
    }

    /// The end that `input` brings, if it does.
    fn receives(&mut self, mut input: &mut [u8]) -> Option<Cause> {
        loop {
            match self.connection.receive(self.now, input, &mut self.inbound) {
                (_, Some(Event::Closed(cause))) => return Some(cause),
                (rest, Some(_)) => input = rest,
                (_, None) => return None,
            }
        }
    }
}

/// DESIGN point 4
#[test]
fn a_small_message_echoed_allocates_nothing() {
    for role in ROLES {
        for len in [0, 1, 20, 125, 126, 1000, 4000] {
            let what =
                [frame(OpCode::Text).payload("x".repeat(len)), frame(OpCode::Binary).payload(vec![7; len])];
            let fresh = what.wire(role.peer());
            let (mut end, mut wire) = (End::new(role, Config::default()), fresh.clone());
            let mut turns = |end: &mut End, turns: u32| {
                for _ in 0..turns {
                    wire.copy_from_slice(&fresh);
                    assert_eq!(end.echoes([&mut wire[..]].into_iter()).0, 2);
                }
            };
            turns(&mut end, 3);
            assert_eq!(allocations(|| turns(&mut end, 1000)), 0, "{role:?} {len}");
        }
    }
}

/// DESIGN points 1, 4
#[test]
fn a_small_message_that_two_reads_or_fragments_bring_allocates_nothing() {
    for role in ROLES {
        for what in [
            vec![frame(OpCode::Text).payload("a message in two reads")],
            vec![
                frame(OpCode::Binary).fin(false).payload([1; 900]),
                frame(OpCode::Continuation).fin(false).payload([2; 900]),
                frame(OpCode::Continuation).payload([3; 900]),
            ],
        ] {
            let fresh = what.wire(role.peer());
            let mut end = End::new(role, Config::default());
            let mut wire = fresh.clone();
            let mut turn = |end: &mut End, cut: usize| {
                wire.copy_from_slice(&fresh);
                let (front, back) = wire.split_at_mut(cut);
                assert_eq!(end.echoes([front, back].into_iter()).0, 1);
            };
            (0..3).for_each(|_| turn(&mut end, 10));
            let allocated = allocations(|| (0..fresh.len()).for_each(|cut| turn(&mut end, cut)));
            assert_eq!(allocated, 0, "{role:?} {}", fresh.len());
        }
    }
}

/// DESIGN point 4 · P=32, as the benchmarks have it: many messages a read
#[test]
fn a_read_of_32_messages_answered_in_one_write_allocates_nothing() {
    for role in ROLES {
        let fresh = vec![frame(OpCode::Text).payload("twenty bytes of text"); 32].wire(role.peer());
        let (mut end, mut wire) = (End::new(role, Config::default()), fresh.clone());
        let mut turn = |end: &mut End| {
            wire.copy_from_slice(&fresh);
            let head = if role == Role::Client { 6 } else { 2 };
            assert_eq!(end.echoes([&mut wire[..]].into_iter()), (32, 32 * (20 + head)));
        };
        (0..3).for_each(|_| turn(&mut end));
        assert_eq!(allocations(|| (0..100).for_each(|_| turn(&mut end))), 0, "{role:?}");
    }
}

/// DESIGN point 5
#[test]
fn an_idle_connection_holds_its_state_and_nothing_else() {
    for role in ROLES {
        let config = Arc::new(Config::default());
        let (mut inbound, mut outbound, now) = (Inbound::default(), predictable(1), Instant::now());
        let mut connections = Vec::with_capacity(1000);
        let mut wire = frame(OpCode::Text).payload("x".repeat(1000)).wire(role.peer());
        let fresh = wire.clone();
        let before = live();
        for seed in 0..1000 {
            let mut connection = Connection::new(config.clone(), role, now, seed);
            wire.copy_from_slice(&fresh);
            let (front, back) = wire.split_at_mut(500);
            assert!(connection.receive(now, front, &mut inbound).1.is_none());
            let (_, event) = connection.receive(now, back, &mut inbound);
            let Some(Event::Text(text)) = event else { panic!("{event:?}") };
            connection.send(text, &mut outbound).expect("room");
            while let Some(transmit) = connection.poll_transmit(now, &mut outbound) {
                let len = transmit.slices().iter().map(|slice| slice.len()).sum();
                transmit.wrote(len);
            }
            connections.push(connection);
        }
        // What the thread lends is there once for the thousand.
        assert!(live() - before < 64 << 10, "{} bytes", live() - before);
    }
}

/// RFC 6455 §10.4 · catalogue: DS-10, V-07, V-08, V-09, FR-24
#[test]
fn a_length_of_2_to_the_62_holds_what_was_received_and_no_more() {
    for role in ROLES {
        for straight in [false, true] {
            for size in [100, 4096, 65_536] {
                let config =
                    Config::builder().message_bytes_max(Config::UNLIMITED).build().expect("no limit");
                let mut end = End::new(role, config);
                let mut piece = vec![0; size];
                let mut head = frame(OpCode::Binary).announcing(1 << 62).wire(role.peer());
                let before = mark();
                assert_eq!(end.receives(&mut head), None);
                assert!(PEAK.get() - before < 1024, "a header holds {}", PEAK.get() - before);
                let mut received = 0;
                while received < 4 << 20 {
                    let mut taken = 0;
                    if straight && let Some(mut target) = end.connection.read_target() {
                        let mut buffer = target.buffer();
                        taken = buffer.remaining_mut().min(size);
                        buffer.put_bytes(0, taken);
                    };
                    if taken == 0 {
                        assert_eq!(end.receives(&mut piece), None);
                        taken = size;
                    }
                    received += taken;
                    assert_eq!(end.receives(&mut []), None);
                    let held = PEAK.get() - before;
                    assert!(held <= 2 * received as isize + (40 << 10), "{held} held of {received}");
                }
            }
        }
    }
}

/// RFC 6455 §5.4, §10.4 · catalogue: DS-13, V-11. ws did not count them at all.
#[test]
fn twenty_million_empty_continuations_are_1008_at_the_limit_and_memory_is_flat() {
    for role in ROLES {
        let mut end = End::new(role, Config::default());
        let mut first = frame(OpCode::Text).fin(false).wire(role.peer());
        let mut block = vec![frame(OpCode::Continuation).fin(false); 10_000].wire(role.peer());
        let before = mark();
        assert_eq!(end.receives(&mut first), None);
        let mut ends = Vec::with_capacity(1);
        for at in 0..2000 {
            if let Some(cause) = end.receives(&mut block) {
                ends.push((at, cause));
            }
        }
        let limit = LimitError { limit: Limit::Fragments, value: 16_385 };
        assert_eq!(ends, [(1, Cause::Protocol(ProtocolError::Limit(limit)))], "once, in the second block");
        assert!(PEAK.get() - before < 4096, "{} bytes", PEAK.get() - before);
    }
}

/// RFC 6455 §5.4 · catalogue: DS-12, DS-13, V-10. Where the count is no limit, memory is still the payload's.
#[test]
fn a_million_fragments_of_a_byte_cost_what_they_bring() {
    let config = Config::builder().fragments_max(u32::MAX).build().expect("a count");
    let mut end = End::new(Role::Client, config);
    let mut first = frame(OpCode::Binary).fin(false).wire(Role::Server);
    let mut block = vec![frame(OpCode::Continuation).fin(false).payload([1]); 10_000].wire(Role::Server);
    let before = mark();
    assert_eq!(end.receives(&mut first), None);
    for at in 1..=100 {
        assert_eq!(end.receives(&mut block), None);
        let held = PEAK.get() - before;
        assert!(held <= 2 * at * 10_000 + 4096, "{held} held of {}", at * 10_000);
    }
}

/// RFC 6455 §10.4 · catalogue: DS-11
#[test]
fn half_a_gigabyte_in_fragments_is_1009_at_the_limit() {
    for role in ROLES {
        let mut end = End::new(role, Config::default());
        let mut first = frame(OpCode::Binary).fin(false).wire(role.peer());
        let fresh = frame(OpCode::Continuation).fin(false).payload(vec![0; 64 << 10]).wire(role.peer());
        let mut block = fresh.clone();
        let before = mark();
        assert_eq!(end.receives(&mut first), None);
        let mut ends = Vec::with_capacity(1);
        for at in 0..8192 {
            block[..14].copy_from_slice(&fresh[..14]);
            if let Some(cause) = end.receives(&mut block) {
                ends.push((at, cause));
            }
        }
        let limit = LimitError { limit: Limit::MessageBytes, value: 1 << 20 };
        assert_eq!(ends, [(16, Cause::Protocol(ProtocolError::Limit(limit)))]);
        assert!(PEAK.get() - before <= (2 << 20) + (64 << 10), "{} bytes", PEAK.get() - before);
        assert!(live() - before < 4096, "after the end it lets go of the message");
    }
}

/// RFC 6455 §5.5.3 · catalogue: DS-20, V-34
#[test]
fn a_ping_flood_that_is_never_read_holds_few_pongs() {
    let config = Config::builder().control_frames_burst(u16::MAX).build().expect("a burst");
    let mut end = End::new(Role::Server, config);
    let fresh = frame(OpCode::Ping).payload([7; 125]).wire(Role::Client);
    let mut wire = fresh.clone();
    let before = mark();
    for _ in 0..60_000 {
        wire.copy_from_slice(&fresh);
        assert_eq!(end.receives(&mut wire), None);
        assert!(end.connection.poll_transmit(end.now, &mut end.outbound).is_some());
    }
    assert!(PEAK.get() - before < 16 << 10, "{} bytes", PEAK.get() - before);
}
