//! What the core costs without a socket: headers, masking, receiving, sending, the opening handshake.
//!
//! Run  `cargo bench --bench core`           all of it, in about a minute
//!      `cargo bench --bench core -- mask`   what has `mask` in its name
//!
//! The input of a `receive` is unmasked in place, so each round starts from a fresh copy of it, which is made outside of the
//! time taken. One thread, everything in the cache: what a driver, the kernel and a peer add is not in these figures.

use std::{hint::black_box, sync::Arc, time::Duration, time::Instant};

use bytes::{BufMut, Bytes};
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use framecast::{
    handshake::{ClientRequest, Endpoint, ServerHandshake, Url},
    proto::{
        Config, Connection, Event, FrameHeader, Inbound, Masks, Message, OpCode, Outbound, Outgoing, Role,
        mask,
    },
};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(30);
    targets = header, masking, utf8, receive, send, handshake
}
criterion_main!(benches);

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A header of each length, of a client and of a server.
fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    group.throughput(Throughput::Elements(1));
    for payload_len in [20, 1 << 10, 64 << 10] {
        for role in [Role::Client, Role::Server] {
            let bytes = header_of(OpCode::Binary, payload_len, role.peer()).encode();
            let masked = if role == Role::Server { "masked" } else { "plain" };
            group.bench_function(BenchmarkId::new(masked, format!("{} B", bytes.len())), |bench| {
                bench.iter(|| {
                    FrameHeader::parse(black_box(&bytes), role).map(|header| black_box(header).is_some())
                });
            });
        }
    }
    group.finish();
}

/// Beside a copy of as much: masking reads and writes every byte once, in its place, and should cost no more.
fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for len in [20, 125, 1 << 10, 4 << 10, 16 << 10, 64 << 10] {
        let mut payload = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{len} B")), |bench| {
            bench.iter(|| mask(black_box(&mut payload), black_box(KEY)));
        });
        let source = vec![0xa5; len];
        group.bench_function(BenchmarkId::new("copy_from_slice", format!("{len} B")), |bench| {
            bench.iter(|| black_box(&mut payload[..]).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

/// Text messages of 16 KiB, whose check dominates: the difference between the two is UTF-8's.
fn utf8(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for (name, text) in [("ascii", "framecast "), ("mixed", "grüße, 世界 и мир 😀 ")] {
        let mut text = text.repeat((16 << 10) / text.len());
        text.truncate(text.floor_char_boundary(16 << 10));
        let wire = frame(OpCode::Text, text.as_bytes());
        group.throughput(Throughput::Bytes(text.len() as u64));
        bench_receive(&mut group, BenchmarkId::new(name, "16 KiB text"), &wire);
    }
    group.finish();
}

fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    group.throughput(Throughput::Elements(32));
    let small = frame(OpCode::Binary, &[0x5a; 20]).repeat(32);
    bench_receive(&mut group, BenchmarkId::from_parameter("32 x 20 B binary in one read"), &small);
    group.throughput(Throughput::Bytes(1 << 10));
    bench_receive(
        &mut group,
        BenchmarkId::from_parameter("1 KiB text"),
        &frame(OpCode::Text, &[b'a'; 1 << 10]),
    );
    group.throughput(Throughput::Bytes(16 << 10));
    bench_receive(
        &mut group,
        BenchmarkId::from_parameter("16 KiB binary"),
        &frame(OpCode::Binary, &[0x5a; 16 << 10]),
    );

    let large = frame(OpCode::Binary, &vec![0x5a; 1 << 20]);
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function(BenchmarkId::from_parameter("1 MiB binary by read_target"), |bench| {
        let (mut server, mut lent, now) = (connection(Role::Server), Inbound::default(), Instant::now());
        bench.iter(|| receive_by_target(&mut server, &mut lent, now, &large));
    });
    group.finish();
}

/// Receives all of `wire`, over and over.
fn bench_receive(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, wire: &[u8]) {
    let (mut server, mut lent, now) = (connection(Role::Server), Inbound::default(), Instant::now());
    group.bench_function(id, |bench| {
        let run = |input: &mut Vec<u8>| {
            let mut rest = &mut input[..];
            loop {
                let (left, event) = server.receive(now, rest, &mut lent);
                assert!(!matches!(event, Some(Event::Closed(_))), "{event:?}");
                rest = left;
                if black_box(event).is_none() {
                    break;
                }
            }
        };
        bench.iter_batched_ref(|| wire.to_vec(), run, BatchSize::SmallInput);
    });
}

/// What a driver does with a large message: the first read is shared, the rest goes straight where it belongs.
fn receive_by_target(server: &mut Connection, lent: &mut Inbound, now: Instant, wire: &[u8]) {
    let (head, mut left) = wire.split_at(64 << 10);
    let mut head = head.to_vec();
    assert!(server.receive(now, &mut head, lent).1.is_none());
    loop {
        let Some(mut target) = server.read_target() else { break };
        let mut buffer = target.buffer();
        // A socket gives so much at a time.
        let (piece, rest) = left.split_at(left.len().min(buffer.remaining_mut()).min(256 << 10));
        buffer.put_slice(piece);
        drop(target);
        left = rest;
        let event = server.receive(now, &mut [], lent).1;
        assert_eq!(event.is_some(), left.is_empty(), "{event:?}");
        black_box(event);
    }
    // What is short is not worth a target.
    if !left.is_empty() {
        let mut tail = left.to_vec();
        assert!(black_box(server.receive(now, &mut tail, lent).1).is_some());
    }
}

fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send");
    let small = [0x5a; 20];
    let large = Message::binary(Bytes::from(vec![0x5a; 16 << 10]));
    for (name, role) in [("server", Role::Server), ("client", Role::Client)] {
        group.throughput(Throughput::Elements(32));
        bench_send(&mut group, BenchmarkId::new(name, "32 x 20 B in one write"), role, 32, || {
            Outgoing::Binary(&small)
        });
        group.throughput(Throughput::Bytes(16 << 10));
        // A server splices it; a client must mask, and so copy.
        bench_send(&mut group, BenchmarkId::new(name, "16 KiB owned"), role, 1, || Outgoing::from(&large));
    }
    group.finish();
}

/// Sends so many messages, and takes them as one write each time something waits.
fn bench_send<'m>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    role: Role,
    count: usize,
    message: impl Fn() -> Outgoing<'m>,
) {
    let (mut connection, now) = (connection(role), Instant::now());
    let mut lent = Outbound::default();
    lent.masks = Masks::predictable(1);
    group.bench_function(id, |bench| {
        bench.iter(|| {
            for _ in 0..count {
                connection.send(black_box(message()), &mut lent).expect("the outbox has room");
            }
            while let Some(transmit) = connection.poll_transmit(now, &mut lent) {
                let bytes = black_box(transmit.slices()).iter().map(|slice| slice.len()).sum();
                transmit.wrote(bytes);
            }
        });
    });
}

