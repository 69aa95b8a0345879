//! The extractor: a request is checked, the app is asked, the 101 is hyper's to write, and what comes then is run in a task.

use std::{io, sync::Arc};

use axum_core::{
    body::Body,
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;

use ::tokio::time::{Instant, timeout_at};

use super::{rejection::UpgradeRejection, upgrades::Upgrades};
use crate::{
    driver::tokio::{
        book::{Book, Entry},
        error::Error,
        open::Opened,
        stream::Stream,
        websocket::WebSocket,
    },
    handshake::{self, HeaderError, Request, SubprotocolError},
    proto::{Config, Role},
};

/// A request that may be upgraded, as an argument of a handler: answer by [`on_upgrade`](Self::on_upgrade), or with anything else.
///
/// The app's state has the limits and terms, by `FromRef`: see [`Upgrades`]. What is refused never gets to the handler, unless that asks
/// for a `Result<WebSocketUpgrade, UpgradeRejection>`. The answer is due by `handshake_within`.
///
/// ```
/// use axum::{Router, response::Response, routing::get};
/// use framecast::axum::WebSocketUpgrade;
///
/// async fn echo(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(|mut ws| async move {
///         while let Some(message) = ws.recv().await {
///             let Ok(()) = ws.send(message).await else { return };
///         }
///     })
/// }
///
/// let router: Router = Router::new().route("/echo", get(echo));
/// ```
#[derive(Debug)]
#[must_use = "a request wants an answer"]
pub struct WebSocketUpgrade(Box<Waiting>);

#[derive(Debug)]
struct Waiting {
    request: Request,
    response: handshake::Response,
    on_upgrade: OnUpgrade,
    deadline: Instant,
    config: Arc<Config>,
    book: Arc<Book>,
    /// Its place there.
    entry: Entry,
}

impl<S> FromRequestParts<S> for WebSocketUpgrade
where
    S: Send + Sync,
    Upgrades: FromRef<S>,
{
    type Rejection = UpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UpgradeRejection> {
        let upgrades = Upgrades::from_ref(state);
        let (config, book) = (upgrades.acceptor().config().clone(), upgrades.book().clone());
        let request = upgrades.acceptor().endpoint().check(&config, parts)?;
        let entry = book.enter();
        if entry.is_unavailable() {
            return Err(UpgradeRejection::Unavailable);
        }
        let on_upgrade = parts.extensions.remove().ok_or(UpgradeRejection::NotUpgradable)?;
        let (response, deadline) = (request.accept(), Instant::now() + config.handshake_within);
        Ok(Self(Box::new(Waiting { request, response, on_upgrade, deadline, config, book, entry })))
    }
}

impl WebSocketUpgrade {
    /// What is asked for: path, query, headers, subprotocols.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// Adds a header to the 101.
    ///
    /// # Errors
    /// A name or value that cannot be a header's, or is the handshake's own.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        self.0.response = self.0.response.clone().header(name, value)?;
        Ok(self)
    }

    /// Chooses a subprotocol, or none, in place of the endpoint's choice.
    ///
    /// # Errors
    /// One that the client did not offer.
    pub fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Result<Self, SubprotocolError> {
        self.0.response = self.0.response.clone().with_subprotocol(subprotocol)?;
        Ok(self)
    }

    /// Declines compression, whatever was offered.
    pub fn without_deflate(mut self) -> Self {
        self.0.response = self.0.response.clone().without_deflate();
        self
    }

    /// The 101; once hyper has written it, a task runs `handler` and all I/O of the connection, to the end of both: see
    /// [`Acceptor::run`](crate::driver::tokio::Acceptor::run). If the handler panics, its connection is closed with 1011.
    ///
    /// Over TCP itself, messages to many are written where they are published, as for a
    /// [`Listener`](crate::driver::tokio::Listener)'s connections; anything else hyper serves, TLS say, is woken to write them.
    ///
    /// After `handshake_within`, when the app shuts down, or when the request had to make room for newer ones, it is a 503. If the
    /// 101 is not taken by then, `handler` is never called.
    pub fn on_upgrade<H, F>(self, handler: H) -> Response
    where
        H: FnOnce(WebSocket) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self(waiting) = self;
        let is_late = Instant::now() >= waiting.deadline;
        if is_late || waiting.entry.was_cut() || waiting.entry.is_unavailable() {
            return UpgradeRejection::Unavailable.into_response();
        }
        let answer = waiting.response.to_http().map(|()| Body::empty());
        let (book, id) = (waiting.book.clone(), waiting.entry.id());
        // In a box, which goes when it is done.
        let opening = Box::pin(async move { Ok::<_, Error>(waiting.open().await?.run(handler)) });
        let task = ::tokio::spawn(async move {
            // Why one connection did not open is no matter of the others.
            let Ok(run) = opening.await else { return };
            run.await;
        });
        book.can_cut(id, task.abort_handle());
        answer
    }
}

impl Waiting {
    /// Waits for hyper to be done.
    async fn open(self: Box<Self>) -> Result<Opened<Stream>, Error> {
        let Self { response, on_upgrade, deadline, config, entry, .. } = *self;
        let upgraded = timeout_at(deadline, on_upgrade).await.map_err(|_| Error::timeout())?;
        let stream = Stream::of_upgraded(upgraded.map_err(io::Error::other)?);
        let (subprotocol, deflate) = (response.subprotocol().map(Into::into), response.deflate());
        let (entry, split) = (Some(entry), Some(Stream::split as _));
        Ok(Opened::new(stream, config, Role::Server, Vec::new(), deflate, subprotocol, entry, split))
    }
}
