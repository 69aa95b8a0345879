//! One member's turn: what can be written is, and what cannot waits or is lost, as its subscription says.

use std::{sync::Arc, time::Instant};

use super::{
    gap::{Gap, GapReason},
    member::MemberState,
    options::{ConflateBy, OverflowPolicy},
    places::Places,
    publication::Published,
    queue::{Entry, Queue, What, key},
    shard::{Due, EVERYBODY, Entered, Given, NONE, Parcel, Turn, Waiting},
    topics::Settings,
};
use crate::proto::{CloseCode, PreparedMessage, SendError, truncate_reason};

/// A member's connection, for as long as its turn takes.
pub(crate) trait Outlet {
    /// Writes so many whole frames, if there is nothing before them and they need not be compressed: the bytes that the socket took.
    /// If these are not all, the messages are to be [sent](Self::send) and what was [written](Self::wrote) of them noted.
    fn write(&mut self, frames: &[u8], messages: usize) -> Option<usize> {
        let _ = (frames, messages);
        None
    }
    /// Takes note that the first bytes of what is queued are written.
    fn wrote(&mut self, bytes: usize) {
        let _ = bytes;
    }
    /// Queues a message in the outbox.
    fn send(&mut self, message: &PreparedMessage) -> Result<(), SendError>;
    /// Writes what is queued, as far as the socket takes it.
    fn flush(&mut self) -> Flushed;
    /// Messages and bytes in the outbox.
    fn queued(&self) -> (usize, usize);
    /// How many of them there may be.
    fn bounds(&self) -> (usize, usize);
    /// Takes back up to `messages` that have not begun to leave, the last ones; how many it was. One frame stays.
    fn retract(&mut self, messages: usize) -> usize;
    /// Starts the closing handshake.
    fn close(&mut self, code: CloseCode, reason: &str);
    /// Has [`MemberState::drained`] called, or its like, once the outbox is empty.
    fn tell_when_drained(&mut self, member: &Arc<MemberState>);
}

/// Where the members' connections are.
pub(crate) trait Outlets {
    /// What a connection is known by.
    type Key;
    /// Calls `f` with a connection; false if it is gone.
    fn with(&mut self, key: &Self::Key, f: impl FnOnce(&mut dyn Outlet)) -> bool;
}

/// What came of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is written.
    All,
    /// The socket is full.
    Some,
    /// Somebody else writes, soon.
    #[cfg_attr(not(any(feature = "tokio", test)), expect(dead_code, reason = "the reactor writes by itself"))]
    ByOthers,
}

pub(super) struct Giving<'g> {
    pub(super) member: &'g Arc<MemberState>,
    pub(super) subscriptions: &'g mut Places<Entered>,
    pub(super) waiting: &'g mut Waiting,
    pub(super) outlet: &'g mut dyn Outlet,
    pub(super) settings: &'g Settings,
    pub(super) turn: &'g mut Turn,
    pub(super) due: &'g mut Due,
    /// How many have waited in the shard.
    pub(super) waited: &'g mut u64,
    /// What was queued in the outbox since it was last flushed; empty between two turns.
    pub(super) handed: &'g mut Vec<Handed>,
    pub(super) now: Instant,
}

/// Something that was queued in the outbox.
#[derive(Debug)]
pub(super) enum Handed {
    /// Of this turn: which, for which subscription, and its number among what waits, if it has to.
    Given(u32, u32, u64),
    /// It had waited.
    Entry(u32, Entry),
}

