//! The opening handshake of a connection, and the farewell of one that is refused.

use std::{
    io, mem,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use http::StatusCode;

use super::{
    event_loop::EventLoop,
    handler::Handler,
    remote::add,
    slot::{Key, Phase, Slot},
    stream::Stream,
    turn::{hold, is_paused},
};
use crate::{
    driver::admission::{retry_after_seconds, seed},
    handshake::{Refusal, Request, ServerHandshake},
    proto::{CloseCode, Connection, DeflateTerms, Role},
};

/// What is needed until a connection is open, in a box that goes then.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) peer: SocketAddr,
    /// By when the 101 is out; then, of a farewell.
    pub(super) deadline: Instant,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    Reading(ServerHandshake),
    /// There is no room for it. TLS can not say so before its own handshake is done.
    Unwanted,
    /// The 101 is on its way: what came behind the request waits.
    Accepting {
        answer: Vec<u8>,
        early: Vec<u8>,
        deflate: Option<DeflateTerms>,
    },
    /// A refusal is.
    Refusing {
        answer: Vec<u8>,
    },
    /// It is out, and our direction shut: what the client still sends is thrown away, so many bytes of it at most, so that our end
    /// of TCP does not become a reset (RFC 6455 §7.1.1; catalogue: CL-42).
    Lingering {
        left: usize,
    },
}

/// What a step of an opening came to.
enum Step {
    /// There may be more to do.
    GoesOn,
    /// The socket has no more for now.
    Waits,
    /// It is open, and these bytes of the buffer came behind the request.
    Opened(usize, usize),
    Gone,
}

