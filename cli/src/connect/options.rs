//! The options of `connect`, and the request and the limits that they make.

use std::{sync::Arc, time::Duration};

use clap::Args;
use framecast::{ClientRequest, Config, Connector, Deflate, Url};

use super::insecure;
use crate::{
    failure::Failure,
    server::{deflate, seconds, seconds_or_zero, subprotocol},
};

/// Talk to a server: each line typed is a message, and each message received is printed.
///
/// On a terminal the line can be edited, and the arrow keys bring back earlier ones; Ctrl-D and Ctrl-C close with 1000. What
/// the server sends cannot steer the terminal: control characters are shown escaped, binary messages in hexadecimal. In a
/// pipe, text comes as it is with a line feed, and binary as it is with nothing.
///
/// Lines that are commands: `/ping [PAYLOAD]` tells the round-trip time; `/close [CODE] [REASON]` closes. `//` at the start
/// of a line sends one `/`. In a pipe a wrong command ends it, and `/close` waits for replies as the end of input does.
///
/// At the end of input it waits until as many messages came as were sent, or none came for `--wait` seconds, and closes with
/// 1000.
///
/// Exit status: 0 normal, 2 usage, 3 cannot connect, 4 refused with an HTTP status, 5 closed with another code than 1000.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// Where to: ws://HOST[:PORT]/PATH or wss://…; USER:PASSWORD@ before the host is sent as basic authorization.
    #[arg(value_parser = url)]
    pub(super) url: Url,
    /// Send lines as binary messages.
    #[arg(long)]
    pub(super) binary: bool,
    /// Send this header with the request; may be repeated.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Origin to send, as a browser would for a page of it.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Subprotocol to offer, the preferred one first; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = subprotocol)]
    subprotocol: Vec<String>,
    /// Offer compression (permessage-deflate): `--deflate` on any terms, or on those that the parameters say, such as
    /// `server_no_context_takeover; client_max_window_bits=10; threshold=0; fallback`.
    #[arg(
        long, value_name = "PARAMS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = |params: &str| deflate(params, Deflate::takeover())
    )]
    deflate: Option<Deflate>,
    /// Seconds between pings, ± 20 %; a server that does not answer one for 20 s is given up. Without it, none are sent.
    #[arg(long, value_name = "S", value_parser = seconds)]
    ping_interval: Option<Duration>,
    /// Take any certificate of a wss server, whoever it is: for tests.
    #[arg(long)]
    pub(super) insecure: bool,
    /// Print a JSON object a line for every event: open, message (binary in base64), pong, close, error.
    #[arg(long)]
    pub(super) json: bool,
    /// Seconds to wait for replies at the end of input, anew with each that comes; `forever`: until the server closes.
    #[arg(long, value_name = "S|forever", default_value = "5", value_parser = wait)]
    pub(super) wait: Wait,
    /// Largest message, received or sent, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_message: u32,
    /// Send lines that begin with `/` as they are: no commands.
    #[arg(long)]
    pub(super) no_commands: bool,
    /// Seconds for the look-up, TCP, TLS and the opening handshake.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,
    /// Seconds for the answer to our Close.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    close_timeout: Duration,
}

/// How long to wait for replies at the end of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// At most so long for each, and no longer than all are there.
    Quiet(Duration),
    /// Until the server closes.
    Forever,
}

impl Options {
    pub(super) fn connector(&self) -> Result<Connector, Failure> {
        let config = Config::builder()
            .deflate(self.deflate)
            .message_bytes_max(self.max_message.into())
            .ping_every(self.ping_interval)
            .handshake_within(self.handshake_timeout)
            .tls_within(self.handshake_timeout)
            .close_within(self.close_timeout)
            .build()
            .map_err(Failure::usage)?;
        let connector = Connector::new(config);
        if !(self.insecure && self.url.is_secure()) {
            return Ok(connector);
        }
        let tls = insecure::config().map_err(|error| Failure::new(1, error))?;
        Ok(connector.with_tls(Arc::new(tls)))
    }

    pub(super) fn request(&self) -> Result<ClientRequest, Failure> {
        let mut request = ClientRequest::new(self.url.clone());
        for (name, value) in &self.header {
            request = request.header(name, value).map_err(Failure::usage)?;
        }
        if let Some(origin) = &self.origin {
            request = request.origin(origin).map_err(|error| Failure::usage(format!("--origin: {error}")))?;
        }
        // A header of one's own comes before what the URL says.
        if !self.header.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            request = request.authorize_from_url().map_err(Failure::usage)?;
        }
        request.subprotocols(self.subprotocol.iter().map(String::as_str)).map_err(Failure::usage)
    }
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("no colon, as in 'Name: value'")?;
    let (name, value) = (name.to_owned(), value.trim_matches([' ', '\t']).to_owned());
    // Asked here for an error that names the option.
    let anywhere = Url::parse("ws://localhost/").map_err(|error| error.to_string())?;
    let _ = ClientRequest::new(anywhere).header(&name, &value).map_err(|error| error.to_string())?;
    Ok((name, value))
}

fn wait(text: &str) -> Result<Wait, String> {
    match text {
        "forever" => Ok(Wait::Forever),
        text => seconds_or_zero(text).map(Wait::Quiet),
    }
}
