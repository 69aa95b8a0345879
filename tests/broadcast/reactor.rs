//! Topics over real sockets, on the reactor.

mod suite;
#[cfg(all(feature = "reactor-tls", feature = "tls"))]
mod tls;

const ENGINE: suite::Engine = suite::Engine::Reactor;
