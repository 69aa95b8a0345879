//! What compression costs in memory: nothing a connection without context takeover, with it what a table says, and never more
//! than a limit's worth for a bomb. Catalogue: PD-20, PD-21, PD-27, PD-29, V-90, ZC-12.

use std::{sync::Arc, time::Instant};

use flate2::{Compress, Compression as Level, FlushCompress};
use framecast::proto::{
    Cause, Config, Connection, Deflate, DeflateTerms, Event, Inbound, Limit, LimitError, OpCode, Outbound,
    ProtocolError, Role,
};

use super::{End, allocations, live, mark};
use crate::support::{Wire, frame};

const NO_TAKEOVER: DeflateTerms = DeflateTerms {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 12,
    client_max_window_bits: 12,
};

fn server(terms: Option<DeflateTerms>, config: &Arc<Config>) -> Connection {
    Connection::new(config.clone(), Role::Server, Instant::now(), 1).with_deflate(terms)
}

fn config() -> Arc<Config> {
    Arc::new(Config::builder().deflate(Deflate::default().threshold(0)).build().expect("sound"))
}

/// Some KiB of JSON.
fn json(size: usize) -> String {
    let mut json = String::new();
    while json.len() < size {
        let at = json.len();
        json += &format!("{{\"id\":{at},\"name\":\"user {}\",\"score\":{}}},", at * 7 % 100, at * 31 % 9973);
    }
    json.truncate(size);
    json
}

/// The payload of a compressed message of the peer's.
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 1024);
    let mut compress = Compress::new_with_window_bits(Level::new(6), false, 12);
    compress.compress_vec(message, &mut out, FlushCompress::Sync).expect("sound");
    out.truncate(out.len() - 4);
    out
}

fn compressed(opcode: OpCode, message: &[u8]) -> Vec<u8> {
    frame(opcode).rsv(4).payload(deflated(message)).wire(Role::Client)
}

/// Receives the frames of `wire` and sends each message back.
fn echo(
    connection: &mut Connection,
    inbound: &mut Inbound,
    outbound: &mut Outbound,
    wire: &mut [u8],
) -> usize {
    let (now, mut rest, mut messages) = (Instant::now(), wire, 0);
    while let (left, Some(event)) = connection.receive(now, rest, inbound) {
        let Event::Text(text) = event else { panic!("{event:?}") };
        connection.send(text, outbound).expect("room");
        (rest, messages) = (left, messages + 1);
    }
    while let Some(transmit) = connection.poll_transmit(now, outbound) {
        let len = transmit.slices().iter().map(|slice| slice.len()).sum();
        transmit.wrote(len);
    }
    messages
}

/// Bytes that each of a hundred connections holds which share what their thread lends, once each has echoed three messages.
fn held(terms: Option<DeflateTerms>, config: &Arc<Config>, wire: &[u8]) -> isize {
    const COUNT: usize = 100;
    let (mut inbound, mut outbound) = (Inbound::default(), Outbound::default());
    // The thread's part is there before anything is counted.
    let mut input = wire.to_vec();
    let mut first = server(terms, config);
    for _ in 0..3 {
        input.copy_from_slice(wire);
        echo(&mut first, &mut inbound, &mut outbound, &mut input);
    }
    drop(first);
    let mut connections = Vec::with_capacity(COUNT);
    let before = live();
    for _ in 0..COUNT {
        let mut connection = server(terms, config);
        for _ in 0..3 {
            input.copy_from_slice(wire);
            assert_eq!(echo(&mut connection, &mut inbound, &mut outbound, &mut input), 1);
        }
        connections.push(connection);
    }
    (live() - before) / COUNT as isize
}

/// Catalogue: PD-29, V-90, ZC-12
#[test]
fn a_connection_without_takeover_holds_what_one_without_compression_does() {
    let text = json(1024);
    let config = config();
    let plain = held(None, &config, &frame(OpCode::Text).payload(&text).wire(Role::Client));
    let compressed = held(Some(NO_TAKEOVER), &config, &compressed(OpCode::Text, text.as_bytes()));
    assert_eq!(compressed, plain);
    assert_eq!(plain, 0, "beside the connection itself, which was there before");
}

/// DESIGN "The core" 4
#[test]
fn a_compressed_message_allocates_nothing() {
    // From 4 KiB up it is inflated into a buffer of its own, which grows once and is then counted by reference.
    for (size, most) in [(1024, 0), (16 << 10, 3)] {
        let wire = compressed(OpCode::Text, json(size).as_bytes());
        let (config, mut inbound, mut outbound) = (config(), Inbound::default(), Outbound::default());
        let mut connection = server(Some(NO_TAKEOVER), &config);
        let mut input = wire.clone();
        let mut made = 0;
        for round in 0..120 {
            input.copy_from_slice(&wire);
            let here = allocations(|| {
                echo(&mut connection, &mut inbound, &mut outbound, &mut input);
            });
            made += if round < 20 { 0 } else { here };
        }
        println!("{size} bytes: {} allocations in 100 echoes", made);
        assert!(made <= most * 100, "{size}: {made}");
    }
}

