//! Who may what is for the server's admin: with its token, or, where there is none, from this machine alone.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use framecast::{Refusal, handshake::HandshakeError};
use http::{HeaderMap, Method, header::AUTHORIZATION, request::Parts};
use subtle::ConstantTimeEq;
use tracing::debug;

use super::{Server, metrics::Refused};
use crate::token::Secret;

/// Lets through who is the admin. What changes something, a page of another origin may not ask for in any case.
pub(super) async fn guard(State(server): State<Server>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe && let Err(error) = server.0.endpoint.check_origin(&parts.headers) {
        server.0.metrics.refused(Refused::Origin);
        return of_another_origin(error);
    }
    if !is_admin(&server, &parts) {
        server.0.metrics.refused(Refused::Admin);
        debug!(method = %parts.method, path = parts.uri.path(), "not for who is not the admin");
        return match (&server.0.admin_token, Refusal::unauthorized("Bearer")) {
            (Some(_), Ok(unauthorized)) => unauthorized.into_response(),
            _ => Refusal::forbidden()
                .body("for this machine alone, as there is no admin token\n")
                .into_response(),
        };
    }
    next.run(Request::from_parts(parts, body)).await
}

/// The answer to a page that is not let in, which says why.
pub(super) fn of_another_origin(error: HandshakeError) -> Response {
    error.refusal().body(format!("{error}\n")).into_response()
}

/// Whether a request has the admin's rights.
pub(super) fn is_admin(server: &Server, parts: &Parts) -> bool {
    match &server.0.admin_token {
        Some(admin) => bearer(&parts.headers).is_some_and(|token| is_same(token, admin)),
        None => server.0.is_of_this_machine(parts),
    }
}

/// How long it takes tells nothing but the lengths.
fn is_same(token: &str, admin: &Secret) -> bool {
    token.as_bytes().ct_eq(admin.expose().as_bytes()).into()
}

/// RFC 6750 §2.1; the scheme's case does not matter.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