impl<H: Handler> EventLoop<H> {
    /// Whatever can be done for an unfinished opening.
    pub(super) fn open_on(&mut self, index: usize) {
        let mut buffer = mem::take(&mut self.buffer);
        // It ends: a head has a limit, and so has what is thrown away behind a refusal.
        loop {
            match self.opening_step(index, &mut buffer) {
                Step::GoesOn => {}
                Step::Waits => break,
                Step::Opened(from, to) => {
                    self.buffer = buffer;
                    return self.opened(index, from, to);
                }
                Step::Gone => {
                    self.remove(index);
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    fn opening_step(&mut self, index: usize, buffer: &mut [u8]) -> Step {
        let Some(Slot { phase: Phase::Opening(opening), stream, .. }) = self.world.slots.get_mut(index)
        else {
            return Step::Waits;
        };
        match &mut opening.stage {
            Stage::Reading(handshake) => {
                let bytes = match stream.read(buffer) {
                    Ok(0) => return Step::Gone,
                    Ok(bytes) => bytes,
                    Err(error) => return waits_or_gone(&error),
                };
                match handshake.receive(&buffer[..bytes]) {
                    Ok(None) => Step::GoesOn,
                    Ok(Some((request, used))) => self.answer(index, &request, buffer, used, bytes),
                    Err(error) => self.refuse(index, &error.refusal()),
                }
            }
            Stage::Unwanted => {
                if let Err(error) = stream.shake_hands() {
                    return waits_or_gone(&error);
                }
                let seconds = retry_after_seconds(&mut self.world.outbound.masks);
                self.refuse(index, &Refusal::unavailable(seconds))
            }
            Stage::Accepting { answer, early, deflate } => {
                if let Err(error) = write_out(stream, answer) {
                    return waits_or_gone(&error);
                }
                let (early, deflate) = (mem::take(early), *deflate);
                buffer[..early.len()].copy_from_slice(&early);
                self.make_open(index, deflate);
                Step::Opened(0, early.len())
            }
            Stage::Refusing { answer } => {
                if let Err(error) = write_out(stream, answer).and_then(|()| stream.shut_write()) {
                    return waits_or_gone(&error);
                }
                opening.stage = Stage::Lingering { left: self.world.config.linger_bytes_max as usize };
                Step::GoesOn
            }
            Stage::Lingering { left } => {
                let room = buffer.len().min(FAREWELL_READ_BYTES);
                match stream.read(&mut buffer[..room]) {
                    Ok(bytes @ 1..) if *left > bytes => {
                        *left -= bytes;
                        Step::GoesOn
                    }
                    Ok(_) => Step::Gone,
                    Err(error) => waits_or_gone(&error),
                }
            }
        }
    }

    /// Asks the application, and writes what it says. What came behind the request lies in `buffer[used..bytes]`.
    fn answer(&mut self, index: usize, request: &Request, buffer: &[u8], used: usize, bytes: usize) -> Step {
        let Some(Slot { phase: Phase::Opening(opening), .. }) = self.world.slots.get(index) else {
            return Step::Gone;
        };
        let (peer, deadline) = (opening.peer, opening.deadline);
        let upgraded = catch_unwind(AssertUnwindSafe(|| self.handler.upgrade(request, peer)));
        let (response, data) = match upgraded {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(refusal)) => return self.refuse(index, &refusal),
            Err(_) => {
                add(&self.mailbox.counts.panics, 1);
                return self.refuse(index, &Refusal::new(StatusCode::INTERNAL_SERVER_ERROR));
            }
        };
        // The application took its time, and the client's with it (catalogue: HS-56, HS-78).
        if Instant::now() >= deadline {
            let seconds = retry_after_seconds(&mut self.world.outbound.masks);
            return self.refuse(index, &Refusal::unavailable(seconds));
        }
        let Some(Slot { phase: Phase::Opening(opening), stream, data: place, .. }) =
            self.world.slots.get_mut(index)
        else {
            return Step::Gone;
        };
        *place = data;
        let mut answer = response.encode();
        match write_out(stream, &mut answer) {
            Ok(()) => {
                self.make_open(index, response.deflate());
                return Step::Opened(used, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Step::Gone,
        }
        opening.stage =
            Stage::Accepting { answer, early: buffer[used..bytes].to_vec(), deflate: response.deflate() };
        Step::Waits
    }

    fn make_open(&mut self, index: usize, deflate: Option<DeflateTerms>) {
        let world = &mut self.world;
        let seed = seed(&mut world.outbound.masks);
        let connection = Connection::new(world.config.clone(), Role::Server, world.now, seed);
        if let Some(slot) = world.slots.get_mut(index) {
            slot.phase = Phase::Open(connection.with_deflate(deflate));
            let key = Key { index, serial: slot.serial };
            self.join(key);
        }
        self.accepting.left();
        let counts = &self.mailbox.counts;
        add(&counts.handshakes, -1);
        add(&counts.connections, 1);
        add(&counts.opened, 1);
    }

    /// The 101 is out: the application is told, then looks at what came behind the request.
    fn opened(&mut self, index: usize, from: usize, to: usize) {
        self.world.active = index;
        self.call(index, |handler, ws| handler.open(ws));
        if self.stops_by.is_some() {
            // Its 101 was on the way when the others were told.
            let _ = self.world.close(index, CloseCode::AWAY, "");
        }
        if from < to && is_paused(&mut self.world, index) {
            hold(&mut self.world, index, None, &self.buffer[from..to]);
        } else if from < to {
            let mut buffer = mem::take(&mut self.buffer);
            self.feed(index, &mut buffer[from..to]);
            self.buffer = buffer;
        }
        // What came behind that, its end perhaps, has no event of its own.
        self.read(index, true);
        self.settle(index);
    }

    /// Answers with a refusal, unless an answer is out.
    fn refuse(&mut self, index: usize, refusal: &Refusal) -> Step {
        add(&self.mailbox.counts.refused, 1);
        let by = Instant::now() + self.world.config.linger_within;
        let Some(Slot { phase: Phase::Opening(opening), .. }) = self.world.slots.get_mut(index) else {
            return Step::Gone;
        };
        opening.stage = Stage::Refusing { answer: refusal.encode() };
        opening.deadline = by;
        self.wheel.arm(index, by);
        Step::GoesOn
    }

    /// Refuses with 503, whatever was asked for, if nothing was answered.
    pub(super) fn refuse_unavailable(&mut self, index: usize) {
        let Some(Slot { phase: Phase::Opening(opening), .. }) = self.world.slots.get_mut(index) else {
            return;
        };
        if matches!(opening.stage, Stage::Reading(_)) {
            opening.stage = Stage::Unwanted;
            self.open_on(index);
        }
    }

    /// The wheel says that an opening's time may be up.
    pub(super) fn opening_is_late(&mut self, index: usize) {
        let now = self.world.now;
        let Some(Slot { phase: Phase::Opening(opening), .. }) = self.world.slots.get(index) else { return };
        if opening.deadline > now {
            return self.wheel.arm(index, opening.deadline);
        }
        match &opening.stage {
            // Who sent nothing is told nothing (catalogue: HS-52).
            Stage::Reading(handshake) if handshake.received_any() => {
                self.refuse(index, &Refusal::request_timeout());
                self.open_on(index);
            }
            _ => self.remove(index),
        }
    }
}

/// Writes what is left of an answer. TLS may have taken all of it, and not have written it.
fn write_out(stream: &mut Stream, answer: &mut Vec<u8>) -> io::Result<()> {
    while !answer.is_empty() {
        let written = stream.write(&[io::IoSlice::new(answer)])?;
        answer.drain(..written);
    }
    stream.flush()
}

fn waits_or_gone(error: &io::Error) -> Step {
    if error.kind() == io::ErrorKind::WouldBlock { Step::Waits } else { Step::Gone }
}

/// Of a client that is refused, so much is read at a time.
const FAREWELL_READ_BYTES: usize = 4 << 10;
