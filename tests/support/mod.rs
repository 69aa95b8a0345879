//! One of our endpoints under a virtual clock, with a scripted peer at the other end of the wire: what most tests of the
//! protocol stand on.
//!
//! [`Pair`] drives a [`Connection`] as a driver does: it reads, writes, keeps time. The peer's bytes are built by
//! [`frame`], come in by a [`Delivery`], and what we write is decoded and judged by [`Strict`], which shares no code with
//! the engine. [`Joined`] puts two of our endpoints on one wire.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part of it")]

mod delivery;
mod joined;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BufMut;
use framecast::proto::{
    Cause, Config, ConfigBuilder, Connection, DeflateTerms, Event, Inbound, Kind, Masks, Outbound,
    ProtocolError, Role, Want,
};

pub(crate) use delivery::Delivery;
pub(crate) use joined::Joined;
pub(crate) use wire::{
    Frame, KEY, Sent, Strict, Wire, close, close_frame, frame, may_be_on_the_wire, raw_frame,
};

/// What an application was told, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Part { kind: Kind, piece: Vec<u8>, last: bool },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Cause),
}

impl Got {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Self::Binary(bytes.as_ref().to_vec())
    }

    pub(crate) fn ping(bytes: impl AsRef<[u8]>) -> Self {
        Self::Ping(bytes.as_ref().to_vec())
    }

    pub(crate) fn pong(bytes: impl AsRef<[u8]>) -> Self {
        Self::Pong(bytes.as_ref().to_vec())
    }

    pub(crate) fn error(error: ProtocolError) -> Self {
        Self::Closed(Cause::Protocol(error))
    }
}

impl From<Event<'_>> for Got {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::text(text.as_str()),
            Event::Binary(payload) => Self::Binary(payload.to_vec()),
            Event::Part { kind, piece, last } => Self::Part { kind, piece: piece.to_vec(), last },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Closed(cause) => Self::Closed(cause),
            other => panic!("an event that the tests do not know: {other:?}"),
        }
    }
}

/// Our endpoint, the peer's script, and the time between them.
pub(crate) struct Pair {
    pub(crate) connection: Connection,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) now: Instant,
    pub(crate) role: Role,
    /// Large payloads are read straight into their message.
    pub(crate) reads_straight: bool,
    /// Bytes that one write takes at most.
    pub(crate) write_max: usize,
    /// Bytes that the transport takes until the peer reads again; `None`: the peer reads.
    room: Option<usize>,
    events: Vec<Got>,
    cause: Option<Cause>,
    wire: Strict,
    /// What we wrote, in bytes, until it is taken.
    written: Vec<u8>,
}

impl Pair {
    pub(crate) fn open(role: Role) -> Self {
        Self::with(role, Config::default())
    }

    pub(crate) fn with(role: Role, config: Config) -> Self {
        Self::seeded(role, config, 1)
    }

    /// A connection with limits of its own.
    pub(crate) fn built(role: Role, build: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        Self::with(role, build(Config::builder()).build().expect("the knobs fit together"))
    }

    /// With permessage-deflate on these terms, and no threshold.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressing(
        role: Role,
        terms: DeflateTerms,
        build: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Self {
        let config = Config::builder().deflate(framecast::proto::Deflate::takeover().threshold(0));
        let mut pair = Self::with(role, build(config).build().expect("the knobs fit together"));
        pair.connection = pair.connection.with_deflate(Some(terms));
        pair.wire.compresses = true;
        pair
    }

