//! `ws://` and `wss://` URLs (RFC 6455 §3).

use std::fmt;

use super::authority::{Authority, default_port};
use super::scan::is_target_byte;

/// Where a client connects to. Written out by `Debug` without its user information.
///
/// ```
/// use framecast::handshake::Url;
///
/// let url = Url::parse("wss://[::1]:443/ws?a=1")?;
/// assert_eq!((url.host(), url.port(), url.is_secure()), ("::1", 443, true));
/// assert_eq!((url.host_header().as_str(), url.target()), ("[::1]", "/ws?a=1"));
/// # Ok::<(), framecast::handshake::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    authority: Authority,
    target: String,
    user_info: Option<String>,
}

/// Why a text is no WebSocket URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is neither `ws` nor `wss`. RFC 6455 §3.
    Scheme,
    /// The host or the port is missing or malformed. RFC 3986 §3.2.
    Authority,
    /// The user information holds a byte that must be percent-encoded, or a `%` without two digits. RFC 3986 §3.2.1.
    UserInfo,
    /// There is a fragment. RFC 6455 §3.
    Fragment,
    /// The path or query holds a byte that must be percent-encoded: a space, a control, one beyond ASCII. RFC 3986 §2.
    Target,
}

impl Url {
    /// Parses an absolute URL. A missing path is `/`; nothing is encoded or decoded on the way.
    ///
    /// # Errors
    /// See [`UrlError`]: a variant for each part.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(UrlError::Scheme),
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user_info, authority) = match authority.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info.to_owned()), authority),
            None => (None, authority),
        };
        if user_info.as_deref().is_some_and(|user_info| percent_decoded(user_info).is_none()) {
            return Err(UrlError::UserInfo);
        }
        if !target.bytes().all(is_target_byte) {
            return Err(UrlError::Target);
        }
        let authority = Authority::parse(authority).ok_or(UrlError::Authority)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { secure, authority, target, user_info })
    }

    /// The host to look up, in lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, 80 or 443 where none is written.
    pub fn port(&self) -> u16 {
        self.authority.port_or(default_port(self.secure))
    }

    /// Whether it is `wss`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Path and query, as the request line has them.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value of `Host`: brackets around an IPv6 address, no port where it is the default (RFC 6455 §4.1 item 4).
    pub fn host_header(&self) -> String {
        self.authority.clone().without_default(default_port(self.secure)).to_string()
    }

    /// `user:password`, decoded.
    pub(super) fn credentials(&self) -> Option<Vec<u8>> {
        let user_info = self.user_info.as_deref()?;
        let mut credentials = percent_decoded(user_info)?;
        // RFC 7617 §2: a user without a password still has the colon.
        if !user_info.contains(':') {
            credentials.push(b':');
        }
        Some(credentials)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        let user_info = if self.user_info.is_some() { "…@" } else { "" };
        write!(f, "{scheme}://{user_info}{}{}", self.authority, self.target)
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "scheme is neither ws nor wss (RFC 6455 §3)",
            Self::Authority => "host or port is missing or malformed (RFC 3986 §3.2)",
            Self::UserInfo => "user information is malformed (RFC 3986 §3.2.1)",
            Self::Fragment => "fragment in a WebSocket URL (RFC 6455 §3)",
            Self::Target => "path or query holds a byte that must be encoded (RFC 3986 §2)",
        })
    }
}

impl std::error::Error for UrlError {}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            b'@' | b'[' | b']' => return None,
            _ if is_target_byte(byte) => byte,
            _ => return None,
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
