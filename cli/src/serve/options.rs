//! The options of `serve`. Each may be said on the command line, in the environment and in a file, so that none has a default here:
//! what is said nowhere is [`settings`](super::settings)'s to know.

use std::{path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, ValueEnum,
    builder::{BoolishValueParser, NonEmptyStringValueParser},
};
use framecast_hub::Secret;

use super::values::{Compression, deflate, large, network, one_or_more, origin, public_url, threads, whole};
use crate::{
    layer::secret,
    server::{seconds, seconds_or_zero},
};

/// What `serve` is told, by one of those who may.
#[derive(Args, Debug, Default)]
#[command(after_help = MORE)]
pub(crate) struct Options {
    /// Address to listen on; port 0 picks a free one. [default: 127.0.0.1:8000]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,
    /// A TOML file with more options.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Accept JWTs that are signed with this secret (HS256). Who can list processes sees it here: the environment and the file keep it.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    pub(super) jwt_secret: Option<Secret>,
    /// Accept JWTs that are signed with the private half of this key: a PEM file, of RSA (RS256) or Ed25519 (EdDSA).
    #[arg(long, value_name = "FILE")]
    pub(super) jwt_public_key: Option<PathBuf>,
    /// Accept JWTs for this audience only (`aud`). Without it, whomever they are for.
    #[arg(long, value_name = "AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) jwt_audience: Option<String>,
    /// Accept JWTs of this issuer only (`iss`). Without it, whosever they are.
    #[arg(long, value_name = "ISSUER", value_parser = NonEmptyStringValueParser::new())]
    pub(super) jwt_issuer: Option<String>,
    /// Accept the tokens of this file: lines of `token user_id`.
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// Let in who has no token as well. Without it, they come in where no tokens are accepted and only this machine is served.
    #[arg(
        long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        hide_possible_values = true, value_parser = BoolishValueParser::new()
    )]
    pub(super) allow_anonymous: Option<bool>,
    /// What REST, metrics and `framecast publish` need to say. Without it, they are for this machine alone.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub(super) admin_token: Option<Secret>,
    /// Pages that may connect: `any`, or an origin such as `https://example.com`; may be repeated. Without it: the server's own.
    #[arg(long, value_name = "any|ORIGIN", value_delimiter = ',', action = ArgAction::Append, value_parser = origin)]
    pub(super) origin: Option<Vec<String>>,
    /// Where browsers reach the server, if a proxy is between: the origin of its own pages.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub(super) public_url: Option<String>,
    /// A proxy, or a network of them, that is believed who its clients are; may be repeated.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', action = ArgAction::Append, value_parser = network)]
    pub(super) trusted_proxy: Option<Vec<String>>,
    /// Seconds between pings; 0 sends none. [default: 20]
    #[arg(long, value_name = "S", value_parser = seconds_or_zero)]
    pub(super) ping: Option<Duration>,
    /// Seconds for a pong; who sends none is disconnected (1008). [default: 20]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(super) pong: Option<Duration>,
    /// What connects this server with others: redis://… or nats://…; not yet.
    #[arg(long, value_name = "URL")]
    pub(super) broker: Option<String>,
    /// Serve by TLS: the chain of certificates, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// And its key, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// Seconds over which SIGTERM spreads the closing of connections. [default: 10]
    #[arg(long, value_name = "S", value_parser = seconds_or_zero)]
    pub(super) drain: Option<Duration>,
    /// How the log on stderr is written: lines for people, or a JSON object a line. [default: text]
    #[arg(long, value_name = "text|json", hide_possible_values = true)]
    pub(super) log: Option<LogFormat>,
    /// What is logged: off, error, warn, info, debug or trace. [default: info]
    #[arg(long, value_name = "LEVEL", hide_possible_values = true)]
    pub(super) log_level: Option<LogLevel>,
    /// Threads that serve connections. Without it: one for each CPU.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(super) threads: Option<u16>,
    /// Compress messages (permessage-deflate): `--deflate` without context takeover and with windows of at most 12 bits, or with
    /// parameters as those of `framecast echo`.
    #[arg(
        long, value_name = "PARAMS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = deflate
    )]
    pub(super) deflate: Option<Compression>,
    #[command(flatten)]
    pub(super) limits: Limits,
}

/// What is in the file's table `[limits]`.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limits {
    /// Messages that are kept of a room; 0 keeps none. [default: 100]
    #[arg(long, value_name = "N", value_parser = whole)]
    pub(super) history_messages: Option<u32>,
    /// Bytes of them. [default: 1048576]
    #[arg(long, value_name = "BYTES", value_parser = whole)]
    pub(super) history_bytes: Option<u32>,
    /// Bytes of those of all rooms, each with 256 on top. When all is taken, a room that is published to keeps less. [default: 268435456]
    #[arg(long, value_name = "BYTES", value_parser = large)]
    pub(super) history_total_bytes: Option<u64>,
    /// Seconds for which they are kept. [default: 300]
    #[arg(long, value_name = "S", value_parser = seconds_or_zero)]
    pub(super) history_age: Option<Duration>,
    /// Rooms of a connection. [default: 128]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) rooms_per_connection: Option<u32>,
    /// Rooms in all. [default: 100000]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) max_rooms: Option<u32>,
    /// Messages a second of a connection; twice as many at once. [default: 100]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) message_rate: Option<u32>,
    /// Bytes a second of a connection's messages; twice as many at once. [default: 1048576]
    #[arg(long, value_name = "BYTES", value_parser = one_or_more)]
    pub(super) byte_rate: Option<u32>,
    /// Messages a second of a user's connections together; twice as many at once. [default: 400]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) user_message_rate: Option<u32>,
    /// Bytes a second of these messages; twice as many at once. [default: 4194304]
    #[arg(long, value_name = "BYTES", value_parser = one_or_more)]
    pub(super) user_byte_rate: Option<u32>,
    /// Messages a second that clients publish to a room together; twice as many at once. Without it, there is no such limit.
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) room_message_rate: Option<u32>,
    /// Handshakes a second of an address (IPv6: a /64); twice as many at once. Loopback is exempt. [default: 20]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) handshakes_per_address: Option<u32>,
    /// Connections of an address (IPv6: a /64). Loopback is exempt. [default: 1024]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) connections_per_address: Option<u32>,
    /// Connections in all. Without it: as many as the limit on open files allows.
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) max_connections: Option<u32>,
    /// Connections of a user. [default: 128]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) max_connections_per_user: Option<u32>,
    /// Bytes that may wait for a connection; one who reads too slowly is disconnected (4008). [default: 1048576]
    #[arg(long, value_name = "BYTES", value_parser = one_or_more)]
    pub(super) queue_bytes: Option<u32>,
    /// Messages that may wait for a connection, likewise. [default: 16384]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) queue_messages: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What `--help` says at its end.
const MORE: &str = "\
Without an option it serves this machine alone, and everybody on it.

Each option has an environment variable of its name: FRAMECAST_JWT_SECRET is --jwt-secret. Commas separate the values of
one that may be repeated; an empty variable says nothing. Each has the same name in the file of --config, which is TOML:

    listen = \"0.0.0.0:8000\"
    origin = [\"https://example.com\"]

    [limits]
    message-rate = 20

    [routes]                                  # who connects by the path is subscribed to the room
    \"/ws/chat/{room}\" = \"chat:{room}\"

What the command line says counts before the environment, and that before the file.

Signals: SIGTERM drains, SIGINT stops, a second one ends it at once. SIGHUP reads the certificate and its key again.

Exit status: 0 stopped by a signal, 1 it cannot serve, 2 the options, the environment or a file are wrong.";
