//! A hub and its server, as the settings say: the files they name are read here, and what is wrong with them is the user's to mend.

use std::{fmt, fs, io, path::Path, time::Duration};

use framecast_hub::{Addresses, BuildError, Clock, Hub, JwtKey, Server, Tls, Tokens};

use super::settings::Settings;
use crate::failure::Failure;

/// What is served.
pub(super) struct Host {
    pub(super) server: Server,
    pub(super) tls: Option<Tls>,
}

impl Host {
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let hub = hub(settings, tokens(settings)?)?;
        let server = Server::builder(hub)
            .origins(settings.origins.clone())
            .proxies(settings.proxies.clone())
            .engine(engine(settings)?);
        let server = match &settings.admin_token {
            Some(token) => server.admin_token(token.clone()),
            None => server,
        };
        // Without TLS of ours there may still be a proxy's.
        let server = if settings.tls.is_some() { server.secure(true) } else { server };
        let tls = settings.tls.as_ref().map(|(cert, key)| Tls::from_pem_files(cert, key)).transpose();
        Ok(Self { server: server.build(), tls: tls.map_err(Failure::usage)? })
    }
}

fn hub(settings: &Settings, tokens: Tokens) -> Result<Hub, Failure> {
    let clock = Clock::system();
    let addresses =
        Addresses::new(settings.handshakes_per_address, settings.connections_per_address, true, &clock);
    let mut hub =
        Hub::builder().tokens(tokens).limits(settings.limits.clone()).addresses(addresses).clock(clock);
    hub = hub.ping_interval_s(settings.ping.map_or(0, whole_seconds));
    if let Some(on) = settings.allow_anonymous {
        hub = hub.allow_anonymous(on);
    }
    for (path, room) in &settings.routes {
        hub = hub.route(path, room);
    }
    hub.build().map_err(|error| match error {
        BuildError::NobodyCanConnect => wrong(
            "allow-anonymous",
            "nobody could join: give --jwt-secret, --jwt-public-key or --tokens, or leave it out",
        ),
        error => Failure::usage(error),
    })
}

/// Clients are told whole seconds, and no fewer than it takes.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Of every kind that is asked for.
fn tokens(settings: &Settings) -> Result<Tokens, Failure> {
    let mut tokens = Tokens::new();
    if let Some(secret) = &settings.jwt_secret {
        let key = JwtKey::hs256(secret.expose()).map_err(|error| wrong("jwt-secret", error))?;
        tokens = tokens.with_key(narrowed(key, settings));
    }
    if let Some(path) = &settings.jwt_public_key {
        let key = JwtKey::from_pem(&read("jwt-public-key", path)?);
        let key =
            key.map_err(|error| wrong("jwt-public-key", format_args!("{}: {error}", path.display())))?;
        tokens = tokens.with_key(narrowed(key, settings));
    }
    if let Some(path) = &settings.tokens {
        let wrong = |why: &dyn fmt::Display| wrong("tokens", format_args!("{}: {why}", path.display()));
        let text = String::from_utf8(read("tokens", path)?).map_err(|_| wrong(&"not UTF-8"))?;
        tokens = tokens.with_file(&text).map_err(|error| wrong(&error))?;
        if tokens.is_empty() {
            // Else everybody would be let in, as if no tokens were wanted.
            return Err(wrong(&"there is no token in it"));
        }
    }
    Ok(tokens)
}

/// For whom, and by whom, tokens of a key have to be.
fn narrowed(mut key: JwtKey, settings: &Settings) -> JwtKey {
    if let Some(audience) = &settings.jwt_audience {
        key = key.audience(audience);
    }
    if let Some(issuer) = &settings.jwt_issuer {
        key = key.issuer(issuer);
    }
    key
}

fn engine(settings: &Settings) -> Result<framecast::Config, Failure> {
    let queue_bytes_max = settings.queue_bytes_max;
    let config = Server::engine()
        .deflate(settings.deflate)
        .ping_every(settings.ping)
        .pong_within(settings.pong)
        .connections_max(settings.connections_max)
        .outbox_bytes_low(OUTBOX_BYTES_LOW.min(queue_bytes_max))
        .outbox_bytes_max(queue_bytes_max)
        .outbox_messages_max(settings.queue_messages_max);
    config.build().map_err(Failure::usage)
}

/// What a person may want to know who has just started it.
pub(super) fn notes(settings: &Settings, url: &str) -> Vec<String> {
    let url = match &settings.public_url {
        Some(public) => format!("{public}/"),
        None => url.to_owned(),
    };
    // That others may join too is a warning of the log's.
    let who = if settings.lets_everybody_in() { "" } else { "who joins needs a token; " };
    let admin = match &settings.admin_token {
        Some(_) => "REST and /metrics ask for the admin token",
        None => "REST and /metrics answer to this machine alone, without an --admin-token",
    };
    vec![format!("open {url} in a browser; Ctrl-C stops it"), format!("{who}{admin}")]
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error: io::Error| wrong(option, format_args!("{}: {error}", path.display())))
}

fn wrong(option: &str, why: impl fmt::Display) -> Failure {
    Failure::usage(format_args!("--{option}: {why}"))
}

/// The engine's own, which must not be above the most that may wait.
const OUTBOX_BYTES_LOW: usize = 64 << 10;
