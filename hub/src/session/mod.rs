//! One connection as a state machine: messages in, [`Action`]s out, time in, deadlines out.
//!
//! ```text
//! Waiting ──auth──► Open ──► Over        Waiting: no token, or a bad one, where one is needed; for 10 s
//!    └──deadline, 4001──────► Over
//! ```
//!
//! What concerns who somebody is, is in `auth`; rooms are in `rooms`, messages to users in `direct`, JSON-RPC in `calls`.

mod auth;
mod calls;
mod direct;
mod lane;
mod rooms;

use std::{
    collections::VecDeque,
    fmt, mem,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use framecast::{
    CloseCode, Message,
    broadcast::{Member, Position, Subscription},
    proto::truncate_reason,
};

use crate::{
    answer,
    connection::Connection,
    counters::{Auth, Called},
    dedupe::{Digest, Seen},
    ending::Ending,
    envelope::{self, Envelope, Malformed, Text},
    errand::Errand,
    fault::{ErrorCode, Fault},
    hooks::{Answering, Context},
    hub::Core,
    id::Id,
    meters::{Meters, TooFast, UserMeters},
    post::Post,
    receipts::Due,
    request::Kind,
    rights::Rights,
    rpc::{self, Calls},
    token::Secret,
};

pub use crate::rpc::Ticket;

/// Who knocks.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The id of its own choice, of `/ws/{client_id}`.
    pub client_id: Option<String>,
    /// The secret of its first welcome, of `?resume=`.
    pub resume: Option<Secret>,
    /// Its token, wherever the request had it.
    pub token: Option<Secret>,
    /// The path of the request, for the routes.
    pub path: String,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Whether it may what needs the admin token over HTTP.
    pub is_admin: bool,
}

/// What is to be done, in this order, before the session is handed the next message.
#[derive(Debug)]
#[must_use]
pub enum Action {
    /// Send this to the connection; wait for room, so that who does not read is not read from either.
    Send(Message),
    /// Subscribe: [`Session::subscribe`].
    Subscribe(Subscribe),
    /// Publish: [`Session::publish`].
    Publish(Post),
    /// Await the answer, beside everything else, then [`Session::answer`].
    Call(Call),
    /// With a broker: await this, beside everything else, then [`Session::returned`]. A session has one of them at a time, and gives
    /// up what takes too long.
    Errand(Errand),
    /// Close the connection. Nothing follows.
    Close(CloseCode, String),
}

/// A subscription that is allowed.
#[derive(Debug)]
pub struct Subscribe {
    id: Option<Id>,
    room: Box<str>,
    subscription: Subscription,
    /// It wants what it missed since then.
    since: Option<Position>,
}

/// A call of one of the application's methods.
pub struct Call {
    /// By which it is answered.
    pub ticket: Ticket,
    /// The method's work; its result is JSON.
    pub answer: Answering,
}

/// Who is to be told what became of a publish.
#[derive(Debug)]
#[must_use]
pub struct Reply(ReplyTo);

#[derive(Debug)]
enum ReplyTo {
    Nobody,
    /// Whose message has an id.
    Sender {
        id: Id,
        digest: Digest,
    },
    Caller(Ticket),
}

impl Reply {
    pub(crate) const NOBODY: Self = Self(ReplyTo::Nobody);
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    core: Arc<Core>,
    connection: Arc<Connection>,
    meters: Meters,
    state: State,
    calls: Calls,
    /// What waits for the broker, if there is one.
    lane: Option<Box<lane::Lane>>,
    /// The receipts that are due, the next one first.
    receipts: VecDeque<(Instant, u64)>,
}

#[derive(Debug)]
enum State {
    /// Who it is, is not known.
    Waiting {
        visitor: Box<Visitor>,
        until: Instant,
    },
    Open(Box<Open>),
    Over,
}

/// Somebody who is known.
#[derive(Debug)]
struct Open {
    context: Context,
    member: Member,
    seen: Arc<Mutex<Seen>>,
    /// What it shares with its user's other connections.
    user: Option<Arc<UserMeters>>,
    rights: Rights,
    expires: Option<Instant>,
    is_admin: bool,
}

