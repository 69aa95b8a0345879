//! The page with its files, the browser's client, and whether the server is well.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing,
};
use http::{HeaderMap, StatusCode, header};

use super::Server;
use crate::bridge::BrokerState;

/// One of the files that the page is made of. They are in the binary, so that there is nothing to install beside it.
#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    media_type: &'static str,
    body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 7] = [
    Asset { path: "/", media_type: HTML, body: include_str!("page/index.html") },
    Asset {
        path: "/page/style.css",
        media_type: "text/css; charset=utf-8",
        body: include_str!("page/style.css"),
    },
    Asset { path: "/page/app.js", media_type: JAVASCRIPT, body: include_str!("page/app.js") },
    Asset { path: "/page/log.js", media_type: JAVASCRIPT, body: include_str!("page/log.js") },
    Asset { path: "/page/plot.js", media_type: JAVASCRIPT, body: include_str!("page/plot.js") },
    Asset { path: "/page/icon.svg", media_type: "image/svg+xml", body: include_str!("page/icon.svg") },
    // The very file of the npm package: applications may use it from here, in the version that fits this hub.
    Asset {
        path: "/framecast.js",
        media_type: JAVASCRIPT,
        body: include_str!("../../../client/js/framecast.js"),
    },
];

/// The page, its files and the client, which are for everybody.
pub(super) fn router() -> Router<Server> {
    ASSETS.into_iter().fold(Router::new(), |router, asset| {
        let etag = asset.etag();
        router.route(asset.path, routing::get(move |headers| async move { asset.answer(&etag, &headers) }))
    })
}

impl Asset {
    /// Tells one version of the file from another, in all processes of one build.
    fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }

    fn answer(&self, etag: &str, headers: &HeaderMap) -> Response {
        let fields = [
            (header::ETAG, etag),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_TYPE, self.media_type),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        ];
        let fields_of_tags =
            headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
        let mut tags = fields_of_tags.flat_map(|field| field.split(',')).map(str::trim);
        match tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag) {
            true => (StatusCode::NOT_MODIFIED, fields).into_response(),
            false => (fields, self.body).into_response(),
        }
    }
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

/// The page is its own server's files and nothing else, and speaks to that alone; in nobody's frame, as clicks in it are its user's.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                                       frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
