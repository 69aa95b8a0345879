//! A match, played over real sockets.

mod support;

mod refusals;
mod watching;