impl Session {
    pub(crate) fn open(
        core: Arc<Core>,
        connection: Arc<Connection>,
        visitor: Visitor,
        out: &mut Vec<Action>,
    ) -> Self {
        let mut session = Self {
            meters: Meters::new(&core.limits, &core.clock),
            lane: core.bridge.as_ref().map(|bridge| Box::new(lane::Lane::new(bridge))),
            core,
            connection,
            state: State::Over,
            calls: Calls::default(),
            receipts: VecDeque::new(),
        };
        session.knock(visitor, out);
        session
    }

    /// Takes a message of the client's.
    pub fn receive(&mut self, message: &Message, out: &mut Vec<Action>) {
        if self.is_over() {
            return;
        }
        self.core.counters.received();
        match message {
            Message::Text(text) => self.receive_text(text, out),
            Message::Binary(bytes) => {
                let Some(charged) = self.charge(1, bytes.len(), out) else { return };
                if let Err(fault) = charged.and_then(|()| self.binary(message, bytes, out)) {
                    self.refuse(None, fault, out);
                }
            }
        }
    }

    /// When time is next of importance; it may have changed after any other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Open(open) => open.expires,
            State::Over => return None,
        };
        let receipt = self.receipts.front().map(|(at, _)| *at);
        let broker = self.lane.as_ref().and_then(|lane| lane.timeout());
        own.into_iter().chain(receipt).chain(broker).min()
    }

    /// Takes note that time has passed.
    pub fn handle_timeout(&mut self, out: &mut Vec<Action>) {
        let now = self.core.clock.now().instant;
        match &self.state {
            _ if self.is_over() => return,
            State::Waiting { until, .. } if *until <= now => {
                self.core.counters.auth.add(Auth::NoneInTime);
                return self.close(Ending::NoToken, "no valid token in time", out);
            }
            State::Open(open) if open.expires.is_some_and(|at| at <= now) => {
                return self.close(Ending::TokenExpired, "the token has expired", out);
            }
            _ => {}
        }
        self.time_out(now, out);
        while let Some((at, number)) = self.receipts.front().copied()
            && at <= now
        {
            self.receipts.pop_front();
            match self.core.receipts.due(number) {
                Due::Nothing => {}
                Due::Resent => self.receipts.push_back((now + self.core.limits.receipt_after, number)),
                Due::Receipt { receipt, acked, of } => {
                    self.core.counters.receipt(acked, of);
                    out.push(Action::Send(receipt));
                }
            }
        }
    }

    /// Whether nothing is to be done any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over) || self.connection.is_over()
    }

    /// Who it is, once that is known.
    pub fn context(&self) -> Option<&Context> {
        match &self.state {
            State::Open(open) => Some(&open.context),
            _ => None,
        }
    }

    /// The connection has ended. Dropping the session does it too.
    pub fn end(&mut self) {
        self.connection.ends();
        self.lane = None;
        let state = mem::replace(&mut self.state, State::Over);
        self.core.receipts.forget(self.receipts.drain(..).map(|(_, number)| number));
        let State::Open(open) = state else { return };
        let now = self.core.clock.now().instant;
        self.core.clients.release(open.context.client_id(), &self.connection, now);
        if let Some(disconnect) = &self.core.hooks.disconnect {
            disconnect(&open.context);
        }
    }

    fn receive_text(&mut self, text: &str, out: &mut Vec<Action>) {
        let parsed = envelope::parse(text, self.core.limits.batch_max);
        let count = match &parsed {
            Ok(Text::Batch(batch)) => batch.len().max(1),
            _ => 1,
        };
        let Some(charged) = self.charge(count, text.len(), out) else { return };
        match parsed {
            Ok(Text::Message(envelope)) => self.receive_message(&envelope, charged, out),
            Ok(Text::Request(envelope)) => self.receive_request(&envelope, charged, out),
            Ok(Text::Batch(batch)) => self.receive_batch(&batch, charged, out),
            Err(Malformed { fault, is_rpc }) => {
                let fault = charged.err().unwrap_or(fault);
                let is_misuse = fault.code.is_misuse();
                let answer = match is_rpc {
                    true => {
                        self.core.counters.rpc.add(Called::Invalid);
                        rpc::refusal(fault)
                    }
                    false => {
                        self.core.counters.errors.add(fault.code);
                        answer::error(None, &fault)
                    }
                };
                out.push(Action::Send(answer));
                self.note_misuse(is_misuse, out);
            }
        }
    }

    fn receive_message(
        &mut self,
        envelope: &Envelope<'_>,
        charged: Result<(), Fault>,
        out: &mut Vec<Action>,
    ) {
        let id = match envelope.id.map(Id::parse).transpose() {
            Ok(id) => id.flatten(),
            Err(fault) => return self.refuse(None, charged.err().unwrap_or(fault), out),
        };
        if let Err(fault) = charged.and_then(|()| self.dispatch(envelope, id.as_ref(), out)) {
            self.refuse(id.as_ref(), fault, out);
        }
    }

    fn dispatch(
        &mut self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let kind = envelope.kind()?.ok_or_else(|| Fault::new(ErrorCode::UnknownType, "no such type"))?;
        match kind {
            Kind::Auth => return self.auth(envelope, id, out),
            Kind::Ping => out.push(Action::Send(answer::pong(id, self.core.clock.now().unix_ms))),
            Kind::Pong => {}
            Kind::Ack => self.acknowledge(envelope)?,
            Kind::Direct => self.direct(envelope, id, out)?,
            Kind::History => self.history(envelope, id, out)?,
            Kind::Message => self.message(envelope, id, out)?,
            Kind::Presence => self.presence(envelope, id, out)?,
            Kind::Subscribe => {
                let asked = self.ask_to_subscribe(envelope, id, out);
                asked.inspect_err(|fault| self.core.counters.joins_refused.add(fault.code))?;
            }
            Kind::Unsubscribe => self.unsubscribe(envelope, id, out)?,
        }
        Ok(())
    }

    /// Somebody who is known, or nothing is done.
    fn known(&self) -> Result<&Open, Fault> {
        match &self.state {
            State::Open(open) => Ok(open),
            _ => Err(Fault::new(ErrorCode::Unauthorized, "send `auth` first")),
        }
    }

    /// Counts so many messages against the limits; `None` if the connection is closed for it.
    fn charge(&mut self, messages: usize, bytes: usize, out: &mut Vec<Action>) -> Option<Result<(), Fault>> {
        let user = match &self.state {
            State::Open(open) => open.user.as_deref(),
            _ => None,
        };
        match self.meters.charge(&self.core.limits, user, messages, bytes) {
            Ok(()) => Some(Ok(())),
            Err(TooFast { is_ignored: true, .. }) => {
                self.close(Ending::RateIgnored, "rate limit ignored", out);
                None
            }
            Err(too_fast) => Some(Err(self.too_fast(too_fast))),
        }
    }

    fn too_fast(&self, too_fast: TooFast) -> Fault {
        self.core.counters.rate_limited.add(too_fast.scope);
        Fault::rate_limited(too_fast.retry_after)
    }

    fn refuse(&mut self, id: Option<&Id>, fault: Fault, out: &mut Vec<Action>) {
        if fault.close.is_some() {
            return self.close_as(Ending::Denied, fault.close, &fault.message, out);
        }
        self.core.counters.errors.add(fault.code);
        out.push(Action::Send(answer::error(id, &fault)));
        self.note_misuse(fault.code.is_misuse(), out);
    }

    fn note_misuse(&mut self, is_misuse: bool, out: &mut Vec<Action>) {
        if is_misuse && !self.meters.misused(&self.core.limits) {
            self.close(Ending::Misuse, "too much that makes no sense", out);
        }
    }

    fn close(&mut self, ending: Ending, reason: &str, out: &mut Vec<Action>) {
        self.close_as(ending, None, reason, out);
    }

    /// With another code than the ending's, if the application says one; of its reason, as much as a Close holds.
    fn close_as(&mut self, ending: Ending, code: Option<CloseCode>, reason: &str, out: &mut Vec<Action>) {
        self.connection.ends_by(ending);
        let reason = truncate_reason(reason).to_owned();
        out.push(Action::Close(code.unwrap_or(ending.code()), reason));
        self.end();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl Subscribe {
    /// The room, or the wildcard.
    pub fn room(&self) -> &str {
        &self.room
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
