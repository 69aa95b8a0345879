//! JSON-RPC: the hub's own methods, and calls of the application's.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Action, Call, Reply, ReplyTo, Session};
use super::{
    lane::{HistoryTo, Work},
    rooms::Publication,
};
use crate::{
    answer,
    counters::Called,
    envelope::{self, Envelope},
    fault::{ErrorCode, Fault},
    hooks::Params,
    hub::ROOMS_PAGE_MAX,
    json::Json,
    rpc::{self, Request, RpcError, Ticket},
};

/// What became of a request at once.
enum Begun {
    /// Its result, as JSON.
    Done(String),
    /// There is no such method.
    NotFound,
    /// Its answer comes later.
    Waits,
}

/// The parameters of `rooms.list`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ListParams<'p> {
    #[serde(borrow)]
    prefix: Cow<'p, str>,
    #[serde(borrow)]
    after: Cow<'p, str>,
    limit: Option<usize>,
}

impl Session {
    pub(super) fn receive_request(
        &mut self,
        envelope: &Envelope<'_>,
        charged: Result<(), Fault>,
        out: &mut Vec<Action>,
    ) {
        match charged {
            Ok(()) => self.request(envelope, None, out),
            // A notification is not answered, not even so.
            Err(fault) => {
                match Request::new(envelope).inspect(|_| self.core.counters.rpc.add(Called::Refused)) {
                    Ok(Request { id: None, .. }) => {}
                    Ok(Request { id: Some(id), .. }) => {
                        let answer = self.calls.answer_now(&id, None, &Err(fault.into()));
                        out.extend(answer.map(Action::Send));
                    }
                    Err(_) => {
                        self.core.counters.rpc.add(Called::Invalid);
                        out.push(Action::Send(rpc::refusal(fault)));
                    }
                }
            }
        }
    }

    pub(super) fn receive_batch(
        &mut self,
        batch: &[&RawValue],
        charged: Result<(), Fault>,
        out: &mut Vec<Action>,
    ) {
        let empty = || Fault::bad_request("an empty batch");
        if let Err(fault) = charged.and_then(|()| if batch.is_empty() { Err(empty()) } else { Ok(()) }) {
            let is_misuse = fault.code.is_misuse();
            self.core.counters.rpc.add(if is_misuse { Called::Invalid } else { Called::Refused });
            out.push(Action::Send(rpc::refusal(fault)));
            return self.note_misuse(is_misuse, out);
        }
        let number = self.calls.open_batch(self.core.limits.answer_bytes_max);
        for request in batch {
            // What is no object is a request with nothing in it.
            let envelope = envelope::parse_object(request.get()).unwrap_or_default();
            self.request(&envelope, Some(number), out);
            if self.is_over() {
                return;
            }
        }
        let answer = self.calls.close_batch(number);
        out.extend(answer.map(Action::Send));
    }

