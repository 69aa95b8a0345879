//! What a connection's handles share with its pump: the protocol's state, the messages that wait to be read, and who is to
//! be woken.
//!
//! Handles only change this state. The [`pump`](super::pump) moves bytes, and is woken when it sleeps and there is
//! something to move.

use std::{
    io::ErrorKind,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;

use ::tokio::net::tcp::OwnedWriteHalf;

use super::{
    inbox::{Batch, Inbox, Queues},
    lent::with_lent,
    waits::{Ticket, Waits, What},
};
use crate::broadcast::{Flushed, Member};
use crate::driver::close_info::CloseInfo;
use crate::proto::{
    Cause, CloseCode, CloseFrame, Compression, Connection, Control, Event, Inbound, Message, Outgoing,
    SendError, State,
};

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<Inner>,
    /// Twice in a box, as a thin pointer is enough for what is mostly absent.
    subprotocol: Option<Box<Box<str>>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) connection: Connection,
    inbox: Inbox,
    /// The pump has stopped reading because the inbox is full.
    reading_paused: bool,
    /// The pump, and whether it sleeps. Awake it runs, or will: whatever is queued then, it sees before it sleeps,
    pump: Option<Waker>,
    pump_sleeps: bool,
    /// or looks again if it was called, as it may have looked for that already.
    pump_called: bool,
    /// The reader, and whether it waits. Both stay when they are woken, as they mostly come back as who they were.
    reader: Option<Waker>,
    reader_waits: bool,
    /// Who else waits.
    waits: Waits,
    tickets: u32,
    /// How far the end is known.
    end: Option<Box<End>>,
}

#[derive(Debug)]
enum End {
    /// What there is to read ends here; our Close may still be on its way.
    Known(Cause),
    Told(CloseInfo),
}

// An idle connection's, with the two counts of its `Arc`, takes no more of an allocator than it must.
const _: () = assert!(size_of::<Shared>() <= 240);

impl Shared {
    pub(super) fn new(connection: Connection, subprotocol: Option<Box<str>>) -> Self {
        Self {
            subprotocol: subprotocol.map(Box::new),
            state: Mutex::new(Inner {
                connection,
                inbox: Inbox::default(),
                reading_paused: false,
                pump: None,
                pump_sleeps: false,
                pump_called: false,
                reader: None,
                reader_waits: false,
                waits: Waits::default(),
                tickets: 0,
                end: None,
            }),
        }
    }

    pub(super) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_ref().map(|name| &***name)
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing of ours panics half-way; and were it so, the other handles could still close.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, of the reader's batch or of a new one; `None` once there will be no more.
    #[inline(always)]
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Option<Message>> {
        loop {
            if let Some((message, was_last)) = batch.pop() {
                if was_last {
                    self.used_up();
                }
                return Poll::Ready(Some(message));
            }
            if !ready!(self.poll_batch(cx, batch)) {
                return Poll::Ready(None);
            }
        }
    }

    /// Takes what there is; whether there will be more.
    #[inline(never)]
    fn poll_batch(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<bool> {
        let mut inner = self.lock();
        if !inner.inbox.is_empty() {
            inner.inbox.hand_over(batch);
            return Poll::Ready(true);
        }
        if inner.end.is_some() {
            return Poll::Ready(false);
        }
        store(&mut inner.reader, cx.waker());
        inner.reader_waits = true;
        drop(inner);
        batch.give_back();
        Poll::Pending
    }

    /// The reader has used up its batch: there may be room to read again.
    fn used_up(&self) {
        let mut inner = self.lock();
        inner.inbox.used_up();
        let wake = (inner.reading_paused && inner.has_room()).then(|| inner.wake_pump()).flatten();
        drop(inner);
        wake_all(wake);
    }

    /// Queues a message if there is room.
    #[inline]
    pub(super) fn try_send(&self, message: Outgoing<'_>, compression: Compression) -> Result<(), SendError> {
        let mut inner = self.lock();
        with_lent(|lent| inner.connection.send_with(message, compression, &mut lent.outbound))?;
        let_pump_see(inner);
        Ok(())
    }

    /// Queues the message in `slot` once there is room; the slot is empty when that is done, and only then.
    #[inline(always)]
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        ticket: &mut Ticket,
        slot: &mut Option<Message>,
        compression: Compression,
    ) -> Poll<Result<(), SendError>> {
        let Some(message) = slot else { return Poll::Ready(Ok(())) };
        let mut inner = self.lock();
        if inner.connection.has_room(message.len()) {
            let mut refused = None;
            with_lent(|lent| {
                let sent = match message.copied() {
                    Some(message) => inner.connection.send_with(message, compression, &mut lent.outbound),
                    None => {
                        let message = std::mem::replace(message, EMPTY);
                        inner.connection.send_with(message, compression, &mut lent.outbound)
                    }
                };
                // Looked at here: to carry the result out costs more than to send.
                refused = sent.err();
            });
            let_pump_see(inner);
            *slot = None;
            return match refused {
                None => Poll::Ready(Ok(())),
                Some(error) => Poll::Ready(Err(error)),
            };
        }
        if inner.connection.state() != State::Open {
            return Poll::Ready(Err(SendError::Closed));
        }
        inner.wait(What::Room, ticket, cx.waker());
        Poll::Pending
    }

