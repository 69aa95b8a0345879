//! What topics allocate, on tokio.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Tokio;
