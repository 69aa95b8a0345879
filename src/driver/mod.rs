//! The drivers: what moves bytes between a [`Connection`](crate::proto::Connection) and a socket.

#[cfg(any(feature = "tokio", feature = "reactor"))]
mod admission;
#[cfg(any(feature = "tokio", feature = "reactor"))]
mod close_info;
#[cfg(feature = "reactor")]
pub mod reactor;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(any(feature = "tokio", feature = "reactor"))]
pub use admission::Patience;
#[cfg(any(feature = "tokio", feature = "reactor"))]
pub use close_info::{CloseInfo, Initiator};
