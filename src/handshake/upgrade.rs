//! A server's reading of a request: the rules of RFC 6455 §4.2.1, and of RFC 9110 and 9112 where they guard them.
//!
//! The order decides what a request with several faults is told: what makes it no request to us first (method, body,
//! host), then what makes it no upgrade, then what makes it a bad one, the origin last.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Version, request::Parts};

use super::authority::Authority;
use super::endpoint::Endpoint;
use super::error::HandshakeError;
use super::extensions;
use super::fields::{elements, single, token_list};
use super::head::RequestHead;
use super::key::{accept_value, is_key};
use super::request::Request;
use super::scan::HeadLimits;
use super::target::Target;
use crate::proto::{Config, Deflate};

/// [`check`], of a head that another HTTP server has read.
pub(super) fn check_parts(
    parts: &Parts,
    endpoint: &Endpoint,
    config: &Config,
) -> Result<Request, HandshakeError> {
    // What HTTP/2 and HTTP/3 have in the place of `Upgrade`.
    if parts.method == Method::CONNECT && parts.version > Version::HTTP_11 {
        return Err(HandshakeError::ExtendedConnect);
    }
    check(RequestHead::of_parts(parts, HeadLimits::of(config))?, endpoint, config.deflate.as_ref())
}

/// Holds a head against every rule; what is left is a request that may be accepted.
pub(super) fn check(
    head: RequestHead,
    endpoint: &Endpoint,
    deflate: Option<&Deflate>,
) -> Result<Request, HandshakeError> {
    let RequestHead { method, target, headers } = head;
    if method != Method::GET {
        return Err(HandshakeError::Method { head: method == Method::HEAD });
    }
    let target = Target::parse(target).ok_or(HandshakeError::Target)?;
    check_body(&headers)?;
    let host = host(&headers)?;
    if !target.agrees_with(&host, endpoint.is_secure()) {
        return Err(HandshakeError::Target);
    }
    check_upgrade(&headers)?;
    check_connection(&headers)?;
    check_version(&headers)?;
    let accept = accept(&headers)?;
    let subprotocols = subprotocols(&headers)?;
    let extensions = extensions::offers(&headers).map_err(|_| HandshakeError::Extensions)?;
    endpoint.origin_policy().check(&headers, &host, endpoint.is_secure())?;
    let chosen = endpoint.choose(&subprotocols);
    if chosen.is_none() && endpoint.requires_subprotocol() {
        return Err(HandshakeError::SubprotocolRequired);
    }
    Ok(Request {
        method,
        target,
        headers,
        host,
        subprotocols: subprotocols.into(),
        chosen,
        deflate: deflate.and_then(|ours| extensions::choose(&extensions, ours)),
        extensions,
        accept,
    })
}

/// A body could be the next request for whoever reads lengths differently. One `0` is let pass: some devices send it.
fn check_body(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let length = single(headers, &CONTENT_LENGTH).map_err(|_| HandshakeError::Body)?;
    if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
        return Err(HandshakeError::Body);
    }
    if headers.contains_key(EXPECT) { Err(HandshakeError::Expect) } else { Ok(()) }
}

pub(super) fn host(headers: &HeaderMap) -> Result<Authority, HandshakeError> {
    let host = single(headers, &HOST).ok().flatten().and_then(|host| host.to_str().ok());
    host.and_then(Authority::parse).ok_or(HandshakeError::Host)
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let Ok(Some(_)) = single(headers, &UPGRADE) else { return Err(HandshakeError::Upgrade) };
    if !elements(headers, &UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(HandshakeError::Upgrade);
    }
    // Offering HTTP/2 beside us invites a proxy to take the other offer (catalogue: V-49).
    if elements(headers, &UPGRADE).count() > 1 || headers.contains_key(HTTP2_SETTINGS) {
        return Err(HandshakeError::UpgradeAmbiguous);
    }
    Ok(())
}

fn check_connection(headers: &HeaderMap) -> Result<(), HandshakeError> {
    if !elements(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
        return Err(HandshakeError::Connection);
    }
    let options = token_list(headers, &CONNECTION).map_err(|_| HandshakeError::ConnectionList)?;
    // A proxy drops the fields listed here. Listing one that the decision rests on asks it to hide that field.
    let is_end_to_end = |option: &&str| {
        let option = option.to_ascii_lowercase();
        option.starts_with("sec-websocket-") || END_TO_END.contains(&option.as_str())
    };
    if options.iter().any(is_end_to_end) { Err(HandshakeError::ConnectionList) } else { Ok(()) }
}

/// A decimal number up to 255 without sign or leading zeros (RFC 6455 §4.3), and that number 13.
fn check_version(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let version = single(headers, &SEC_WEBSOCKET_VERSION).map_err(|_| HandshakeError::VersionMalformed)?;
    let version = version.ok_or(HandshakeError::Version)?.as_bytes();
    match version {
        b"13" => Ok(()),
        b"0" | [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] => Err(HandshakeError::Version),
        [b'1'..=b'2', b'0'..=b'9', b'0'..=b'9'] if version <= b"255".as_slice() => {
            Err(HandshakeError::Version)
        }
        _ => Err(HandshakeError::VersionMalformed),
    }
}

/// The value that answers the key.
fn accept(headers: &HeaderMap) -> Result<String, HandshakeError> {
    let key = single(headers, &SEC_WEBSOCKET_KEY).ok().flatten().map(|key| key.as_bytes());
    key.filter(|key| is_key(key)).map(accept_value).ok_or(HandshakeError::Key)
}

/// The subprotocols offered. There are few enough that comparing each with each is nothing.
fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let tokens = token_list(headers, &SEC_WEBSOCKET_PROTOCOL).map_err(|_| HandshakeError::Subprotocols)?;
    let is_repeated = |(at, token): (usize, &&str)| tokens[..at].contains(token);
    if tokens.iter().enumerate().any(is_repeated) {
        return Err(HandshakeError::Subprotocols);
    }
    Ok(tokens.into_iter().map(str::to_owned).collect())
}

/// RFC 7540 §3.2.1.
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Beside `Sec-WebSocket-*`, what the upgrade, its origin and its user are told by; and an offer of HTTP/2.
const END_TO_END: [&str; 5] = ["authorization", "cookie", "host", "http2-settings", "origin"];
