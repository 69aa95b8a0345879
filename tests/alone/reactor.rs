//! What is alone in its process, on the reactor.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Reactor;
