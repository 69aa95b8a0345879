//! The log: what `tracing` is told, on stderr, as lines for people or as JSON.
//!
//! A thread of its own writes it. If nobody reads, it drops what does not fit into memory; if nobody is there to read, it writes to
//! nobody (catalogue: FT-33). Neither holds up a connection.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::options::{LogFormat, LogLevel};

/// The log, as long as this is kept; then what is in memory is written, if somebody reads.
pub(super) struct Logs {
    writer: NonBlocking,
    _written_at_the_end: WorkerGuard,
}

impl Logs {
    pub(super) fn start(format: LogFormat, level: LogLevel) -> Self {
        let (writer, guard) =
            NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).finish(io::stderr());
        let log = tracing_subscriber::fmt()
            .with_max_level(filter(level))
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(writer.clone());
        // There is none before: this is the process's first and only one.
        match format {
            LogFormat::Text => drop(tracing::subscriber::set_global_default(log.finish())),
            LogFormat::Json => drop(tracing::subscriber::set_global_default(log.json().finish())),
        }
        Self { writer, _written_at_the_end: guard }
    }

    /// A line for a person, beside the log.
    pub(super) fn note(&self, line: &str) {
        let _ = self.writer.clone().write_all(format!("framecast: {line}\n").as_bytes());
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

/// Lines that wait to be written, a few hundred bytes each.
const LINES_MAX: usize = 8192;
