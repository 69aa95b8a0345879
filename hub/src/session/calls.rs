//! JSON-RPC: the hub's own methods, and calls of the application's.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Action, Call, Reply, ReplyTo, Session, rooms::Publication};
use crate::{
    answer,
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
    Done(Result<String, RpcError>),
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
            Err(fault) => match Request::new(envelope) {
                Ok(Request { id: None, .. }) => {}
                Ok(Request { id: Some(id), .. }) => {
                    let answer = self.calls.answer_now(&id, None, &Err(fault.into()));
                    out.extend(answer.map(Action::Send));
                }
                Err(_) => out.push(Action::Send(rpc::refusal(fault))),
            },
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
            out.push(Action::Send(rpc::refusal(fault)));
            return self.note_misuse(is_misuse, out);
        }
        let number = self.calls.open_batch();
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
                let answer = self.calls.answer_now(&id, batch, &Err(error));
                out.extend(answer.map(Action::Send));
                return self.note_misuse(true, out);
            }
        };
        let Begun::Done(result) = self.begin_call(&request, batch, out).unwrap_or_else(Begun::refused) else {
            return;
        };
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
            "rooms.list" | "stats" if !is_admin => Err(Fault::forbidden("for the server's admin")),
            "rooms.list" => {
                let ListParams { prefix, after, limit } = fields(params)?;
                let limit = limit.unwrap_or(ROOMS_PAGE_MAX).min(ROOMS_PAGE_MAX);
                Ok(Begun::done(answer::rooms(&self.core.topics.list(&prefix, &after, limit))))
            }
            "stats" => Ok(Begun::done(answer::stats(&self.core.stats(), None))),
            "presence" => {
                let envelope = envelope(params)?;
                Ok(Begun::done(self.presence_of(&envelope.room()?, Json::object())?.end()))
            }
            "history" => {
                let envelope = envelope(params)?;
                let (room, span) = (envelope.room()?, envelope.span(self.core.limits.history_page_max)?);
                Ok(Begun::done(self.history_of(&room, span, Json::object())?.end()))
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
            let error = RpcError::new(RpcError::METHOD_NOT_FOUND, "no such method");
            return Ok(Begun::Done(Err(error)));
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
        let answer = self.calls.answer(ticket, &result);
        out.extend(answer.map(Action::Send));
    }
}

impl Begun {
    fn done(result: String) -> Self {
        Self::Done(Ok(result))
    }

    fn refused(fault: Fault) -> Self {
        Self::Done(Err(fault.into()))
    }
}

/// Parameters by name, of what a message of the same name has.
fn envelope(params: &str) -> Result<Envelope<'_>, Fault> {
    envelope::parse_object(params)
}

fn fields<'p, T: Deserialize<'p>>(params: &'p str) -> Result<T, Fault> {
    serde_json::from_str(params).map_err(|_| Fault::bad_request("parameters that are none of the method's"))
}
