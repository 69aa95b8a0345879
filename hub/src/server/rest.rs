//! What the server's admin asks for and says by HTTP. Every route here is behind [`guard`](super::admin::guard).

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use framecast::broadcast::{BrokerError, Named, TopicError};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{Server, metrics::Refused};
use crate::{
    envelope::check_depth,
    fault::{ErrorCode, Fault},
    json::Json,
    post::Post,
    request::check_key,
    token::is_user_id,
};

pub(super) fn router() -> Router<Server> {
    Router::new()
        .route("/rooms", get(rooms))
        .route("/stats", get(stats))
        .route("/broadcast", post(broadcast))
        .route("/broadcast/{room}", post(publish))
        .route("/users/{user_id}/messages", post(direct))
        .route("/users/{user_id}", delete(disconnect))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: String,
    #[serde(default = "page_max")]
    limit: usize,
}

fn page_max() -> usize {
    usize::MAX
}

async fn rooms(
    State(server): State<Server>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Failed> {
    let Query(Page { prefix, after, limit }) = page?;
    Ok(json(StatusCode::OK, server.0.hub.rooms_json(&prefix, &after, limit)))
}

async fn stats(State(server): State<Server>) -> Response {
    json(StatusCode::OK, server.0.hub.stats_json())
}

/// To every connection.
async fn broadcast(State(server): State<Server>, request: Request) -> Result<Response, Failed> {
    let payload = payload(&server, request).await?;
    let published = server.0.hub.broadcast(&payload).await?;
    let sent = Json::object()
        .text("status", "sent")
        .number("recipients", u64::from(published.delivered + published.queued));
    Ok(json(StatusCode::OK, sent.end()))
}

/// What a POST may say of its message.
#[derive(Deserialize)]
struct Terms {
    key: Option<String>,
}

/// To a room.
async fn publish(
    State(server): State<Server>,
    room: Result<Path<String>, PathRejection>,
    terms: Result<Query<Terms>, QueryRejection>,
    request: Request,
) -> Result<Response, Failed> {
    let (Path(room), Query(Terms { key })) = (room?, terms?);
    check_key(key.as_deref())?;
    if Named::of(&room).map_err(Fault::from)? == Named::Pattern {
        return Err(Fault::bad_request("a wildcard is for subscribers only").into());
    }
    let payload = payload(&server, request).await?;
    let hub = &server.0.hub;
    let post = Post::new(room.as_str(), payload, hub.clock().now().unix_ms).key(key.as_deref());
    let published = timeout(hub.broker_within(), hub.publish_counted(&post)).await;
    let (position, published) = published.unwrap_or(Err(BrokerError::TimedOut)).map_err(Fault::from)?;
    let sent = Json::object()
        .text("status", "sent")
        .text("room", &room)
        .number("epoch", position.epoch)
        .number("offset", position.offset)
        .number("recipients", u64::from(published.delivered + published.queued));
    Ok(json(StatusCode::OK, sent.end()))
}

/// To a user.
async fn direct(
    State(server): State<Server>,
    user_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failed> {
    let user_id = user(user_id)?;
    let payload = payload(&server, request).await?;
    let recipients = server.0.hub.direct(&user_id, &payload);
    let sent = Json::object().text("status", "sent").text("user_id", &user_id);
    Ok(json(StatusCode::OK, sent.number("recipients", recipients as u64).end()))
}

async fn disconnect(
    State(server): State<Server>,
    user_id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failed> {
    let user_id = user(user_id)?;
    let connections = server.0.hub.disconnect(&user_id, "disconnected by the server's admin");
    let done = Json::object().text("status", "disconnected").text("user_id", &user_id);
    Ok(json(StatusCode::OK, done.number("connections", connections as u64).end()))
}

fn user(path: Result<Path<String>, PathRejection>) -> Result<String, Failed> {
    let Path(user_id) = path?;
    match is_user_id(&user_id) {
        true => Ok(user_id),
        false => Err(Fault::bad_request("a user id has 1 to 255 bytes, and no control characters").into()),
    }
}

/// The body, which is JSON, within its size and its time.
async fn payload(server: &Server, request: Request) -> Result<Box<RawValue>, Failed> {
    let payload = read_payload(server.0.hub.payload_bytes_max(), request.into_body()).await;
    if payload.is_err() {
        server.0.metrics.refused(Refused::Payload);
    }
    payload
}

async fn read_payload(max: usize, body: Body) -> Result<Box<RawValue>, Failed> {
    let bytes = match timeout(BODY_WITHIN, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let message = format!("a payload has {max} bytes at most, and a length that holds");
            return Err(Fault::new(ErrorCode::TooLarge, message).into());
        }
        Err(_) => {
            return Err(Failed(StatusCode::REQUEST_TIMEOUT, Fault::bad_request("the body takes too long")));
        }
    };
    let not_json = |_| Fault::new(ErrorCode::BadJson, "the body is the payload: JSON");
    let payload = serde_json::from_slice::<Box<RawValue>>(&bytes).map_err(not_json)?;
    check_depth(payload.get())?;
    Ok(payload)
}

/// A request that comes to nothing: `{"code","message"}`, as an `error` has them.
struct Failed(StatusCode, Fault);

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        let status = match fault.code {
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, fault)
    }
}

impl From<QueryRejection> for Failed {
    fn from(error: QueryRejection) -> Self {
        Fault::bad_request(error.body_text()).into()
    }
}

impl From<PathRejection> for Failed {
    fn from(error: PathRejection) -> Self {
        Fault::bad_request(error.body_text()).into()
    }
}

impl From<TopicError> for Failed {
    fn from(error: TopicError) -> Self {
        Fault::from(error).into()
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(status, fault) = self;
        json(status, Json::object().text("code", fault.code.as_str()).text("message", &fault.message).end())
    }
}

fn json(status: StatusCode, mut body: String) -> Response {
    body.push('\n');
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// For a body, from its request's head on.
const BODY_WITHIN: Duration = Duration::from_secs(10);
