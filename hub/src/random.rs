//! Where names and secrets come from that nobody can guess.

use std::{fmt, fmt::Write, sync::Arc, time::Duration};

/// Fills bytes at random; a clone is a reference count.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// The system's.
    ///
    /// # Panics
    /// Later, when it is asked, on a system that has no randomness: nothing could be told apart or kept secret.
    pub fn system() -> Self {
        Self::new(|bytes| getrandom::fill(bytes).expect("the system has randomness"))
    }

    /// Another one, for tests: whoever knows it knows every secret.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// A time from none to less than `max`, to the millisecond, each as likely as another.
    pub(crate) fn up_to(&self, max: Duration) -> Duration {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        // The upper half of a product with 2^64 is as even as that is large.
        let millis = u128::from(u64::from_le_bytes(bytes)) * max.as_millis();
        Duration::from_millis(u64::try_from(millis >> 64).unwrap_or(u64::MAX))
    }

    /// So many random bytes as lower-case hexadecimal digits, after a prefix.
    pub(crate) fn name<const BYTES: usize>(&self, prefix: &str) -> String {
        let mut bytes = [0; BYTES];
        (self.0)(&mut bytes);
        let mut name = prefix.to_owned();
        for byte in bytes {
            // A string takes everything.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
