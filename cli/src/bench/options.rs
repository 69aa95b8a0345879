//! What `framecast bench` can be told.

use std::time::Duration;

use clap::{Args, Subcommand};
use framecast::{Deflate, proto::DeflateTermsError};

use super::{failure::Failure, rooms::Dialect, target::Target};
use crate::server;

/// The scenarios.
#[derive(Subcommand)]
pub(crate) enum Scenario {
    /// Send messages, and check and time each echo.
    Echo(Echo),
    /// Open many connections, and see what they cost the server in memory.
    Idle(Idle),
    /// Connect, shake hands and hang up, over and over.
    Handshake(Handshake),
    /// Publish on one connection of a server that sends each message to all, and check and time each delivery.
    Relay(Relay),
    /// Join rooms, publish in them at a fixed rate, and check and time each delivery.
    Rooms(Rooms),
}

#[derive(Args)]
pub(crate) struct Common {
    /// The server: ws://HOST:PORT/PATH, or tcp://HOST:PORT with --raw.
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// Connections open at once.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) connections: u32,
    /// The server's process, to tell what the load costs it.
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// Drive a plain TCP server, to compare with: the same bytes without the WebSocket.
    #[arg(long)]
    pub(super) raw: bool,
    /// Offer compression (permessage-deflate): `--deflate` without context takeover. With parameters: context takeover both
    /// ways and windows of 15 bits, but for what they say, such as `server_no_context_takeover; threshold=0; level=1`. A server
    /// that declines ends it. Below 1 KiB nothing is compressed by default, and what is binary is noise: see --size and --text.
    #[arg(
        long, value_name = "PARAMS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = deflate, conflicts_with = "raw"
    )]
    pub(super) deflate: Option<Deflate>,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl Common {
    pub(super) fn target(&self) -> Result<Target, Failure> {
        Target::resolve(&self.url, self.raw)
    }
}

#[derive(Args)]
pub(crate) struct Shape {
    /// Payload of a message, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1 << 30))]
    pub(super) size: u32,
    /// Send text: JSON, all ASCII.
    #[arg(long, conflicts_with = "binary")]
    pub(super) text: bool,
    /// Send binary messages, as is the default.
    #[arg(long)]
    binary: bool,
}

#[derive(Args)]
pub(crate) struct Span {
    /// Seconds to measure.
    #[arg(long, value_name = "S", default_value = "5", value_parser = measured)]
    pub(super) seconds: Duration,
    /// Seconds of the same load before that, not measured.
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = seconds)]
    pub(super) warmup: Duration,
}

#[derive(Args)]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) shape: Shape,
    /// Messages in flight on each connection: written at once, and all read before the next.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) depth: u32,
    #[command(flatten)]
    pub(super) span: Span,
    /// Open loop: this many messages a second over all connections, each at its time whatever the server does.
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "depth")]
    pub(super) rate: Option<f64>,
}

#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) shape: Shape,
}

#[derive(Args)]
pub(crate) struct Handshake {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) span: Span,
}

#[derive(Args)]
#[command(mut_arg("connections", |arg| arg.default_value("1000").help("Connections that hear it, the publisher's with them")))]
#[command(mut_arg("raw", |arg| arg.hide(true)))]
pub(crate) struct Relay {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) shape: Shape,
    /// Messages published in one write: the next ones when every connection has all of these.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) depth: u32,
    #[command(flatten)]
    pub(super) span: Span,
    /// Open loop: this many messages a second published, each at its time whatever the server does.
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "depth")]
    pub(super) rate: Option<f64>,
    /// Further connections that open and are never read, to see what they do to the others and to the server's memory; it may
    /// close them. The system itself keeps some 100 KB for each, or more, before the server sees it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(super) stalled: u32,
}

#[derive(Args)]
#[command(mut_arg("connections", |arg| arg.default_value("1000").help("Connections open at once, each in one room, by turns")))]
#[command(mut_arg("url", |arg| arg.help("The server: ws://HOST:PORT/PATH, where {room} stands for the name of the connection's room")))]
#[command(mut_arg("raw", |arg| arg.hide(true)))]
pub(crate) struct Rooms {
    #[command(flatten)]
    pub(super) common: Common,
    /// Rooms that the connections are in.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rooms: u32,
    /// How the server is spoken to.
    #[arg(long, value_enum, default_value = "hub")]
    pub(super) dialect: Dialect,
    /// Payload of a message, in bytes: JSON, all ASCII.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(28..=32 << 10))]
    pub(super) size: u32,
    /// Messages a second over all connections, each at its time whatever the server does.
    #[arg(long, value_name = "N", value_parser = rate, default_value = "1000")]
    pub(super) rate: f64,
    #[command(flatten)]
    pub(super) span: Span,
}

/// Each message by itself, as a server's default has it: then what is measured is the server, not what we ask of it.
fn deflate(params: &str) -> Result<Deflate, DeflateTermsError> {
    let usual = Deflate::takeover().server_no_context_takeover(true).client_no_context_takeover(true);
    server::deflate(params, usual)
}

fn measured(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time < Duration::from_millis(1) => Err("must be at least 0.001".into()),
        time => Ok(time),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(time) if time <= DAY => Ok(time),
        Ok(_) => Err("must be at most a day".into()),
        Err(_) => Err("not a number of seconds".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e8).contains(&rate) => Ok(rate),
        Ok(_) => Err("must be from 0.001 to 100 million".into()),
        Err(_) => Err("not a number of messages a second".into()),
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
