//! Who waits, and for what, beside the reader: room, an empty outbox, a pong, the end.
//!
//! In a box, and only while somebody does: an idle connection has none.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use ::tokio::net::tcp::OwnedWriteHalf;

use super::{round_trip::RoundTrips, shared::Shared};
use crate::{broadcast::Member, proto::Control};

#[derive(Debug, Default)]
pub(super) struct Waits(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    round_trips: RoundTrips,
    direct: Direct,
    /// Its part in topics.
    member: Option<Member>,
}

/// Whether messages to many are written by whoever publishes them.
#[derive(Debug, Default)]
enum Direct {
    #[default]
    No,
    /// They wait for the pump to hand over its half.
    Wanted,
    By(OwnedWriteHalf),
    /// The stream is none that can be split.
    Never,
}

#[derive(Debug)]
struct Waiter {
    ticket: u32,
    what: What,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
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

impl Waits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn wait(&mut self, what: What, ticket: u32, waker: &Waker) {
        let waiters = &mut self.0.get_or_insert_default().waiters;
        match waiters.iter_mut().find(|waiter| waiter.ticket == ticket && waiter.what == what) {
            Some(waiter) => waiter.waker.clone_from(waker),
            None => waiters.push(Waiter { ticket, what, waker: waker.clone() }),
        }
    }

    /// Takes those out whose wait is over.
    pub(super) fn due(&mut self, due: impl Fn(What) -> bool) -> Vec<Waker> {
        let Some(waiting) = &mut self.0 else { return Vec::new() };
        let wakers =
            waiting.waiters.extract_if(.., |waiter| due(waiter.what)).map(|waiter| waiter.waker).collect();
        self.tidy();
        wakers
    }

    /// A wait is over, or given up.
    pub(super) fn forget(&mut self, ticket: u32) {
        let Some(waiting) = &mut self.0 else { return };
        waiting.waiters.retain(|waiter| waiter.ticket != ticket);
        waiting.round_trips.forget(ticket);
        self.tidy();
    }

    /// A ping is out, whose pong this ticket waits for.
    pub(super) fn pinged(&mut self, ticket: u32, payload: Control, now: Instant) {
        self.0.get_or_insert_default().round_trips.begin(ticket, payload, now);
    }

    /// Whether this ticket's ping is out.
    pub(super) fn has_pinged(&self, ticket: u32) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.round_trips.has(ticket))
    }

    /// A pong: whoever waits for it is [`due`](Self::due).
    pub(super) fn pong(&mut self, payload: &[u8], now: Instant) {
        let Some(waiting) = &mut self.0 else { return };
        let Some(ticket) = waiting.round_trips.pong(payload, now) else { return };
        let asked = |waiter: &&mut Waiter| waiter.ticket == ticket && waiter.what == What::Pong;
        if let Some(waiter) = waiting.waiters.iter_mut().find(asked) {
            waiter.what = What::Nothing;
        }
    }

    /// How long the pong took that this ticket waits for, once it is there.
    pub(super) fn round_trip(&self, ticket: u32) -> Option<Duration> {
        self.0.as_ref()?.round_trips.took(ticket)
    }

    /// The half that others write by; if there is none, it is wanted.
    pub(super) fn direct(&mut self) -> Option<&OwnedWriteHalf> {
        let direct = &mut self.0.get_or_insert_default().direct;
        if matches!(direct, Direct::No) {
            *direct = Direct::Wanted;
        }
        match direct {
            Direct::By(half) => Some(half),
            _ => None,
        }
    }

    pub(super) fn direct_is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| matches!(waiting.direct, Direct::Wanted))
    }

    /// The half; none, if the stream cannot be split.
    pub(super) fn set_direct(&mut self, half: Option<OwnedWriteHalf>) {
        self.0.get_or_insert_default().direct = half.map_or(Direct::Never, Direct::By);
    }

    pub(super) fn member(&self) -> Option<&Member> {
        self.0.as_ref()?.member.as_ref()
    }

    pub(super) fn set_member(&mut self, member: Option<Member>) {
        if member.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().member = member;
            self.tidy();
        }
    }

    pub(super) fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        match std::mem::replace(&mut self.0.as_mut()?.direct, Direct::Never) {
            Direct::By(half) => Some(half),
            _ => None,
        }
    }

    fn tidy(&mut self) {
        self.0.take_if(|waiting| {
            waiting.waiters.is_empty()
                && waiting.round_trips.is_empty()
                && matches!(waiting.direct, Direct::No)
                && waiting.member.is_none()
        });
    }
}

/// Who waits: a future, by a number that it gets when it first has to, or the sink, of which there is one.
#[derive(Debug, Default)]
pub(super) struct Ticket(u32);

impl Ticket {
    pub(super) fn of_sink() -> Self {
        Self(u32::MAX)
    }

    /// Its number; the first time it asks, the next one of `drawn`.
    pub(super) fn number(&mut self, drawn: &mut u32) -> u32 {
        if self.0 == 0 {
            // The sink's is left out.
            *drawn = *drawn % (u32::MAX - 1) + 1;
            self.0 = *drawn;
        }
        self.0
    }

    /// Its number, if it has waited; no waiter has 0.
    pub(super) fn drawn(&self) -> u32 {
        self.0
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

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { shared, ticket, poll } = self.get_mut();
        poll(shared, cx, ticket)
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if self.ticket.0 > 0 {
            self.shared.lock().forget(&self.ticket);
        }
    }
}
