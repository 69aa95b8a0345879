//! The request as the application sees it, before it answers.

use std::sync::Arc;

use http::Method;
use http::header::{HeaderMap, ORIGIN};

use super::accept::Response;
use super::authority::Authority;
use super::extensions::Offer;
use super::target::Target;
use crate::proto::DeflateTerms;

/// A client's opening handshake that kept every rule and fits the endpoint's terms. The application
/// [accepts](Self::accept) it, or answers with a [`Refusal`](super::Refusal).
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) host: Authority,
    pub(super) subprotocols: Arc<[String]>,
    pub(super) chosen: Option<String>,
    pub(super) extensions: Vec<Offer>,
    pub(super) deflate: Option<(DeflateTerms, String)>,
    pub(super) accept: String,
}

impl Request {
    /// The method: GET, since nothing else upgrades (RFC 6455 §4.2.1 item 1).
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as sent, not decoded: `/a%2Fb` and `/a/b` are different, and so are `/a` and `/x/../a`.
    ///
    /// Match routes on this; decode only parts, afterwards.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// What follows the first `?` of the target, not decoded; `None` without one, `Some("")` if nothing follows.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// The whole request target as sent.
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// Every header as sent, white space around values taken away. Values share the memory of the whole head: keep a
    /// copy of one rather than the `HeaderValue` for long.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The host of `Host` in lower case and without its port; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.host.host()
    }

    /// The origin as sent; `None` when there is none (no browser sent this), or when it is not ASCII, which only
    /// [`any_origin_dangerous`](super::OriginPolicy::any_origin_dangerous) lets through.
    pub fn origin(&self) -> Option<&str> {
        self.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok())
    }

    /// The subprotocols offered, in the client's order; distinct.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// The extensions offered, in the client's order.
    pub fn extensions(&self) -> &[Offer] {
        &self.extensions
    }

    /// The 101 that opens the connection, with the subprotocol that the endpoint prefers of those offered, and with
    /// compression if it is on and an offer of it can be met.
    pub fn accept(&self) -> Response {
        let (subprotocols, deflate) = (Arc::clone(&self.subprotocols), self.deflate.clone());
        Response::new(self.accept.clone(), subprotocols, self.chosen.clone(), deflate)
    }
}
