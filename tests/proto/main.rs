//! The protocol core through its one door, `proto::Connection`: RFC 6455 §5 to §8, without a socket.

#[path = "../support/mod.rs"]
mod support;

mod closing;
#[cfg(feature = "deflate")]
mod deflate;
mod frames;
mod keepalive;
mod limits;
mod outbox;
mod prepared;
mod properties;
mod target;
mod text;
