//! Rooms: who may come in, what is sent to them, who is there, and what was.

use framecast::proto::PreparedMessage;
use framecast::{
    Message,
    broadcast::{Named, OverflowPolicy, Page, Position, Subscribed, Subscription, TopicError},
};
use serde_json::value::RawValue;

use super::lane::{HistoryTo, Work};
use super::{Action, Reply, ReplyTo, Session, Subscribe};
use crate::{
    answer, binary,
    counters::Called,
    dedupe::Outcome,
    envelope::Envelope,
    fault::{ErrorCode, Fault, close},
    hooks::Incoming,
    id::Id,
    json::Json,
    post::Post,
    request::check_payload_len,
};

/// What is published to a room, once it is allowed.
pub(super) struct Publication<'p> {
    pub(super) room: &'p str,
    pub(super) payload: &'p RawValue,
    pub(super) key: Option<&'p str>,
    pub(super) echo: bool,
}

impl Session {
    pub(super) fn ask_to_subscribe(
        &self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        self.known()?;
        let (room, named) = envelope.room_or_pattern()?;
        let subscription = envelope.subscription(named)?;
        self.may_subscribe(&room)?;
        let since = if named == Named::Topic { envelope.since()? } else { None };
        out.push(Action::Subscribe(Subscribe { id: id.cloned(), room: room.into(), subscription, since }));
        Ok(())
    }

    /// Does what [`Action::Subscribe`] asks for, with a broker once the room is subscribed to there. The answer leaves by the line,
    /// before the first message of the room.
    pub fn subscribe(&mut self, subscribe: Subscribe, out: &mut Vec<Action>) {
        if self.lane.is_none() {
            self.subscribe_by(subscribe, None, |_| None, out);
        } else if Named::of(&subscribe.room) == Ok(Named::Pattern) {
            let fault = Fault::new(ErrorCode::Unavailable, "no wildcards with a broker");
            self.core.counters.joins_refused.add(fault.code);
            self.refuse(subscribe.id.as_ref(), fault, out);
        } else {
            self.enqueue(Work::Subscribe(Box::new(subscribe)), out);
        }
    }

    /// Enters a room here; whether that was done. `recovered` are messages that come before those after `since`, which is
    /// another place than the client's then.
    pub(super) fn subscribe_by(
        &mut self,
        subscribe: Subscribe,
        since: Option<Position>,
        recovered: impl FnOnce(&Subscribed) -> Option<Vec<PreparedMessage>>,
        out: &mut Vec<Action>,
    ) -> bool {
        let Ok(open) = self.known() else { return false };
        let Subscribe { id, room, mut subscription, since: asked } = subscribe;
        if let Some(since) = since {
            subscription = subscription.since(since);
        }
        let identity = answer::identity(open.context.user_id(), open.context.client_id());
        // Who is in it already may have had later messages than what the application says now.
        let tell_first = self.core.hooks.subscribed.as_ref().filter(|_| !open.member.is_subscribed(&room));
        let subscribed = open.member.subscribe_with(&room, subscription.identity(identity), |subscribed| {
            let first = recovered(subscribed);
            let is_recovered = if since.is_some() { first.is_some() } else { subscribed.recovered.is_some() };
            self.core.counters.joined(asked.is_some(), is_recovered);
            self.connection.send(&answer::subscribed(id.as_ref(), &room, subscribed, is_recovered).into());
            first.into_iter().flatten().for_each(|message| self.connection.send(&message));
            // Who has missed nothing knows it; a wildcard has no place, and no state.
            if let Some(tell_first) = tell_first
                && !is_recovered
                && subscribed.position.is_some()
                && let Some(payload) = tell_first(&open.context, &room)
            {
                let post = Post::new(&*room, payload, self.core.clock.now().unix_ms);
                self.connection.send(&post.message(None).into());
            }
        });
        let is_in = subscribed.is_ok();
        if let Err(error) = subscribed
            && error != TopicError::Closed
        {
            let fault = Fault::from(error);
            self.core.counters.joins_refused.add(fault.code);
            self.refuse(id.as_ref(), fault, out);
        }
        is_in
    }

