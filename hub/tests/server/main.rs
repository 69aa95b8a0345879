//! The hub's server on real sockets: what clients, pages, admins and hostile peers see.

mod log;
mod support;

mod admin;
mod bodies;
mod http;
mod methods;
mod metrics;
mod secrets;
mod start;
mod stop;
mod tls;
mod upgrade;
