//! The client's side: the request to send, and the answer to it (RFC 6455 §4.1).

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::custom::{HeaderError, append, custom, write_field, write_fields};
use super::endpoint::{SubprotocolError, checked_subprotocols};
use super::extensions;
use super::head::HeadBuffer;
use super::key::{accept_value, encode_key};
use super::response::{Collecting, ConnectError, Established, Expected};
use super::scan::{HeadLimits, Kind};
use super::url::Url;
use crate::proto::Config;

/// A client's opening handshake, as it will be sent.
///
/// ```
/// use framecast::handshake::{ClientRequest, Url, random_key};
/// use framecast::proto::Config;
///
/// let request = ClientRequest::new(Url::parse("ws://localhost/feed")?)
///     .header("authorization", "Bearer 123")?
///     .subprotocols(["feed.v1"])?;
/// let (bytes, handshake) = request.start(&Config::default(), random_key()?);
/// assert!(bytes.starts_with(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientRequest {
    url: Url,
    headers: HeaderMap,
    subprotocols: Vec<String>,
    subprotocol_required: bool,
}

impl ClientRequest {
    /// Asks for `url`: no header of your own, no origin, no subprotocol. Its user information is not sent.
    pub fn new(url: Url) -> Self {
        Self { url, headers: HeaderMap::new(), subprotocols: Vec::new(), subprotocol_required: false }
    }

    /// Where it goes.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Adds a header.
    ///
    /// # Errors
    /// No token, a control byte, a name of the handshake's own as for [`Refusal::header`](super::Refusal::header), or a
    /// name that was given before.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        let (name, value) = custom(name, value.as_ref())?;
        if self.headers.contains_key(&name) {
            return Err(HeaderError::Duplicate(name));
        }
        append(&mut self.headers, name, value)?;
        Ok(self)
    }

    /// Sends `origin`, as a browser would for a page of it. It is not checked beyond being a header's value.
    ///
    /// # Errors
    /// A control byte, or an origin given before.
    pub fn origin(self, origin: &str) -> Result<Self, HeaderError> {
        self.header(ORIGIN.as_str(), origin)
    }

    /// Sends the URL's user information as `Authorization: Basic` (RFC 7617); does nothing if it has none.
    ///
    /// # Errors
    /// An `Authorization` given before.
    pub fn authorize_from_url(mut self) -> Result<Self, HeaderError> {
        let Some(credentials) = self.url.credentials() else { return Ok(self) };
        if self.headers.contains_key(AUTHORIZATION) {
            return Err(HeaderError::Duplicate(AUTHORIZATION));
        }
        let value = format!("Basic {}", STANDARD.encode(credentials));
        let mut value = HeaderValue::try_from(value).map_err(|_| HeaderError::InvalidValue)?;
        value.set_sensitive(true);
        append(&mut self.headers, AUTHORIZATION, value)?;
        Ok(self)
    }

    /// Offers subprotocols, the preferred one first.
    ///
    /// # Errors
    /// One that is not a token or is given twice (RFC 6455 §4.1 item 10).
    pub fn subprotocols<'s>(
        mut self,
        subprotocols: impl IntoIterator<Item = &'s str>,
    ) -> Result<Self, SubprotocolError> {
        self.subprotocols = checked_subprotocols(subprotocols)?;
        Ok(self)
    }

    /// An answer without subprotocol fails the handshake. Default: it opens the connection without one.
    pub fn subprotocol_required(mut self) -> Self {
        self.subprotocol_required = true;
        self
    }

    /// The bytes to send, and who reads the answer. `key` is 16 fresh random bytes for every attempt (RFC 6455 §4.1
    /// item 7); [`random_key`](super::random_key) draws them.
    pub fn start(&self, config: &Config, key: [u8; 16]) -> (Vec<u8>, ClientHandshake) {
        let key = encode_key(key);
        let mut out = format!("GET {} HTTP/1.1\r\n", self.url.target()).into_bytes();
        write_field(&mut out, "Host", self.url.host_header().as_bytes());
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
        write_field(&mut out, "Sec-WebSocket-Key", key.as_bytes());
        out.extend_from_slice(b"Sec-WebSocket-Version: 13\r\n");
        if !self.subprotocols.is_empty() {
            write_field(&mut out, "Sec-WebSocket-Protocol", self.subprotocols.join(", ").as_bytes());
        }
        if let Some(deflate) = &config.deflate {
            write_field(&mut out, "Sec-WebSocket-Extensions", extensions::offer_of(deflate).as_bytes());
        }
        write_fields(&mut out, &self.headers);
        out.extend_from_slice(b"\r\n");
        let expected = Expected {
            accept: accept_value(key.as_bytes()),
            subprotocols: self.subprotocols.clone(),
            subprotocol_required: self.subprotocol_required,
            deflate: config.deflate,
        };
        (out, ClientHandshake::new(config, expected))
    }
}

