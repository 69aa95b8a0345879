//! The server's side: bytes to a [`Request`], and the 101 that accepts it (RFC 6455 §4.2).

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::custom::{HeaderError, add_field, append, custom, write_field};
use super::endpoint::{Endpoint, SubprotocolError};
use super::error::HandshakeError;
use super::head::HeadBuffer;
use super::request::Request;
use super::scan::{HeadLimits, Kind};
use super::upgrade;
use crate::proto::{Config, Deflate, DeflateTerms};

/// A server's side of one opening handshake, until the request is complete or refused.
///
/// Holds the head received so far, at most [`head_bytes_max`](Config::head_bytes_max).
#[derive(Debug)]
pub struct ServerHandshake {
    endpoint: Arc<Endpoint>,
    deflate: Option<Deflate>,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading(HeadBuffer),
    /// The head is over: what another call is told.
    Done(HandshakeError),
}

impl ServerHandshake {
    /// Waits for a request to `endpoint`, whose head is held to `config`'s limits.
    pub fn new(config: &Config, endpoint: Arc<Endpoint>) -> Self {
        let head = HeadBuffer::new(Kind::Request, HeadLimits::of(config));
        Self { endpoint, deflate: config.deflate, state: State::Reading(head) }
    }

    /// Takes what was read from the client.
    ///
    /// `Ok(None)`: the head is not complete, and all of `input` was taken. `Ok(Some((request, used)))`: it is complete;
    /// the first `used` bytes of *this* input belonged to it, and the rest are frames, for the connection to read once
    /// the 101 is out.
    ///
    /// # Errors
    /// The first rule that the request breaks, as early as a byte proves it. Send the error's
    /// [`refusal`](HandshakeError::refusal), close, and look at no further byte. Another call gives the same error;
    /// after a complete head it gives [`HandshakeError::Finished`].
    pub fn receive(&mut self, input: &[u8]) -> Result<Option<(Request, usize)>, HandshakeError> {
        let head = match &mut self.state {
            State::Reading(head) => head,
            State::Done(error) => return Err(*error),
        };
        let used = match head.receive(input) {
            Ok(None) => return Ok(None),
            Ok(Some(used)) => used,
            Err(error) => {
                self.state = State::Done(error.into());
                return Err(error.into());
            }
        };
        let State::Reading(head) = std::mem::replace(&mut self.state, State::Done(HandshakeError::Finished))
        else {
            return Err(HandshakeError::Finished);
        };
        let request = head.into_request().map_err(HandshakeError::Head);
        match request.and_then(|head| upgrade::check(head, &self.endpoint, self.deflate.as_ref())) {
            Ok(request) => Ok(Some((request, used))),
            Err(error) => {
                self.state = State::Done(error);
                Err(error)
            }
        }
    }

    /// Whether a byte has come. At the deadline a client that sent some is told
    /// [408](super::Refusal::request_timeout); one that sent none is closed in silence.
    pub fn received_any(&self) -> bool {
        match &self.state {
            State::Reading(head) => !head.is_empty(),
            State::Done(_) => true,
        }
    }
}

/// The 101 that opens the connection; made by [`Request::accept`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Response {
    accept: String,
    offered: Arc<[String]>,
    subprotocol: Option<String>,
    deflate: Option<(DeflateTerms, String)>,
    headers: HeaderMap,
}

impl Response {
    pub(super) fn new(
        accept: String,
        offered: Arc<[String]>,
        subprotocol: Option<String>,
        deflate: Option<(DeflateTerms, String)>,
    ) -> Self {
        Self { accept, offered, subprotocol, deflate, headers: HeaderMap::new() }
    }

    /// Speaks `subprotocol` instead of the endpoint's choice; `None` for none.
    ///
    /// # Errors
    /// The client did not offer it (RFC 6455 §4.2.2 item 5: it would fail the connection).
    pub fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Result<Self, SubprotocolError> {
        let subprotocol = subprotocol.map(str::to_owned);
        if let Some(unknown) = subprotocol.as_ref().filter(|subprotocol| !self.offered.contains(subprotocol))
        {
            return Err(SubprotocolError { subprotocol: unknown.clone() });
        }
        self.subprotocol = subprotocol;
        Ok(self)
    }

    /// The subprotocol that will be spoken.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The terms of permessage-deflate, if it will be used: for
    /// [`Connection::with_deflate`](crate::proto::Connection::with_deflate).
    pub fn deflate(&self) -> Option<DeflateTerms> {
        self.deflate.as_ref().map(|(terms, _)| *terms)
    }

    /// Declines compression, whatever was offered.
    pub fn without_deflate(mut self) -> Self {
        self.deflate = None;
        self
    }

    /// Adds a header. The same name may be added again, as `Set-Cookie` must.
    ///
    /// # Errors
    /// As for [`Refusal::header`](super::Refusal::header): no token, a control byte, or a name of the handshake's own.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        let (name, value) = custom(name, value.as_ref())?;
        append(&mut self.headers, name, value)?;
        Ok(self)
    }

    /// The bytes of the response. Frames may follow at once.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        self.each_field(|name, value| write_field(&mut out, name, value));
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The response for an HTTP server that writes its own heads.
    pub fn to_http(&self) -> http::Response<()> {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        self.each_field(|name, value| add_field(response.headers_mut(), name, value));
        response
    }

    fn each_field(&self, mut field: impl FnMut(&str, &[u8])) {
        field("Upgrade", b"websocket");
        field("Connection", b"Upgrade");
        field("Sec-WebSocket-Accept", self.accept.as_bytes());
        if let Some(subprotocol) = &self.subprotocol {
            field("Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        if let Some((_, answer)) = &self.deflate {
            field("Sec-WebSocket-Extensions", answer.as_bytes());
        }
        self.headers.iter().for_each(|(name, value)| field(name.as_str(), value.as_bytes()));
    }
}
