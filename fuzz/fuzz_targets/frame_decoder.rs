//! Bytes of a peer, in any split, into a `Connection`. What is claimed:
//!
//! - nothing panics, and no sum of lengths overflows (debug assertions are on);
//! - the events, the bytes that we answer with, the state and the counters do not depend on how the bytes were split:
//!   whole, byte by byte, as the input says, and by `read_target`;
//! - there is at most one `Closed`, and nothing after it;
//! - no message is longer than `message_bytes_max`, and the memory held grows with bytes received, not with lengths
//!   announced;
//! - what we emit passes a strict decoder that shares no code with the engine, and a `Connection` of the other role: each
//!   echo in order, pongs that answer pings, one Close at the end.
//!
//! Run:  `cargo +nightly fuzz run frame_decoder fuzz/corpus/frame_decoder fuzz/seeds/frame_decoder`
//!
//! An input is, by bytes: flags, writes, action, place of the action (2), number of split lengths, those, then the stream;
//! see [`Case::parse`].
#![no_main]

#[path = "support/live.rs"]
mod live;
#[path = "support/stream.rs"]
mod stream;
#[path = "support/strict.rs"]
mod strict;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::BufMut;
use framecast::proto::{
    Cause, CloseCode, Config, Connection, Event, Inbound, Kind, Masks, Message, Outbound, ProtocolError,
    Role, State, Stats, Want,
};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: live::Counting = live::Counting;

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::parse(data) else { return };
    let whole = Run::new(&case).deliver(&Delivery::Whole);
    whole.check(&case);
    let deliveries = [Delivery::Bytes, Delivery::Splits(&case.splits), Delivery::Target(&case.splits)];
    for delivery in deliveries {
        let other = Run::new(&case).deliver(&delivery);
        whole.outcome.assert_same(&other.outcome, &delivery);
    }
});

/// One clock for the whole process: a run that is repeated is the same run.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What one input says.
struct Case {
    role: Role,
    config: Arc<Config>,
    echo: bool,
    /// Bytes to write after each event; `None`: all of them.
    write_bytes: Option<usize>,
    action: Action,
    /// The stream up to the action, and after it. No delivery reads across.
    stream: [Vec<u8>; 2],
    splits: Vec<usize>,
}

/// What the application or the world does in the middle.
#[derive(Clone, Copy)]
enum Action {
    Nothing,
    Close,
    Ping,
    Send,
    PassTime(Duration),
    Pause(Duration),
    Eof,
    CloseAndWait(Duration),
}

impl Case {
    fn parse(data: &[u8]) -> Option<Self> {
        let (&[flags, writes, action, high, low, splits], rest) = data.split_first_chunk::<6>()?;
        let splits = usize::from(splits % 8).min(rest.len());
        let (splits, rest) = rest.split_at(splits);
        let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
        let stream = if flags & 2 == 0 { rest.to_vec() } else { stream::build(rest, role == Role::Server) };
        let place = usize::from(u16::from_be_bytes([high, low])) % (stream.len() + 1);
        let time = Duration::from_millis(u64::from(action >> 3) * 2000);
        Some(Self {
            role,
            config: config(flags),
            echo: flags & 4 != 0,
            write_bytes: match writes {
                0 => None,
                255 => Some(0),
                some => Some(some.into()),
            },
            action: match action & 7 {
                1 => Action::Close,
                2 => Action::Ping,
                3 => Action::Send,
                4 => Action::PassTime(time),
                5 => Action::Pause(time),
                6 => Action::Eof,
                7 => Action::CloseAndWait(time),
                _ => Action::Nothing,
            },
            stream: [stream[..place].to_vec(), stream[place..].to_vec()],
            splits: splits.iter().map(|len| usize::from(*len).max(1)).collect(),
        })
    }
}

fn config(flags: u8) -> Arc<Config> {
    let builder = Config::builder().parts(flags & 8 != 0).accept_long_lengths(flags & 16 != 0);
    let builder = match flags >> 5 & 3 {
        0 => builder,
        1 => builder.message_bytes_max(100).fragments_max(3).control_frames_burst(4).pongs_pending_max(1),
        2 => builder
            .ping_every(Some(Duration::from_secs(2)))
            .message_bytes_max(70_000)
            .frame_bytes_max(20_000)
            .outbox_bytes_low(10)
            .outbox_bytes_max(1000),
        _ => builder.message_bytes_max(0).frame_bytes_max(125).pongs_pending_max(2).outbox_messages_max(2),
    };
    let builder = if flags & 128 == 0 { builder } else { builder.text(false) };
    Arc::new(builder.build().expect("these limits are sound"))
}

