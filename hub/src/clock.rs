//! The one clock of a hub: of its sessions, its limits and its rooms.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For what lasts.
    pub instant: Instant,
    /// For what is told: milliseconds of Unix time.
    pub unix_ms: u64,
}

/// Says what time it is; a clone is a reference count.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Now + Send + Sync>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let unix_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
            Now { instant: Instant::now(), unix_ms }
        })
    }

    /// Another one, for tests.
    pub fn new(now: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> Now {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// The clock as the rate limits want it.
#[derive(Clone, Debug)]
pub(crate) struct Ticks(pub(crate) Clock);

impl Ticks {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self(clock.clone())
    }
}

impl governor::clock::Clock for Ticks {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now().instant
    }
}
