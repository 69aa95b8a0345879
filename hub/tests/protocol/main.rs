//! PROTOCOL.md, message by message: what a client sees, to the byte. No socket, no runtime, a clock that stands still.

mod answers;
mod auth;
mod binary;
mod broker;
mod calls;
mod clients;
mod counts;
mod direct;
mod docs;
mod errors;
mod hostile;
mod limits;
mod messages;
mod rooms;
mod support;
