//! What can go wrong before a connection is open. Afterwards it is told by [`CloseInfo`](super::CloseInfo).

use std::{fmt, io};

use http::StatusCode;

use crate::handshake::{
    ConnectError, HandshakeError, HeaderError, Refusal, RefusedByServer, SubprotocolError, UrlError,
};

/// Why a connection did not open.
#[derive(Debug)]
pub struct Error(Box<Repr>);

/// What kind of [`Error`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL, a header, a subprotocol or the TLS name that was asked for is not valid.
    Invalid,
    /// The look-up, TCP or TLS failed, or the transport broke during the handshake.
    Io(io::ErrorKind),
    /// It took longer than `handshake_within`.
    Timeout,
    /// Client: the server answered with this status. See [`Error::response`].
    Refused(StatusCode),
    /// Client: the server's answer breaks a rule.
    InvalidResponse,
    /// Server: the request was answered with this status, because it breaks a rule or the application said so.
    Rejected(StatusCode),
    /// Server: the listener is shutting down or has as many connections as it may.
    Unavailable,
}

#[derive(Debug)]
enum Repr {
    Invalid(Box<dyn std::error::Error + Send + Sync>),
    Io(io::Error),
    Timeout,
    Connect(ConnectError),
    Handshake(HandshakeError),
    Rejected(StatusCode),
    Unavailable,
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Repr::Invalid(_) => ErrorKind::Invalid,
            Repr::Io(error) => ErrorKind::Io(error.kind()),
            Repr::Timeout => ErrorKind::Timeout,
            Repr::Connect(ConnectError::Refused(refused)) => ErrorKind::Refused(refused.status),
            Repr::Connect(ConnectError::Closed) => ErrorKind::Io(io::ErrorKind::UnexpectedEof),
            Repr::Connect(_) => ErrorKind::InvalidResponse,
            Repr::Handshake(error) => ErrorKind::Rejected(error.status()),
            Repr::Rejected(status) => ErrorKind::Rejected(*status),
            Repr::Unavailable => ErrorKind::Unavailable,
        }
    }

    /// A client's: what the server answered instead of the 101; its headers, and at most 64 KiB of its body.
    pub fn response(&self) -> Option<&RefusedByServer> {
        match &*self.0 {
            Repr::Connect(ConnectError::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    pub(super) fn timeout() -> Self {
        Self(Box::new(Repr::Timeout))
    }

    pub(super) fn unavailable() -> Self {
        Self(Box::new(Repr::Unavailable))
    }

    pub(super) fn rejected(refusal: &Refusal) -> Self {
        Self(Box::new(Repr::Rejected(refusal.status())))
    }

    #[cfg(feature = "tls")]
    pub(super) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Box::new(Repr::Invalid(error.into())))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Repr::Invalid(error) => error.fmt(f),
            Repr::Io(error) => error.fmt(f),
            Repr::Timeout => write!(f, "opening handshake took too long"),
            Repr::Connect(error) => error.fmt(f),
            Repr::Handshake(error) => error.fmt(f),
            Repr::Rejected(status) => write!(f, "request refused with {status}"),
            Repr::Unavailable => write!(f, "server takes no more connections"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Repr::Invalid(error) => Some(&**error),
            Repr::Io(error) => Some(error),
            Repr::Connect(error) => Some(error),
            Repr::Handshake(error) => Some(error),
            Repr::Timeout | Repr::Rejected(_) | Repr::Unavailable => None,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:expr,)*) => {
        $(impl From<$type> for Error {
            fn from(error: $type) -> Self {
                Self(Box::new($variant(error)))
            }
        })*
    };
}

from! {
    io::Error => Repr::Io,
    ConnectError => Repr::Connect,
    HandshakeError => Repr::Handshake,
    UrlError => |error| Repr::Invalid(Box::new(error)),
    HeaderError => |error| Repr::Invalid(Box::new(error)),
    SubprotocolError => |error| Repr::Invalid(Box::new(error)),
}
