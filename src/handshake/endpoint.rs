//! What an endpoint asks of those who connect: their origin, their subprotocols.

use std::fmt;

use http::{header::HeaderMap, request::Parts};

use super::error::HandshakeError;
use super::fields::is_token;
use super::origin::OriginPolicy;
use super::request::Request;
use super::upgrade;
use crate::proto::Config;

/// The terms on which a server upgrades. Built once, shared by all its handshakes in an [`Arc`](std::sync::Arc).
///
/// ```
/// use framecast::handshake::{Endpoint, OriginPolicy};
///
/// let endpoint = Endpoint::new()
///     .origins(OriginPolicy::list(["https://chat.example.com"])?)
///     .subprotocols(["chat.v2", "chat.v1"])?
///     .secure(true);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Endpoint {
    origins: OriginPolicy,
    subprotocols: Vec<String>,
    subprotocol_required: bool,
    secure: Option<bool>,
}

/// A subprotocol that is no token, or given twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubprotocolError {
    /// The subprotocol as given.
    pub subprotocol: String,
}

impl Endpoint {
    /// Pages of the same origin and clients without one; no subprotocol; TLS or not unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which origins are let in. Default [`OriginPolicy::same_origin`].
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = policy;
        self
    }

    /// The subprotocols spoken here, the preferred one first. Default none. Upper and lower case are different.
    ///
    /// The first of them that a client offers is chosen (RFC 6455 §4.2.2 item 5); when none is, the connection opens
    /// without one, unless [`subprotocol_required`](Self::subprotocol_required).
    ///
    /// # Errors
    /// One that is not a token (RFC 6455 §4.1 item 10) or is given twice.
    pub fn subprotocols<'s>(
        mut self,
        subprotocols: impl IntoIterator<Item = &'s str>,
    ) -> Result<Self, SubprotocolError> {
        self.subprotocols = checked_subprotocols(subprotocols)?;
        Ok(self)
    }

    /// A client that offers none of our subprotocols is refused with 400.
    pub fn subprotocol_required(mut self) -> Self {
        self.subprotocol_required = true;
        self
    }

    /// Whether clients reach us over TLS, ours or a proxy's. Default unknown.
    ///
    /// Say it where you know it: [`OriginPolicy::same_origin`] then tells `http` pages from `https` pages.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = Some(secure);
        self
    }

    /// Holds a request that another HTTP server has read, such as hyper, against all that
    /// [`ServerHandshake`](super::ServerHandshake) holds one against; answer it by [`Request::accept`] and
    /// [`Response::to_http`](super::Response::to_http), or by the error's [`refusal`](HandshakeError::refusal).
    ///
    /// What that server forgives cannot be seen any more: of bytes, a line that ends in LF alone, say, or a fragment behind the
    /// target; of fields, a second `Content-Length` of the same value, if it drops that. `config`'s limits on the head are held
    /// again, for what is left of it.
    ///
    /// # Errors
    /// The first rule that the request breaks.
    pub fn check(&self, config: &Config, parts: &Parts) -> Result<Request, HandshakeError> {
        upgrade::check_parts(parts, self, config)
    }

    /// Holds a request that is no upgrade against the [origin policy](Self::origins): one that changes something, say, beside the
    /// endpoint, which a page of somebody else's could send as well as a handshake.
    ///
    /// # Errors
    /// No `Host`, or more than one; an `Origin` that is not let in, is repeated, or is missing and required.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), HandshakeError> {
        self.origins.check(headers, &upgrade::host(headers)?, self.secure)
    }

    pub(super) fn origin_policy(&self) -> &OriginPolicy {
        &self.origins
    }

    pub(super) fn is_secure(&self) -> Option<bool> {
        self.secure
    }

    pub(super) fn requires_subprotocol(&self) -> bool {
        self.subprotocol_required
    }

    /// The one we prefer of those `offered`.
    pub(super) fn choose(&self, offered: &[String]) -> Option<String> {
        self.subprotocols.iter().find(|ours| offered.contains(ours)).cloned()
    }
}

/// Distinct tokens, or the first that is none.
pub(super) fn checked_subprotocols<'s>(
    subprotocols: impl IntoIterator<Item = &'s str>,
) -> Result<Vec<String>, SubprotocolError> {
    let mut checked: Vec<String> = Vec::new();
    for subprotocol in subprotocols {
        let subprotocol = subprotocol.to_owned();
        if !is_token(subprotocol.as_bytes()) || checked.contains(&subprotocol) {
            return Err(SubprotocolError { subprotocol });
        }
        checked.push(subprotocol);
    }
    Ok(checked)
}

impl fmt::Display for SubprotocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subprotocol {:?} is not a token, or is given twice", self.subprotocol)
    }
}

impl std::error::Error for SubprotocolError {}