/// How the bytes of a stream come.
#[derive(Debug)]
enum Delivery<'c> {
    Whole,
    /// One by one; long streams in a thousand pieces, or they would take all the time.
    Bytes,
    /// In pieces of these lengths, over and over.
    Splits(&'c [usize]),
    /// The same, and past the pieces by `read_target` where there is one.
    Target(&'c [usize]),
}

/// A connection under test, and what came of it.
struct Run<'c> {
    case: &'c Case,
    connection: Connection,
    inbound: Inbound,
    outbound: Outbound,
    now: Instant,
    fed_bytes: usize,
    live_before: usize,
    outcome: Outcome,
}

/// What must not depend on the split.
#[derive(Default)]
struct Outcome {
    log: Vec<Owned>,
    wire: Vec<u8>,
    echoed: Vec<Vec<u8>>,
    end: Option<(State, Want, bool, Option<Instant>, Stats)>,
}

/// An [`Event`] that owns what it tells.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Part { kind: Kind, bytes: Vec<u8>, last: bool },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Cause),
}

impl<'c> Run<'c> {
    fn new(case: &'c Case) -> Self {
        let live_before = live::bytes();
        let now = *START;
        Self {
            case,
            connection: Connection::new(case.config.clone(), case.role, now, 7),
            inbound: Inbound::default(),
            outbound: predictable(),
            now,
            fed_bytes: 0,
            live_before,
            outcome: Outcome::default(),
        }
    }

    fn deliver(mut self, delivery: &Delivery<'_>) -> Self {
        let [before, after] = &self.case.stream;
        self.feed(before, delivery);
        self.act();
        self.feed(after, delivery);
        self.finish();
        self
    }

    fn feed(&mut self, bytes: &[u8], delivery: &Delivery<'_>) {
        let mut left = bytes;
        let mut lens = match delivery {
            Delivery::Whole => vec![bytes.len().max(1)],
            Delivery::Bytes => vec![bytes.len() / 1024 + 1],
            Delivery::Splits(lens) | Delivery::Target(lens) if lens.is_empty() => {
                vec![(bytes.len() / 2).max(1)]
            }
            Delivery::Splits(lens) | Delivery::Target(lens) => lens.to_vec(),
        };
        // A few bytes a piece would be too slow for what is long.
        lens.iter_mut().for_each(|len| *len = (*len).max(bytes.len() / 1024));
        for len in lens.iter().cycle() {
            if left.is_empty() {
                break;
            }
            if matches!(delivery, Delivery::Target(_)) {
                left = self.read_by_target(left, *len);
            }
            let (piece, rest) = left.split_at(left.len().min(*len));
            left = rest;
            self.receive(&mut piece.to_vec());
        }
    }

