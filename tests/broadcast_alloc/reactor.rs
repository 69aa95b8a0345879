//! What topics allocate, on the reactor.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Reactor;
