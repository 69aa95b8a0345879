//! How a subcommand fails: one line for people, one exit status for scripts.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use crate::show;

/// Why the command ends with another status than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    why: String,
}

impl Failure {
    /// Of this exit status; `why` is one line, and does not repeat the command's name.
    pub(crate) fn new(status: u8, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }

    /// An option, a URL or a line of input is wrong: 2, as for the options that clap refuses.
    pub(crate) fn usage(why: impl fmt::Display) -> Self {
        Self::new(2, why)
    }

    /// Says why, and gives the status.
    pub(crate) fn report(&self) -> ExitCode {
        say(&self.why);
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Whatever has no status of its own: 1.
impl From<Box<dyn Error + Send + Sync>> for Failure {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self::new(1, error)
    }
}

/// One line on stderr, which every word takes that a subcommand says there: a close reason, the names in a certificate and
/// whatever else is the peer's cannot steer the terminal. Nobody may be there to read it, which is no reason to panic.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "framecast: {}", show::one_line(line));
}
