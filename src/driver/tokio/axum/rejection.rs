//! Why a request is not upgraded, and refusals as axum's responses.

use std::fmt;

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::{
    driver::tokio::accept::retry_after_seconds,
    handshake::{HandshakeError, Refusal},
};

/// Why a request is not upgraded. As a response it is its [`refusal`](Self::refusal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeRejection {
    /// It breaks a rule, or does not fit the endpoint's terms.
    Handshake(HandshakeError),
    /// As many are connected as may be, or the app shuts down: 503.
    Unavailable,
    /// Not the peer's fault: the connection cannot be had. Something in front has taken it, or no hyper serves this. 500.
    NotUpgradable,
}

impl UpgradeRejection {
    /// The response; the connection is closed behind it.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Handshake(error) => error.refusal(),
            Self::Unavailable => Refusal::unavailable(retry_after_seconds()),
            Self::NotUpgradable => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<HandshakeError> for UpgradeRejection {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl fmt::Display for UpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Unavailable => write!(f, "server takes no more connections"),
            Self::NotUpgradable => write!(f, "connection cannot be had of the server"),
        }
    }
}

impl std::error::Error for UpgradeRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Handshake(error) => Some(error),
            Self::Unavailable | Self::NotUpgradable => None,
        }
    }
}

impl IntoResponse for UpgradeRejection {
    fn into_response(self) -> Response {
        self.refusal().into_response()
    }
}

/// For handlers that refuse an upgrade by themselves: unlike other responses it closes the connection, so that what follows is not
/// taken for a request (catalogue: V-48).
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.to_http().map(Body::from)
    }
}
