//! A hub as a server: WebSocket upgrades, REST, metrics and a page on axum, and the loop that accepts TCP and TLS for them.
//!
//! ```text
//! listen ── http ──► router ──► upgrade ──► connection ──► Session        (the hub's logic)
//!                       ├─────► rest, metrics   behind `admin`
//!                       └─────► page with /framecast.js, /health, /ready
//! ```
//! Whoever has an axum app already takes [`Server::router`] alone; [`Bound::serve`] is for the others, and bounds what a client may do
//! before it is anybody's connection.

mod admin;
mod connection;
mod guests;
mod listen;
mod metrics;
mod page;
mod peer;
mod process;
mod rest;
mod tls;
mod upgrade;

use std::{fmt, sync::Arc};

use axum::{Router, extract::FromRef, routing};
use framecast::{Acceptor, Config, Endpoint, OriginPolicy, axum::Upgrades, proto::ConfigBuilder};

use crate::{hub::Hub, proxies::Proxies, token::Secret};
use metrics::Metrics;

pub use listen::{Bound, ServeError, Stop};
pub use tls::{Tls, TlsError};

/// A hub and the terms on which it is served; a clone is a reference count.
///
/// ```no_run
/// use framecast_hub::{Hub, Server, Stop};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::builder().route("/ws/chat/{room}", "chat:{room}").build()?;
/// let bound = Server::builder(hub).build().bind("127.0.0.1:8000").await?;
/// println!("listening on {}", bound.url());
/// bound.serve(async {
///     let _ = tokio::signal::ctrl_c().await;
///     Stop::Now
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server(Arc<Shared>);

pub(crate) struct Shared {
    hub: Hub,
    admin_token: Option<Secret>,
    proxies: Proxies,
    endpoint: Endpoint,
    upgrades: Upgrades,
    metrics: Metrics,
}

/// The terms of a [`Server`].
#[must_use]
pub struct ServerBuilder {
    hub: Hub,
    admin_token: Option<Secret>,
    proxies: Proxies,
    origins: OriginPolicy,
    secure: Option<bool>,
    engine: Option<Config>,
}

impl ServerBuilder {
    /// What REST, metrics and the admin's methods ask for. Default: none, and they answer to loopback alone.
    pub fn admin_token(mut self, token: Secret) -> Self {
        self.admin_token = Some(token);
        self
    }

    /// Which pages may connect, and may change something by REST. Default: those of the server's own origin.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = policy;
        self
    }

    /// Whether browsers reach the server by TLS, its own or a proxy's: see [`Endpoint::secure`]. Default: unknown, and pages of its
    /// name by `http` and by `https` are both of its origin. Say it where you know it, beside [`Bound::tls`] too.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = Some(secure);
        self
    }

    /// The proxies that are trusted to say who is behind them. Default: nobody.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// The engine's limits. Default: [`Server::engine`]'s.
    pub fn engine(mut self, config: Config) -> Self {
        self.engine = Some(config);
        self
    }

    /// The server.
    pub fn build(self) -> Server {
        let Self { hub, admin_token, proxies, origins, secure, engine } = self;
        let endpoint = Endpoint::new().origins(origins).subprotocols([SUBPROTOCOL]).unwrap_or_default();
        let endpoint = match secure {
            Some(secure) => endpoint.secure(secure),
            None => endpoint,
        };
        let config = engine.unwrap_or_else(|| Server::engine().build().unwrap_or_default());
        let upgrades = Upgrades::new(Acceptor::new(config, endpoint.clone()));
        let metrics = Metrics::default();
        Server(Arc::new(Shared { hub, admin_token, proxies, endpoint, upgrades, metrics }))
    }
}

impl Server {
    /// A hub's server, with the default terms at first.
    pub fn builder(hub: Hub) -> ServerBuilder {
        ServerBuilder {
            hub,
            admin_token: None,
            proxies: Proxies::none(),
            origins: OriginPolicy::same_origin(),
            secure: None,
            engine: None,
        }
    }

    /// The engine's limits as a hub has them: a slow reader's queue holds 1 MiB or 16,384 messages.
    pub fn engine() -> ConfigBuilder {
        Config::builder().outbox_bytes_max(1 << 20).outbox_messages_max(16 << 10)
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// All that the server answers to, for an app of axum's to merge. [`Bound::app`] does the other way round, and is the shorter one. Serve it with
    /// [`into_make_service_with_connect_info`](Router::into_make_service_with_connect_info) of a `SocketAddr`: without it nobody's
    /// address is known, and nobody is local.
    pub fn router(&self) -> Router {
        let admin = self.admins(rest::router().route("/metrics", routing::get(metrics::show)));
        Router::new()
            .route("/health", routing::get(page::health))
            .route("/ready", routing::get(page::ready))
            .route("/ws", routing::any(upgrade::upgrade))
            .route("/ws/{client_id}", routing::any(upgrade::upgrade))
            .merge(page::router())
            .merge(admin)
            .fallback(upgrade::by_route)
            .with_state(self.clone())
    }

    /// These routes of an application's, for the admin alone, as the hub's own are: with the [admin token](ServerBuilder::admin_token),
    /// else 401, or where there is none from this machine, else 403; and what is not a GET from no page of another origin.
    pub fn admins<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        routes.route_layer(axum::middleware::from_fn_with_state(self.clone(), admin::guard))
    }

    fn is_draining(&self) -> bool {
        !self.0.upgrades.is_open()
    }
}

impl FromRef<Server> for Upgrades {
    fn from_ref(server: &Server) -> Self {
        server.0.upgrades.clone()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("hub", &self.0.hub).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// What clients that offer subprotocols are answered with: never a token that is among them.
const SUBPROTOCOL: &str = "framecast";
