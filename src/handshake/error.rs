//! Why a request is not upgraded, a variant for each rule, and the refusal that answers it.

use std::fmt;

use http::StatusCode;

use super::refusal::Refusal;
use super::scan::HeadError;

/// A rule that a client's opening handshake broke. Its [`refusal`](Self::refusal) is sent, then the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The head is no HTTP/1.1 head, or passes a limit: 400, 414, 431 or 505.
    Head(HeadError),
    /// The method is not GET; `head` if it is HEAD, whose answer has no body: 405. RFC 6455 §4.2.1 item 1.
    Method {
        /// Whether the method is HEAD.
        head: bool,
    },
    /// A CONNECT of HTTP/2 or HTTP/3, which another HTTP server has read: their upgrade is not supported. 501.
    /// RFC 8441 §4, RFC 9220 §3.
    ExtendedConnect,
    /// The target is neither a path nor an `http` or `https` URL that names the same host as `Host`: 400.
    /// RFC 9112 §3.2.
    Target,
    /// `Host` is missing, repeated or no host: 400. RFC 9112 §3.2.
    Host,
    /// A `Transfer-Encoding`, or a `Content-Length` other than one `0`: a handshake has no body. 400. RFC 9112 §6.
    Body,
    /// An `Expect`: 417. There is no body to wait for. RFC 9110 §10.1.1.
    Expect,
    /// `Upgrade` is missing, repeated, or does not name `websocket`: 426. RFC 6455 §4.2.1 item 3.
    Upgrade,
    /// `Upgrade` names `websocket` and something else, or `HTTP2-Settings` asks for HTTP/2: 400.
    UpgradeAmbiguous,
    /// `Connection` does not list `Upgrade`: 426. RFC 6455 §4.2.1 item 4.
    Connection,
    /// `Connection` is no list of tokens, or declares a field hop-by-hop that the handshake rests on: 400.
    /// RFC 9110 §7.6.1.
    ConnectionList,
    /// `Sec-WebSocket-Version` is missing or a version other than 13: 426, naming 13. RFC 6455 §4.4.
    Version,
    /// `Sec-WebSocket-Version` is repeated or no number from 0 to 255: 400, naming 13. RFC 6455 §4.3.
    VersionMalformed,
    /// `Sec-WebSocket-Key` is missing, repeated, or not the base64 of 16 bytes: 400. RFC 6455 §4.2.1 item 5.
    Key,
    /// `Sec-WebSocket-Protocol` is no list of distinct tokens: 400. RFC 6455 §4.1 item 10.
    Subprotocols,
    /// No subprotocol of ours was offered, and the endpoint requires one: 400. RFC 6455 §4.2.2 item 5.
    SubprotocolRequired,
    /// `Sec-WebSocket-Extensions` does not fit its grammar: 400. RFC 6455 §9.1.
    Extensions,
    /// `Origin` is repeated: 400. RFC 6454 §7.3.
    OriginRepeated,
    /// `Origin` is missing, and the endpoint requires one: 403. RFC 6455 §10.2.
    OriginRequired,
    /// The origin is not among those allowed: 403. RFC 6455 §4.2.2 item 4, §10.2.
    Origin,
    /// Not the peer's fault: [`receive`](super::ServerHandshake::receive) was called after the head was complete. 500.
    Finished,
}

impl HandshakeError {
    /// The status of the refusal.
    pub const fn status(self) -> StatusCode {
        // No `_` arm: a new rule cannot forget its status.
        match self {
            Self::Head(error) => error.status(),
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ExtendedConnect => StatusCode::NOT_IMPLEMENTED,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::Upgrade | Self::Connection | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::OriginRequired | Self::Origin => StatusCode::FORBIDDEN,
            Self::Finished => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Target
            | Self::Host
            | Self::Body
            | Self::UpgradeAmbiguous
            | Self::ConnectionList
            | Self::VersionMalformed
            | Self::Key
            | Self::Subprotocols
            | Self::SubprotocolRequired
            | Self::Extensions
            | Self::OriginRepeated => StatusCode::BAD_REQUEST,
        }
    }

    /// The response to send before closing.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Method { head } => Refusal::method_not_allowed(head),
            Self::Upgrade | Self::Connection => Refusal::upgrade_required(),
            Self::Version => Refusal::upgrade_required().with_version(),
            Self::VersionMalformed => Refusal::new(self.status()).with_version(),
            _ => Refusal::new(self.status()),
        }
    }
}

impl From<HeadError> for HandshakeError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head(error) => return error.fmt(f),
            Self::Method { .. } => "method is not GET (RFC 6455 §4.2.1)",
            Self::ExtendedConnect => "extended connect is not supported (RFC 8441 §4)",
            Self::Target => "request target is not ours (RFC 9112 §3.2)",
            Self::Host => "host is missing, repeated or malformed (RFC 9112 §3.2)",
            Self::Body => "request announces a body (RFC 9112 §6)",
            Self::Expect => "request expects something (RFC 9110 §10.1.1)",
            Self::Upgrade => "upgrade is not to websocket (RFC 6455 §4.2.1)",
            Self::UpgradeAmbiguous => "upgrade is to websocket and something else (RFC 6455 §4.2.1)",
            Self::Connection => "connection does not list upgrade (RFC 6455 §4.2.1)",
            Self::ConnectionList => "connection is malformed or names an end-to-end field (RFC 9110 §7.6.1)",
            Self::Version => "websocket version is not 13 (RFC 6455 §4.4)",
            Self::VersionMalformed => "websocket version is no version (RFC 6455 §4.3)",
            Self::Key => "key is not the base64 of 16 bytes (RFC 6455 §4.2.1)",
            Self::Subprotocols => "subprotocols are no list of distinct tokens (RFC 6455 §4.1)",
            Self::SubprotocolRequired => "no subprotocol in common (RFC 6455 §4.2.2)",
            Self::Extensions => "extensions are malformed (RFC 6455 §9.1)",
            Self::OriginRepeated => "origin is repeated (RFC 6454 §7.3)",
            Self::OriginRequired => "origin is missing (RFC 6455 §10.2)",
            Self::Origin => "origin is not allowed (RFC 6455 §10.2)",
            Self::Finished => "bytes were given to a finished handshake",
        })
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            _ => None,
        }
    }
}
