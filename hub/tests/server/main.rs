//! The hub's server on real sockets: what clients, pages, admins and hostile peers see.

mod log;
mod support;

mod admin;
mod app;
mod bodies;
mod docs;
mod faults;
mod http;
mod methods;
mod metrics;
mod secrets;
mod slow;
mod start;
mod stop;
mod tls;
mod upgrade;
