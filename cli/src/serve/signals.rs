//! Signals: how a server is told to stop, and to read its files again.

use std::{io, process, time::Duration};

use framecast_hub::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a server listens to, from when this is made.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves at SIGTERM or SIGINT; from then on another one ends the process at once. Until then `reload` is called at each SIGHUP.
    pub(super) async fn stopped(mut self, drain: Duration, reload: impl Fn()) -> Stop {
        let stop = loop {
            tokio::select! {
                _ = self.interrupt.recv() => break Stop::Now,
                _ = self.terminate.recv() => break Stop::Drain(drain),
                _ = self.hang_up.recv() => reload(),
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            process::exit(1);
        });
        stop
    }
}
