//! Where names and secrets come from that nobody can guess.

use std::{fmt, fmt::Write, sync::Arc};

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
