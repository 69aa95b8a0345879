//! What only the reactor has: callbacks that reach others, ids, `Remote`, threads, TLS by rustls' own buffers.

mod callbacks;
mod clock;
#[path = "../support/peer.rs"]
mod peer;
mod remote;
mod same;
mod support;
#[cfg(all(feature = "reactor-tls", feature = "tls"))]
mod tls;