    fn request(&mut self, envelope: &Envelope<'_>, batch: Option<u64>, out: &mut Vec<Action>) {
        let request = match Request::new(envelope) {
            Ok(request) => request,
            Err((id, error)) => {
                self.core.counters.rpc.add(Called::Invalid);
                let answer = self.calls.answer_now(&id, batch, &Err(error));
                out.extend(answer.map(Action::Send));
                return self.note_misuse(true, out);
            }
        };
        let (result, called) = match self.begin_call(&request, batch, out) {
            Ok(Begun::Waits) => return,
            Ok(Begun::Done(result)) => (Ok(result), Called::Ok),
            Ok(Begun::NotFound) => {
                (Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "no such method")), Called::NotFound)
            }
            Err(fault) => (Err(fault.into()), Called::Refused),
        };
        self.core.counters.rpc.add(called);
        if let Some(id) = &request.id {
            let answer = self.calls.answer_now(id, batch, &result);
            out.extend(answer.map(Action::Send));
        }
    }

    fn begin_call(
        &mut self,
        request: &Request<'_>,
        batch: Option<u64>,
        out: &mut Vec<Action>,
    ) -> Result<Begun, Fault> {
        let is_admin = self.known()?.is_admin;
        let params = request.params.map_or("{}", RawValue::get);
        match &*request.method {
            // Nobody would hear it.
            "rooms.list" | "stats" | "presence" | "history" if request.id.is_none() => {
                Ok(Begun::Done(String::new()))
            }
            "rooms.list" | "presence" | "history" if batch.is_some_and(|batch| self.calls.is_full(batch)) => {
                Err(rpc::batch_too_large())
            }
            "rooms.list" | "stats" if !is_admin => Err(Fault::forbidden("for the server's admin")),
            "rooms.list" => {
                let ListParams { prefix, after, limit } = fields(params)?;
                let limit = limit.unwrap_or(ROOMS_PAGE_MAX).min(ROOMS_PAGE_MAX);
                let rooms = answer::rooms(&self.core.topics.list(&prefix, &after, limit));
                self.afford(rooms.len())?;
                Ok(Begun::Done(rooms))
            }
            "stats" => Ok(Begun::Done(answer::stats(&self.core.stats(), self.core.broker()))),
            "presence" => {
                let envelope = envelope(params)?;
                Ok(Begun::Done(self.presence_of(&envelope.room()?, Json::object())?))
            }
            "history" => {
                let envelope = envelope(params)?;
                let (room, span) = (envelope.room()?, envelope.span(self.core.limits.history_page_max)?);
                self.may_subscribe(&room)?;
                if self.lane.is_some() {
                    let ticket = self.calls.begin(request.id.clone(), batch);
                    let to = HistoryTo::Caller(ticket);
                    self.enqueue(Work::History { to, room: room.into(), span }, out);
                    return Ok(Begun::Waits);
                }
                let page = self.core.topics.history(&room, span.since, span.limit);
                Ok(Begun::Done(self.history_of(&room, span.since, page, Json::object())?.end()))
            }
            "publish" => self.publish_call(&envelope(params)?, request, batch, out),
            name => self.application_call(name, request, batch, out),
        }
    }

    fn publish_call(
        &mut self,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
        batch: Option<u64>,
        out: &mut Vec<Action>,
    ) -> Result<Begun, Fault> {
        let (room, key, echo) = (envelope.room()?, envelope.key()?, envelope.echo()?);
        let payload = envelope.payload(self.core.limits.payload_bytes_max)?;
        let post = self.post(&Publication { room: &room, payload, key: key.as_deref(), echo })?;
        let ticket = self.calls.begin(request.id.clone(), batch);
        out.push(Action::Publish(post.reply(Reply(ReplyTo::Caller(ticket)))));
        Ok(Begun::Waits)
    }

    fn application_call(
        &mut self,
        name: &str,
        request: &Request<'_>,
        batch: Option<u64>,
        out: &mut Vec<Action>,
    ) -> Result<Begun, Fault> {
        let context = self.known()?.context.clone();
        let Some(answer) = self.core.hooks.call(name, context, Params::new(request.params)) else {
            return Ok(Begun::NotFound);
        };
        let max = self.core.limits.calls_max;
        if self.calls.len() >= max {
            return Err(Fault::new(ErrorCode::Unavailable, format!("{max} calls are under way")));
        }
        let ticket = self.calls.begin(request.id.clone(), batch);
        out.push(Action::Call(Call { ticket, answer }));
        Ok(Begun::Waits)
    }

    /// A call is answered: what [`Call::answer`] came to, or what the server makes of its panic.
    pub fn answer(&mut self, ticket: Ticket, result: Result<String, RpcError>, out: &mut Vec<Action>) {
        let called = if result.is_ok() { Called::Ok } else { Called::Failed };
        self.answer_as(called, ticket, result, out);
    }

    pub(super) fn answer_as(
        &mut self,
        called: Called,
        ticket: Ticket,
        result: Result<String, RpcError>,
        out: &mut Vec<Action>,
    ) {
        self.core.counters.rpc.add(called);
        let answer = self.calls.answer(ticket, &result);
        out.extend(answer.map(Action::Send));
    }
}

/// Parameters by name, of what a message of the same name has.
fn envelope(params: &str) -> Result<Envelope<'_>, Fault> {
    envelope::parse_object(params)
}

fn fields<'p, T: Deserialize<'p>>(params: &'p str) -> Result<T, Fault> {
    serde_json::from_str(params).map_err(|_| Fault::bad_request("parameters that are none of the method's"))
}
