//! What is in force: of each option what the command line says, else the environment, else the file, else its default; and whether it
//! makes sense together.

use std::{path::PathBuf, thread, time::Duration};

use framecast::{Deflate, broadcast::HistoryLimits, handshake::OriginPolicy};
use framecast_hub::{Limits, Proxies, Rate, Secret};

use super::{
    file::File,
    options::{self, LogFormat, LogLevel, Options},
};
use crate::failure::Failure;

/// All that `serve` needs to know. Its `Debug` shows no secret.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) listen: String,
    pub(super) jwt_secret: Option<Secret>,
    pub(super) jwt_public_key: Option<PathBuf>,
    pub(super) jwt_audience: Option<String>,
    pub(super) jwt_issuer: Option<String>,
    pub(super) tokens: Option<PathBuf>,
    /// `None`: as long as no tokens are accepted either.
    pub(super) allow_anonymous: Option<bool>,
    pub(super) admin_token: Option<Secret>,
    pub(super) origins: OriginPolicy,
    pub(super) public_url: Option<String>,
    pub(super) proxies: Proxies,
    /// Certificates and key.
    pub(super) tls: Option<(PathBuf, PathBuf)>,
    /// `None`: none are sent.
    pub(super) ping: Option<Duration>,
    pub(super) pong: Duration,
    pub(super) drain: Duration,
    pub(super) log: LogFormat,
    pub(super) log_level: LogLevel,
    pub(super) threads: usize,
    pub(super) deflate: Option<Deflate>,
    pub(super) limits: Limits,
    pub(super) handshakes_per_address: Rate,
    pub(super) connections_per_address: usize,
    pub(super) connections_max: Option<usize>,
    pub(super) queue_bytes_max: usize,
    pub(super) queue_messages_max: usize,
    pub(super) routes: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn of(command_line: Options, environment: Options, file: File) -> Result<Self, Failure> {
        let mut said = Said([command_line, environment, file.options]);
        if let Some(broker) = said.first(|options| options.broker.take()) {
            return Err(no_broker(&broker));
        }
        let public_url = said.first(|options| options.public_url.take());
        let tls_cert = said.first(|options| options.tls_cert.take());
        let tls_key = said.first(|options| options.tls_key.take());
        let tls = match (tls_cert, tls_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(Failure::usage("--tls-cert is of no use without --tls-key")),
            (None, Some(_)) => return Err(Failure::usage("--tls-key is of no use without --tls-cert")),
        };
        let jwt_secret = said.first(|options| options.jwt_secret.take());
        let jwt_public_key = said.first(|options| options.jwt_public_key.take());
        let jwt_audience = said.first(|options| options.jwt_audience.take());
        let jwt_issuer = said.first(|options| options.jwt_issuer.take());
        if jwt_secret.is_none() && jwt_public_key.is_none() {
            // Whoever says so means to let in fewer, and would let in as many.
            for (name, said) in [("audience", &jwt_audience), ("issuer", &jwt_issuer)] {
                if said.is_some() {
                    return Err(Failure::usage(format_args!(
                        "--jwt-{name} is of no use without --jwt-secret or --jwt-public-key"
                    )));
                }
            }
        }
        Ok(Self {
            listen: said.first(|options| options.listen.take()).unwrap_or_else(|| LISTEN.to_owned()),
            jwt_secret,
            jwt_public_key,
            jwt_audience,
            jwt_issuer,
            tokens: said.first(|options| options.tokens.take()),
            allow_anonymous: said.first(|options| options.allow_anonymous.take()),
            admin_token: said.first(|options| options.admin_token.take()),
            origins: origins(said.first(|options| options.origin.take()), public_url.as_deref())?,
            public_url,
            proxies: match said.first(|options| options.trusted_proxy.take()) {
                Some(networks) => {
                    Proxies::new(networks.iter().map(String::as_str)).map_err(Failure::usage)?
                }
                None => Proxies::none(),
            },
            tls,
            ping: Some(said.first(|options| options.ping.take()).unwrap_or(PING))
                .filter(|ping| !ping.is_zero()),
            pong: said.first(|options| options.pong.take()).unwrap_or(PING),
            drain: said.first(|options| options.drain.take()).unwrap_or(DRAIN),
            log: said.first(|options| options.log.take()).unwrap_or(LogFormat::Text),
            log_level: said.first(|options| options.log_level.take()).unwrap_or(LogLevel::Info),
            threads: match said.first(|options| options.threads.take()) {
                Some(threads) => threads.into(),
                None => thread::available_parallelism().map_or(1, usize::from),
            },
            deflate: said.first(|options| options.deflate.take()).and_then(|compression| compression.0),
            handshakes_per_address: said
                .limit(|limits| limits.handshakes_per_address.take())
                .map_or(HANDSHAKES, rate),
            connections_per_address: said
                .limit(|limits| limits.connections_per_address.take())
                .map_or(CONNECTIONS_PER_ADDRESS, size),
            connections_max: said.limit(|limits| limits.max_connections.take()).map(size),
            queue_bytes_max: said.limit(|limits| limits.queue_bytes.take()).map_or(QUEUE_BYTES, size),
            queue_messages_max: said
                .limit(|limits| limits.queue_messages.take())
                .map_or(QUEUE_MESSAGES, size),
            limits: limits(&mut said),
            routes: file.routes,
        })
    }

    /// Whether everybody may join, and nobody has said so.
    pub(super) fn is_open_by_default(&self) -> bool {
        !self.has_tokens() && self.allow_anonymous.is_none()
    }

    /// Whether somebody may join who has no token.
    pub(super) fn lets_everybody_in(&self) -> bool {
        self.allow_anonymous.unwrap_or(!self.has_tokens())
    }

    /// The option by which somebody has said that a proxy is before it: then loopback is not this machine alone.
    pub(super) fn said_of_a_proxy(&self) -> Option<&'static str> {
        match &self.public_url {
            Some(_) => Some("public-url"),
            None => (self.proxies != Proxies::none()).then_some("trusted-proxy"),
        }
    }

    /// Whether any token is accepted.
    fn has_tokens(&self) -> bool {
        self.jwt_secret.is_some() || self.jwt_public_key.is_some() || self.tokens.is_some()
    }
}

