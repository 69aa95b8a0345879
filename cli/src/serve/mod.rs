//! `framecast serve`: the hub, on the terms of its options.
//!
//! `options` are what may be said, by the command line, the environment (`layer`) or a `file`, and `values` judge it; `settings` are what
//! is in force; `host` makes a hub and a server of them; `logs`, by `lines`, and `signals` are what a process has beside.

mod file;
mod host;
mod lines;
mod logs;
mod options;
mod settings;
mod signals;
mod values;

use std::{
    env, fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use framecast_hub::{ServeError, Stop, Tls};
use tracing::{error, info, warn};

pub(crate) use options::Options;

use self::{file::File, host::Host, logs::Logs, options::LogFormat, settings::Settings, signals::Signals};
use crate::{failure::Failure, layer, server};

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    layer::known::<Options>(env::vars_os(), &OTHERS)?;
    let environment: Options = layer::environment(|name| env::var_os(name))?;
    let file = match options.config.as_ref().or(environment.config.as_ref()) {
        Some(path) => File::read(path)?,
        None => File::default(),
    };
    let settings = Settings::of(options, environment, file)?;
    // What listens beyond loopback itself is refused once its address is known.
    if settings.is_open_by_default()
        && let Some(option) = settings.said_of_a_proxy()
    {
        return Err(open_to_all(format_args!("with --{option} it")));
    }
    let host = Host::of(&settings)?;
    let logs = Logs::start(settings.log, settings.log_level).map_err(|error| Failure::new(1, error))?;
    server::raise_file_limit();
    let runtime = server::runtime(settings.threads).map_err(|error| Failure::new(1, error))?;
    runtime.block_on(serve(&settings, host, &logs))
}

async fn serve(settings: &Settings, host: Host, logs: &Logs) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(1, error);
    let signals = Signals::listen().map_err(failed)?;
    let bound = host.server.bind(&settings.listen).await;
    let bound = bound.map_err(|error| Failure::new(1, server::taken(&settings.listen, error)))?;
    let bound = match &host.tls {
        Some(tls) => bound.tls(tls.clone()),
        None => bound,
    };
    let url = bound.url();
    let unheard = Arc::new(Mutex::new(None));
    let stop = {
        let unheard = unheard.clone();
        // First asked once it serves.
        async move {
            if let Err(error) = server::announce(&url) {
                *unheard.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Stop::Now;
            }
            info!(%url, threads = settings.threads, "listening");
            if settings.lets_everybody_in() {
                warn!("everybody who can reach it may join without a token");
            }
            if settings.log == LogFormat::Text {
                host::notes(settings, &url).iter().for_each(|note| logs.note(note));
            }
            signals.stopped(settings.drain, || reload(host.tls.as_ref())).await
        }
    };
    let served = bound.serve(stop).await;
    let unheard = unheard.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (unheard, served) {
        (Some(error), _) => Err(failed(error)),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(refused(error)),
    }
}

/// The certificate of who connects from now on. One that is wrong changes nothing.
fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        Some(Ok(())) => info!("SIGHUP: the certificate was read again"),
        Some(Err(error)) => error!(%error, "SIGHUP: the certificate stays as it was"),
        None => info!("SIGHUP: there is no certificate to be read again"),
    }
}

/// Why it does not serve, or no longer.
fn refused(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(ServeError::OpenToAll(address)) => open_to_all(address),
        _ => Failure::new(1, error),
    }
}

fn open_to_all(what: impl fmt::Display) -> Failure {
    Failure::usage(format_args!(
        "{what} can be reached from elsewhere, and everybody could join: give --jwt-secret, --jwt-public-key or --tokens, \
        or say --allow-anonymous"
    ))
}

/// Variables of other parts, which may be there beside: of `framecast publish`, and of this repository's tests.
const OTHERS: [&str; 9] =
    ["SERVER", "AUTOBAHN_CLIENT", "CONNECT", "ECHO", "ECHO_CLIENT", "SERVE", "SKIP_BUILD", "SPORTS", "TOOLS"];
