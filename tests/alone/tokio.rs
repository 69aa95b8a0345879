//! What is alone in its process, on tokio.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Tokio;
