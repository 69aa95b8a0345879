//! A WebSocket engine on raw frames.

pub mod handshake;
pub mod proto;
