//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, header::HOST, request::Parts};

use super::Shared;
use crate::proxies::{is_from_this_machine, is_loopback_name};

impl Shared {
    /// The client's address, behind proxies that are trusted; `None` if whoever serves the router has not said it.
    pub(super) fn client(&self, parts: &Parts) -> Option<IpAddr> {
        Some(self.proxies.client(socket(parts)?, &parts.headers))
    }

    /// Whether there is a trusted proxy between the client and us.
    pub(super) fn has_proxy_between(&self, parts: &Parts) -> bool {
        socket(parts).is_some_and(|peer| self.proxies.speak(peer, &parts.headers))
    }

    /// Whether it comes from this machine, and for it. Nothing does that a trusted proxy sends, whether it says for whom or not.
    pub(super) fn is_of_this_machine(&self, parts: &Parts) -> bool {
        let is_from = |peer| !self.proxies.trusts(peer) && is_from_this_machine(peer, &parts.headers);
        is_for_this_machine(parts) && socket(parts).is_some_and(is_from)
    }
}

/// Whether it is a name of this machine's own that it asks for: in `Host`, and in its target, should there be one as well.
pub(super) fn is_for_this_machine(parts: &Parts) -> bool {
    let target = parts.uri.authority().map(|authority| authority.as_str());
    host(&parts.headers).is_some_and(is_loopback_name) && target.is_none_or(is_loopback_name)
}

fn socket(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

/// The only one: a second one may be meant for somebody else.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}