    /// Starts the closing handshake.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let mut inner = self.lock();
        inner.connection.close(now(), code, reason)?;
        let_all_see_the_close(inner);
        Ok(())
    }

    /// [`close`](Self::close), behind what topics have for it.
    pub(super) fn close_behind_topics(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        let inner = self.lock();
        if inner.connection.state() != State::Open {
            return Err(SendError::Closed);
        }
        let member = inner.waits.member().cloned();
        drop(inner);
        match member {
            Some(member) if member.close(frame) => Ok(()),
            _ => self.close(code, reason),
        }
    }

    pub(super) fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        let mut inner = self.lock();
        inner.connection.ping(payload)?;
        let_pump_see(inner);
        Ok(())
    }

    /// Pings, then waits for the pong, or for an end in its place.
    pub(super) fn poll_round_trip(
        &self,
        cx: &mut Context<'_>,
        ticket: &mut Ticket,
        payload: &[u8],
    ) -> Poll<Result<Duration, SendError>> {
        let mut inner = self.lock();
        if !inner.waits.has_pinged(ticket.drawn()) {
            let kept = Control::new(payload).ok_or(SendError::PayloadTooLong { bytes: payload.len() })?;
            match inner.connection.ping(payload) {
                Err(SendError::Full) => inner.wait(What::PingRoom, ticket, cx.waker()),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => {
                    inner.wait(What::Pong, ticket, cx.waker());
                    inner.waits.pinged(ticket.drawn(), kept, now());
                    let_pump_see(inner);
                }
            }
            return Poll::Pending;
        }
        if let Some(took) = inner.waits.round_trip(ticket.drawn()) {
            return Poll::Ready(Ok(took));
        }
        if inner.end.is_some() {
            return Poll::Ready(Err(SendError::Closed));
        }
        inner.wait(What::Pong, ticket, cx.waker());
        Poll::Pending
    }

    /// Ready once everything queued was handed to the transport.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<()> {
        let mut inner = self.lock();
        if inner.connection.stats().queued_bytes == 0 || inner.is_told() {
            return Poll::Ready(());
        }
        inner.wait(What::Flush, ticket, cx.waker());
        Poll::Pending
    }

    pub(super) fn poll_closed(&self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<CloseInfo> {
        let mut inner = self.lock();
        if let Some(End::Told(info)) = inner.end.as_deref() {
            return Poll::Ready(info.clone());
        }
        inner.wait(What::End, ticket, cx.waker());
        Poll::Pending
    }

    /// How it ended; a pump that is done has told it.
    pub(super) fn close_info(&self) -> CloseInfo {
        match self.lock().end.as_deref() {
            Some(End::Told(info)) => info.clone(),
            Some(End::Known(_)) | None => CloseInfo::new(Cause::Eof, false),
        }
    }

    /// The `WebSocket` is dropped: nobody reads any more.
    pub(super) fn abandon(&self, code: CloseCode) {
        let mut inner = self.lock();
        inner.inbox = Inbox::default();
        inner.reader = None;
        inner.reader_waits = false;
        // An error says that it is closing already.
        let _ = inner.connection.close(now(), code, "");
        let_all_see_the_close(inner);
    }
}

impl Inner {
    /// Whether another read may be asked for.
    fn has_room(&self) -> bool {
        self.inbox.has_room(self.connection.config())
    }

