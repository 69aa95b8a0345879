//! The driver over tokio: a server on any stream or a listener, a client, and handles to their connections.
//!
//! A *pump* owns the socket and moves bytes between it and the protocol's [`Connection`](crate::proto::Connection); a
//! [`WebSocket`] and its [`Sender`]s are handles on what they share with it. `run` polls the user's future and the pump in
//! one task; `accept` and `connect` spawn the pump. With the feature `axum`, the module of that name has the same behind hyper.

mod accept;
#[cfg(feature = "axum")]
pub mod axum;
mod book;
mod connect;
mod error;
mod head;
mod inbox;
mod lent;
mod line;
mod listen;
mod open;
mod pump;
mod round_trip;
mod run;
mod shared;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod topics;
mod waits;
mod websocket;

pub use accept::{Acceptor, Incoming};
pub use connect::{Connector, connect};
pub use error::{Error, ErrorKind};
pub use listen::{Listen, Listener, listen};
pub use websocket::{Sender, WebSocket};
