//! The suite of all engines, on tokio.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Tokio;