    pub(crate) fn seeded(role: Role, config: Config, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::new(Arc::new(config), role, now, seed),
            inbound: Inbound::default(),
            outbound: predictable(seed),
            now,
            role,
            reads_straight: false,
            write_max: usize::MAX,
            room: None,
            events: Vec::new(),
            cause: None,
            wire: Strict::new(role),
            written: Vec::new(),
        }
    }

    // ---- the peer

    /// The peer's bytes come in, piece by piece; after each we write what we have.
    pub(crate) fn peer_sends(&mut self, delivery: Delivery, what: impl Wire) {
        let bytes = what.wire(self.role.peer());
        for piece in delivery.pieces(&bytes) {
            self.reads(piece);
            self.flush();
        }
    }

    /// The same in one piece.
    pub(crate) fn peer_says(&mut self, what: impl Wire) {
        self.peer_sends(Delivery::Whole, what);
    }

    /// The frames that we wrote since the last look.
    pub(crate) fn peer_reads(&mut self) -> Vec<Sent> {
        self.flush();
        self.wire.take()
    }

    /// The reason in our Close.
    pub(crate) fn close_reason(&self) -> &str {
        self.wire.close_reason()
    }

    /// The bytes that we wrote since the last look.
    pub(crate) fn peer_reads_bytes(&mut self) -> Vec<u8> {
        self.flush();
        std::mem::take(&mut self.written)
    }

    /// Whether we have written part of a frame and not the rest.
    pub(crate) fn is_inside_a_frame(&self) -> bool {
        self.wire.is_inside_a_frame()
    }

    /// The transport takes so many bytes more, then nothing; `None`: all.
    pub(crate) fn transport_takes(&mut self, room: Option<usize>) {
        self.room = room;
        self.flush();
    }

    pub(crate) fn peer_ends(&mut self) {
        self.connection.receive_eof(self.now);
        self.polls_event();
        self.flush();
    }

    /// The peer pongs every ping of ours that it has read.
    pub(crate) fn peer_answers_pings(&mut self) -> usize {
        let pings: Vec<_> =
            self.peer_reads().into_iter().filter(|sent| matches!(sent, Sent::Ping(_))).collect();
        for ping in &pings {
            let Sent::Ping(payload) = ping else { continue };
            self.peer_says(frame(framecast::proto::OpCode::Pong).payload(payload));
        }
        pings.len()
    }

    // ---- our application

    pub(crate) fn sends(&mut self, text: &str) {
        self.connection.send(text, &mut self.outbound).expect("the outbox has room");
    }

    pub(crate) fn sends_bytes(&mut self, bytes: &[u8]) {
        self.connection.send(bytes, &mut self.outbound).expect("the outbox has room");
    }

    pub(crate) fn closes(&mut self, code: u16, reason: &str) {
        self.connection.close(self.now, framecast::proto::CloseCode(code), reason).expect("it may be closed");
    }

    /// What the application was told since the last look.
    pub(crate) fn events(&mut self) -> Vec<Got> {
        self.polls_event();
        std::mem::take(&mut self.events)
    }

    /// How it ended, if it has.
    pub(crate) fn cause(&mut self) -> Option<Cause> {
        self.polls_event();
        self.cause.clone()
    }

    /// The rule that the peer broke.
    pub(crate) fn error(&mut self) -> Option<ProtocolError> {
        match self.cause() {
            Some(Cause::Protocol(error)) => Some(error),
            _ => None,
        }
    }

    // ---- the driver

    pub(crate) fn wants(&mut self) -> Want {
        self.flush();
        self.connection.want()
    }

    pub(crate) fn write_is_shut(&mut self) {
        self.connection.write_is_shut(self.now);
    }

    /// Time passes, and every deadline on the way is met to the millisecond.
    pub(crate) fn advance(&mut self, duration: Duration) {
        self.flush();
        let until = self.now + duration;
        let mut turns = 0;
        while let Some(at) = self.connection.poll_timeout().filter(|at| *at <= until) {
            turns = if at > self.now { 0 } else { turns + 1 };
            assert!(turns < 10, "handle_timeout leaves a deadline in the past: a busy loop");
            self.now = self.now.max(at);
            self.times_out();
        }
        self.now = until;
    }

    /// The same, and the peer answers our pings; returns how many.
    pub(crate) fn advance_answering(&mut self, duration: Duration) -> usize {
        self.flush();
        let (until, mut pings) = (self.now + duration, 0);
        while let Some(at) = self.connection.poll_timeout().filter(|at| *at <= until) {
            self.advance(at.saturating_duration_since(self.now));
            pings += self.peer_answers_pings();
        }
        self.advance(until - self.now);
        pings
    }

    /// Time passes and nobody looks: the process was stopped. Then the driver looks once.
    pub(crate) fn sleeps(&mut self, duration: Duration) {
        self.now += duration;
        self.times_out();
    }

    fn times_out(&mut self) {
        self.connection.handle_timeout(self.now);
        self.polls_event();
        self.flush();
    }

    /// How long until the next deadline.
    pub(crate) fn timeout_in(&self) -> Option<Duration> {
        self.connection.poll_timeout().map(|at| at.saturating_duration_since(self.now))
    }

    pub(crate) fn reads(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while self.reads_straight && !left.is_empty() {
            let taken = {
                let Some(mut target) = self.connection.read_target() else { break };
                let mut buffer = target.buffer();
                let taken = left.len().min(buffer.remaining_mut());
                assert!(taken > 0, "a target without room");
                buffer.put_slice(&left[..taken]);
                taken
            };
            left = &left[taken..];
            self.receives(&mut []);
        }
        // One look even at nothing: a driver that read straight has nothing else to show.
        self.receives(&mut left.to_vec());
    }

    fn receives(&mut self, mut input: &mut [u8]) {
        loop {
            let (rest, event) = self.connection.receive(self.now, input, &mut self.inbound);
            let Some(event) = event else {
                assert!(rest.is_empty(), "no event, and bytes given back");
                return;
            };
            note(&mut self.events, &mut self.cause, event);
            input = rest;
        }
    }

    fn polls_event(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            note(&mut self.events, &mut self.cause, event);
        }
    }

    /// Writes what the transport takes.
    pub(crate) fn flush(&mut self) {
        while let Some(transmit) = self.connection.poll_transmit(self.now, &mut self.outbound) {
            let room = self.room.unwrap_or(usize::MAX).min(self.write_max);
            let (mut written, mut offered) = (Vec::new(), 0);
            for slice in transmit.slices().iter() {
                offered += slice.len();
                written.extend_from_slice(&slice[..slice.len().min(room - written.len())]);
            }
            assert!(offered > 0, "a write of nothing");
            transmit.wrote(written.len());
            self.wire.feed(&written);
            self.written.extend_from_slice(&written);
            if let Some(room) = &mut self.room {
                *room -= written.len();
                if *room == 0 {
                    // One more look: a driver asks again before it learns that the transport is full.
                    let _ = self.connection.poll_transmit(self.now, &mut self.outbound);
                    return;
                }
            }
        }
    }
}

/// Keeps the log, and G-6: one end, and nothing after it.
fn note(events: &mut Vec<Got>, cause: &mut Option<Cause>, event: Event<'_>) {
    let event = Got::from(event);
    assert_eq!(*cause, None, "{event:?} after the end");
    if let Got::Closed(end) = &event {
        *cause = Some(end.clone());
    }
    events.push(event);
}

/// What a thread lends, with masking keys that repeat with the seed.
pub(crate) fn predictable(seed: u64) -> Outbound {
    let mut outbound = Outbound::default();
    outbound.masks = Masks::predictable(seed);
    outbound
}

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// SplitMix64: numbers that repeat with the seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
