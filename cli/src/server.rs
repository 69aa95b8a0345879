//! What the servers have in common: options, the first line, the signals that stop them.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum};
use framecast::{
    Acceptor, Config, Deflate, Listen, Listener,
    broadcast::Topics,
    handshake::{Endpoint, OriginPolicy},
    proto::DeflateTermsError,
    reactor::{Handler, Reactor},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{SignalKind, signal},
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The options of `echo`, and of every server on the bare engine.
#[derive(Args)]
pub(crate) struct Options {
    /// What moves the bytes.
    #[arg(long, value_enum, default_value_t = Engine::Tokio)]
    engine: Engine,
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9001")]
    listen: String,
    /// Origins that may connect: `any`, or one such as `https://example.com`. Without it: the server's own.
    #[arg(long, value_name = "any|ORIGIN", value_parser = origin)]
    origin: Vec<String>,
    /// Subprotocols that are spoken, the preferred one first.
    #[arg(long, value_name = "NAME", value_parser = subprotocol)]
    subprotocol: Vec<String>,
    /// Threads that serve connections.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Largest message accepted, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_message: u64,
    /// Compress messages (permessage-deflate): `--deflate` without context takeover and with windows of at most 12 bits. With
    /// parameters: context takeover both ways, for up to 400 KiB a connection, and windows of 15 bits, but for what they say, such
    /// as `server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; threshold=0; level=1`.
    #[arg(
        long, value_name = "PARAMS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = |params: &str| deflate(params, Deflate::default())
    )]
    deflate: Option<Deflate>,
    /// Seconds for the opening handshake.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,
    /// Seconds between pings; 0 sends none.
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds_or_zero)]
    ping: Duration,
    /// Seconds for a pong.
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds)]
    pong: Duration,
    /// Seconds for the closing handshake.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    close_timeout: Duration,
    /// Seconds that a peer may take nothing of what is queued for it.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    write_stall: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    /// Tasks on a tokio runtime.
    Tokio,
    /// An event loop a thread.
    Reactor,
}

impl Options {
    /// Runs `tokio` with a listener that is bound, or `handler` in each loop, on as many threads as were asked for; a loop's
    /// connections take part in `topics`.
    pub(crate) fn serve<F, H>(
        self,
        topics: Option<&Topics>,
        tokio: impl FnOnce(Listener) -> F,
        handler: impl Fn(u16) -> H + Sync,
    ) -> Result<()>
    where
        F: Future<Output = io::Result<()>>,
        H: Handler,
    {
        raise_file_limit();
        match self.engine {
            Engine::Tokio => self.serve_tokio(tokio),
            Engine::Reactor => self.serve_reactor(topics, handler),
        }
    }

    fn serve_reactor<H: Handler>(
        self,
        topics: Option<&Topics>,
        handler: impl Fn(u16) -> H + Sync,
    ) -> Result<()> {
        let mut reactor = Reactor::new(self.config()?, self.endpoint()?).threads(self.threads);
        if let Some(topics) = topics {
            reactor = reactor.topics(topics);
        }
        let bound = reactor.bind(&self.listen).map_err(|error| taken(&self.listen, error))?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let remote = bound.remote();
        thread::spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                remote.shut_down();
            }
            if signals.next().is_some() {
                std::process::exit(1);
            }
        });
        announce(&format!("ws://{}/", bound.local_addr()))?;
        Ok(bound.run(handler)?)
    }

    fn serve_tokio<F>(self, serve: impl FnOnce(Listener) -> F) -> Result<()>
    where
        F: Future<Output = io::Result<()>>,
    {
        let listen = Listen::new(Acceptor::new(self.config()?, self.endpoint()?));
        runtime(self.threads.into())?.block_on(async {
            let listener = listen.bind(&self.listen).await.map_err(|error| taken(&self.listen, error))?;
            announce(&format!("ws://{}/", listener.local_addr()?))?;
            Ok(serve(listener).await?)
        })
    }

    fn config(&self) -> Result<Config> {
        Ok(Config::builder()
            .deflate(self.deflate)
            .message_bytes_max(self.max_message)
            .handshake_within(self.handshake_timeout)
            .ping_every((!self.ping.is_zero()).then_some(self.ping))
            .pong_within(self.pong)
            .close_within(self.close_timeout)
            .write_stall_after(self.write_stall)
            .build()?)
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let origins = match &self.origin[..] {
            [] => OriginPolicy::same_origin(),
            origins if origins.iter().any(|origin| origin == "any") => OriginPolicy::any_origin_dangerous(),
            origins => OriginPolicy::list(origins.iter().map(String::as_str))?,
        };
        let endpoint = Endpoint::new().origins(origins);
        Ok(endpoint.subprotocols(self.subprotocol.iter().map(String::as_str))?)
    }
}

/// Resolves at SIGINT or SIGTERM; a second one ends the process at once.
pub(crate) fn stopped() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(1);
        });
    })
}

/// One connection takes one file: as many as the system lets us have.
pub(crate) fn raise_file_limit() {
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: files.maximum, ..files });
}

/// A runtime of so many threads, one or more.
pub(crate) fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()
}

/// The line that scripts wait for.
pub(crate) fn announce(url: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {url}")
        .and_then(|()| stdout.flush())
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
}

pub(crate) fn taken(listen: &str, error: io::Error) -> String {
    format!("cannot listen on {listen}: {error}")
}

pub(crate) fn origin(text: &str) -> std::result::Result<String, String> {
    if text != "any" {
        let _ = OriginPolicy::list([text]).map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

/// The value of `--deflate`; without one, what is usual.
pub(crate) fn deflate(params: &str, usual: Deflate) -> std::result::Result<Deflate, DeflateTermsError> {
    if params.trim().is_empty() { Ok(usual) } else { params.parse() }
}

pub(crate) fn subprotocol(text: &str) -> std::result::Result<String, String> {
    let _ = Endpoint::new().subprotocols([text]).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

pub(crate) fn seconds(text: &str) -> std::result::Result<Duration, String> {
    match seconds_or_zero(text)? {
        duration if duration < Duration::from_millis(1) => Err("must be at least 0.001".into()),
        duration => Ok(duration),
    }
}

pub(crate) fn seconds_or_zero(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration > SECONDS_MAX => Err("must be at most 12 days".into()),
        Ok(duration) if !duration.is_zero() && duration < Duration::from_millis(1) => {
            Err("must be at least 0.001".into())
        }
        Ok(duration) => Ok(duration),
        Err(_) => Err("not a number of seconds".into()),
    }
}

/// What the engine's time-outs go up to.
const SECONDS_MAX: Duration = Duration::from_secs(12 * 24 * 3600);
