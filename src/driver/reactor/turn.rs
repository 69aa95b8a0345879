//! A connection's turn: what came is read and handed over, what gathered is written, what has ended is told.

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::{
    event_loop::EventLoop,
    handler::{Handler, Received},
    slot::{Held, Phase, Slot},
    websocket::WebSocket,
    world::{NOBODY, World},
};
use crate::{
    broadcast::Member,
    proto::{Event, Message, State, Want},
};

impl<H: Handler> EventLoop<H> {
    /// Reads, once into the shared buffer, or a large message's rest, and hands over what came. `closed`: the end may be behind
    /// it, which a read that is short says nothing of.
    pub(super) fn read(&mut self, index: usize, closed: bool) {
        self.world.active = index;
        let mut buffer = mem::take(&mut self.buffer);
        let mut share = SHARE_BYTES;
        loop {
            let read = self.read_once(index, &mut buffer);
            let Some(Slot { phase: Phase::Open(connection), flags, stream, .. }) =
                self.world.slots.get_mut(index)
            else {
                break;
            };
            match read {
                Read::Some(bytes, may_be_more) => {
                    share = share.saturating_sub(bytes);
                    if !may_be_more && stream.is_plain() && !closed {
                        break;
                    }
                    if share == 0 {
                        self.once_more(index);
                        break;
                    }
                }
                Read::Nothing => {
                    if let Some(kind) = flags.write_failed {
                        connection.handle_transport_error(kind);
                        flags.eof = true;
                    }
                    break;
                }
                Read::End => {
                    flags.eof = true;
                    match flags.write_failed {
                        Some(kind) => connection.handle_transport_error(kind),
                        None => connection.receive_eof(self.world.now),
                    }
                    break;
                }
                Read::Failed(kind) => {
                    flags.eof = true;
                    connection.handle_transport_error(kind);
                    break;
                }
                Read::NotNow => {
                    // Nobody will read what came before.
                    let never = flags.paused || connection.want() == Want::StopReading;
                    if let (Some(kind), true) = (flags.write_failed, never) {
                        connection.handle_transport_error(kind);
                        flags.eof = true;
                    }
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    #[inline]
    fn read_once(&mut self, index: usize, buffer: &mut [u8]) -> Read {
        let Some(slot) = self.world.slots.get_mut(index) else { return Read::NotNow };
        let Slot { phase: Phase::Open(connection), stream, flags, held, .. } = slot else {
            return Read::NotNow;
        };
        if flags.eof
            || held.is_some()
            || (flags.paused && connection.state() == State::Open)
            || matches!(connection.want(), Want::StopReading | Want::Drop | Want::Abort)
        {
            return Read::NotNow;
        }
        let into_message = connection.read_target().and_then(|mut target| stream.read_into(&mut target));
        let (read, may_be_more) = match into_message {
            Some(read) => {
                if let Ok(1..) = read {
                    self.feed(index, &mut []);
                }
                (read, true)
            }
            None => {
                let read = stream.read(buffer);
                let full = matches!(read, Ok(bytes) if bytes == buffer.len());
                if let Ok(bytes @ 1..) = read {
                    self.feed(index, &mut buffer[..bytes]);
                }
                (read, full)
            }
        };
        match read {
            Ok(0) => Read::End,
            Ok(bytes) => Read::Some(bytes, may_be_more),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) => Read::Failed(error.kind()),
        }
    }

    /// Hands over what `input` holds. After a panic the rest is still looked at, for the peer's answer to our Close.
    #[inline]
    pub(super) fn feed(&mut self, index: usize, input: &mut [u8]) {
        let mut left = input.len();
        loop {
            let before = left;
            let from = input.len() - left;
            let rest = &mut input[from..];
            if catch_unwind(AssertUnwindSafe(|| self.feed_some(index, rest, &mut left))).is_ok() {
                return;
            }
            self.panicked(index);
            // No callback's, then: it would panic again.
            if left == before {
                return;
            }
        }
    }

    /// `left` is what is not looked at yet, whatever happens.
    #[inline]
    fn feed_some(&mut self, index: usize, mut input: &mut [u8], left: &mut usize) {
        let Self { handler, world, inbound, .. } = self;
        loop {
            let now = world.now;
            let Some(connection) = world.connection(index) else { return };
            let (rest, event) = connection.receive(now, input, inbound);
            *left = rest.len();
            input = rest;
            let received = match event {
                None => return,
                Some(Event::Text(text)) => Received::Text(text),
                Some(Event::Binary(payload)) => Received::Binary(payload),
                Some(other) => {
                    tell(handler, world, index, other);
                    if is_paused(world, index) {
                        *left = 0;
                        return hold(world, index, None, input);
                    }
                    if input.is_empty() {
                        return;
                    }
                    continue;
                }
            };
            if !connection.has_room(received.as_bytes().len()) && !makes_room(world, index, &received) {
                *left = 0;
                return hold(world, index, Some(received.into_message()), input);
            }
            handler.message(&mut WebSocket::new(world, index), received);
            let Some(Slot { flags, .. }) = world.slots.get_mut(index) else { return };
            if (flags.above || flags.paused) && !may_go_on(world, index) {
                *left = 0;
                return hold(world, index, None, input);
            }
            if input.is_empty() {
                return;
            }
        }
    }

    /// Writes what gathered, does what the core wants of the socket, tells what is to be told, and sets the clock.
    pub(super) fn settle(&mut self, index: usize) {
        self.world.active = index;
        let all_out = flush(&mut self.world, index);
        self.settle_rest(index, all_out);
        self.world.active = NOBODY;
    }

    fn settle_rest(&mut self, index: usize, all_out: bool) {
        let Some(Slot { phase: Phase::Open(connection), stream, flags, end, held, .. }) =
            self.world.slots.get_mut(index)
        else {
            return;
        };
        let goes_on = flags.write_failed.is_some() && !flags.eof;
        let is_held_up = flags.above || flags.behind || flags.paused || flags.stopped || held.is_some();
        if let Some(Event::Closed(cause)) = connection.poll_event() {
            *end = Some(Box::new(cause));
        }
        if connection.state() != State::Open {
            if all_out && connection.want() == Want::ShutdownWrite {
                match stream.shut_write() {
                    Ok(()) => connection.write_is_shut(Instant::now()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => connection.handle_transport_error(error.kind()),
                }
            }
            let ended = matches!(connection.want(), Want::Drop | Want::Abort);
            if ended || (all_out && connection.state() == State::Closed) {
                self.tell_end(index);
            }
            if ended {
                self.remove(index);
                return;
            }
        }
        if goes_on {
            self.once_more(index);
        }
        if is_held_up {
            self.relieve(index);
        }
        if let Some(connection) = self.world.connection(index)
            && let Some(deadline) = connection.poll_timeout()
        {
            self.wheel.arm(index, deadline);
        }
    }

    /// The slow path: whom its peer, or its application, holds up.
    #[cold]
    fn relieve(&mut self, index: usize) {
        let low = self.world.config.outbox_bytes_low;
        let Some(Slot { phase: Phase::Open(connection), flags, member, .. }) =
            self.world.slots.get_mut(index)
        else {
            return;
        };
        if flags.behind && connection.queued().0 == 0 {
            flags.behind = false;
            member.iter().for_each(Member::drained);
        }
        let drained = !flags.full && connection.has_room(0) && connection.stats().queued_bytes <= low;
        if flags.above && drained && connection.state() == State::Open {
            flags.above = false;
            self.call(index, |handler, ws| handler.drain(ws));
            // What it sends is looked at in the next turn: a peer that takes everything at once holds up nobody.
            self.once_more(index);
        }
        self.resume(index);
        let now = self.world.now;
        let Some(Slot { phase: Phase::Open(connection), flags, held, .. }) = self.world.slots.get_mut(index)
        else {
            return;
        };
        let stopped = connection.state() == State::Open && (flags.paused || held.is_some());
        if stopped != mem::replace(&mut flags.stopped, stopped) {
            connection.pause_reading(now, stopped);
            if !stopped {
                self.once_more(index);
            }
        }
    }

    /// Hands over what was held, if there is room for an answer now.
    fn resume(&mut self, index: usize) {
        let low = self.world.config.outbox_bytes_low;
        let Some(Slot { phase: Phase::Open(connection), flags, held, .. }) = self.world.slots.get_mut(index)
        else {
            return;
        };
        let Some(holding) = held else { return };
        let len = holding.message.as_ref().map_or(0, Message::len);
        let room = connection.stats().queued_bytes <= low && connection.has_room(len);
        let open = connection.state() == State::Open;
        if open && (flags.paused || !(room || flags.write_failed.is_some())) {
            return;
        }
        let Some(holding) = held.take() else { return };
        let Held { message, mut rest } = *holding;
        // Once it is closing, what comes is looked at for the peer's Close and nothing else.
        if let Some(message) = message.filter(|_| open) {
            self.call(index, |handler, ws| handler.message(ws, message.into()));
        }
        let Some(Slot { flags, .. }) = self.world.slots.get_mut(index) else { return };
        if (flags.above || flags.paused) && !may_go_on(&mut self.world, index) {
            return hold(&mut self.world, index, None, &rest);
        }
        if !rest.is_empty() {
            self.feed(index, &mut rest);
        }
        flush(&mut self.world, index);
        self.once_more(index);
    }
}

/// What a read came to.
enum Read {
    /// So many bytes, and whether there may be more.
    Some(usize, bool),
    /// The socket is empty,
    Nothing,
    /// at its end,
    End,
    /// or broken.
    Failed(io::ErrorKind),
    /// It is not to be read.
    NotNow,
}

/// Everything but a message.
#[cold]
fn tell<H: Handler>(handler: &mut H, world: &mut World<H::Data>, index: usize, event: Event<'_>) {
    match event {
        Event::Ping(payload) => handler.ping(&mut WebSocket::new(world, index), &payload),
        Event::Pong(payload) => handler.pong(&mut WebSocket::new(world, index), &payload),
        Event::Closed(cause) => {
            if let Some(slot) = world.slots.get_mut(index) {
                slot.end = Some(Box::new(cause));
            }
        }
        // Messages are whole: `parts` is off.
        _ => {}
    }
}

/// Whether there is room for an answer once what waits is written.
#[cold]
fn makes_room<D>(world: &mut World<D>, index: usize, message: &Received<'_>) -> bool {
    flush(world, index);
    let Some(Slot { phase: Phase::Open(connection), flags, .. }) = world.slots.get_mut(index) else {
        return true;
    };
    // After the end there is nothing to wait for.
    flags.write_failed.is_some()
        || connection.state() != State::Open
        || connection.has_room(message.as_bytes().len())
}

/// Whether the application wants nothing more for now, which holds until the end is known.
pub(super) fn is_paused<D>(world: &mut World<D>, index: usize) -> bool {
    match world.slots.get_mut(index) {
        Some(Slot { phase: Phase::Open(connection), flags, .. }) => {
            flags.paused && connection.state() == State::Open
        }
        _ => false,
    }
}

/// Whether the next message can be handed over: nobody asked for a pause, and what waits can be written, but for little.
#[cold]
fn may_go_on<D>(world: &mut World<D>, index: usize) -> bool {
    flush(world, index);
    let low = world.config.outbox_bytes_low;
    let Some(Slot { phase: Phase::Open(connection), flags, .. }) = world.slots.get_mut(index) else {
        return true;
    };
    if connection.state() != State::Open {
        return true;
    }
    !flags.paused && (flags.write_failed.is_some() || connection.stats().queued_bytes <= low)
}

#[cold]
pub(super) fn hold<D>(world: &mut World<D>, index: usize, message: Option<Message>, rest: &[u8]) {
    if let Some(slot) = world.slots.get_mut(index) {
        slot.held = Some(Box::new(Held { message, rest: rest.to_vec() }));
    }
}

/// Writes until nothing is queued or the socket takes no more, for now or ever; whether all is out.
#[inline]
pub(super) fn flush<D>(world: &mut World<D>, index: usize) -> bool {
    let World { slots, outbound, now, .. } = world;
    let Some(Slot { phase: Phase::Open(connection), stream, flags, .. }) = slots.get_mut(index) else {
        return true;
    };
    if flags.write_failed.is_some() {
        return false;
    }
    let flushed = loop {
        let Some(transmit) = connection.poll_transmit(*now, outbound) else { break stream.flush() };
        let slices = transmit.slices();
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        match stream.write(&slices) {
            Ok(written) => {
                transmit.wrote(written);
                flags.full = false;
                // The socket is full, and will say when it is no more.
                if written < offered && stream.is_plain() {
                    return false;
                }
            }
            Err(error) => break Err(error),
        }
    };
    match flushed {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) => {
            flags.write_failed = Some(error.kind());
            false
        }
    }
}

/// What one connection reads before the others have their turn.
const SHARE_BYTES: usize = 256 << 10;
