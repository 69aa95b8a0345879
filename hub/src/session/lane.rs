//! With a broker: what has to be done there, one after the other, so that a sender's messages keep their order. Everything else
//! of the connection goes on meanwhile.
//!
//! It is bounded in number, bytes and time: what does not fit or takes too long is `unavailable`. Of what took too long nobody
//! knows whether it was done.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use framecast::broadcast::{BrokerError, Page, Position, Subscribed};

use super::{Action, Session, Subscribe};
use crate::{
    answer,
    bridge::{Bridge, Lease, Waiting},
    counters::{Called, Unpublished},
    errand::{Awaited, Errand, Joined, Outcome, Returned},
    fault::{ErrorCode, Fault},
    id::Id,
    json::Json,
    post::Post,
    request::Span,
    rpc::Ticket,
};
use framecast::proto::PreparedMessage;

/// What waits for the broker.
#[derive(Debug)]
pub(super) struct Lane {
    bridge: Arc<Bridge>,
    waiting: VecDeque<Queued>,
    current: Option<(Queued, u64, Awaited)>,
    last: u64,
    /// The rooms that the connection is in.
    leases: HashMap<Box<str>, Lease>,
}

#[derive(Debug)]
struct Queued {
    work: Work,
    until: Instant,
    _bytes: Waiting,
}

#[derive(Debug)]
pub(super) enum Work {
    History { to: HistoryTo, room: Box<str>, span: Span },
    Publish(Box<Post>),
    Subscribe(Box<Subscribe>),
    Unsubscribe { id: Option<Id>, room: Box<str> },
}

/// Who has asked for a history.
#[derive(Debug)]
pub(super) enum HistoryTo {
    Client(Option<Id>),
    Caller(Ticket),
}

impl Lane {
    pub(super) fn new(bridge: &Arc<Bridge>) -> Self {
        Self {
            bridge: bridge.clone(),
            waiting: VecDeque::new(),
            current: None,
            last: 0,
            leases: HashMap::new(),
        }
    }

    /// When what is under way has taken too long: it is the one that waits for longest.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.current.as_ref().map(|(queued, ..)| queued.until)
    }

    pub(super) fn leave(&mut self, room: &str) {
        self.leases.remove(room);
    }

    /// Begins the next one that is to be done elsewhere.
    fn begin(&mut self, queued: Queued, history_page_max: usize) -> Errand {
        self.last += 1;
        let bridge = self.bridge.clone();
        let (errand, awaited) = match &queued.work {
            Work::History { room, span, .. } => {
                let (room, span) = (room.clone(), *span);
                Errand::new(self.last, async move {
                    Outcome::History(bridge.history(&room, span.since, span.limit).await)
                })
            }
            Work::Publish(post) => {
                let (room, publish) = (post.room().to_owned(), post.to_publish(None));
                Errand::new(
                    self.last,
                    async move { Outcome::Published(bridge.publish(&room, publish).await) },
                )
            }
            Work::Subscribe(subscribe) => {
                let (lease, since) = (bridge.lease(&subscribe.room), subscribe.since);
                let room = subscribe.room.clone();
                Errand::new(self.last, async move {
                    let joined = async {
                        lease.subscribe().await?;
                        // After that, as what comes meanwhile is delivered.
                        let page = match since {
                            Some(since) => Some(bridge.history(&room, Some(since), history_page_max).await?),
                            None => None,
                        };
                        Ok(page)
                    };
                    Outcome::Subscribed(joined.await.map(|page| Joined { lease, page }))
                })
            }
            Work::Unsubscribe { .. } => Errand::new(self.last, std::future::pending()),
        };
        self.current = Some((queued, self.last, awaited));
        errand
    }
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish(post) => post.bytes(),
            _ => 0,
        }
    }
}

impl Session {
    /// Has something done when its turn comes.
    pub(super) fn enqueue(&mut self, work: Work, out: &mut Vec<Action>) {
        let (max, within) = (self.core.limits.broker_waiting_max, self.core.limits.broker_within);
        let until = self.core.clock.now().instant + within;
        let Some(lane) = &mut self.lane else { return };
        let under_way = lane.waiting.len() + usize::from(lane.current.is_some());
        let Some(bytes) = lane.bridge.wait(work.bytes()).filter(|_| under_way < max) else {
            let fault = Fault::new(ErrorCode::Unavailable, "too much waits for the broker");
            return self.fail(work, Unpublished::BrokerBusy, fault, out);
        };
        lane.waiting.push_back(Queued { work, until, _bytes: bytes });
        self.advance(out);
    }

    /// Does what comes of an [`Action::Errand`]. What the session does not wait for any more is nothing.
    pub fn returned(&mut self, returned: Returned, out: &mut Vec<Action>) {
        let Returned { number, outcome: Some(outcome) } = returned else { return };
        let Some(lane) = &mut self.lane else { return };
        let Some((queued, ..)) = lane.current.take_if(|(_, current, _)| *current == number) else { return };
        match (queued.work, outcome) {
            (Work::Publish(mut post), Outcome::Published(Ok(position))) => {
                crate::counters::one_more(&self.core.counters.publishes);
                let reply = post.take_reply();
                self.settled(reply, Ok(position), out);
            }
            (Work::Subscribe(subscribe), Outcome::Subscribed(Ok(joined))) => {
                self.subscribe_joined(*subscribe, joined, out);
            }
            (Work::History { to, room, span }, Outcome::History(Ok(page))) => {
                self.tell_history(to, &room, span, page, out);
            }
            (
                work,
                Outcome::Published(Err(error))
                | Outcome::Subscribed(Err(error))
                | Outcome::History(Err(error)),
            ) => self.fail(work, Unpublished::from(&error), error.into(), out),
            _ => {}
        }
        self.advance(out);
    }

