//! What a publish comes to at the other ends of TCP, whichever engine delivers it. One suite; which engine it is held against is
//! the one constant of the binary's root.

mod batching;
mod callbacks;
#[cfg(feature = "deflate")]
mod deflate;
mod ends;
mod fanout;
mod faults;
#[path = "../../support/peer.rs"]
mod peer;
mod restart;
mod server;
mod shutdown;
mod slow;

pub(crate) use server::Engine;
#[allow(unused_imports, reason = "not every binary has its own tests beside these")]
pub(crate) use {
    peer::{Peer, close, watchdog},
    server::{DEADLINE, Setup, until},
};
