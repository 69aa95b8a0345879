//! The page, and whether the server is well.

use axum::{extract::State, response::Html};
use http::{HeaderName, StatusCode, header};

use super::Server;
use crate::bridge::BrokerState;

pub(super) async fn index() -> ([(HeaderName, &'static str); 3], Html<&'static str>) {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(include_str!("page/index.html")))
}

pub(super) async fn health() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(server): State<Server>) -> (StatusCode, &'static str) {
    match (server.is_draining(), server.hub().broker_state()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, Some(BrokerState::Away)) => (StatusCode::SERVICE_UNAVAILABLE, "the broker is away\n"),
        (false, _) => (StatusCode::OK, "ready\n"),
    }
}

/// The page is one file, and speaks to its own server alone; in nobody's frame, as clicks in it are its user's.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                                       connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
