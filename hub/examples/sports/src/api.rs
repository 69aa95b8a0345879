//! REST: to create a match, to add commentary, to set a score. And the page.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{FromRequest, Path, Request, State},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS},
    },
    response::{Html, IntoResponse, Response},
    routing::{get, post, put},
};
use framecast_hub::Server;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    board::Board,
    desk::Desk,
    model::{Check, NewLine, NewMatch, Score},
    refused::Refused,
};

#[derive(Clone)]
struct Api {
    desk: Desk,
    board: Board,
}

/// All that is asked for by HTTP. What changes matches, and what tells of them beside the hub, is for the admin alone.
pub(crate) fn router(server: &Server, desk: Desk, board: Board) -> Router {
    let admins = Router::new()
        .route("/matches", post(create).get(list))
        .route("/matches/{id}", get(show))
        .route("/matches/{id}/commentary", post(comment))
        .route("/matches/{id}/score", put(score))
        .with_state(Api { desk, board });
    Router::new().route("/", get(page)).merge(server.admins(admins))
}

async fn create(State(api): State<Api>, Checked(new): Checked<NewMatch>) -> Result<Response, Refused> {
    let created = api.desk.create(new).await?;
    let location = [(LOCATION, format!("/matches/{}", created.id))];
    Ok((location, json(StatusCode::CREATED, &created)).into_response())
}

async fn list(State(api): State<Api>) -> Response {
    json(StatusCode::OK, &api.board.match_list())
}

async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, Refused> {
    let of = api.board.get(number(&id)?).ok_or_else(Refused::not_found)?;
    Ok(json(StatusCode::OK, &of))
}

async fn comment(
    State(api): State<Api>,
    Path(id): Path<String>,
    Checked(new): Checked<NewLine>,
) -> Result<Response, Refused> {
    Ok(json(StatusCode::CREATED, &api.desk.comment(number(&id)?, new).await?))
}

async fn score(
    State(api): State<Api>,
    Path(id): Path<String>,
    Checked(score): Checked<Score>,
) -> Result<Response, Refused> {
    #[derive(Serialize)]
    struct Set {
        seq: u64,
        score: Score,
    }
    let seq = api.desk.score(number(&id)?, score).await?;
    Ok(json(StatusCode::OK, &Set { seq, score }))
}

async fn page() -> Response {
    let headers =
        [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (CACHE_CONTROL, "no-cache")];
    (headers, Html(include_str!("page.html"))).into_response()
}

fn number(id: &str) -> Result<u64, Refused> {
    id.parse().map_err(|_| Refused::not_found())
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// A body that is JSON, and what it has to be; within its size and its time.
struct Checked<T>(T);

impl<T: Check + DeserializeOwned, S: Sync> FromRequest<S> for Checked<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let body: Body = request.into_body();
        let bytes = match timeout(BODY_WITHIN, to_bytes(body, BODY_BYTES_MAX)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => {
                return Err(Refused::too_large(format!("a body has {BODY_BYTES_MAX} bytes at most")));
            }
            Err(_) => return Err(Refused::too_slow()),
        };
        let wanted: T = serde_json::from_slice(&bytes).map_err(|error| match error.is_data() {
            true => Refused::bad_request(error.to_string()),
            false => Refused::bad_json(error.to_string()),
        })?;
        wanted.check()?;
        Ok(Self(wanted))
    }
}

const BODY_BYTES_MAX: usize = 16 << 10;
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The page is one file, and speaks to its own server alone.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
