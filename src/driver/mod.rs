//! The drivers: what moves bytes between a [`Connection`](crate::proto::Connection) and a socket.

#[cfg(feature = "tokio")]
pub mod tokio;
