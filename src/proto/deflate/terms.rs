//! What is asked for ([`Deflate`]) and what was agreed on ([`DeflateTerms`]).

use std::{fmt, str::FromStr};

use crate::proto::frame::Role;

/// Compression of messages by permessage-deflate (RFC 7692), for [`ConfigBuilder::deflate`](super::super::ConfigBuilder::deflate).
///
/// The default is a server's: no context takeover either way, windows of at most 12 bits. An idle connection then costs what one
/// without compression costs. A client that has few connections does better with [`Deflate::takeover`].
///
/// ```
/// use framecast::proto::{Config, Deflate};
///
/// let server = Config::builder().deflate(Deflate::default()).build()?;
/// let client = Config::builder().deflate(Deflate::takeover().level(6)).build()?;
/// # let _: (Config, Config) = (server, client);
/// # Ok::<(), framecast::proto::ConfigError>(())
/// ```
///
/// As text it is a list of the extension's parameters, and `threshold`, `level` and `fallback`, on top of
/// [`Deflate::takeover`]:
///
/// ```
/// use framecast::proto::Deflate;
///
/// let deflate: Deflate = "server_no_context_takeover; client_max_window_bits=10; threshold=0".parse()?;
/// assert_eq!(deflate, Deflate::takeover().server_no_context_takeover(true).client_max_window_bits(10).threshold(0));
/// # Ok::<(), framecast::proto::DeflateTermsError>(())
/// ```
///
/// # Memory
///
/// Without context takeover a connection holds nothing for it: codecs are the thread's, for as long as a message takes. With it a
/// connection holds, from its first compressed message in that direction on:
///
/// | window | of what comes | of what is sent |
/// |---|--:|--:|
/// | 9 bits | 0.7 KiB | 245 KiB |
/// | 10 bits | 1.2 KiB | 247 KiB |
/// | 11 bits | 2.2 KiB | 251 KiB |
/// | 12 bits | 4.2 KiB | 259 KiB |
/// | 13 bits | 8.2 KiB | 275 KiB |
/// | 14 bits | 16.2 KiB | 307 KiB |
/// | 15 bits | 32.2 KiB | 371 KiB |
///
/// What comes is a window's bytes, once there were so many. What is sent takes a compressor, of which most is a table that has one
/// size for all windows. A thread keeps four compressors and four inflaters at most to lend.
///
/// # Secrets
///
/// What is secret and what an attacker chooses should not be compressed in one message, as its length tells of both (CRIME,
/// BREACH): send it with [`Compression::Never`](super::super::Compression::Never).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Deflate {
    pub(crate) terms: DeflateTerms,
    pub(crate) threshold: usize,
    pub(crate) level: u8,
    pub(crate) fallback: bool,
}

/// What both sides hold to (RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateTerms {
    /// The server's messages do not refer to earlier ones (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client's do not (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The server refers back at most 2 to this many bytes (§7.1.2.1): 8 to 15.
    pub server_max_window_bits: u8,
    /// The client (§7.1.2.2).
    pub client_max_window_bits: u8,
}

impl DeflateTerms {
    /// What holds where nothing is said: context takeover, and windows of 15 bits.
    pub const LARGEST: Self = Self {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: WINDOW_BITS_MAX,
        client_max_window_bits: WINDOW_BITS_MAX,
    };

    /// Bits of the window, and whether it is kept from message to message, of what this role sends.
    pub(crate) fn of_sender(&self, role: Role) -> (u8, bool) {
        let (bits, no_takeover) = match role {
            Role::Server => (self.server_max_window_bits, self.server_no_context_takeover),
            Role::Client => (self.client_max_window_bits, self.client_no_context_takeover),
        };
        // The fields are anyone's to set, and the compressor panics above 15.
        (bits.min(WINDOW_BITS_MAX), !no_takeover)
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self::takeover()
            .server_no_context_takeover(true)
            .client_no_context_takeover(true)
            .server_max_window_bits(12)
            .client_max_window_bits(12)
    }
}