    /// Reads some of what is `left` past the shared buffer, if the connection has room for it.
    fn read_by_target<'b>(&mut self, left: &'b [u8], len: usize) -> &'b [u8] {
        let Some(mut target) = self.connection.read_target() else { return left };
        let room = target.buffer().remaining_mut();
        assert!(room > 0, "a target without room would be read forever");
        let (piece, rest) = left.split_at(left.len().min(room).min(len.max(1) * 512));
        target.buffer().put_slice(piece);
        drop(target);
        self.fed_bytes += piece.len();
        self.receive(&mut []);
        rest
    }

    fn receive(&mut self, piece: &mut [u8]) {
        self.fed_bytes += piece.len();
        let mut rest = piece;
        loop {
            let given = rest.len();
            let (left, event) = self.connection.receive(self.now, rest, &mut self.inbound);
            assert!(left.len() <= given);
            rest = left;
            let Some(event) = event else { break };
            let is_piece = matches!(event, Event::Part { last: false, .. });
            self.outcome.tell(event, &self.case.config);
            self.answer();
            if is_piece {
                // How many pieces there are does depend on the split, so nothing else may depend on that.
                continue;
            }
            if self.case.echo {
                self.echo();
            }
            self.write(self.case.write_bytes);
        }
        assert!(rest.is_empty(), "no event, and something is left to look at");
        // The log, the copies and the doubling of buffers are in it: what is not is a length that was only announced.
        let held = live::bytes().saturating_sub(self.live_before);
        assert!(
            held <= 64 * 1024 + 12 * self.fed_bytes,
            "{held} bytes held after {} received",
            self.fed_bytes
        );
    }

    /// What a driver asks after each event.
    fn answer(&mut self) {
        if let Some(event) = self.connection.poll_event() {
            self.outcome.tell(event, &self.case.config);
        }
        assert_eq!(self.connection.poll_event(), None);
    }

    fn echo(&mut self) {
        let message = match self.outcome.log.last() {
            Some(Owned::Text(text)) => Message::text(text.as_str()),
            Some(Owned::Binary(bytes)) => Message::binary(bytes.clone()),
            _ => return,
        };
        self.send(message);
    }

    fn send(&mut self, message: Message) {
        let bytes = message.clone().into_bytes().to_vec();
        if self.connection.send(message, &mut self.outbound).is_ok() {
            self.outcome.echoed.push(bytes);
        }
    }

    /// Writes up to so many bytes of what waits.
    fn write(&mut self, bytes: Option<usize>) {
        let mut budget = bytes.unwrap_or(usize::MAX);
        while budget > 0 {
            let Some(transmit) = self.connection.poll_transmit(self.now, &mut self.outbound) else { break };
            let mut written = 0;
            for slice in transmit.slices().iter() {
                let taken = slice.len().min(budget - written);
                self.outcome.wire.extend_from_slice(&slice[..taken]);
                written += taken;
            }
            assert!(written > 0, "something waits, and no slice has it");
            transmit.wrote(written);
            budget -= written;
        }
    }

    fn act(&mut self) {
        match self.case.action {
            Action::Nothing => {}
            // Refused where the peer was faster.
            Action::Close => _ = self.connection.close(self.now, CloseCode::AWAY, "bye"),
            Action::Ping => _ = self.connection.ping(b"are you there"),
            Action::Send => self.send(Message::binary(vec![0x5a; 5000])),
            Action::PassTime(time) => {
                self.now += time;
                self.connection.handle_timeout(self.now);
            }
            Action::Pause(time) => {
                self.connection.pause_reading(self.now, true);
                self.now += time;
                self.connection.handle_timeout(self.now);
                self.connection.pause_reading(self.now, false);
            }
            Action::Eof => self.connection.receive_eof(self.now),
            Action::CloseAndWait(time) => {
                _ = self.connection.close(self.now, CloseCode::AWAY, "bye");
                self.write(self.case.write_bytes);
                self.now += time;
                self.connection.handle_timeout(self.now);
            }
        }
        self.answer();
        self.write(self.case.write_bytes);
    }

    fn finish(&mut self) {
        self.write(None);
        let connection = &self.connection;
        let mut stats = connection.stats();
        // What came behind a broken rule is counted as far as it came with it.
        if matches!(self.outcome.log.last(), Some(Owned::Closed(Cause::Protocol(_)))) {
            stats.bytes_received = 0;
        }
        let end =
            (connection.state(), connection.want(), connection.is_clean(), connection.poll_timeout(), stats);
        self.outcome.end = Some(end);
        self.outcome.forget_broken_text();
    }

    /// What holds of one run alone.
    fn check(&self, case: &Case) {
        let Outcome { log, wire, echoed, end } = &self.outcome;
        let closed = log.iter().filter(|event| matches!(event, Owned::Closed(_))).count();
        assert!(closed <= 1, "{closed} ends: {log:?}");
        if closed == 1 {
            assert!(matches!(log.last(), Some(Owned::Closed(_))), "something after the end: {log:?}");
            assert_eq!(end.as_ref().map(|end| end.0), Some(State::Closed));
        }
        let pings = log
            .iter()
            .filter_map(|event| if let Owned::Ping(payload) = event { Some(&payload[..]) } else { None });
        // What is cut is cut anywhere.
        let cut = end.as_ref().is_some_and(|end| end.1 == Want::Abort);
        let sent = strict::decode(wire, case.role == Role::Client, cut);
        sent.check(echoed, pings);
        if let Some(Owned::Closed(Cause::Protocol(error))) = log.last() {
            let code = sent.close_code();
            let ours = matches!(case.action, Action::Close | Action::CloseAndWait(_))
                && code == Some(CloseCode::AWAY.0);
            assert!(cut || ours || code == Some(error.close_code().0), "{code:?} for {error:?}");
        }
        self.show_to_a_peer(case);
    }

    /// The other end, with every limit out of the way, finds nothing wrong with what we sent.
    fn show_to_a_peer(&self, case: &Case) {
        let config = Config::builder()
            .message_bytes_max(Config::UNLIMITED)
            .control_frames_burst(u16::MAX)
            .build()
            .expect("no limits are sound");
        let mut peer = Connection::new(Arc::new(config), case.role.peer(), self.now, 8);
        let mut inbound = Inbound::default();
        let mut wire = self.outcome.wire.clone();
        let mut rest = &mut wire[..];
        loop {
            let (left, event) = peer.receive(self.now, rest, &mut inbound);
            rest = left;
            match event {
                Some(Event::Closed(Cause::Protocol(error))) => panic!("our bytes break a rule: {error}"),
                Some(_) => {}
                None => break,
            }
        }
    }
}