/// A client's side of one opening handshake, from the request sent to the answer read.
///
/// Holds what was received, at most [`head_bytes_max`](Config::head_bytes_max) of a head or 64 KiB of a refusal's body.
/// Redirects are an answer like any other refusal: whether to follow one is for whoever holds the credentials.
#[derive(Debug)]
pub struct ClientHandshake {
    expected: Expected,
    limits: HeadLimits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reading a head, after so many interim responses.
    Head {
        head: HeadBuffer,
        interim: u8,
    },
    /// The server refused; reading why.
    Body(Collecting),
    Done(ConnectError),
}

impl ClientHandshake {
    fn new(config: &Config, expected: Expected) -> Self {
        let limits = HeadLimits::of(config);
        Self {
            expected,
            limits,
            state: State::Head { head: HeadBuffer::new(Kind::Response, limits), interim: 0 },
        }
    }

    /// Takes what was read from the server.
    ///
    /// `Ok(None)`: more is needed, and all of `input` was taken. `Ok(Some((established, used)))`: the connection is
    /// open; the first `used` bytes of *this* input belonged to the handshake, and the rest are frames. Up to 8 interim
    /// responses (1xx) before the answer are skipped.
    ///
    /// # Errors
    /// The first rule that the answer breaks, as early as a byte proves it, or [`ConnectError::Refused`] once the body
    /// of an answer other than 101 is read. Close, and read no more. Another call gives the same error; after success
    /// it gives [`ConnectError::Finished`].
    pub fn receive(&mut self, input: &[u8]) -> Result<Option<(Established, usize)>, ConnectError> {
        let state = std::mem::replace(&mut self.state, State::Done(ConnectError::Finished));
        let (state, established) = match self.advance(state, input) {
            Ok(next) => next,
            Err(error) => (State::Done(error.clone()), Err(error)),
        };
        self.state = state;
        established
    }

    /// The server closed, or the deadline passed: what to report. A refusal whose body was still coming is reported
    /// with what came of it.
    pub fn receive_eof(&mut self) -> ConnectError {
        let state = std::mem::replace(&mut self.state, State::Done(ConnectError::Finished));
        let error = match state {
            State::Head { .. } => ConnectError::Closed,
            State::Body(collecting) => collecting.finish(),
            State::Done(error) => error,
        };
        self.state = State::Done(error.clone());
        error
    }

    /// The state after `input`, and what to say of it.
    fn advance(&self, state: State, input: &[u8]) -> Result<(State, Outcome), ConnectError> {
        let mut rest = input;
        let (mut head, mut interim) = match state {
            State::Done(error) => return Err(error),
            State::Body(collecting) => return Ok((State::Body(collecting.receive(rest)?), Ok(None))),
            State::Head { head, interim } => (head, interim),
        };
        loop {
            let Some(used) = head.receive(rest)? else {
                return Ok((State::Head { head, interim }, Ok(None)));
            };
            rest = &rest[used..];
            let response = head.into_response()?;
            if response.status == 101 {
                let established = self.expected.check(response)?;
                return Ok((
                    State::Done(ConnectError::Finished),
                    Ok(Some((established, input.len() - rest.len()))),
                ));
            }
            if !response.status.is_informational() {
                return Ok((State::Body(Collecting::begin(response).receive(rest)?), Ok(None)));
            }
            interim += 1;
            if interim > INTERIM_MAX {
                return Err(ConnectError::Interim { max: INTERIM_MAX });
            }
            head = HeadBuffer::new(Kind::Response, self.limits);
        }
    }
}

type Outcome = Result<Option<(Established, usize)>, ConnectError>;

/// Interim responses that are skipped; a server has use for one or two.
const INTERIM_MAX: u8 = 8;
