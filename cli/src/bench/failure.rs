//! Why a measurement was given up, and the exit code that says so.

use std::{fmt, io};

use rustix::io::Errno;

/// One line for people, and what kind of trouble it is.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An echo was wrong, a connection broke, or the watched process is gone: 1.
    Broken(String),
    /// The options make no sense together: 2.
    Usage(String),
    /// A connection did not open: 3.
    CannotConnect(String),
}

impl From<Failure> for crate::failure::Failure {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Broken(_) => 1,
            Failure::Usage(_) => 2,
            Failure::CannotConnect(_) => 3,
        };
        Self::new(status, failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) | Self::Usage(why) | Self::CannotConnect(why) => f.write_str(why),
        }
    }
}

/// What the operating system said, and what to do about it where that is not plain.
pub(super) fn explain(error: &io::Error) -> String {
    let kind = error.raw_os_error().map(Errno::from_raw_os_error);
    match kind {
        Some(Errno::CONNREFUSED) => "connection refused; is the server running?".to_owned(),
        Some(Errno::ADDRNOTAVAIL) => {
            "no local port is left for another connection; those just closed are free again \
             after a minute, and /proc/sys/net/ipv4/ip_local_port_range says how many there are"
                .to_owned()
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            "too many open files; raise the limit (`ulimit -Hn`) or take fewer --connections".to_owned()
        }
        _ => error.to_string(),
    }
}
