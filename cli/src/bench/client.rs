//! One connection of the load: queues messages, writes, reads, and holds each echo against what was sent.
//!
//! WebSocket's side is the engine's own state machine in the client's role, so that pings are answered, keys are drawn and
//! every rule is held; the bytes go through buffers that all connections share.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use framecast::{
    CloseCode, Config, ConfigError, Deflate, DeflateTerms,
    proto::{
        Connection, Event, FrameHeader, Inbound, Kind, Masks, OpCode, Outbound, Outgoing, Role, State, mask,
    },
};
use mio::net::TcpStream;

use super::payload::Payloads;

/// What the connections share.
pub(super) struct Tools {
    pub(super) buffer: Vec<u8>,
    pub(super) payloads: Payloads,
    pub(super) payload: Vec<u8>,
    /// A payload and what a server of rooms wants around it.
    pub(super) message: Vec<u8>,
    config: Arc<Config>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    masks: Masks,
}

impl Tools {
    pub(super) fn new(
        payloads: Payloads,
        depth: usize,
        deflate: Option<Deflate>,
    ) -> Result<Self, ConfigError> {
        let in_flight = (payloads.size() + 14).saturating_mul(depth).max(1 << 20);
        let config = Config::builder()
            .message_bytes_max((payloads.size() as u64).max(1 << 20))
            // What does not fit into one read is compared as it comes, and never assembled; unless it has to be inflated.
            .parts(payloads.size() > BUFFER_BYTES / 4 && deflate.is_none())
            .deflate(deflate)
            .outbox_bytes_max(in_flight)
            .outbox_messages_max(depth.max(1 << 14))
            // A server that is slow is what we are here to measure.
            .incomplete_bytes_min(0)
            .control_frames_per_second(u16::MAX)
            .control_frames_burst(u16::MAX)
            .ping_every(None)
            .write_stall_after(Duration::from_secs(24 * 3600))
            .close_within(CLOSE_WITHIN)
            .build()?;
        Ok(Self {
            buffer: vec![0; BUFFER_BYTES],
            payloads,
            payload: Vec::new(),
            message: Vec::new(),
            config: Arc::new(config),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            masks: Masks::default(),
        })
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

pub(super) struct Client {
    socket: TcpStream,
    number: u32,
    peer: Peer,
    /// Whose messages come back: its own, or a relay's publisher's; and how many those are by now.
    source: u32,
    queued: u64,
    echoed: u64,
    /// Bytes of the next echo that were seen and right.
    offset: usize,
}

enum Peer {
    WebSocket(Connection),
    Raw(Raw),
}

/// Plain TCP: what was sent is kept until it came back.
#[derive(Default)]
struct Raw {
    sent: Vec<u8>,
    written: usize,
    echoed: usize,
    frame_len: usize,
}

impl Client {
    pub(super) fn new(
        socket: TcpStream,
        number: u32,
        raw: bool,
        terms: Option<DeflateTerms>,
        tools: &Tools,
    ) -> Self {
        let peer = if raw {
            Peer::Raw(Raw::default())
        } else {
            let seed = u64::from(number);
            let connection = Connection::new(tools.config.clone(), Role::Client, Instant::now(), seed);
            Peer::WebSocket(connection.with_deflate(terms))
        };
        Self { socket, number, peer, source: number, queued: 0, echoed: 0, offset: 0 }
    }

    /// Messages that came back.
    pub(super) fn echoed(&self) -> u64 {
        self.echoed
    }

    pub(super) fn bytes_received(&self) -> u64 {
        match &self.peer {
            Peer::WebSocket(connection) => connection.stats().bytes_received,
            Peer::Raw(_) => 0,
        }
    }

    /// Messages that were queued here, or by whom this one [follows](Self::follow).
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// From now on the messages of connection `source` are to come back, of which there are `queued`.
    pub(super) fn follow(&mut self, source: u32, queued: u64) {
        (self.source, self.queued) = (source, queued);
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.queued - self.echoed
    }

    /// Whether another message may be queued.
    pub(super) fn has_room(&self, tools: &Tools) -> bool {
        let size = tools.payloads.size();
        match &self.peer {
            Peer::WebSocket(connection) => connection.has_room(size),
            Peer::Raw(raw) => match raw.sent.len() - raw.written {
                0 => true,
                waits => waits + size <= tools.config.outbox_bytes_max(),
            },
        }
    }

    /// Queues the next message; `false` if too much waits already.
    #[inline]
    pub(super) fn queue(&mut self, tools: &mut Tools) -> bool {
        if !self.has_room(tools) {
            return false;
        }
        let Tools { payloads, payload, outbound, masks, .. } = tools;
        let admitted = match &mut self.peer {
            Peer::WebSocket(connection) => {
                payloads.write(self.number, self.queued, payload);
                let message = match std::str::from_utf8(payload) {
                    Ok(text) if payloads.is_text() => Outgoing::Text(text),
                    _ => Outgoing::Binary(payload),
                };
                connection.send(message, outbound).is_ok()
            }
            Peer::Raw(raw) => {
                payloads.write(self.number, self.queued, payload);
                raw.push(payloads.is_text(), payload, masks.key());
                true
            }
        };
        self.queued += u64::from(admitted);
        admitted
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(&mut self, now: Instant, tools: &mut Tools) -> Result<(), String> {
        let written = match &mut self.peer {
            Peer::WebSocket(connection) => {
                write_websocket(&mut self.socket, connection, now, &mut tools.outbound)
            }
            Peer::Raw(raw) => raw.write(&mut self.socket),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(self.broke(&error.to_string())),
            Ok(()) => Ok(()),
        }
    }

    /// Reads what is there and checks it; how many echoes it completed. `to_the_end`: the server may have closed.
    pub(super) fn read(&mut self, to_the_end: bool, now: Instant, tools: &mut Tools) -> Result<u64, String> {
        let before = self.echoed;
        loop {
            match self.socket.read(&mut tools.buffer) {
                Ok(0) => return Err(self.broke("the server closed the connection")),
                Ok(read) => {
                    self.receive(0..read, now, tools)?;
                    // The kernel tells of what comes after a read that did not fill the buffer.
                    if read < tools.buffer.len() && !to_the_end {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.broke(&error.to_string())),
            }
        }
        Ok(self.echoed - before)
    }

    /// Looks at a part of the shared buffer.
    pub(super) fn receive(
        &mut self,
        read: std::ops::Range<usize>,
        now: Instant,
        tools: &mut Tools,
    ) -> Result<(), String> {
        let Self { peer, source, queued, echoed, offset, .. } = self;
        let Tools { buffer, payloads, inbound, .. } = tools;
        let mut answer = false;
        let connection = match peer {
            Peer::Raw(raw) => return raw.receive(&buffer[read], echoed).map_err(|why| self.broke(&why)),
            Peer::WebSocket(connection) => connection,
        };
        let mut input = &mut buffer[read];
        let mut echo = Echo { payloads, source: *source, queued: *queued, echoed, offset };
        loop {
            let (rest, event) = connection.receive(now, input, inbound);
            input = rest;
            let checked = match event {
                None => break,
                Some(Event::Binary(payload)) => echo.check(Kind::Binary, &payload, true),
                Some(Event::Text(text)) => echo.check(Kind::Text, text.as_str().as_bytes(), true),
                Some(Event::Part { kind, piece, last }) => echo.check(kind, piece, last),
                Some(Event::Ping(_)) => {
                    answer = true;
                    Ok(())
                }
                Some(Event::Closed(cause)) => match cause.reason() {
                    "" => Err(cause.to_string()),
                    reason => Err(format!("{cause} ({reason})")),
                },
                Some(_) => Ok(()),
            };
            if let Err(why) = checked {
                return Err(self.broke(&why));
            }
        }
        if answer { self.flush(now, tools) } else { Ok(()) }
    }

    /// Says goodbye: a Close behind what is queued; plain TCP is just let go of.
    pub(super) fn close(&mut self, now: Instant, tools: &mut Tools) {
        if let Peer::WebSocket(connection) = &mut self.peer
            && connection.close(now, CloseCode::NORMAL, "").is_ok()
        {
            // Whether it arrives is nothing that was measured.
            let _ = self.flush(now, tools);
        }
    }

    /// Reads on after [`close`](Self::close); `true` once the server has hung up.
    pub(super) fn has_ended(&mut self, now: Instant, tools: &mut Tools) -> bool {
        let Peer::WebSocket(connection) = &mut self.peer else { return true };
        loop {
            match self.socket.read(&mut tools.buffer) {
                Ok(0) => return true,
                Ok(read) => {
                    let mut input = &mut tools.buffer[..read];
                    while let (rest, Some(_)) = connection.receive(now, input, &mut tools.inbound) {
                        input = rest;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return true,
            }
        }
        connection.state() == State::Closing
            && write_websocket(&mut self.socket, connection, now, &mut tools.outbound)
                .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn broke(&self, why: &str) -> String {
        let thing = if self.source == self.number { "echo" } else { "delivery" };
        format!("connection {}, {thing} {}: {why}", self.number, self.echoed)
    }
}

/// How far the echoes of a connection are.
struct Echo<'c> {
    payloads: &'c Payloads,
    source: u32,
    queued: u64,
    echoed: &'c mut u64,
    offset: &'c mut usize,
}

impl Echo<'_> {
    #[inline]
    fn check(&mut self, kind: Kind, piece: &[u8], last: bool) -> Result<(), String> {
        let end = *self.offset + piece.len();
        let right = *self.echoed < self.queued
            && (kind == Kind::Text) == self.payloads.is_text()
            && (end == self.payloads.size() || !last && end < self.payloads.size())
            && self.payloads.matches(self.source, *self.echoed, *self.offset, piece);
        if !right {
            return Err(self.what_is_wrong(kind, piece, last));
        }
        *self.offset = if last { 0 } else { end };
        *self.echoed += u64::from(last);
        Ok(())
    }

    #[cold]
    fn what_is_wrong(&self, kind: Kind, piece: &[u8], last: bool) -> String {
        let size = self.payloads.size();
        let end = *self.offset + piece.len();
        if *self.echoed == self.queued {
            return "came, though nothing is in flight".to_owned();
        }
        if (kind == Kind::Text) != self.payloads.is_text() {
            let (sent, came) = if self.payloads.is_text() { ("text", "binary") } else { ("binary", "text") };
            return format!("was sent as {sent}, came as {came}");
        }
        if end > size || last && end < size {
            let more = if end > size && !last { " or more" } else { "" };
            return format!("has {end} bytes{more}, not the {size} that were sent");
        }
        let near = (self.echoed.saturating_sub(WRONG_ORDER_MAX)..*self.echoed)
            .chain(*self.echoed + 1..self.queued.min(*self.echoed + WRONG_ORDER_MAX));
        for other in near {
            if size >= 8 && self.payloads.matches(self.source, other, *self.offset, piece) {
                return format!("is that of message {other}");
            }
        }
        match self.payloads.difference(self.source, *self.echoed, *self.offset, piece) {
            Some((at, got, wanted)) => format!("byte {at} is {got:#04x}, not {wanted:#04x} as was sent"),
            None => "is not what was sent".to_owned(),
        }
    }
}

impl Raw {
    fn push(&mut self, text: bool, payload: &[u8], key: [u8; 4]) {
        if self.echoed == self.sent.len() {
            self.sent.clear();
            (self.written, self.echoed) = (0, 0);
        } else if self.echoed > KEPT_MAX && self.echoed > self.sent.len() / 2 {
            self.sent.drain(..self.echoed);
            self.written -= self.echoed;
            self.echoed = 0;
        }
        let opcode = if text { OpCode::Text } else { OpCode::Binary };
        let payload_len = payload.len() as u64;
        let header =
            FrameHeader { fin: true, rsv1: false, opcode, mask: Some(key), payload_len, minimal: true };
        let header = header.encode();
        self.sent.extend_from_slice(&header);
        let start = self.sent.len();
        self.sent.extend_from_slice(payload);
        mask(&mut self.sent[start..], key);
        self.frame_len = header.len() + payload.len();
    }

    fn write(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.written < self.sent.len() {
            self.written += socket.write(&self.sent[self.written..])?;
        }
        Ok(())
    }

    fn receive(&mut self, input: &[u8], echoed: &mut u64) -> Result<(), String> {
        let expected = &self.sent[self.echoed..self.written];
        if input.is_empty() {
            return Ok(());
        }
        if expected.is_empty() {
            return Err("came, though nothing is in flight".to_owned());
        }
        let len = input.len().min(expected.len());
        if input[..len] != expected[..len] {
            let wrong = input.iter().zip(expected).position(|(got, sent)| got != sent).unwrap_or(len);
            let (message, at) = self.place(self.echoed + wrong);
            *echoed += message;
            let (got, sent) = (input[wrong], expected[wrong]);
            return Err(format!("byte {at} of its frame is {got:#04x}, not {sent:#04x} as was sent"));
        }
        let (whole, _) = self.place(self.echoed + len);
        self.echoed += len;
        *echoed += whole;
        if input.len() > len {
            return Err("came, though nothing is in flight".to_owned());
        }
        Ok(())
    }

    /// Frames that end between the echo's place and `position`, and how far into the next one that is. All frames are of
    /// one length, and what is kept ends with a whole one.
    fn place(&self, position: usize) -> (u64, usize) {
        let from_the_end = |position: usize| (self.sent.len() - position).div_ceil(self.frame_len);
        let frames = from_the_end(self.echoed) - from_the_end(position);
        let at = (self.frame_len - (self.sent.len() - position) % self.frame_len) % self.frame_len;
        (frames as u64, at)
    }
}

pub(super) fn write_websocket(
    socket: &mut TcpStream,
    connection: &mut Connection,
    now: Instant,
    lent: &mut Outbound,
) -> io::Result<()> {
    while let Some(transmit) = connection.poll_transmit(now, lent) {
        let slices = transmit.slices();
        let written = match &*slices {
            [one] => socket.write(one)?,
            several => socket.write_vectored(several)?,
        };
        transmit.wrote(written);
    }
    Ok(())
}

/// One read, shared by all connections.
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of plain TCP that came back are let go of once there are so many.
const KEPT_MAX: usize = 64 << 10;
/// How far an echo may be out of order and still be recognised.
const WRONG_ORDER_MAX: u64 = 1024;
/// For the server's Close, once everything is measured.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(1);
