//! JSON-RPC 2.0: requests, their answers, and the calls that are under way.

use std::{borrow::Cow, collections::BTreeMap, error::Error, fmt};

use framecast::Message;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    envelope::Envelope,
    fault::{ErrorCode, Fault},
    id::Id,
    json::{Json, list},
};

/// An error of a method's.
#[derive(Clone, Debug)]
pub struct RpcError {
    code: i64,
    message: Cow<'static, str>,
    data: Option<Box<str>>,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request<'t> {
    /// Absent from a notification, which is not answered.
    pub(crate) id: Option<RpcId>,
    pub(crate) method: Cow<'t, str>,
    pub(crate) params: Option<&'t RawValue>,
}

/// An id as it was written: a string, a number, or `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcId(Box<str>);

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The calls of a connection that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    last: u64,
    waiting: BTreeMap<Ticket, Waiting>,
    batches: BTreeMap<u64, Batch>,
}

#[derive(Debug)]
struct Waiting {
    id: Option<RpcId>,
    batch: Option<u64>,
}

/// A batch is answered as a whole.
#[derive(Debug, Default)]
struct Batch {
    waiting: usize,
    answers: Vec<String>,
    /// What the answers took that are not small, and what they may.
    bytes: usize,
    bytes_max: usize,
    /// One has found no room.
    is_full: bool,
    /// Some of it is still to be looked at.
    open: bool,
}

impl RpcError {
    /// No method of this name.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Parameters that are none of the method's.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The method has failed.
    pub const INTERNAL: i64 = -32603;
    /// The hub's own errors; `data.code` says which.
    pub const HUB: i64 = -32000;
    const PARSE: i64 = -32700;
    const INVALID_REQUEST: i64 = -32600;

    /// One of the application's: -32768 to -32000 are JSON-RPC's own.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// With `data`, if it can be written as JSON.
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_string(data).ok().map(String::into_boxed_str);
        self
    }

    /// Its code.
    pub fn code(&self) -> i64 {
        self.code
    }

    fn object(&self) -> String {
        let json = Json::object().raw("code", &self.code.to_string()).text("message", &self.message);
        match &self.data {
            Some(data) => json.raw("data", data).end(),
            None => json.end(),
        }
    }
}

/// What the hub itself refuses.
impl From<Fault> for RpcError {
    fn from(fault: Fault) -> Self {
        let code = match fault.code {
            ErrorCode::BadJson => Self::PARSE,
            ErrorCode::BadRequest => Self::INVALID_PARAMS,
            _ => Self::HUB,
        };
        let data = Json::object().text("code", fault.code.as_str());
        let data = match fault.retry_after_ms() {
            Some(millis) => data.number("retry_after_ms", millis),
            None => data,
        };
        let data = (code == Self::HUB).then(|| data.end().into_boxed_str());
        Self { code, message: fault.message, data }
    }
}

impl RpcId {
    fn parse(raw: &RawValue) -> Option<Self> {
        let json = raw.get();
        let fits = match json.as_bytes() {
            b"null" => true,
            [b'-' | b'0'..=b'9', ..] => json.len() <= 64,
            _ => Id::parse(raw).is_ok(),
        };
        fits.then(|| Self(json.into()))
    }

    pub(crate) fn null() -> Self {
        Self("null".into())
    }
}

impl<'t> Request<'t> {
    /// # Errors
    /// It is none; by what id to say so.
    pub(crate) fn new(envelope: &Envelope<'t>) -> Result<Self, (RpcId, RpcError)> {
        let id = envelope.id.map(|raw| RpcId::parse(raw).ok_or_else(|| invalid(RpcId::null(), "`id`")));
        let id = id.transpose()?;
        let invalid = |what| invalid(id.clone().unwrap_or_else(RpcId::null), what);
        let is_version =
            |raw: &RawValue| serde_json::from_str::<&str>(raw.get()).is_ok_and(|text| text == "2.0");
        if !envelope.jsonrpc.is_some_and(is_version) {
            return Err(invalid("`jsonrpc`"));
        }
        let method = envelope.text("method", envelope.method).ok().flatten();
        let method = method.ok_or_else(|| invalid("`method`"))?;
        if envelope.params.is_some_and(|params| !params.get().starts_with(['[', '{'])) {
            return Err(invalid("`params`"));
        }
        Ok(Self { id, method, params: envelope.params })
    }
}