/// The table in the documentation of `Deflate` · catalogue: PD-29
#[test]
fn takeover_costs_what_the_table_says() {
    let text = json(64 << 10);
    let mut wrong = Vec::new();
    println!("| window | what came | what was sent |\n|---|--:|--:|");
    for (bits, came, sent) in TABLE {
        let one_way = |receives: bool| {
            let (config, mut inbound, mut outbound) = (config(), Inbound::default(), Outbound::default());
            let terms = DeflateTerms {
                client_no_context_takeover: !receives,
                server_no_context_takeover: receives,
                server_max_window_bits: bits,
                client_max_window_bits: bits,
            };
            let mut wire = compressed(OpCode::Text, text.as_bytes());
            let fresh = wire.clone();
            let mut first = server(Some(NO_TAKEOVER), &config);
            // Windows of other sizes have compressors of their own, also the thread's.
            echo(&mut first, &mut inbound, &mut outbound, &mut wire);
            let same =
                DeflateTerms { client_no_context_takeover: true, server_no_context_takeover: true, ..terms };
            wire.copy_from_slice(&fresh);
            echo(&mut server(Some(same), &config), &mut inbound, &mut outbound, &mut wire);
            let mut connection = server(Some(terms), &config);
            let before = live();
            wire.copy_from_slice(&fresh);
            echo(&mut connection, &mut inbound, &mut outbound, &mut wire);
            live() - before
        };
        let kib = |bytes: isize| bytes as f64 / 1024.0;
        let (receiving, sending) = (kib(one_way(true)), kib(one_way(false)));
        println!("| {bits} bits | {receiving:.1} KiB | {sending:.0} KiB |");
        for (is, was) in [(receiving, came), (sending, sent)] {
            if (is - was).abs() > was * 0.05 {
                wrong.push(format!("{bits} bits: {is:.2} KiB where the table has {was}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Bits of the window; KiB that are kept of what came, and for what is sent.
const TABLE: [(u8, f64, f64); 7] = [
    (9, 0.67, 245.0),
    (10, 1.2, 247.0),
    (11, 2.2, 251.0),
    (12, 4.2, 259.0),
    (13, 8.2, 275.0),
    (14, 16.2, 307.0),
    (15, 32.2, 371.0),
];

/// A megabyte of zeros a kilobyte, and as much of it as a frame may have: 1 GiB when it is inflated · catalogue: PD-20, PD-21
#[test]
fn a_bomb_costs_a_messages_limit_and_harms_nobody() {
    const LIMIT: usize = 1 << 20;
    let zeros = vec![0; 1 << 20];
    let mut block = Vec::with_capacity(4096);
    let mut compress = Compress::new(Level::new(9), false);
    compress.compress_vec(&zeros, &mut block, FlushCompress::Sync).expect("sound");
    let bomb = block.repeat(1024);
    assert!(bomb.len() < LIMIT + LIMIT / 8, "it fits into a frame: {}", bomb.len());
    let whole = vec![frame(OpCode::Binary).rsv(4).payload(&bomb).wire(Role::Client)];
    let pieces = bomb.chunks(bomb.len() / 10_000).enumerate().map(|(at, piece)| {
        let first = if at == 0 { frame(OpCode::Binary).rsv(4) } else { frame(OpCode::Continuation) };
        first.fin(false).payload(piece).wire(Role::Client)
    });
    let too_big = ProtocolError::Limit(LimitError { limit: Limit::MessageBytes, value: LIMIT as u64 });
    for wires in [whole, pieces.collect::<Vec<_>>()] {
        let mut end = End::new(Role::Server, (*config()).clone());
        end.connection = server(Some(NO_TAKEOVER), &config());
        let mut wires = wires;
        let before = mark();
        let cause = wires.iter_mut().find_map(|wire| end.receives(wire));
        let peak = super::PEAK.get() - before;
        println!("peak {} KiB", peak >> 10);
        assert_eq!(cause, Some(Cause::Protocol(too_big)));
        // A buffer of the limit, and an inflater.
        assert!(peak <= (LIMIT + (64 << 10)) as isize, "{peak}");
        drop(std::mem::replace(&mut end.connection, server(Some(NO_TAKEOVER), &config())));
        let mut next = compressed(OpCode::Text, b"the next connection");
        let (_, event) = end.connection.receive(end.now, &mut next, &mut end.inbound);
        assert!(matches!(event, Some(Event::Text(text)) if text.as_str() == "the next connection"));
    }
}

/// Catalogue: PD-27
#[test]
fn a_megabyte_of_empty_blocks_costs_no_memory() {
    let stored = [0, 0, 0, 0xff, 0xff].repeat(200_000);
    let last = [3, 0].repeat(500_000);
    let streams = ProtocolError::Limit(LimitError { limit: Limit::DeflateStreams, value: 64 });
    for (blocks, expected) in [(stored, None), (last, Some(Cause::Protocol(streams)))] {
        let mut wire = frame(OpCode::Binary).rsv(4).fin(false).payload(blocks).wire(Role::Client);
        let mut end = End::new(Role::Server, (*config()).clone());
        end.connection = server(Some(NO_TAKEOVER), &config());
        let before = mark();
        assert_eq!(end.receives(&mut wire), expected);
        let peak = super::PEAK.get() - before;
        assert!(peak < 128 << 10, "{peak}");
    }
}
