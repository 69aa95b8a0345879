//! From a request to a connection: who asks, from where, with which token; and what is refused before it is one.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::{IntoResponse, Response},
};
use framecast::{
    Refusal,
    axum::{UpgradeRejection, WebSocketUpgrade},
};
use http::{HeaderMap, StatusCode, header::SEC_WEBSOCKET_PROTOCOL, request::Parts};
use serde::Deserialize;
use tracing::debug;

use super::{
    Server,
    admin::{bearer, is_admin, of_another_origin},
    connection,
    metrics::Refused,
    peer::is_for_this_machine,
};
use crate::{addresses::Admitted, routes, session::Visitor, token::Secret};

/// `/ws`, and `/ws/{client_id}`.
pub(super) async fn upgrade(State(server): State<Server>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let own = parts.uri.path().strip_prefix("/ws/").filter(|_| !server.0.hub.has_route(parts.uri.path()));
    match own.map(routes::decode) {
        Some(None) => Refusal::new(StatusCode::BAD_REQUEST).into_response(),
        Some(client_id) => open(&server, parts, client_id).await,
        None => open(&server, parts, None).await,
    }
}

/// A path of the hub's routes, or none at all.
pub(super) async fn by_route(State(server): State<Server>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if !server.0.hub.has_route(parts.uri.path()) {
        return (StatusCode::NOT_FOUND, "Not Found\n").into_response();
    }
    open(&server, parts, None).await
}

/// What a URL says beside its path.
#[derive(Deserialize)]
struct Params {
    token: Option<String>,
    resume: Option<String>,
}

async fn open(server: &Server, mut parts: Parts, client_id: Option<String>) -> Response {
    let metrics = &server.0.metrics;
    let address = server.0.client(&parts);
    let admitted = match admit(server, address, server.0.has_proxy_between(&parts)) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, server).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            debug!(%rejection, path = parts.uri.path(), "upgrade refused");
            let (why, response) = match rejection {
                UpgradeRejection::Handshake(error) if error.refusal().status() == StatusCode::FORBIDDEN => {
                    (Refused::Origin, of_another_origin(error))
                }
                UpgradeRejection::Unavailable if server.is_draining() => {
                    (Refused::Draining, rejection.into_response())
                }
                UpgradeRejection::Unavailable => (Refused::Full, rejection.into_response()),
                rejection => (Refused::Handshake, rejection.into_response()),
            };
            metrics.refused(why);
            return response;
        }
    };
    if server.0.hub.is_open_by_default() && !is_for_this_machine(&parts) {
        // Whoever can have a browser take another name for this machine could have its page speak here (DNS rebinding).
        metrics.refused(Refused::Host);
        return Refusal::forbidden().body(OPEN_TO_THIS_MACHINE).into_response();
    }
    let Ok(Query(params)) = Query::<Params>::try_from_uri(&parts.uri) else {
        metrics.refused(Refused::Handshake);
        return Refusal::new(StatusCode::BAD_REQUEST).into_response();
    };
    let is_admin = is_admin(server, &parts);
    // The admin's own token says nothing about a user.
    let header = bearer(&parts.headers).filter(|_| !is_admin || server.0.admin_token.is_none());
    let token = header.or_else(|| of_subprotocols(&parts.headers)).map(str::to_owned).or(params.token);
    let visitor = Visitor {
        client_id,
        resume: params.resume.map(Secret::new),
        token: token.map(Secret::new),
        path: parts.uri.path().to_owned(),
        address,
        is_admin,
    };
    metrics.upgraded();
    let server = server.clone();
    upgrade.on_upgrade(move |ws| {
        let mut out = Vec::new();
        let session = server.0.hub.open(visitor, ws.sender(), &mut out);
        connection::serve(server, session, out, ws, admitted)
    })
}

/// Whether its address may have another connection now.
fn admit(server: &Server, address: Option<IpAddr>, is_between: bool) -> Result<Option<Admitted>, Refusal> {
    let Some(address) = address else { return Ok(None) };
    server.0.hub.addresses().admit(address, is_between).map(Some).map_err(|error| {
        debug!(%address, %error, "upgrade refused");
        server.0.metrics.refused(Refused::of(error));
        let retry_after = error.retry_after().unwrap_or(CROWDED_RETRY_AFTER);
        Refusal::too_many(seconds(retry_after)).body(format!("{error}\n"))
    })
}

/// Rounded up.
fn seconds(time: Duration) -> u32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

/// `framecast, bearer.<token>`.
fn of_subprotocols(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).find_map(|offer| offer.trim().strip_prefix("bearer."))
}

const OPEN_TO_THIS_MACHINE: &str =
    "nobody is asked for a token here, so this is for this machine alone, by its own names\n";
/// For an address that has as many connections as it may have: nobody knows when one of them ends.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(5);