impl Giving<'_> {
    /// Gives what has waited, then the chain that begins at `parcel`.
    pub(super) fn give(mut self, mut parcel: u32) {
        if self.write(parcel) {
            return;
        }
        self.release();
        while parcel != NONE {
            let Parcel { given, subscription, next } = self.turn.parcels[parcel as usize];
            parcel = next;
            self.offer(given, subscription);
        }
        self.flush();
        self.leave();
    }

    /// Closes who is to be closed, if nothing waits any more: behind what is in its outbox.
    fn leave(&mut self) {
        let Waiting { closing, leaves_with, subscriptions, .. } = &mut *self.waiting;
        if let Some(frame) = leaves_with
            && !*closing
            && subscriptions.is_empty()
        {
            *closing = true;
            self.outlet.close(frame.code, &frame.reason);
        }
    }

    /// Writes a chain at once to who can take it, as most can; whether that was done.
    fn write(&mut self, first: u32) -> bool {
        let Waiting { behind, closing, leaves_with, rates, subscriptions, .. } = &*self.waiting;
        if *behind
            || *closing
            || leaves_with.is_some()
            || *rates > 0
            // Known as a rate of its own only once it is needed.
            || self.settings.everybody.every.is_some()
            || !subscriptions.is_empty()
            || first == NONE
        {
            return false;
        }
        let Turn { batch, parcels, given, .. } = &mut *self.turn;
        let Some((frames, messages)) = batch.of(first, parcels, given) else { return false };
        let (messages_max, bytes_max) = self.outlet.bounds();
        if messages > messages_max || frames.len() > bytes_max {
            return false;
        }
        match self.outlet.write(frames, messages) {
            None => false,
            Some(bytes) if bytes == frames.len() => {
                batch.was_delivered();
                true
            }
            Some(bytes) => {
                self.queue_written(first, bytes);
                true
            }
        }
    }

    /// A chain of which the first bytes are written already.
    #[cold]
    fn queue_written(&mut self, mut parcel: u32, bytes: usize) {
        while let Some(&Parcel { given, subscription, next }) = self.turn.parcels.get(parcel as usize) {
            parcel = next;
            if let Some(publication) = self.turn.given[given as usize].publication()
                && self.outlet.send(&publication.message).is_ok()
            {
                *self.waited += 1;
                self.handed.push(Handed::Given(given, subscription, *self.waited));
            }
        }
        self.outlet.wrote(bytes);
        self.flush();
    }

    /// Something of this turn: into the outbox, if nothing is before it.
    fn offer(&mut self, given: u32, subscription: u32) {
        if self.waiting.closing || self.waiting.leaves_with.is_some() {
            return self.drop_given(given);
        }
        let subscription = match subscription {
            EVERYBODY if self.settings.everybody.every.is_some() => self.everybody(),
            EVERYBODY => self.waiting.everybody.unwrap_or(EVERYBODY),
            place => place,
        };
        let at_once = !self.waiting.behind && (subscription == EVERYBODY || self.is_free(subscription));
        let what = &self.turn.given[given as usize];
        let Some(publication) = what.publication().filter(|_| at_once) else {
            return self.wait(given, subscription);
        };
        let mut sent = self.outlet.send(&publication.message);
        if sent == Err(SendError::Full) {
            // What the application itself has sent is in the way, and can be written perhaps.
            let publication = publication.clone();
            self.flush_any();
            if !self.waiting.behind {
                sent = self.outlet.send(&publication.message);
            }
        }
        match sent {
            Ok(()) => {
                if let Some(entered) = self.subscriptions.get_mut(subscription)
                    && let Some(every) = entered.terms.every
                {
                    entered.not_before = Some(self.now + every);
                }
                *self.waited += 1;
                self.handed.push(Handed::Given(given, subscription, *self.waited));
                if self.outlet.queued().1 > CHUNK_BYTES {
                    self.flush();
                }
            }
            Err(SendError::Closed) => {
                self.waiting.closing = true;
                self.drop_given(given);
            }
            Err(_) => {
                self.fall_behind();
                self.wait(given, subscription);
            }
        }
    }

    /// Whether nothing of this subscription waits, and its rate lets something through.
    fn is_free(&mut self, place: u32) -> bool {
        let now = self.now;
        self.subscriptions.get_mut(place).is_some_and(|entered| {
            entered.queue.is_none() && entered.not_before.is_none_or(|time| time <= now)
        })
    }

    /// Writes what was handed over.
    fn flush(&mut self) {
        if !self.handed.is_empty() {
            self.flush_any();
        }
    }

    /// Writes; what the socket does not take goes where it can still be dropped or replaced.
    fn flush_any(&mut self) {
        match self.outlet.flush() {
            Flushed::All => self.count(0),
            Flushed::Some => {
                let retracted = self.outlet.retract(self.handed.len());
                let back = self.handed.split_off(self.handed.len() - retracted);
                self.count(self.outlet.queued().0);
                self.fall_behind();
                self.put_back(back);
            }
            Flushed::ByOthers => {
                // Of this turn no more than one stays there until it has left, as it could not be dropped any more. What has waited is
                // bounded already, and leaves together.
                let is_given = |handed: &&Handed| matches!(handed, Handed::Given(..));
                let given = self.handed.iter().rev().take_while(is_given).count();
                let retracted = self.outlet.retract(given);
                let back = self.handed.split_off(self.handed.len() - retracted);
                let (messages, bytes) = self.outlet.queued();
                self.count(messages);
                if retracted > 0 || bytes > CHUNK_BYTES {
                    self.fall_behind();
                }
                self.put_back(back);
            }
        }
    }

    /// Counts what was handed over; the last `queued` of it are still in the outbox.
    fn count(&mut self, queued: usize) {
        let delivered = self.handed.len().saturating_sub(queued);
        for (at, handed) in self.handed.drain(..).enumerate() {
            if let Handed::Given(given, ..) = handed
                && let Some(tally) = self.turn.given[given as usize].tally()
            {
                if at < delivered { tally.delivered += 1 } else { tally.queued += 1 }
            }
        }
    }

    fn put_back(&mut self, back: Vec<Handed>) {
        let (mut waited, mut given) = (Vec::new(), Vec::new());
        for handed in back {
            match handed {
                Handed::Given(what, subscription, number) => given.push((what, subscription, number)),
                Handed::Entry(subscription, entry) => waited.push((subscription, entry)),
            }
        }
        for (subscription, entry) in waited.into_iter().rev() {
            self.put_in(subscription, entry);
        }
        for (what, subscription, number) in given {
            self.wait_again(what, subscription, number);
        }
    }

    /// Has an entry wait where its number belongs; whether it does. What came behind it waits already if that was for its rate: it
    /// may be the newest that alone is wanted, or be in the way.
    fn put_in(&mut self, subscription: u32, entry: Entry) -> bool {
        let Some(entered) = self.subscriptions.get_mut(subscription) else { return false };
        let (terms, by) = (entered.terms, conflates(entered.terms.policy));
        if entered.queue.is_none() {
            self.waiting.subscriptions.push(subscription);
        }
        let queue = entered.queue.get_or_insert_default();
        let lost = match &entry.what {
            What::Gap(_) => None,
            What::Message(publication) if by.is_some_and(|by| queue.has(&key(publication, by))) => {
                Some(publication.as_gap(GapReason::Slow))
            }
            What::Message(publication) if by.is_none() && terms.every.is_some() && queue.messages() > 0 => {
                Some(publication.as_gap(GapReason::Rate))
            }
            What::Message(publication) => {
                let fits = queue.has_room(publication.message.frame_bytes(), &terms);
                (!fits).then(|| publication.as_gap(GapReason::Slow))
            }
        };
        let waits = lost.is_none();
        if let Some(gap) = &lost {
            self.member.count_lost(gap.reason, 1);
        }
        queue.put_back(entry.number, lost.map_or(entry.what, What::Gap), by);
        waits
    }

    /// Something of this turn that had been handed over. What came behind it waits already if that was for its rate.
    fn wait_again(&mut self, given: u32, subscription: u32, number: u64) {
        let queue = self.subscriptions.get_mut(subscription).and_then(|entered| entered.queue.as_ref());
        if queue.and_then(|queue| queue.last()).is_none_or(|last| last < number) {
            return self.wait_as(given, subscription, number);
        }
        let Some(publication) = self.turn.given[given as usize].publication().cloned() else { return };
        let has_room = self.has_room(subscription, publication.message.frame_bytes());
        let Some(entered) = self.subscriptions.get_mut(subscription) else { return };
        let waits = match entered.terms.policy {
            _ if has_room => self.put_in(subscription, Entry { number, what: What::Message(publication) }),
            OverflowPolicy::Disconnect(code) => {
                self.disconnect(code, 1);
                false
            }
            // It is the oldest.
            _ => {
                let what = What::Gap(publication.as_gap(GapReason::Slow));
                self.member.count_lost(GapReason::Slow, 1);
                self.put_in(subscription, Entry { number, what });
                false
            }
        };
        self.tally(given, |tally| if waits { tally.queued += 1 } else { tally.dropped += 1 });
    }

    fn fall_behind(&mut self) {
        if !std::mem::replace(&mut self.waiting.behind, true) {
            self.outlet.tell_when_drained(self.member);
        }
    }

    /// Gives what has waited, in the order in which it came, as far as rates and the socket let it.
    fn release(&mut self) {
        while !self.waiting.behind && !self.waiting.closing {
            let Some(place) = self.next_waiting() else { return };
            let Some(entered) = self.subscriptions.get_mut(place) else { return };
            let by = conflates(entered.terms.policy);
            let Some(queue) = &mut entered.queue else { return };
            let popped = queue.pop(by);
            if queue.is_empty() {
                entered.queue = None;
                self.waiting.subscriptions.retain(|waiting| *waiting != place);
            }
            let Some(entry) = popped else { continue };
            let sent = match &entry.what {
                What::Message(publication) => {
                    let sent = self.outlet.send(&publication.message);
                    if sent.is_ok() {
                        entered.not_before = entered.terms.every.map(|every| self.now + every);
                    }
                    sent
                }
                What::Gap(gap) => match self.settings.tell_gap(gap) {
                    Some(message) => self.outlet.send(&PreparedMessage::new(message)),
                    None => continue,
                },
            };
            match sent {
                Ok(()) => self.handed.push(Handed::Entry(place, entry)),
                Err(SendError::Closed) => {
                    self.waiting.closing = true;
                    self.member.count_closed(u64::from(matches!(entry.what, What::Message(_))));
                    return;
                }
                Err(_) => {
                    self.put_back(vec![Handed::Entry(place, entry)]);
                    self.flush_any();
                    self.fall_behind();
                    return;
                }
            }
            if self.outlet.queued().1 > CHUNK_BYTES {
                self.flush();
            }
        }
    }

    /// The subscription whose turn it is; the clocks of those are set that have to wait for their rate.
    fn next_waiting(&mut self) -> Option<u32> {
        let mut next: Option<(u64, u32)> = None;
        for at in 0..self.waiting.subscriptions.len() {
            let place = self.waiting.subscriptions[at];
            let Some(entered) = self.subscriptions.get_mut(place) else { continue };
            let Some(first) = entered.queue.as_ref().and_then(|queue| queue.first()) else { continue };
            match entered.not_before {
                Some(time) if time > self.now && self.waiting.leaves_with.is_none() => {
                    set_clock(self.due, entered, time, self.member.number, place)
                }
                _ if next.is_none_or(|(before, _)| first < before) => next = Some((first, place)),
                _ => {}
            }
        }
        next.map(|(_, place)| place)
    }

    /// Lets something of this turn wait, or be lost.
    fn wait(&mut self, given: u32, subscription: u32) {
        *self.waited += 1;
        self.wait_as(given, subscription, *self.waited);
    }

    /// [`wait`](Self::wait), as number so much.
    fn wait_as(&mut self, given: u32, subscription: u32, number: u64) {
        if self.waiting.closing {
            // By one that came before it in this turn.
            return self.drop_given(given);
        }
        let subscription = if subscription == EVERYBODY { self.everybody() } else { subscription };
        let publication = match self.turn.given[given as usize].publication() {
            Some(publication) => publication.clone(),
            None => return self.wait_for_gap(given, subscription, number),
        };
        let behind = self.waiting.behind;
        let reason = if behind { GapReason::Slow } else { GapReason::Rate };
        let Some(entered) = self.subscriptions.get_mut(subscription) else { return };
        let (policy, by) = (entered.terms.policy, conflates(entered.terms.policy));
        if entered.queue.is_none() {
            self.waiting.subscriptions.push(subscription);
        }
        let queue = entered.queue.get_or_insert_default();
        let mut displaced = 0;
        if let Some(by) = by {
            displaced += u64::from(queue.lose_older(&key(&publication, by), reason));
        } else if !behind {
            // It waits for its rate alone, and with it only the newest.
            while queue.lose_oldest(reason, by) {
                displaced += 1;
            }
        }
        self.member.count_lost(reason, displaced);
        let for_room = displaced;
        let len = publication.message.frame_bytes();
        let lost = loop {
            if self.has_room(subscription, len) {
                break false;
            }
            let Some(Entered { queue: Some(queue), .. }) = self.subscriptions.get_mut(subscription) else {
                return;
            };
            match policy {
                OverflowPolicy::Disconnect(code) => {
                    self.tally(given, |tally| {
                        tally.displaced += displaced as u32;
                        tally.dropped += 1;
                    });
                    return self.disconnect(code, 1);
                }
                OverflowPolicy::DropOldest | OverflowPolicy::Conflate(_)
                    if queue.lose_oldest(GapReason::Slow, by) =>
                {
                    displaced += 1;
                }
                _ => break true,
            }
        };
        let Some(Entered { queue: Some(queue), .. }) = self.subscriptions.get_mut(subscription) else {
            return;
        };
        match lost {
            true => queue.lose_newest(number, &publication, GapReason::Slow),
            false => queue.push(number, publication, by),
        }
        let too_many = has_too_many_gaps(queue);
        self.member.count_lost(GapReason::Slow, displaced - for_room + u64::from(lost));
        self.tally(given, |tally| {
            tally.displaced += displaced as u32;
            if lost { tally.dropped += 1 } else { tally.queued += 1 }
        });
        if too_many {
            return self.disconnect(CloseCode::POLICY, 0);
        }
        if let Some(entered) = self.subscriptions.get_mut(subscription)
            && let Some(time) = entered.not_before.filter(|time| *time > self.now)
        {
            set_clock(self.due, entered, time, self.member.number, subscription);
        }
    }

    /// What a broker lost, in its place; it is given with what comes next, or now if nothing waits.
    fn wait_for_gap(&mut self, given: u32, subscription: u32, number: u64) {
        let Given::Lost(gap) = &self.turn.given[given as usize] else { return };
        let gap: Gap = gap.clone();
        let Some(entered) = self.subscriptions.get_mut(subscription) else { return };
        if entered.queue.is_none() {
            self.waiting.subscriptions.push(subscription);
        }
        self.member.count_lost(gap.reason, gap.count());
        let queue = entered.queue.get_or_insert_default();
        queue.push_gap(number, gap);
        if has_too_many_gaps(queue) {
            return self.disconnect(CloseCode::POLICY, 0);
        }
        self.release();
    }

    /// Whether a message of so many bytes may wait too: if nothing waits, or within all bounds.
    fn has_room(&mut self, subscription: u32, len: usize) -> bool {
        let (mut messages, mut bytes) = self.outlet.queued();
        let (messages_max, bytes_max) = self.outlet.bounds();
        for at in 0..self.waiting.subscriptions.len() {
            let place = self.waiting.subscriptions[at];
            if let Some(Entered { queue: Some(queue), .. }) = self.subscriptions.get_mut(place) {
                messages += queue.messages();
                bytes += queue.bytes();
            }
        }
        let Some(entered) = self.subscriptions.get_mut(subscription) else { return false };
        let of_own = entered.queue.as_ref().is_none_or(|queue| queue.has_room(len, &entered.terms));
        of_own && (messages == 0 || (messages < messages_max && bytes.saturating_add(len) <= bytes_max))
    }

    fn messages_waiting(&mut self) -> usize {
        let Self { waiting, subscriptions, .. } = self;
        let of_one = |place: &u32| {
            subscriptions
                .get_mut(*place)
                .and_then(|entered| entered.queue.as_ref())
                .map_or(0, |queue| queue.messages())
        };
        waiting.subscriptions.iter().map(of_one).sum()
    }

    /// The subscription to what is published to all, made when it is first needed.
    fn everybody(&mut self) -> u32 {
        let Self { waiting, subscriptions, settings, .. } = self;
        if waiting.everybody.is_none() {
            waiting.rates += u32::from(settings.everybody.every.is_some());
        }
        *waiting
            .everybody
            .get_or_insert_with(|| subscriptions.insert(Entered::new("".into(), false, settings.everybody)))
    }

    /// Too slow: what waits is dropped, `more` messages with it, and the reason says how much.
    fn disconnect(&mut self, code: CloseCode, more: usize) {
        let messages = self.messages_waiting() + more;
        for place in std::mem::take(&mut self.waiting.subscriptions) {
            if let Some(entered) = self.subscriptions.get_mut(place) {
                entered.queue = None;
            }
        }
        if std::mem::replace(&mut self.waiting.closing, true) {
            return self.member.count_closed(messages as u64);
        }
        self.member.count_disconnected(messages as u64);
        let reason = format!("too slow: {messages} messages dropped");
        self.outlet.close(code, truncate_reason(&reason));
    }

    /// Nobody gets it, as the connection is closing.
    fn drop_given(&mut self, given: u32) {
        self.member.count_not_given(&mut self.turn.given[given as usize]);
    }

    fn tally(&mut self, given: u32, change: impl FnOnce(&mut Published)) {
        if let Some(tally) = self.turn.given[given as usize].tally() {
            change(tally);
        }
    }
}

fn conflates(policy: OverflowPolicy) -> Option<ConflateBy> {
    match policy {
        OverflowPolicy::Conflate(by) => Some(by),
        _ => None,
    }
}

/// Whether more is lost than can be told. Of each topic there is at most one gap more than there are messages.
fn has_too_many_gaps(queue: &Queue) -> bool {
    queue.gaps() > GAPS_MAX + queue.messages()
}

fn set_clock(due: &mut Due, entered: &mut Entered, at: Instant, member: u64, place: u32) {
    if !std::mem::replace(&mut entered.clock_is_set, true) {
        due.set(at, member, place);
    }
}

/// So much is queued in an outbox before it is written: what one write takes well.
const CHUNK_BYTES: usize = 64 << 10;
/// Gaps that may wait to be told beside as many as there are messages: a wildcard's may be of many topics.
const GAPS_MAX: usize = 1024;
