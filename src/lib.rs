//! A WebSocket engine on raw frames: strict, bounded, measured.

pub mod driver;
pub mod handshake;
pub mod proto;

#[cfg(feature = "tokio")]
pub use driver::tokio::{
    Acceptor, CloseInfo, Connector, Error, ErrorKind, Incoming, Initiator, Listen, Listener, Sender,
    WebSocket, listen,
};
pub use proto::{CloseCode, Config, Message, SendError, Utf8Bytes};