impl Outcome {
    /// Panics with what differs, and no more of it than one wants to read.
    fn assert_same(&self, other: &Self, delivery: &Delivery<'_>) {
        let short = |text: String| text.chars().take(600).collect::<String>();
        let show = |whole: String, split: String| {
            panic!("whole against {delivery:?}\n  {}\n  {}", short(whole), short(split))
        };
        let mut pairs = self.log.iter().map(Some).chain([None]).zip(other.log.iter().map(Some).chain([None]));
        let differ = pairs.find(|(ours, theirs)| ours != theirs);
        if let Some((ours, theirs)) = differ {
            show(format!("{ours:?}"), format!("{theirs:?}"));
        }
        if self.end != other.end {
            show(format!("{:?}", self.end), format!("{:?}", other.end));
        }
        if (&self.wire, &self.echoed) != (&other.wire, &other.echoed) {
            show(format!("{:02x?}", self.wire), format!("{:02x?}", other.wire));
        }
    }

    fn tell(&mut self, event: Event<'_>, config: &Config) {
        let event = match event {
            Event::Text(text) => Owned::Text(text.as_str().to_owned()),
            Event::Binary(payload) => Owned::Binary(payload.to_vec()),
            Event::Part { kind, piece, last } => {
                let open = self.log.last_mut();
                if let Some(Owned::Part { kind: before, bytes, last: was_last @ false }) = open {
                    assert_eq!(*before, kind, "a message does not change its kind");
                    bytes.extend_from_slice(piece);
                    *was_last = last;
                    return;
                }
                Owned::Part { kind, bytes: piece.to_vec(), last }
            }
            Event::Ping(payload) => Owned::Ping(payload.to_vec()),
            Event::Pong(payload) => Owned::Pong(payload.to_vec()),
            Event::Closed(cause) => Owned::Closed(cause),
            other => panic!("an event that this target does not know: {other:?}"),
        };
        let bytes = match &event {
            Owned::Text(text) => text.len(),
            Owned::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(
            bytes as u64 <= config.message_bytes_max(),
            "{bytes} bytes where {} are the most",
            config.message_bytes_max()
        );
        assert!(config.parts() || !matches!(event, Owned::Part { .. }), "parts were not asked for");
        self.log.push(event);
    }

    /// With parts, how much of a text was told before its bad byte does depend on the split: what is bad is found by piece.
    fn forget_broken_text(&mut self) {
        use Owned::{Closed, Part};
        if let [.., Part { last: false, .. }, Closed(Cause::Protocol(ProtocolError::InvalidUtf8 { .. }))] =
            &self.log[..]
        {
            self.log.remove(self.log.len() - 2);
        }
    }
}

fn predictable() -> Outbound {
    let mut outbound = Outbound::default();
    outbound.masks = Masks::predictable(9);
    outbound
}