    /// Gives up what has taken too long.
    pub(super) fn time_out(&mut self, now: Instant, out: &mut Vec<Action>) {
        while let Some(lane) = &mut self.lane
            && let Some((queued, ..)) = lane.current.take_if(|(queued, ..)| queued.until <= now)
        {
            lane.bridge.was_too_slow();
            let error = BrokerError::TimedOut;
            self.fail(queued.work, Unpublished::from(&error), error.into(), out);
            self.advance(out);
        }
    }

    /// Begins what is next.
    fn advance(&mut self, out: &mut Vec<Action>) {
        let history_page_max = self.core.limits.history_page_max;
        while let Some(lane) = &mut self.lane
            && lane.current.is_none()
            && let Some(queued) = lane.waiting.pop_front()
        {
            match queued.work {
                Work::Unsubscribe { id, room } => {
                    if let Err(fault) = self.unsubscribe_now(&room, id.as_ref(), out) {
                        self.refuse(id.as_ref(), fault, out);
                    }
                }
                // Somebody is in it already, and nothing is to be asked.
                Work::Subscribe(subscribe) if subscribe.since.is_none() => {
                    let lease = lane.bridge.lease(&subscribe.room);
                    match lease.is_subscribed() {
                        true => self.subscribe_joined(*subscribe, Joined { lease, page: None }, out),
                        false => {
                            let queued = Queued { work: Work::Subscribe(subscribe), ..queued };
                            out.push(Action::Errand(lane.begin(queued, history_page_max)));
                        }
                    }
                }
                work => {
                    let queued = Queued { work, ..queued };
                    out.push(Action::Errand(lane.begin(queued, history_page_max)));
                }
            }
        }
    }

    fn fail(&mut self, work: Work, reason: Unpublished, fault: Fault, out: &mut Vec<Action>) {
        match work {
            Work::Publish(mut post) => {
                self.core.counters.publishes_refused.add(reason);
                let reply = post.take_reply();
                self.settled(reply, Err(fault), out);
            }
            Work::Subscribe(subscribe) => {
                self.core.counters.joins_refused.add(fault.code);
                self.refuse(subscribe.id.as_ref(), fault, out);
            }
            Work::Unsubscribe { id, .. } | Work::History { to: HistoryTo::Client(id), .. } => {
                self.refuse(id.as_ref(), fault, out);
            }
            Work::History { to: HistoryTo::Caller(ticket), .. } => {
                self.answer_as(Called::Refused, ticket, Err(fault.into()), out);
            }
        }
    }

    /// Enters a room that is subscribed to at the broker. What was missed is the broker's to say, up to where the room is here; what
    /// comes behind that is here already, or on its way.
    fn subscribe_joined(&mut self, subscribe: Subscribe, joined: Joined, out: &mut Vec<Action>) {
        let Joined { lease, page } = joined;
        // Where the broker has not all of it, it may still be here.
        let page = page.filter(is_whole);
        let (room, since) = (subscribe.room.clone(), page.as_ref().map(|page| page.position));
        let is_in =
            self.subscribe_by(subscribe, since, |subscribed| recovery(page.as_ref()?, subscribed), out);
        if let Some(lane) = &mut self.lane
            && is_in
        {
            lane.leases.insert(room, lease);
        }
    }

    fn tell_history(&mut self, to: HistoryTo, room: &str, span: Span, page: Page, out: &mut Vec<Action>) {
        match to {
            HistoryTo::Client(id) => {
                let json = Json::of_type("history").id(id.as_ref());
                match self.history_of(room, span.since, page, json) {
                    Ok(json) => out.push(Action::Send(json.message())),
                    Err(fault) => self.refuse(id.as_ref(), fault, out),
                }
            }
            HistoryTo::Caller(ticket) => match self.history_of(room, span.since, page, Json::object()) {
                Ok(json) => self.answer_as(Called::Ok, ticket, Ok(json.end()), out),
                Err(fault) => self.answer_as(Called::Refused, ticket, Err(fault.into()), out),
            },
        }
    }
}

/// Whether a page has all up to where its room is.
fn is_whole(page: &Page) -> bool {
    let last = page.messages.last().map_or(page.position, |last| last.position());
    page.complete && last == page.position
}

/// What of a page comes before what the room has here; `None` if something between them is missing.
fn recovery(page: &Page, subscribed: &Subscribed) -> Option<Vec<PreparedMessage>> {
    let here = subscribed.position?;
    // It is as far here as there, or not yet, or what is behind is known here.
    let is_behind = here.offset > page.position.offset;
    if here.epoch != page.position.epoch || (is_behind && subscribed.recovered.is_none()) {
        return None;
    }
    let is_before = |position: Position| position.offset <= here.offset;
    let messages = page.messages.iter().filter(|publication| is_before(publication.position()));
    Some(messages.map(|publication| answer::placed(publication)).collect())
}
