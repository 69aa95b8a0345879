//! A client's reading of the answer: the rules for a 101 (RFC 6455 §4.1), and what a refusal says.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING,
    UPGRADE,
};

use super::extensions;
use super::fields::{elements, single};
use super::head::ResponseHead;
use super::scan::HeadError;
use crate::proto::{Deflate, DeflateTerms};

/// A server's 101 that kept every rule: the connection is open.
#[derive(Clone, Debug)]
pub struct Established {
    subprotocol: Option<String>,
    deflate: Option<DeflateTerms>,
    headers: HeaderMap,
}

impl Established {
    /// The terms of permessage-deflate, if the server took our offer: for
    /// [`Connection::with_deflate`](crate::proto::Connection::with_deflate).
    pub fn deflate(&self) -> Option<DeflateTerms> {
        self.deflate
    }

    /// The subprotocol that the server chose of those offered.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The headers of the 101.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// An answer other than 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedByServer {
    /// Its status; a redirect is not followed.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The first 64 KiB of its body at most, as it came: chunked coding, if any, is not taken away.
    pub body: Bytes,
}

/// Why a client's opening handshake failed. RFC 6455 §4.1: the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The answer is no HTTP/1.1 head, or passes a limit.
    Head(HeadError),
    /// The server answered, with a status other than 101.
    Refused(Box<RefusedByServer>),
    /// More interim responses than are skipped. RFC 9110 §15.2.
    Interim {
        /// How many are.
        max: u8,
    },
    /// `Upgrade` is not exactly `websocket`. RFC 6455 §4.1, item 2 on the answer.
    Upgrade,
    /// `Connection` does not list `Upgrade`. RFC 6455 §4.1, item 3 on the answer.
    Connection,
    /// `Sec-WebSocket-Accept` is missing, repeated or not the one for our key. RFC 6455 §4.1, item 4 on the answer.
    Accept,
    /// An extension that was not offered. RFC 6455 §4.1, item 5 on the answer.
    Extension,
    /// permessage-deflate on terms that were not offered, or that contradict each other. RFC 7692 §5.1, §7.1.
    DeflateTerms,
    /// A subprotocol that was not offered, or several. RFC 6455 §4.1, item 6 on the answer.
    Subprotocol,
    /// No subprotocol, and one is required.
    SubprotocolRequired,
    /// The server closed before its answer was complete.
    Closed,
    /// Not the server's fault: bytes were given to a handshake that had succeeded.
    Finished,
}

impl From<HeadError> for ConnectError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Refused(refused) => write!(f, "server answered with status {}", refused.status.as_str()),
            Self::Interim { max } => write!(f, "more than {max} interim responses"),
            Self::Upgrade => write!(f, "server does not switch to websocket (RFC 6455 §4.1)"),
            Self::Connection => write!(f, "connection does not list upgrade (RFC 6455 §4.1)"),
            Self::Accept => write!(f, "accept value is missing or not for our key (RFC 6455 §4.1)"),
            Self::Extension => write!(f, "server uses an extension that was not offered (RFC 6455 §4.1)"),
            Self::DeflateTerms => write!(f, "server's terms of compression were not offered (RFC 7692 §7.1)"),
            Self::Subprotocol => write!(f, "server chose a subprotocol that was not offered (RFC 6455 §4.1)"),
            Self::SubprotocolRequired => write!(f, "server chose no subprotocol"),
            Self::Closed => write!(f, "server closed before it answered"),
            Self::Finished => write!(f, "bytes were given to a finished handshake"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            _ => None,
        }
    }
}

/// What the 101 must say.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) accept: String,
    pub(super) subprotocols: Vec<String>,
    pub(super) subprotocol_required: bool,
    pub(super) deflate: Option<Deflate>,
}

impl Expected {
    /// Holds a 101 against every rule. A length or a coding in it means nothing: RFC 9112 §6.3 gives it no body.
    pub(super) fn check(&self, response: ResponseHead) -> Result<Established, ConnectError> {
        let ResponseHead { version_minor, headers, .. } = response;
        if version_minor != 1 {
            return Err(HeadError::Version.into());
        }
        let upgrade = single(&headers, &UPGRADE).ok().flatten();
        if !upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
            return Err(ConnectError::Upgrade);
        }
        if !elements(&headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
            return Err(ConnectError::Connection);
        }
        let accept = single(&headers, &SEC_WEBSOCKET_ACCEPT).ok().flatten();
        if accept.is_none_or(|accept| accept != self.accept.as_str()) {
            return Err(ConnectError::Accept);
        }
        let deflate = extensions::chosen(&headers, self.deflate.as_ref())?;
        let subprotocol = self.subprotocol(&headers)?;
        Ok(Established { subprotocol, deflate, headers })
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, ConnectError> {
        let chosen = single(headers, &SEC_WEBSOCKET_PROTOCOL).map_err(|_| ConnectError::Subprotocol)?;
        let Some(chosen) = chosen else {
            return if self.subprotocol_required { Err(ConnectError::SubprotocolRequired) } else { Ok(None) };
        };
        let offered = self.subprotocols.iter().find(|offered| chosen == offered.as_str());
        offered.cloned().map(Some).ok_or(ConnectError::Subprotocol)
    }
}

/// A refusal, while its body comes in.
#[derive(Debug)]
pub(super) struct Collecting {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// How much of the body to read: its length, but no more than [`BODY_BYTES_MAX`].
    body_bytes: usize,
}

impl Collecting {
    pub(super) fn begin(response: ResponseHead) -> Self {
        let ResponseHead { status, headers, .. } = response;
        let body_bytes = if matches!(status.as_u16(), 204 | 304) { 0 } else { body_bytes(&headers) };
        Self { status, headers, body: Vec::new(), body_bytes }
    }

    /// Takes more of the body; the error is the refusal, once enough of it is there.
    pub(super) fn receive(mut self, input: &[u8]) -> Result<Self, ConnectError> {
        let missing = self.body_bytes - self.body.len();
        self.body.extend_from_slice(&input[..missing.min(input.len())]);
        if self.body.len() == self.body_bytes { Err(self.finish()) } else { Ok(self) }
    }

    pub(super) fn finish(self) -> ConnectError {
        let Self { status, headers, body, .. } = self;
        ConnectError::Refused(Box::new(RefusedByServer { status, headers, body: body.into() }))
    }
}

/// A length that can be relied on, up to the bound; the bound where the end of the stream or a coding ends the body.
fn body_bytes(headers: &HeaderMap) -> usize {
    let length = single(headers, &CONTENT_LENGTH).ok().flatten().map(|length| length.as_bytes());
    match length {
        Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let coded = headers.contains_key(TRANSFER_ENCODING);
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            // More digits than a number holds are more than the bound.
            if coded { BODY_BYTES_MAX } else { length.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX) }
        }
        _ => BODY_BYTES_MAX,
    }
}

/// As much of a refusal's body as anyone reads; a server may send without end (catalogue: V-64).
const BODY_BYTES_MAX: usize = 64 << 10;
