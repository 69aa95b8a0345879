//! `framecast publish`: a message from the shell, by a server's REST.

mod http;

use std::{
    env,
    io::{self, Read, Write},
};

use ::http::{StatusCode, Uri};
use clap::Args;
use framecast_hub::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;

use self::http::Unanswered;
use crate::{
    failure::Failure,
    layer::{self, secret},
    show,
};

/// What `publish` is told.
#[derive(Args)]
#[command(override_usage = USAGE, after_help = MORE)]
pub(crate) struct Options {
    /// ROOM, whose subscribers get it, unless --all or --user say who does; and PAYLOAD, which is any JSON and arrives byte for byte.
    /// `-` reads it from standard input.
    #[arg(value_name = "ROOM PAYLOAD", num_args = 1..=2, required = true, allow_negative_numbers = true)]
    what: Vec<String>,
    /// To every connection.
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// To every connection of a user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// What it is about: for a subscriber who conflates and reads slowly, a newer message of the same key takes its place. Of ROOM only.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["all", "user"])]
    key: Option<String>,
    /// PAYLOAD is no JSON but a text, and sent as a JSON string; of standard input without the line feed at its end.
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    access: Access,
}

/// What the environment may say too.
#[derive(Args)]
struct Access {
    /// Where the server is; or in FRAMECAST_SERVER. [default: http://127.0.0.1:8000]
    #[arg(long, value_name = "URL", value_parser = server)]
    server: Option<Uri>,
    /// Its --admin-token, if it has one; or in FRAMECAST_ADMIN_TOKEN, where nobody sees it who can list processes.
    #[arg(long, value_name = "TOKEN", value_parser = token)]
    admin_token: Option<Secret>,
}

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let environment: Access = layer::environment(|name| env::var_os(name))?;
    let server =
        options.access.server.clone().or(environment.server).unwrap_or_else(|| Uri::from_static(SERVER));
    let token = options.access.admin_token.clone().or(environment.admin_token);
    let (to, payload) = options.message()?;
    let path = format!("{}{to}", server.path().trim_end_matches('/'));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(1, error))?;
    let answer = runtime.block_on(http::post(&server, &path, token.as_ref(), payload));
    // A look-up that goes on must not hold us up.
    runtime.shutdown_background();
    match answer {
        Ok((StatusCode::OK, body)) => print(&body),
        Ok((status, body)) => Err(Failure::new(REFUSED, refusal(status, &body))),
        Err(Unanswered::Options(why)) => Err(Failure::usage(why)),
        Err(Unanswered::Server(why)) => {
            let host = server.authority().map(ToString::to_string).unwrap_or_default();
            Err(Failure::new(CANNOT_CONNECT, format_args!("cannot publish by {host}: {why}")))
        }
    }
}

impl Options {
    /// The path that it goes to, and it.
    fn message(&self) -> Result<(String, String), Failure> {
        let encoded = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
        match (&self.what[..], self.all, &self.user) {
            ([room, payload], false, None) => {
                let key = self.key.as_ref().map(|key| format!("?key={}", encoded(key)));
                Ok((format!("/broadcast/{}{}", encoded(room), key.unwrap_or_default()), self.json(payload)?))
            }
            ([payload], true, None) => Ok(("/broadcast".to_owned(), self.json(payload)?)),
            ([payload], false, Some(user)) => {
                Ok((format!("/users/{}/messages", encoded(user)), self.json(payload)?))
            }
            _ => Err(Failure::usage("wants ROOM PAYLOAD, or --all PAYLOAD, or --user USER PAYLOAD")),
        }
    }

    /// A payload as JSON.
    fn json(&self, payload: &str) -> Result<String, Failure> {
        let mut payload = payload.to_owned();
        if payload == "-" {
            payload.clear();
            let read = io::stdin().lock().read_to_string(&mut payload);
            let _ = read.map_err(|error| Failure::usage(format_args!("standard input: {error}")))?;
            if self.text && payload.ends_with('\n') {
                payload.pop();
            }
        }
        if self.text {
            return serde_json::to_string(&payload).map_err(Failure::usage);
        }
        match serde_json::from_str::<IgnoredAny>(&payload) {
            Ok(IgnoredAny) => Ok(payload),
            Err(error) => {
                Err(Failure::usage(format_args!("PAYLOAD is not JSON: {error}; --text sends it as a string")))
            }
        }
    }
}

/// Scheme and host, and a path if the server is below one.
fn server(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "is no URL".to_owned())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if is_http && uri.query().is_none() && !authority.as_str().contains('@') => Ok(uri),
        _ => Err("is not http://HOST[:PORT] or https://…".to_owned()),
    }
}

/// One that fits into a header.
fn token(text: &str) -> Result<Secret, String> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        secret(text)
    } else {
        Err("is not a token".to_owned())
    }
}

/// One line.
fn print(body: &[u8]) -> Result<(), Failure> {
    let body = String::from_utf8_lossy(body);
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", show::json(body.trim_end())).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(1, format_args!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    match body.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("server answered {status}: {}", show::short_line(line)),
        None => format!("server answered {status}"),
    }
}

const USAGE: &str = "\
framecast publish [OPTIONS] ROOM PAYLOAD
       framecast publish [OPTIONS] --all PAYLOAD
       framecast publish [OPTIONS] --user USER PAYLOAD";
/// What `--help` says at its end.
const MORE: &str = "\
Prints what the server answers, such as {\"status\":\"sent\",\"room\":\"news\",\"offset\":7,\"recipients\":2}.

Exit status: 0 sent, 2 usage, 3 cannot connect, 4 refused with an HTTP status.";
/// Where `framecast serve` listens that was told nothing else.
const SERVER: &str = "http://127.0.0.1:8000";
const CANNOT_CONNECT: u8 = 3;
const REFUSED: u8 = 4;