fn invalid(id: RpcId, what: &str) -> (RpcId, RpcError) {
    (id, RpcError::new(RpcError::INVALID_REQUEST, format!("not a request: {what}")))
}

/// What is no request at all.
pub(crate) fn refusal(fault: Fault) -> Message {
    let code = match fault.code {
        ErrorCode::BadJson => RpcError::PARSE,
        ErrorCode::RateLimited | ErrorCode::Unauthorized => RpcError::from(fault.clone()).code,
        _ => RpcError::INVALID_REQUEST,
    };
    let error = RpcError { code, ..fault.into() };
    Message::text(response(&RpcId::null(), &Err(error)))
}

/// `{"jsonrpc":"2.0","result":…,"id":…}`, or with an `error`; the result is JSON already.
pub(crate) fn response(id: &RpcId, result: &Result<String, RpcError>) -> String {
    let json = Json::object().text("jsonrpc", "2.0");
    let json = match result {
        Ok(result) => json.raw("result", result),
        Err(error) => json.raw("error", &error.object()),
    };
    json.raw("id", &id.0).end()
}

impl Calls {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Begins to gather a batch's answers, of so many bytes together.
    pub(crate) fn open_batch(&mut self, bytes_max: usize) -> u64 {
        self.last += 1;
        self.batches.insert(self.last, Batch { open: true, bytes_max, ..Batch::default() });
        self.last
    }

    /// All of a batch was looked at; its answer, if that is complete.
    pub(crate) fn close_batch(&mut self, batch: u64) -> Option<Message> {
        self.batches.get_mut(&batch)?.open = false;
        self.complete(batch)
    }

    /// Whether an answer has found no room in a batch.
    pub(crate) fn is_full(&self, batch: u64) -> bool {
        self.batches.get(&batch).is_some_and(|batch| batch.is_full)
    }

    /// A call waits for its answer.
    pub(crate) fn begin(&mut self, id: Option<RpcId>, batch: Option<u64>) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        if id.is_some()
            && let Some(batch) = batch.and_then(|batch| self.batches.get_mut(&batch))
        {
            batch.waiting += 1;
        }
        self.waiting.insert(ticket, Waiting { id, batch });
        ticket
    }

    /// A call is answered: what is to be sent, if anything is.
    pub(crate) fn answer(&mut self, ticket: Ticket, result: &Result<String, RpcError>) -> Option<Message> {
        let Waiting { id, batch } = self.waiting.remove(&ticket)?;
        let id = id?;
        if let Some(batch) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
            batch.waiting -= 1;
        }
        self.answer_now(&id, batch, result)
    }

    /// Answers a call that has not waited.
    pub(crate) fn answer_now(
        &mut self,
        id: &RpcId,
        batch: Option<u64>,
        result: &Result<String, RpcError>,
    ) -> Option<Message> {
        let response = response(id, result);
        let Some(number) = batch else { return Some(Message::text(response)) };
        self.batches.get_mut(&number)?.push(id, response);
        self.complete(number)
    }

    /// A batch's answer, once it is complete. One of notifications alone has none.
    fn complete(&mut self, number: u64) -> Option<Message> {
        let batch = self.batches.get(&number)?;
        if batch.open || batch.waiting > 0 {
            return None;
        }
        let batch = self.batches.remove(&number)?;
        (!batch.answers.is_empty()).then(|| Message::text(list(batch.answers)))
    }
}

impl Batch {
    /// An answer; or, if that is too much, an error for it. The first one has room in any case, and so has what is small: whoever has
    /// published is to know it.
    fn push(&mut self, id: &RpcId, response: String) {
        let bytes = if response.len() > SMALL_BYTES { response.len() } else { 0 };
        if bytes > 0 && self.bytes > 0 && self.bytes + bytes > self.bytes_max {
            self.is_full = true;
            self.answers.push(self::response(id, &Err(batch_too_large().into())));
        } else {
            self.bytes += bytes;
            self.answers.push(response);
        }
    }
}

/// What becomes of a call for whose answer its batch has no room.
pub(crate) fn batch_too_large() -> Fault {
    Fault::new(ErrorCode::TooLarge, "the batch's answers are too large together")
}

/// An answer that does not count among its batch's.
const SMALL_BYTES: usize = 1024;

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl Error for RpcError {}