impl Deflate {
    /// Context takeover both ways and windows of 15 bits: the smallest messages, for some hundred KiB a connection.
    pub const fn takeover() -> Self {
        Self { terms: DeflateTerms::LARGEST, threshold: 1 << 10, level: 3, fallback: false }
    }

    /// Whether a server's messages stand each for itself. A server does so, asked or not; a client asks for it.
    pub const fn server_no_context_takeover(mut self, on: bool) -> Self {
        self.terms.server_no_context_takeover = on;
        self
    }

    /// Whether a client's messages stand each for itself. A server asks for it; a client does so, and says it.
    pub const fn client_no_context_takeover(mut self, on: bool) -> Self {
        self.terms.client_no_context_takeover = on;
        self
    }

    /// The server's window, 9 to 15 bits. A server takes this one or a smaller one that is asked for; a client asks for it if
    /// it is below 15.
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.terms.server_max_window_bits = bits;
        self
    }

    /// The client's window, 9 to 15 bits. A server asks for it where the client lets it; a client uses no larger one.
    pub const fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.terms.client_max_window_bits = bits;
        self
    }

    /// Messages below this size, in bytes, are sent plain. Default 1 KiB.
    pub const fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// How hard to try: 1 is fast, 9 is small. Default 3.
    pub const fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Whether a client that asks for anything offers compression on any terms as well, as its second choice. Default no: a
    /// server that cannot do what is asked for then answers without compression.
    pub const fn fallback(mut self, on: bool) -> Self {
        self.fallback = on;
        self
    }

    /// Whether all of it can be done.
    pub(crate) fn is_valid(&self) -> bool {
        let windows = [self.terms.server_max_window_bits, self.terms.client_max_window_bits];
        windows.iter().all(|bits| (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(bits))
            && (1..=9).contains(&self.level)
    }
}

impl FromStr for Deflate {
    type Err = DeflateTermsError;

    fn from_str(text: &str) -> Result<Self, DeflateTermsError> {
        let mut deflate = Self::takeover();
        let mut names = Vec::new();
        for param in text.split([';', ',']).map(str::trim).filter(|param| !param.is_empty()) {
            let (name, value) = match param.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (param, None),
            };
            let number = || value.and_then(|value| value.parse().ok());
            let bits = || number().and_then(|bits: usize| u8::try_from(bits).ok());
            let flag = value.is_none();
            let set = match name {
                "server_no_context_takeover" => flag.then(|| deflate.server_no_context_takeover(true)),
                "client_no_context_takeover" => flag.then(|| deflate.client_no_context_takeover(true)),
                "fallback" => flag.then(|| deflate.fallback(true)),
                "server_max_window_bits" => bits().map(|bits| deflate.server_max_window_bits(bits)),
                "client_max_window_bits" => bits().map(|bits| deflate.client_max_window_bits(bits)),
                "level" => bits().map(|level| deflate.level(level)),
                "threshold" => number().map(|bytes| deflate.threshold(bytes)),
                _ => None,
            };
            // The extension's own parameters must not come twice (§7.1), nor need the others.
            let valid = set.filter(|set| set.is_valid() && !names.contains(&name));
            deflate = valid.ok_or_else(|| DeflateTermsError { param: param.to_owned() })?;
            names.push(name);
        }
        Ok(deflate)
    }
}

/// A parameter that there is not, that came before, or with a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeflateTermsError {
    /// The parameter as given.
    pub param: String,
}

impl fmt::Display for DeflateTermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: no parameter of compression, not with this value, or there twice; there are server_no_context_takeover, client_no_context_takeover, \
             server_max_window_bits=9..15, client_max_window_bits=9..15, threshold=BYTES, level=1..9, fallback",
            self.param
        )
    }
}

impl std::error::Error for DeflateTermsError {}

/// zlib's compressor cannot do 8 (its code for it makes 9).
pub(crate) const WINDOW_BITS_MIN: u8 = 9;
pub(crate) const WINDOW_BITS_MAX: u8 = 15;
