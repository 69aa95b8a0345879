//! What every listener needs to know: whose fault a failure to accept is, how many there may be, when to come back.

use std::{io, time::Duration};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::proto::{Config, Masks};

/// Whose fault a failure to accept is (catalogue: FT-20..23).
pub(super) fn fault(error: &io::Error) -> Fault {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Fault::OutOfResources,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT | Errno::OPNOTSUPP) => {
            Fault::OfTheSocket
        }
        _ => Fault::OfOneConnection,
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is gone before we had it: the next one, at once.
    OfOneConnection,
    /// Wait for somebody to leave.
    OutOfResources,
    OfTheSocket,
}

/// How long an accept is put off when files or memory have run out: longer each time, 10 ms to 1 s. One that succeeds begins a new one.
///
/// The drivers' listeners have their own; this is for who accepts by itself.
///
/// ```
/// use std::{io, time::Duration};
///
/// use framecast::driver::Patience;
///
/// let mut patience = Patience::default();
/// // The peer has gone already: on with the next one.
/// assert_eq!(patience.after(io::ErrorKind::ConnectionAborted.into())?, Duration::ZERO);
/// // EMFILE: somebody has to leave first.
/// assert_eq!(patience.after(io::Error::from_raw_os_error(24))?, Duration::from_millis(10));
/// assert_eq!(patience.after(io::Error::from_raw_os_error(24))?, Duration::from_millis(20));
/// // EBADF: nothing will ever come of it.
/// assert!(patience.after(io::Error::from_raw_os_error(9)).is_err());
/// # io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Patience(Duration);

impl Patience {
    /// How long to wait before the next accept, after one that failed; zero if it was the fault of one connection alone.
    ///
    /// # Errors
    /// The listening socket itself has failed.
    pub fn after(&mut self, error: io::Error) -> io::Result<Duration> {
        match fault(&error) {
            Fault::OfOneConnection => Ok(Duration::ZERO),
            Fault::OutOfResources => Ok(self.next()),
            Fault::OfTheSocket => Err(error),
        }
    }

    pub(super) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(PATIENCE_MAX);
        now
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self(PATIENCE_MIN)
    }
}

/// Connections that a listener holds, and of them those whose opening handshake is unfinished.
pub(super) fn counts(config: &Config) -> (usize, usize) {
    let connections_max = config.connections_max.unwrap_or_else(connections_by_open_files);
    let handshakes_max = config.handshakes_max.unwrap_or((connections_max / 10).max(HANDSHAKES_MIN));
    (connections_max, handshakes_max)
}

/// One to four seconds, so that those who are refused together do not come back together (catalogue: HS-53).
pub(super) fn retry_after_seconds(masks: &mut Masks) -> u32 {
    1 + u32::from(masks.key()[0] % 4)
}

/// Spreads the pings of connections that open together.
pub(super) fn seed(masks: &mut Masks) -> u64 {
    u64::from(u32::from_ne_bytes(masks.key()))
}

/// What the limit on open files leaves, less some for everything else.
fn connections_by_open_files() -> usize {
    match getrlimit(Resource::Nofile).current {
        Some(files) => usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(64).max(1),
        None => usize::MAX,
    }
}

/// A small server still lets a crowd in that comes at once.
const HANDSHAKES_MIN: usize = 128;
const PATIENCE_MIN: Duration = Duration::from_millis(10);
const PATIENCE_MAX: Duration = Duration::from_secs(1);
