//! Peers that mean harm, against the reactor.

mod suite;

const ENGINE: suite::Engine = suite::Engine::Reactor;