/// A server's share of an opening handshake: the request of our own client, and the 101.
fn handshake(criterion: &mut Criterion) {
    let config = Config::default();
    let endpoint = Arc::new(Endpoint::new().subprotocols(["chat"]).expect("a token"));
    let ask = ClientRequest::new(Url::parse("ws://localhost:9001/ws?room=1").expect("a URL"))
        .header("user-agent", "bench")
        .and_then(|ask| ask.origin("http://localhost:9001"))
        .expect("two sound headers")
        .subprotocols(["chat"])
        .expect("a token");
    let (request, _) = ask.start(&config, *b"the sample nonce");
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    group.bench_function("request to 101", |bench| {
        bench.iter(|| {
            let mut server = ServerHandshake::new(&config, endpoint.clone());
            let (request, _) = server.receive(black_box(&request)).expect("sound").expect("complete");
            request.accept().encode()
        });
    });
    group.finish();
}

fn connection(role: Role) -> Connection {
    Connection::new(Arc::new(Config::default()), role, Instant::now(), 1)
}

/// A frame as a client sends it.
fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut wire = header_of(opcode, payload.len(), Role::Client).encode().to_vec();
    let start = wire.len();
    wire.extend_from_slice(payload);
    mask(&mut wire[start..], KEY);
    wire
}

fn header_of(opcode: OpCode, payload_len: usize, sender: Role) -> FrameHeader {
    let mask = (sender == Role::Client).then_some(KEY);
    FrameHeader { fin: true, rsv1: false, opcode, mask, payload_len: payload_len as u64, minimal: true }
}
