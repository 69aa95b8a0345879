//! The log: what `tracing` is told, on stderr, as lines for people or as JSON. A stderr that nobody reads, or that is closed, holds no
//! connection up (catalogue: FT-33).

use std::{
    io::{self, Write},
    time::Duration,
};

use tracing::level_filters::LevelFilter;

use super::{
    lines::Lines,
    options::{LogFormat, LogLevel},
};

/// The log; what waits to be written when this is dropped is written, if somebody reads.
pub(super) struct Logs(Lines);

impl Logs {
    pub(super) fn start(format: LogFormat, level: LogLevel) -> io::Result<Self> {
        let lines = Lines::start(io::stderr())?;
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(filter(level))
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(move || writer.clone());
        // There is none before: this is the process's first and only one.
        match format {
            LogFormat::Text => drop(tracing::subscriber::set_global_default(log.finish())),
            LogFormat::Json => drop(tracing::subscriber::set_global_default(log.json().finish())),
        }
        Ok(Self(lines))
    }

    /// A line for a person, beside the log.
    pub(super) fn note(&self, line: &str) {
        // It takes all, or loses it.
        let _ = self.0.clone().write_all(format!("framecast: {line}\n").as_bytes());
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.flush(WRITTEN_WITHIN);
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

const WRITTEN_WITHIN: Duration = Duration::from_secs(1);
