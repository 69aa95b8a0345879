//! Why the hub closes a connection: each reason has its code, and is counted.

use framecast::CloseCode;

use crate::{counts::kinds, fault::close};

kinds! {
    /// A reason to close, as metrics name it.
    pub(crate) enum Ending {
        /// What its id says that it is, is no client id, or somebody else's.
        ClientId = "client_id",
        /// The application says no.
        Denied = "denied",
        /// Somebody has sent the user away.
        Disconnected = "disconnected",
        /// Too much that makes no sense.
        Misuse = "misuse",
        /// It has not said in time who it is.
        NoToken = "no_token",
        /// It does not heed what it is told of its rate.
        RateIgnored = "rate_ignored",
        /// Its client has connected again.
        TakenOver = "taken_over",
        /// Its token has expired.
        TokenExpired = "token_expired",
        /// Its user has as many connections as it may have.
        TooManyConnections = "too_many_connections",
        /// It does not read what it is sent.
        TooSlow = "too_slow",
    }
}

impl Ending {
    pub(crate) const fn code(self) -> CloseCode {
        match self {
            Self::ClientId | Self::Denied | Self::Disconnected => close::FORBIDDEN,
            Self::Misuse | Self::RateIgnored => CloseCode::POLICY,
            Self::NoToken | Self::TokenExpired => close::UNAUTHORIZED,
            Self::TakenOver => close::TAKEN_OVER,
            Self::TooManyConnections => CloseCode::TRY_AGAIN,
            Self::TooSlow => close::TOO_SLOW,
        }
    }
}