    pub(super) fn unsubscribe(
        &mut self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        self.known()?;
        let (room, _) = envelope.room_or_pattern()?;
        if self.lane.is_some() {
            self.enqueue(Work::Unsubscribe { id: id.cloned(), room: room.into() }, out);
            return Ok(());
        }
        self.unsubscribe_now(&room, id, out)
    }

    pub(super) fn unsubscribe_now(
        &mut self,
        room: &str,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        if !self.known()?.member.unsubscribe(room) {
            return Err(Fault::new(ErrorCode::NotSubscribed, "not subscribed to this room"));
        }
        self.lane.iter_mut().for_each(|lane| lane.leave(room));
        out.push(Action::Send(answer::unsubscribed(id, room)));
        Ok(())
    }

    pub(super) fn message(
        &self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let open = self.known()?;
        let (room, key, echo) = (envelope.room()?, envelope.key()?, envelope.echo()?);
        let payload = envelope.payload(self.core.limits.payload_bytes_max)?;
        let publication = Publication { room: &room, payload, key: key.as_deref(), echo };
        self.has_right_to_publish(&room)?;
        let Some(id) = id else {
            out.push(Action::Publish(self.post(&publication)?));
            return Ok(());
        };
        let digest = match self.begin(open, id) {
            Ok(digest) => digest,
            Err(outcome) => return self.ack_again(id, outcome, out),
        };
        let post = self.post(&publication).inspect_err(|_| self.seen(open).forget(digest))?;
        out.push(Action::Publish(post.reply(Reply(ReplyTo::Sender { id: id.clone(), digest }))));
        Ok(())
    }

    /// What is to be published, if it may be.
    pub(super) fn post(&self, publication: &Publication<'_>) -> Result<Post, Fault> {
        let open = self.known()?;
        let Publication { room, payload, key, echo } = *publication;
        self.may_publish(room, &Incoming::Message { room, payload })?;
        let (user_id, client_id) = (open.context.shared_user_id(), open.context.shared_client_id());
        let ts = self.core.clock.now().unix_ms;
        let post = Post::json(room, payload.to_owned(), user_id.cloned(), Some(client_id.clone()), ts);
        Ok(post.key(key).except((!echo).then(|| open.member.clone())))
    }

    pub(super) fn binary(&self, message: &Message, bytes: &[u8], out: &mut Vec<Action>) -> Result<(), Fault> {
        self.known()?;
        let (room, bytes) = binary::parse(bytes)?;
        check_payload_len(bytes.len(), self.core.limits.payload_bytes_max)?;
        self.may_publish(room, &Incoming::Binary { room, bytes })?;
        out.push(Action::Publish(Post::binary(room, message.clone())));
        Ok(())
    }

    /// Does what [`Action::Publish`] asks for: to the subscribers of this process, or by the broker.
    pub fn publish(&mut self, mut post: Post, out: &mut Vec<Action>) {
        if self.lane.is_some() {
            return self.enqueue(Work::Publish(Box::new(post)), out);
        }
        let reply = post.take_reply();
        let published = self.core.publish(&post);
        self.published(reply, published, out);
    }

    /// A message was published, by whatever way, or was not: tells who wants to know.
    pub fn published(
        &mut self,
        reply: Reply,
        published: Result<Position, TopicError>,
        out: &mut Vec<Action>,
    ) {
        self.settled(reply, published.map_err(Fault::from), out);
    }

    pub(super) fn settled(
        &mut self,
        reply: Reply,
        published: Result<Position, Fault>,
        out: &mut Vec<Action>,
    ) {
        let Ok(open) = self.known() else { return };
        match (reply.0, published) {
            (ReplyTo::Sender { id, digest }, Ok(Position { offset, .. })) => {
                self.seen(open).settle(digest, Outcome::Published(offset));
                out.push(Action::Send(answer::ack_of_message(&id, offset)));
            }
            (ReplyTo::Sender { id, digest }, Err(fault)) => {
                self.seen(open).forget(digest);
                self.refuse(Some(&id), fault, out);
            }
            (ReplyTo::Caller(ticket), Ok(Position { epoch, offset })) => {
                let result = Json::object().number("epoch", epoch).number("offset", offset).end();
                self.answer_as(Called::Ok, ticket, Ok(result), out);
            }
            (ReplyTo::Caller(ticket), Err(fault)) => {
                self.answer_as(Called::Refused, ticket, Err(fault.into()), out);
            }
            (ReplyTo::Nobody, Ok(_)) => {}
            (ReplyTo::Nobody, Err(fault)) => self.refuse(None, fault, out),
        }
    }

