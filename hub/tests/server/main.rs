//! The hub's server on real sockets: what clients, pages, admins and hostile peers see.

mod support;

mod admin;
mod bodies;
mod docs;
mod http;
mod metrics;
