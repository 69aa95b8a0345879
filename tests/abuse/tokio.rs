//! Peers that mean harm, against tokio.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Tokio;