    pub(super) fn presence(
        &self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let presence = self.presence_of(&envelope.room()?, Json::of_type("presence").id(id))?;
        out.push(Action::Send(Message::text(presence)));
        Ok(())
    }

    /// Who is in a room, written behind what is in `json`.
    pub(super) fn presence_of(&self, room: &str, json: Json) -> Result<String, Fault> {
        self.may_subscribe(room)?;
        let presence = answer::presence(json, room, &self.core.topics.presence(room)).end();
        if presence.len() > self.core.limits.answer_bytes_max {
            return Err(Fault::new(ErrorCode::TooLarge, "more people are there than an answer holds"));
        }
        self.afford(presence.len())?;
        Ok(presence)
    }

    /// A page of a room's history, as much of it as an answer holds, written behind what is in `json`.
    pub(super) fn history_of(
        &self,
        room: &str,
        since: Option<Position>,
        mut page: Page,
        json: Json,
    ) -> Result<Json, Fault> {
        if !page.complete {
            let message = "the room's history does not reach back so far";
            return Err(Fault::new(ErrorCode::HistoryGone, message));
        }
        let bytes_max = self.core.limits.answer_bytes_max;
        // What is not affordable is not even written.
        self.afford(answer::fit_history(&mut page.messages, since.is_none(), bytes_max))?;
        Ok(answer::history(json, room, page.position, &page.messages))
    }

    /// Counts what somebody is answered against its rate, as it costs as much as what it sends.
    pub(super) fn afford(&self, bytes: usize) -> Result<(), Fault> {
        let user = self.known()?.user.as_deref();
        self.meters.charge_answer(user, bytes).map_err(|too_fast| self.too_fast(too_fast))
    }

    pub(super) fn history(
        &mut self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let (room, span) = (envelope.room()?, envelope.span(self.core.limits.history_page_max)?);
        self.may_subscribe(&room)?;
        if self.lane.is_some() {
            let to = HistoryTo::Client(id.cloned());
            self.enqueue(Work::History { to, room: room.into(), span }, out);
            return Ok(());
        }
        let page = self.core.topics.history(&room, span.since, span.limit);
        let json = self.history_of(&room, span.since, page, Json::of_type("history").id(id))?;
        out.push(Action::Send(json.message()));
        Ok(())
    }

    /// Whether it may subscribe to a room, or to every room of a wildcard.
    pub(super) fn may_subscribe(&self, room: &str) -> Result<(), Fault> {
        let open = self.known()?;
        if !open.rights.subscribe.cover(room) {
            return Err(Fault::forbidden("this room may not be subscribed to"));
        }
        match &self.core.hooks.subscribe {
            Some(hook) => hook(&open.context, room).map_err(Fault::from),
            None => Ok(()),
        }
    }

    /// Whether it may publish to a room, and this now. The application is asked last, about what is published then.
    fn may_publish(&self, room: &str, incoming: &Incoming<'_>) -> Result<(), Fault> {
        self.has_right_to_publish(room)?;
        if let Some(rooms) = &self.core.rooms {
            rooms.charge(room).map_err(|too_fast| self.too_fast(too_fast))?;
        }
        self.permits(incoming)
    }

    fn has_right_to_publish(&self, room: &str) -> Result<(), Fault> {
        match self.known()?.rights.publish.cover(room) {
            true => Ok(()),
            false => Err(Fault::forbidden("this room may not be published to")),
        }
    }

    /// What the application says to a message.
    pub(super) fn permits(&self, incoming: &Incoming<'_>) -> Result<(), Fault> {
        let open = self.known()?;
        match &self.core.hooks.message {
            Some(hook) => hook(&open.context, incoming).map_err(Fault::from),
            None => Ok(()),
        }
    }
}

/// What a path subscribes with.
pub(super) fn default_subscription() -> Subscription {
    Subscription::new().policy(OverflowPolicy::Disconnect(close::TOO_SLOW))
}
