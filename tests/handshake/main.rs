//! The opening handshake as its peers see it (RFC 6455 §4; catalogue §3.1 to §3.6).

mod after_head;
mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod grammar;
mod http_strictness;
mod origin;
mod parsed;
mod properties;
mod server_requirements;
mod support;
