//! Upgrades inside an app of axum's, over real sockets: what a peer sees on the wire.

mod handshake;
mod running;
mod support;
