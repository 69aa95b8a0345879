//! The suite of all engines, on the reactor.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Reactor;
