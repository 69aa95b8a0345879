//! What a client is told that asked for something that cannot be, and the codes that connections are closed with.

use std::{borrow::Cow, time::Duration};

use framecast::{
    CloseCode,
    broadcast::{BrokerError, NameError, TopicError},
};

use crate::hooks::Denied;

/// The `code` of an `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not JSON.
    BadJson,
    /// JSON, and not what the type asks for.
    BadRequest,
    /// No such type.
    UnknownType,
    /// Not, or not yet, or no longer authenticated.
    Unauthorized,
    /// Known, and not allowed.
    Forbidden,
    /// Not subscribed to the room.
    NotSubscribed,
    /// Too fast: `retry_after_ms` says when there is room again.
    RateLimited,
    /// Too large, too deep or too many at once.
    TooLarge,
    /// The connection has as many rooms as it may have.
    TooManyRooms,
    /// The room's history does not reach back so far.
    HistoryGone,
    /// Not now.
    Unavailable,
}

impl ErrorCode {
    /// As the wire has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotSubscribed => "not_subscribed",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::TooManyRooms => "too_many_rooms",
            Self::HistoryGone => "history_gone",
            Self::Unavailable => "unavailable",
        }
    }

    /// The client does not know how to speak: to insist on it is no use to anybody.
    pub(crate) const fn is_misuse(self) -> bool {
        matches!(self, Self::BadJson | Self::BadRequest | Self::UnknownType | Self::TooLarge)
    }
}

/// The close codes of a hub, beside the engine's.
pub mod close {
    use framecast::CloseCode;

    /// Not, or no longer, authenticated.
    pub const UNAUTHORIZED: CloseCode = CloseCode(4001);
    /// Not allowed: somebody else's client id, or the application says no.
    pub const FORBIDDEN: CloseCode = CloseCode(4003);
    /// Too slow a reader: come back and recover.
    pub const TOO_SLOW: CloseCode = CloseCode(4008);
    /// The same client has connected again.
    pub const TAKEN_OVER: CloseCode = CloseCode(4009);
}

/// Why a request comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
    /// The application has the connection end for it.
    pub(crate) close: Option<CloseCode>,
}

impl Fault {
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None, close: None }
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    pub(crate) fn rate_limited(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(ErrorCode::RateLimited, "too fast") }
    }

    /// Rounded up, so that who waits so long has waited long enough.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        let millis = |time: Duration| time.as_nanos().div_ceil(1_000_000);
        self.retry_after.map(|time| u64::try_from(millis(time)).unwrap_or(u64::MAX))
    }
}

impl From<Denied> for Fault {
    fn from(Denied { reason, close }: Denied) -> Self {
        Self { close, ..Self::forbidden(reason) }
    }
}

impl From<NameError> for Fault {
    fn from(error: NameError) -> Self {
        // What the engine calls a topic is a room on the wire.
        Self::bad_request(error.to_string().replace("topic", "room"))
    }
}

impl From<TopicError> for Fault {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Name(error) => error.into(),
            TopicError::TooManySubscriptions { max } => {
                Self::new(ErrorCode::TooManyRooms, format!("a connection has {max} rooms at most"))
            }
            TopicError::TooManyTopics { max } => {
                Self::new(ErrorCode::Unavailable, format!("there are {max} rooms already"))
            }
            TopicError::TooManyPatterns { max } => {
                Self::new(ErrorCode::Unavailable, format!("there are {max} wildcards already"))
            }
            error => Self::new(ErrorCode::Unavailable, error.to_string()),
        }
    }
}

impl From<BrokerError> for Fault {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Topic(error) => error.into(),
            // Its reason is the operator's to see.
            BrokerError::Refused(_) => Fault::new(ErrorCode::Unavailable, "the broker refused"),
            error => Fault::new(ErrorCode::Unavailable, error.to_string()),
        }
    }
}
