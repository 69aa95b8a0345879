//! What a connection's handles share with its pump: the protocol's state, the messages that wait to be read, and who is to
//! be woken.
//!
//! Handles only change this state. The [`pump`](super::pump) moves bytes, and is woken when it sleeps and there is
//! something to move.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    close_info::CloseInfo,
    inbox::{Batch, Inbox, Queues},
    lent::with_lent,
    round_trip::RoundTrips,
};
use crate::proto::{
    Cause, CloseCode, Connection, Control, Event, Inbound, Message, Outgoing, SendError, State,
};

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<Inner>,
    subprotocol: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) connection: Connection,
    inbox: Inbox,
    /// The pump has stopped reading because the inbox is full.
    reading_paused: bool,
    pub(super) pump: PumpState,
    reader: Option<Waker>,
    /// Who else waits, and for what.
    waiting: Vec<Waiter>,
    round_trips: Option<Box<RoundTrips>>,
    tickets: u32,
    pub(super) end: End,
}

#[derive(Debug)]
struct Waiter {
    ticket: u32,
    what: What,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Room in the outbox.
    Room,
    /// An empty outbox.
    Flush,
    /// The end.
    End,
    /// Room for a ping of the application's.
    PingRoom,
    /// A pong.
    Pong,
    /// Nothing any more: it is there.
    Nothing,
}

/// Who waits: a future, by a number that it gets when it first has to, or the sink, of which there is one.
#[derive(Debug, Default)]
pub(super) struct Ticket(u32);

impl Ticket {
    pub(super) fn of_sink() -> Self {
        Self(u32::MAX)
    }
}

/// A wait that leaves no waker behind when it is given up: a connection lives long, and many may ask it for a while.
#[derive(Debug)]
pub(super) struct Wait<'s, F> {
    shared: &'s Shared,
    ticket: Ticket,
    poll: F,
}

impl<'s, F> Wait<'s, F> {
    pub(super) fn new(shared: &'s Shared, poll: F) -> Self {
        Self { shared, ticket: Ticket::default(), poll }
    }
}

impl<T, F> Future for Wait<'_, F>
where
    F: FnMut(&Shared, &mut Context<'_>, &mut Ticket) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { shared, ticket, poll } = self.get_mut();
        poll(shared, cx, ticket)
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if self.ticket.0 > 0 {
            self.shared.lock().forget(self.ticket.0);
        }
    }
}

/// Whether the pump has to be told that there is something to do.
#[derive(Debug)]
pub(super) enum PumpState {
    /// It runs, or will: whatever is queued now, it sees before it sleeps.
    Awake,
    /// It runs, and something was queued meanwhile that it may have looked for already.
    Called,
    Asleep(Waker),
}

/// How far the end is known.
#[derive(Debug)]
pub(super) enum End {
    Open,
    /// What there is to read ends here; our Close may still be on its way.
    Known(Box<Cause>),
    Told(Box<CloseInfo>),
}

impl Shared {
    pub(super) fn new(connection: Connection, subprotocol: Option<Box<str>>) -> Self {
        Self {
            subprotocol,
            state: Mutex::new(Inner {
                connection,
                inbox: Inbox::default(),
                reading_paused: false,
                pump: PumpState::Awake,
                reader: None,
                waiting: Vec::new(),
                round_trips: None,
                tickets: 0,
                end: End::Open,
            }),
        }
    }

