//! Topics over real sockets, on tokio.

mod streams;
mod suite;
mod wakes;

const ENGINE: suite::Engine = suite::Engine::Tokio;