/// What was said, what counts first before the rest.
struct Said([Options; 3]);

impl Said {
    fn first<T>(&mut self, take: impl Fn(&mut Options) -> Option<T>) -> Option<T> {
        self.0.iter_mut().find_map(take)
    }

    fn limit<T>(&mut self, take: impl Fn(&mut options::Limits) -> Option<T>) -> Option<T> {
        self.first(|options| take(&mut options.limits))
    }
}

/// The hub's own limits where nothing was said.
fn limits(said: &mut Said) -> Limits {
    let mut limits = Limits::default();
    let HistoryLimits { messages, bytes, age } = limits.history;
    limits.history = HistoryLimits {
        messages: said.limit(|limits| limits.history_messages.take()).map_or(messages, size),
        bytes: said.limit(|limits| limits.history_bytes.take()).map_or(bytes, size),
        age: said.limit(|limits| limits.history_age.take()).unwrap_or(age),
    };
    if let Some(bytes) = said.limit(|limits| limits.history_total_bytes.take()) {
        limits.history_total_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    limits.rooms_max = said.limit(|limits| limits.rooms_per_connection.take()).map_or(limits.rooms_max, size);
    limits.rooms_total_max =
        said.limit(|limits| limits.max_rooms.take()).map_or(limits.rooms_total_max, size);
    limits.messages = said.limit(|limits| limits.message_rate.take()).map_or(limits.messages, rate);
    limits.bytes = said.limit(|limits| limits.byte_rate.take()).map_or(limits.bytes, rate);
    limits.user_messages =
        said.limit(|limits| limits.user_message_rate.take()).map_or(limits.user_messages, rate);
    limits.user_bytes = said.limit(|limits| limits.user_byte_rate.take()).map_or(limits.user_bytes, rate);
    limits.room_messages =
        said.limit(|limits| limits.room_message_rate.take()).map(rate).or(limits.room_messages);
    limits.connections_per_user_max = said
        .limit(|limits| limits.max_connections_per_user.take())
        .map_or(limits.connections_per_user_max, size);
    limits
}

/// The server's own pages, where browsers find them, and those that are listed.
fn origins(listed: Option<Vec<String>>, public_url: Option<&str>) -> Result<OriginPolicy, Failure> {
    let policy = match (listed, public_url) {
        (None, None) => Ok(OriginPolicy::same_origin()),
        (None, Some(url)) => OriginPolicy::same_origin_as(url),
        (Some(listed), _) if listed.iter().any(|origin| origin == "any") => {
            Ok(OriginPolicy::any_origin_dangerous())
        }
        (Some(listed), url) => OriginPolicy::list(listed.iter().map(String::as_str).chain(url)),
    };
    policy.map_err(Failure::usage)
}

/// A URL may hold a password, which is nobody's to see.
fn no_broker(url: &str) -> Failure {
    match url.split_once("://") {
        Some((scheme @ ("redis" | "rediss" | "nats" | "tls"), _)) => Failure::usage(format_args!(
            "--broker {scheme}://…: not yet; this version serves from one process"
        )),
        _ => Failure::usage("--broker: is neither redis://… nor nats://…; and neither is there yet"),
    }
}

/// After a pause twice as many at once.
fn rate(per_second: u32) -> Rate {
    Rate { per_second, burst: per_second.saturating_mul(2) }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const LISTEN: &str = "127.0.0.1:8000";
const DRAIN: Duration = Duration::from_secs(10);
/// Between two pings, and for a pong.
const PING: Duration = Duration::from_secs(20);
const HANDSHAKES: Rate = Rate { per_second: 20, burst: 40 };
const CONNECTIONS_PER_ADDRESS: usize = 1024;
const QUEUE_BYTES: usize = 1 << 20;
const QUEUE_MESSAGES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{self, Given};

    fn options(said: &[(&str, &str)]) -> Options {
        let given = |(name, text): &(&str, &str)| {
            let [name, text, shown, place] = [*name, *text, *text, "here"].map(str::to_owned);
            Given { name, text, shown, place }
        };
        let given: Vec<_> = said.iter().map(given).collect();
        layer::read(&given).unwrap_or_else(|error| panic!("{error}"))
    }

    fn settings(
        command_line: &[(&str, &str)],
        environment: &[(&str, &str)],
        file: &[(&str, &str)],
    ) -> Settings {
        let file = File { options: options(file), routes: Vec::new() };
        Settings::of(options(command_line), options(environment), file)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_command_line_counts_before_the_environment_and_that_before_the_file() {
        let say = |drain| [("drain", drain), ("origin", "any"), ("message-rate", drain)];
        let [one, two, three] = ["1", "2", "3"].map(say);
        for (settings, drain) in [
            (settings(&one, &two, &three), 1),
            (settings(&[], &two, &three), 2),
            (settings(&[], &[], &three), 3),
            (settings(&[], &[("drain", "2")], &three[1..]), 2),
        ] {
            assert_eq!(settings.drain, Duration::from_secs(drain));
            assert_eq!(settings.origins, OriginPolicy::any_origin_dangerous());
        }
        // A list replaces the one before it, so that a page can be taken away.
        let list = |origin| [("origin", origin)];
        let both = settings(&list("https://a.example"), &[], &list("https://b.example"));
        assert_eq!(both.origins, OriginPolicy::list(["https://a.example"]).expect("it is an origin"));
        // And `false` takes back.
        let off = settings(&[("allow-anonymous", "false")], &[], &[("allow-anonymous", "true")]);
        assert_eq!(off.allow_anonymous, Some(false));
    }

    /// What `--help` says of a default is said again, and nothing changes.
    #[test]
    fn the_defaults_are_those_of_the_help() {
        let defaults = format!("{:?}", settings(&[], &[], &[]));
        let mut seen = 0;
        for option in layer::command::<Options>().get_arguments() {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let Some((_, default)) = help.split_once("[default: ") else { continue };
            let said = [(option.get_long().expect("it has a name"), default.trim_end_matches(']'))];
            assert_eq!(format!("{:?}", settings(&said, &[], &[])), defaults, "{said:?}");
            seen += 1;
        }
        assert_eq!(seen, 21);
    }

    /// Each option is read: another value of it changes something.
    #[test]
    fn every_option_counts() {
        let defaults = format!("{:?}", settings(&[], &[], &[]));
        for option in layer::command::<Options>().get_arguments() {
            let name = option.get_long().expect("it has a name");
            let mut said = vec![(
                name,
                match name {
                    "config" | "broker" => continue,
                    "origin" | "public-url" => "https://a.example",
                    "trusted-proxy" => "10.0.0.0/8",
                    "allow-anonymous" | "deflate" => "true",
                    "log" => "json",
                    "log-level" => "trace",
                    _ => "77",
                },
            )];
            match name {
                "tls-cert" => said.push(("tls-key", "k")),
                "tls-key" => said.push(("tls-cert", "c")),
                "jwt-audience" | "jwt-issuer" => said.push(("jwt-secret", "s")),
                _ => {}
            }
            assert_ne!(format!("{:?}", settings(&said, &[], &[])), defaults, "{name}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_told() {
        for (said, expected) in [
            (("tls-cert", "a"), "--tls-cert is of no use without --tls-key"),
            (("tls-key", "a"), "--tls-key is of no use without --tls-cert"),
            (("jwt-audience", "a"), "--jwt-audience is of no use without --jwt-secret or --jwt-public-key"),
            (("jwt-issuer", "a"), "--jwt-issuer is of no use without --jwt-secret or --jwt-public-key"),
            (
                ("broker", "redis://me:s3cret@example.com"),
                "--broker redis://…: not yet; this version serves from one process",
            ),
            (
                ("broker", "nats://example.com"),
                "--broker nats://…: not yet; this version serves from one process",
            ),
            (("broker", "s3cret"), "--broker: is neither redis://… nor nats://…; and neither is there yet"),
        ] {
            let error = Settings::of(options(&[said]), Options::default(), File::default());
            assert_eq!(error.expect_err("it makes no sense").to_string(), expected);
        }
    }

    #[test]
    fn the_servers_own_pages_stay_when_others_are_listed() {
        let origins = |said: &[(&str, &str)]| settings(said, &[], &[]).origins;
        let [own, other] = [("public-url", "https://own.example/"), ("origin", "https://other.example")];
        let list = |entries: &[&str]| OriginPolicy::list(entries.iter().copied()).expect("they are origins");
        assert_eq!(origins(&[]), OriginPolicy::same_origin());
        assert_eq!(origins(&[own]), OriginPolicy::same_origin_as("https://own.example").expect("it is one"));
        assert_eq!(origins(&[own, other]), list(&["https://other.example", "https://own.example"]));
        assert_eq!(origins(&[other]), list(&["https://other.example"]));
        assert_eq!(origins(&[other, ("origin", "any")]), OriginPolicy::any_origin_dangerous());
    }
}
