//! WebSocket upgrades inside an app of axum's, or of anything else that serves by hyper: an extractor, by our own handshake.
//!
//! [`WebSocketUpgrade`] holds a request against the rules that a [`Listener`](crate::driver::tokio::Listener) holds one against, by the
//! same code: the method, `Host`, bodies, `Upgrade` and `Connection`, the key, the version, the origin, subprotocols and extensions.
//! What breaks one is answered with the same status, headers and body, and the connection is closed behind it. What is let in becomes
//! the same [`WebSocket`](crate::driver::tokio::WebSocket), run in one task as by [`Acceptor::run`](crate::driver::tokio::Acceptor::run).
//!
//! ```no_run
//! use axum::{Router, extract::{FromRef, Path, State}, response::Response, routing::{get, post}};
//! use framecast::{Acceptor, WebSocket, axum::{Upgrades, WebSocketUpgrade}, broadcast::{Subscription, Topics}};
//!
//! #[derive(Clone)]
//! struct App {
//!     topics: Topics,
//!     upgrades: Upgrades,
//! }
//!
//! impl FromRef<App> for Upgrades {
//!     fn from_ref(app: &App) -> Self {
//!         app.upgrades.clone()
//!     }
//! }
//!
//! async fn subscribe(upgrade: WebSocketUpgrade, Path(room): Path<String>, State(app): State<App>) -> Response {
//!     upgrade.on_upgrade(move |mut ws: WebSocket| async move {
//!         let member = ws.join(&app.topics);
//!         let Ok(_) = member.subscribe(&room, Subscription::new()) else { return };
//!         while ws.recv().await.is_some() {}
//!     })
//! }
//!
//! async fn publish(Path(room): Path<String>, State(app): State<App>, text: String) -> String {
//!     match app.topics.publish(&room, text) {
//!         Ok(publishing) => format!("{:?}\n", publishing.await),
//!         Err(error) => format!("{error}\n"),
//!     }
//! }
//!
//! # async fn serve() -> std::io::Result<()> {
//! let app = App { topics: Topics::new(), upgrades: Upgrades::new(Acceptor::default()) };
//! let upgrades = app.upgrades.clone();
//! let router = Router::new().route("/ws/{room}", get(subscribe)).route("/rooms/{room}", post(publish)).with_state(app);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9001").await?;
//! let stop = async move {
//!     let _ = tokio::signal::ctrl_c().await;
//!     upgrades.shut_down().await;
//! };
//! axum::serve(listener, router).with_graceful_shutdown(stop).await
//! # }
//! ```
//!
//! An app whose state is `()` need not say anything: its upgrades have the default limits and terms, those of one origin.
//!
//! # What hyper does before us
//!
//! It reads the head, so that what it forgives we cannot see: lines that end in LF alone, empty lines before the request, a fragment
//! behind the target, and a second `Content-Length` of the same value, which it drops. Its time-outs hold until the extractor is
//! asked (with axum's server: none), and the limits on the head are its own first, ours afterwards. From there on
//! `handshake_within` is the time until the connection is open, the app's own work in it included.
//!
//! Behind a [`nest`](https://docs.rs/axum/0.8/axum/struct.Router.html#method.nest) the router has cut the prefix off the path, and so
//! off [`Request::path`](crate::handshake::Request::path).
//!
//! # HTTP/2
//!
//! Its upgrade, the extended CONNECT of RFC 8441, is not supported and answered with 501. Where axum's feature `http2` is on, its server
//! offers it to browsers, which then ask for nothing else: serve WebSockets without that feature, or with TLS that offers `http/1.1`
//! alone.

mod extract;
mod rejection;
mod upgrades;

pub use extract::WebSocketUpgrade;
pub use rejection::UpgradeRejection;
pub use upgrades::Upgrades;
