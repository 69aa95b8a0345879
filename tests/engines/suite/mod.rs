//! What every engine does for a peer at the other end of TCP, and what it tells its application. One suite; which engine it is
//! held against is the one constant of the binary's root.

mod application;
mod backpressure;
mod closing;
#[cfg(feature = "deflate")]
mod deflate;
mod faults;
mod handshake;
mod keepalive;
mod listener;
#[path = "../../support/peer.rs"]
mod peer;
mod server;

pub(crate) use server::Engine;
