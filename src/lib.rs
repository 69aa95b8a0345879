//! A WebSocket engine on raw frames: strict, bounded, measured.
//!
//! | room | what is in it |
//! |---|---|
//! | [`proto`] | RFC 6455 §5–§8 as a state machine: bytes in, events out; messages in, bytes out; time in, deadlines out |
//! | [`handshake`] | RFC 6455 §4, both roles: a head in, a typed request or response out |
//! | [`broadcast`] | one message to many: topics, slow readers, history, presence |
//! | [`driver`] | what moves the bytes; over tokio with the default feature `tokio`, over mio with `reactor` |
//!
//! An echo server with everything on that is on by default:
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn example() -> std::io::Result<()> {
//! let listener = framecast::listen("127.0.0.1:9001").await?;
//! listener
//!     .serve(|mut ws| async move {
//!         while let Some(message) = ws.recv().await {
//!             if ws.send(message).await.is_err() {
//!                 return;
//!             }
//!         }
//!     })
//!     .await
//! # }
//! ```
//!
//! # Tiers
//!
//! What is re-exported here is meant to stay. The rest of [`proto`] and [`handshake`] is for those who write a driver or a
//! simulator, and may change with a minor version until 1.0. The feature `tls` gives the client `wss://`, `reactor-tls` the
//! reactor's server; `axum` upgrades inside an app of axum's, see the module of that name; the drivers run on Unix.

#[cfg(any(feature = "tokio", feature = "reactor"))]
pub mod broadcast;
pub mod driver;
pub mod handshake;
pub mod proto;

#[cfg(feature = "reactor")]
pub use driver::reactor;
#[cfg(feature = "axum")]
pub use driver::tokio::axum;
#[cfg(feature = "tokio")]
pub use driver::tokio::{
    Acceptor, Connector, Error, ErrorKind, Incoming, Listen, Listener, Sender, WebSocket, connect, listen,
};
#[cfg(any(feature = "tokio", feature = "reactor"))]
pub use driver::{CloseInfo, Initiator};
pub use handshake::{ClientRequest, Endpoint, OriginPolicy, Refusal, Request, Url};
pub use proto::{
    Cause, CloseCode, Compression, Config, ConfigError, Deflate, DeflateTerms, Message, SendError, Stats,
    Utf8Bytes,
};

#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