    /// Feeds what was read.
    #[inline]
    pub(super) fn feed(
        &mut self,
        now: Instant,
        mut input: &mut [u8],
        lent: &mut Inbound,
        spare: &mut Queues,
    ) {
        loop {
            // Matched where it lies: an event has room for a control frame, and most are a message that is no larger than
            // two pointers.
            input = match self.connection.receive(now, input, lent) {
                (rest, Some(Event::Binary(payload))) => {
                    self.inbox.push_binary(payload, spare);
                    rest
                }
                (rest, Some(Event::Text(text))) => {
                    self.inbox.push_text(text, spare);
                    rest
                }
                (rest, Some(Event::Closed(cause))) => {
                    self.end = Some(End::Known(cause).into());
                    rest
                }
                (rest, Some(Event::Pong(payload))) => {
                    self.waits.pong(&payload, self::now());
                    rest
                }
                // Answered and counted below; pieces are not asked for here.
                (rest, Some(Event::Ping(_) | Event::Part { .. })) => rest,
                (_, None) => return,
            };
            if input.is_empty() {
                return;
            }
        }
    }

    /// Whether the pump may read. While it may not, the peer's deadlines stand still.
    pub(super) fn may_read(&mut self, now: Instant) -> bool {
        // After our Close nothing is delivered, so that the peer's is found behind whatever comes before it.
        let paused = self.connection.state() == State::Open && !self.has_room();
        if paused != self.reading_paused {
            self.reading_paused = paused;
            self.connection.pause_reading(now, paused);
        }
        !paused
    }

    /// Whether what comes may be compressed.
    pub(super) fn compresses(&self) -> bool {
        self.connection.deflate().is_some()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.reading_paused
    }

    /// Who is to be woken for what there is to read.
    pub(super) fn wake_reader(&mut self) -> Option<&Waker> {
        if !self.reader_waits || (self.inbox.is_empty() && self.end.is_none()) {
            return None;
        }
        self.reader_waits = false;
        self.reader.as_ref()
    }

    /// Who else is to be woken: for room in the outbox, if something was written, or for the end, which is told once `over`
    /// says that our Close has left, or never will.
    pub(super) fn wakers(&mut self, wrote: bool, over: bool) -> Vec<Waker> {
        if let Some(Event::Closed(cause)) = self.connection.poll_event() {
            self.end = Some(End::Known(cause).into());
        }
        if over && let Some(End::Known(cause)) = self.end.as_deref() {
            self.end = Some(End::Told(CloseInfo::new(cause.clone(), self.connection.is_clean())).into());
        }
        let mut wakers = Vec::new();
        if !self.waits.is_empty() {
            let queued = self.connection.stats().queued_bytes;
            let drained = wrote && queued <= self.connection.config().outbox_bytes_low;
            let (known, told) = (self.end.is_some(), self.is_told());
            wakers = self.waits.due(|what| match what {
                // Not for less than the mark alone: who waits for more room than there is would be woken for ever.
                What::Room => drained || known,
                What::Flush => queued == 0 || told,
                What::End => told,
                What::PingRoom => wrote || known,
                What::Pong => known,
                What::Nothing => true,
            });
        }
        wakers
    }

    /// A wait is over, or given up.
    pub(super) fn forget(&mut self, ticket: &Ticket) {
        self.waits.forget(ticket.drawn());
    }

    fn wait(&mut self, what: What, ticket: &mut Ticket, waker: &Waker) {
        self.waits.wait(what, ticket.number(&mut self.tickets), waker);
    }

    /// Writes whole frames, if nothing is before them; how many bytes the socket took.
    #[inline]
    pub(super) fn write_beside(&mut self, frames: &[u8], messages: usize) -> Option<usize> {
        let Self { connection, waits, .. } = self;
        if !connection.takes_plain_frames() {
            return None;
        }
        match waits.direct()?.try_write(frames) {
            Ok(bytes) => {
                if bytes == frames.len() {
                    connection.wrote_plain_frames(messages, bytes);
                }
                Some(bytes)
            }
            Err(error) => (error.kind() == ErrorKind::WouldBlock).then_some(0),
        }
    }

    /// Writes what is queued, from the task of whoever publishes.
    pub(super) fn write_from_elsewhere(&mut self) -> Flushed {
        let Self { connection, waits, .. } = self;
        let Some(half) = waits.direct() else { return Flushed::ByOthers };
        with_lent(|lent| {
            let now = now();
            while let Some(transmit) = connection.poll_transmit(now, &mut lent.outbound) {
                let slices = transmit.slices();
                let written = match &*slices {
                    [slice] => half.try_write(slice),
                    slices => half.try_write_vectored(slices),
                };
                match written {
                    Ok(bytes @ 1..) => transmit.wrote(bytes),
                    // The pump waits for it to be ready, or finds out what is wrong.
                    _ => return Flushed::Some,
                }
            }
            Flushed::All
        })
    }