    pub(super) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing of ours panics half-way; and were it so, the other handles could still close.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, of the reader's batch or of a new one; `None` once there will be no more.
    #[inline]
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
    fn poll_batch(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<bool> {
        let mut inner = self.lock();
        if !inner.inbox.is_empty() {
            inner.inbox.hand_over(batch);
            return Poll::Ready(true);
        }
        if !matches!(inner.end, End::Open) {
            return Poll::Ready(false);
        }
        store(&mut inner.reader, cx.waker());
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
    pub(super) fn try_send(&self, message: Outgoing<'_>) -> Result<(), SendError> {
        let mut inner = self.lock();
        with_lent(|lent| inner.connection.send(message, &mut lent.outbound))?;
        let_pump_see(inner);
        Ok(())
    }

    /// Queues the message in `slot` once there is room; the slot is empty when that is done, and only then.
    #[inline]
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        ticket: &mut Ticket,
        slot: &mut Option<Message>,
    ) -> Poll<Result<(), SendError>> {
        let Some(message) = slot else { return Poll::Ready(Ok(())) };
        let mut inner = self.lock();
        if inner.connection.has_room(message.len()) {
            let sent = with_lent(|lent| match message.copied() {
                Some(message) => inner.connection.send(message, &mut lent.outbound),
                None => inner.connection.send(std::mem::replace(message, EMPTY), &mut lent.outbound),
            });
            let_pump_see(inner);
            *slot = None;
            return Poll::Ready(sent.map(drop));
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
        if !inner.round_trips.as_ref().is_some_and(|trips| trips.has(ticket.0)) {
            let kept = Control::new(payload).ok_or(SendError::PayloadTooLong { bytes: payload.len() })?;
            match inner.connection.ping(payload) {
                Err(SendError::Full) => inner.wait(What::PingRoom, ticket, cx.waker()),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => {
                    inner.wait(What::Pong, ticket, cx.waker());
                    inner.round_trips.get_or_insert_default().begin(ticket.0, kept, now());
                    let_pump_see(inner);
                }
            }
            return Poll::Pending;
        }
        if let Some(took) = inner.round_trips.as_ref().and_then(|trips| trips.took(ticket.0)) {
            return Poll::Ready(Ok(took));
        }
        if !matches!(inner.end, End::Open) {
            return Poll::Ready(Err(SendError::Closed));
        }
        inner.wait(What::Pong, ticket, cx.waker());
        Poll::Pending
    }

    /// Ready once everything queued was handed to the transport.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<()> {
        let mut inner = self.lock();
        if inner.connection.stats().queued_bytes == 0 || matches!(inner.end, End::Told(_)) {
            return Poll::Ready(());
        }
        inner.wait(What::Flush, ticket, cx.waker());
        Poll::Pending
    }

    pub(super) fn poll_closed(&self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<CloseInfo> {
        let mut inner = self.lock();
        if let End::Told(info) = &inner.end {
            return Poll::Ready((**info).clone());
        }
        inner.wait(What::End, ticket, cx.waker());
        Poll::Pending
    }

    /// How it ended; a pump that is done has told it.
    pub(super) fn close_info(&self) -> CloseInfo {
        match &self.lock().end {
            End::Told(info) => (**info).clone(),
            End::Open | End::Known(_) => CloseInfo::new(Cause::Eof, false),
        }
    }

    /// The `WebSocket` is dropped: nobody reads any more.
    pub(super) fn abandon(&self, code: CloseCode) {
        let mut inner = self.lock();
        inner.inbox = Inbox::default();
        inner.reader = None;
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
                    self.end = End::Known(cause.into());
                    rest
                }
                (rest, Some(Event::Pong(payload))) => {
                    self.take_pong(&payload);
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

    pub(super) fn is_paused(&self) -> bool {
        self.reading_paused
    }

    /// Who is to be woken for what there is to read.
    pub(super) fn wake_reader(&mut self) -> Option<Waker> {
        let something = !self.inbox.is_empty() || !matches!(self.end, End::Open);
        something.then(|| self.reader.take()).flatten()
    }

    /// Who is to be woken for room in the outbox, if something was written, or for the end, which is told once `over` says
    /// that our Close has left, or never will.
    pub(super) fn wakers(&mut self, wrote: bool, over: bool) -> Vec<Waker> {
        if let Some(Event::Closed(cause)) = self.connection.poll_event() {
            self.end = End::Known(cause.into());
        }
        if over && let End::Known(cause) = &self.end {
            self.end = End::Told(CloseInfo::new((**cause).clone(), self.connection.is_clean()).into());
        }
        let mut wakers = Vec::new();
        if !self.waiting.is_empty() {
            let queued = self.connection.stats().queued_bytes;
            let drained = wrote && queued <= self.connection.config().outbox_bytes_low;
            let (known, told) = (!matches!(self.end, End::Open), matches!(self.end, End::Told(_)));
            wakers = self.who_waits(|what| match what {
                // Not for less than the mark alone: who waits for more room than there is would be woken for ever.
                What::Room => drained || known,
                What::Flush => queued == 0 || told,
                What::End => told,
                What::PingRoom => wrote || known,
                What::Pong => known,
                What::Nothing => true,
            });
        }
        wakers.extend(self.wake_reader());
        wakers
    }

    /// Whoever waits for this pong is woken with the next [`wakers`](Self::wakers).
    fn take_pong(&mut self, payload: &[u8]) {
        let Some(ticket) = self.round_trips.as_mut().and_then(|trips| trips.pong(payload, now())) else {
            return;
        };
        let asked = |waiter: &&mut Waiter| waiter.ticket == ticket && waiter.what == What::Pong;
        if let Some(waiter) = self.waiting.iter_mut().find(asked) {
            waiter.what = What::Nothing;
        }
    }

    /// A wait is over, or given up.
    fn forget(&mut self, ticket: u32) {
        self.waiting.retain(|waiter| waiter.ticket != ticket);
        if self.round_trips.as_mut().is_some_and(|trips| trips.forget(ticket)) {
            self.round_trips = None;
        }
    }

    fn who_waits(&mut self, due: impl Fn(What) -> bool) -> Vec<Waker> {
        self.waiting.extract_if(.., |waiter| due(waiter.what)).map(|waiter| waiter.waker).collect()
    }

    fn wait(&mut self, what: What, ticket: &mut Ticket, waker: &Waker) {
        if ticket.0 == 0 {
            // The sink's is left out.
            self.tickets = self.tickets % (u32::MAX - 1) + 1;
            ticket.0 = self.tickets;
        }
        match self.waiting.iter_mut().find(|waiter| waiter.ticket == ticket.0 && waiter.what == what) {
            Some(waiter) => waiter.waker.clone_from(waker),
            None => self.waiting.push(Waiter { ticket: ticket.0, what, waker: waker.clone() }),
        }
    }

    fn wake_pump(&mut self) -> Option<Waker> {
        if !matches!(self.pump, PumpState::Asleep(_)) {
            self.pump = PumpState::Called;
            return None;
        }
        match std::mem::replace(&mut self.pump, PumpState::Called) {
            PumpState::Asleep(waker) => Some(waker),
            _ => None,
        }
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
    let mut wakers = inner.who_waits(|what| what == What::Room);
    wakers.extend(inner.wake_pump());
    drop(inner);
    wake_all(wakers);
}

/// Wakes once the lock is let go of: a waker is somebody else's code.
fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
