//! The driver over tokio, by its public API: what a peer sees on the wire, and what the application is told.

mod backpressure;
mod batching;
mod cancel;
mod closing;
#[cfg(feature = "deflate")]
mod deflate;
mod handshake;
mod keepalive;
mod listener;
mod round_trip;
mod senders;
mod streamsink;
mod support;
#[cfg(feature = "tls")]
mod tls;
