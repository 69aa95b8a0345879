//! A WebSocket engine on raw frames.

pub mod driver;
pub mod handshake;
pub mod proto;
