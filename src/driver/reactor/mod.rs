//! The driver over mio: a server of one event loop a thread, with callbacks.
//!
//! A [`Reactor`] binds a port and runs its loops; a [`Handler`] says what is done with their connections; a [`Remote`] reaches
//! them from other threads. Everything that one read brought is answered in one write. An idle connection is under 256 bytes, and what
//! the application keeps with it.

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "the feature `reactor` needs pointers of 64 bits: a token has a connection's place and its number in it"
);

mod accept;
mod event_loop;
mod handler;
mod id;
mod members;
mod opening;
#[expect(clippy::module_inception, reason = "it is the noun")]
mod reactor;
mod remote;
mod slot;
mod stream;
mod turn;
mod websocket;
mod wheel;
mod world;

pub use handler::{Handler, Received};
pub use id::ConnectionId;
pub use reactor::{Bound, Reactor};
pub use remote::{Numbers, Remote};
pub use websocket::WebSocket;