    /// Who waited for what was just written.
    pub(super) fn wakers_of_written(&mut self) -> Vec<Waker> {
        if self.waits.is_empty() { Vec::new() } else { self.wakers(true, false) }
    }

    /// Has the pump hand over the half that writes, if there is one; who is to be woken for it.
    pub(super) fn ask_for_half(&mut self) -> Option<Waker> {
        if self.waits.direct().is_some() { None } else { self.wake_pump() }
    }

    /// Whoever publishes wants to write as well.
    pub(super) fn wants_a_share(&self) -> bool {
        self.waits.direct_is_wanted()
    }

    /// Others may write by this half from now on, if there is one.
    pub(super) fn share(&mut self, half: Option<OwnedWriteHalf>) {
        self.waits.set_direct(half);
    }

    /// It takes part in topics.
    pub(super) fn set_member(&mut self, member: &Member) {
        self.waits.set_member(Some(member.clone()));
    }

    /// Others write no more, and the half shuts its direction as it goes.
    pub(super) fn unshare(&mut self) {
        drop(self.waits.take_direct());
    }

    /// Has the pump look at what is queued.
    pub(super) fn call_pump(&mut self) -> Option<Waker> {
        self.wake_pump()
    }

    /// Who is to be woken for a Close of ours: those who wait for room wait in vain.
    pub(super) fn wakers_of_close(&mut self) -> Vec<Waker> {
        let mut wakers = self.waits.due(|what| what == What::Room);
        wakers.extend(self.wake_pump());
        wakers
    }

    /// Has `waker` called once the outbox is empty, or will never be.
    pub(super) fn wait_for_flush(&mut self, waker: &Waker) {
        self.wait(What::Flush, &mut Ticket::default(), waker);
    }

    /// Has `waker` called when the end is told.
    pub(super) fn wait_for_end(&mut self, waker: &Waker) {
        self.wait(What::End, &mut Ticket::default(), waker);
    }

    pub(super) fn is_told(&self) -> bool {
        matches!(self.end.as_deref(), Some(End::Told(_)))
    }

    /// The end is known, and not told yet.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.end.as_deref(), Some(End::Known(_)))
    }

    /// The pump looks at everything from here on.
    pub(super) fn pump_wakes(&mut self) {
        self.pump_sleeps = false;
        self.pump_called = false;
    }

    pub(super) fn pump_sleeps(&mut self, waker: &Waker) {
        store(&mut self.pump, waker);
        self.pump_sleeps = true;
    }

    /// There will be no pump any more.
    pub(super) fn pump_is_gone(&mut self) {
        self.waits.set_member(None);
        self.pump_sleeps = false;
        self.pump = None;
        // The socket is done with, whichever half goes last; a direction that is to be shut was.
        if let Some(half) = self.waits.take_direct() {
            half.forget();
        }
    }

    /// Something was queued since it woke.
    pub(super) fn pump_was_called(&self) -> bool {
        self.pump_called
    }

    #[inline]
    fn wake_pump(&mut self) -> Option<Waker> {
        self.pump_called = true;
        std::mem::take(&mut self.pump_sleeps).then(|| self.pump.clone()).flatten()
    }
}

/// Stands in for a message that has moved on.
const EMPTY: Message = Message::Binary(Bytes::new());

/// The clock, which tests can pause.
pub(super) fn now() -> Instant {
    ::tokio::time::Instant::now().into_std()
}

fn store(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(stored) => stored.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

/// Lets go of the lock, and wakes the pump if it sleeps: something is queued.
#[inline]
fn let_pump_see(mut inner: MutexGuard<'_, Inner>) {
    let wake = inner.wake_pump();
    drop(inner);
    wake_all(wake);
}

/// The same for a Close, after which whoever waits for room waits in vain.
fn let_all_see_the_close(mut inner: MutexGuard<'_, Inner>) {
    let wakers = inner.wakers_of_close();
    drop(inner);
    wake_all(wakers);
}

/// Wakes once the lock is let go of: a waker is somebody else's code.
fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
