//! What compression costs through the core, beside the bare library: JSON of 1, 16 and 256 KiB, each message by itself.
//!
//! Run  `cargo bench --bench deflate`
//!
//! Both begin each message with a fresh context, of the same window and level, and end with the compressed bytes in a buffer. The
//! core also frames, masks, checks UTF-8, and holds what comes out to its limits.

use std::{hint::black_box, sync::Arc, time::Duration, time::Instant};

use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use framecast::proto::{Config, Connection, Deflate, DeflateTerms, Event, Inbound, Outbound, Outgoing, Role};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(30);
    targets = deflate, inflate
}
criterion_main!(benches);

const LEVEL: u8 = 3;
const WINDOW_BITS: u8 = 12;
const SIZES: [usize; 3] = [1 << 10, 16 << 10, 256 << 10];

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate");
    for size in SIZES {
        let json = json(size);
        group.throughput(Throughput::Bytes(size as u64));
        let mut compress = compressor();
        let mut out = Vec::with_capacity(size);
        group.bench_function(id("bare", size), |bench| {
            bench.iter(|| {
                out.clear();
                let done = compress.compress_vec(black_box(json.as_bytes()), &mut out, FlushCompress::Sync);
                compress.reset();
                black_box(done).is_ok()
            });
        });
        let mut server = connection(Role::Server);
        let (mut lent, now) = (Outbound::default(), Instant::now());
        group.bench_function(id("core", size), |bench| {
            bench.iter(|| {
                server.send(Outgoing::Text(black_box(&json)), &mut lent).expect("the outbox has room");
                drain(&mut server, now, &mut lent)
            });
        });
    }
    group.finish();
}

fn inflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for size in SIZES {
        let json = json(size);
        group.throughput(Throughput::Bytes(size as u64));
        let mut compressed = Vec::with_capacity(size);
        compressor().compress_vec(json.as_bytes(), &mut compressed, FlushCompress::Sync).expect("sound");
        let mut decompress = Decompress::new(false);
        let mut out = Vec::with_capacity(size + 1);
        group.bench_function(id("bare", size), |bench| {
            bench.iter(|| {
                out.clear();
                let done = decompress.decompress_vec(black_box(&compressed), &mut out, FlushDecompress::None);
                decompress.reset(false);
                black_box(done).is_ok()
            });
        });
        let mut client = connection(Role::Client);
        let (mut lent, now) = (Outbound::default(), Instant::now());
        client.send(Outgoing::Text(&json), &mut lent).expect("the outbox has room");
        let wire = drain(&mut client, now, &mut lent);
        bench_receive(&mut group, id("core", size), &wire, &json);
    }
    group.finish();
}

/// Receives one message over and over, from a fresh copy of its frame, as it is unmasked in place.
fn bench_receive(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, wire: &[u8], json: &str) {
    let mut server = connection(Role::Server);
    let (mut lent, now) = (Inbound::default(), Instant::now());
    group.bench_function(id, |bench| {
        let run = |input: &mut Vec<u8>| {
            let (_, event) = server.receive(now, input, &mut lent);
            let Some(Event::Text(text)) = event else { panic!("{event:?}") };
            assert_eq!(text.as_str().len(), json.len());
        };
        bench.iter_batched_ref(|| wire.to_vec(), run, BatchSize::SmallInput);
    });
}

fn id(of: &str, size: usize) -> BenchmarkId {
    BenchmarkId::new(of, format!("{} KiB", size >> 10))
}

fn compressor() -> Compress {
    Compress::new_with_window_bits(Compression::new(LEVEL.into()), false, WINDOW_BITS)
}

fn connection(role: Role) -> Connection {
    let config = Config::builder().deflate(Deflate::default().level(LEVEL)).build().expect("sound");
    let terms = DeflateTerms {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: WINDOW_BITS,
        client_max_window_bits: WINDOW_BITS,
    };
    Connection::new(Arc::new(config), role, Instant::now(), 1).with_deflate(Some(terms))
}

/// What waits to be written.
fn drain(connection: &mut Connection, now: Instant, lent: &mut Outbound) -> Vec<u8> {
    let mut wire = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, lent) {
        let before = wire.len();
        transmit.slices().iter().for_each(|slice| wire.extend_from_slice(slice));
        transmit.wrote(wire.len() - before);
    }
    wire
}

/// An array of records, as an application's list is, cut to `size`.
fn json(size: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    let mut json = "[".to_owned();
    while json.len() < size {
        let (id, symbol, cents) =
            (noise() % 100_000, ["ALV", "BMW", "SAP", "SIE"][noise() as usize % 4], noise() % 10_000);
        let side = if noise() % 2 == 0 { "buy" } else { "sell" };
        json += &format!(
            r#"{{"id":{id},"symbol":"{symbol}","side":"{side}","price":{}.{:02}}},"#,
            cents / 100,
            cents % 100
        );
    }
    json.truncate(size);
    json
}
