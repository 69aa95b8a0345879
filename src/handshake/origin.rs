//! Which web pages may connect (RFC 6455 §4.2.2 item 4, §10.2; RFC 6454).
//!
//! A browser sends cookies with a WebSocket handshake whatever page asks for it; `Origin` is what tells the pages apart,
//! and it is compared in full: scheme, host and port (catalogue: V-55, V-56).

use std::fmt;

use http::header::{HeaderMap, HeaderValue, ORIGIN};

use super::authority::{Authority, default_port};
use super::error::HandshakeError;

/// Which origins are let in. The default is [`same_origin`](Self::same_origin).
///
/// Clients that are no browsers send no `Origin`, and may send any; a policy guards people's browsers, not the server.
/// So a request without one passes, unless it is [`required`](Self::required).
///
/// ```
/// use framecast::handshake::OriginPolicy;
///
/// let policy = OriginPolicy::list(["https://example.com", "https://*.example.com"])?.required();
/// assert!(OriginPolicy::list(["example.com"]).is_err(), "a scheme is missing");
/// # Ok::<(), framecast::handshake::OriginError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct OriginPolicy {
    allowed: Allowed,
    required: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Allowed {
    #[default]
    SameOrigin,
    List(Vec<Entry>),
    Any,
}

/// An entry of a list that is no origin: it lacks a scheme, or has a path, a space, a misplaced wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    /// The entry as given.
    pub entry: String,
}

impl OriginPolicy {
    /// The page's host and port must be those of `Host`, and its scheme `http` or `https` as the endpoint is
    /// [`secure`](super::Endpoint::secure) or not.
    ///
    /// Where that was not said, both schemes pass, and a `Host` without a port means the default port of the origin's
    /// scheme. Behind a proxy that rewrites `Host`, use [`same_origin_as`](Self::same_origin_as).
    pub fn same_origin() -> Self {
        Self::default()
    }

    /// The page's origin must be `public`, whatever `Host` says: the address under which browsers know the server.
    ///
    /// # Errors
    /// `public` is not `scheme://host[:port]`.
    pub fn same_origin_as(public: &str) -> Result<Self, OriginError> {
        Self::list([public])
    }

    /// The page's origin must be one of `entries`, each `scheme://host[:port]`.
    ///
    /// Case does not matter and neither does a default port that is written out; a dot at the end of a host makes it
    /// another host. `https://*.example.com` stands for every host with one label or more before `.example.com`
    /// (`a.example.com`, `a.b.example.com`), not for `example.com` itself. `null` must be listed to be let in, and
    /// then lets in every sandboxed frame and local file.
    ///
    /// # Errors
    /// The first entry that is not of these forms: no scheme, a path (a lone `/` too), a space, a wildcard elsewhere or
    /// over a whole top-level domain (`https://*.com`; `localhost` is allowed).
    pub fn list<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, OriginError> {
        let parse = |entry: &str| Entry::parse(entry).ok_or_else(|| OriginError { entry: entry.to_owned() });
        let entries = entries.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { allowed: Allowed::List(entries), required: false })
    }

    /// Every page of the web may connect with its visitors' cookies. Only for endpoints that need no identity, or take
    /// it from somewhere that other pages cannot reach.
    pub fn any_origin_dangerous() -> Self {
        Self { allowed: Allowed::Any, required: false }
    }

    /// A request without `Origin` is refused as well.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Judges a request that came for `host`, over TLS or not or unknown.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        host: &Authority,
        secure: Option<bool>,
    ) -> Result<(), HandshakeError> {
        let mut lines = headers.get_all(ORIGIN).iter();
        let origin = match (lines.next(), lines.next()) {
            (None, _) if self.required => return Err(HandshakeError::OriginRequired),
            (None, _) => return Ok(()),
            // A comma is what a proxy makes of two lines.
            (Some(origin), None) if !origin.as_bytes().contains(&b',') => origin,
            _ => return Err(HandshakeError::OriginRepeated),
        };
        if self.allows(origin, host, secure) { Ok(()) } else { Err(HandshakeError::Origin) }
    }

    fn allows(&self, origin: &HeaderValue, host: &Authority, secure: Option<bool>) -> bool {
        let entries = match &self.allowed {
            Allowed::Any => return true,
            Allowed::SameOrigin => {
                let origin = origin.to_str().ok().and_then(Origin::parse);
                return origin.is_some_and(|origin| origin.is_of(host, secure));
            }
            Allowed::List(entries) => entries,
        };
        if origin == "null" {
            return entries.contains(&Entry::Null);
        }
        let Some(origin) = origin.to_str().ok().and_then(Origin::parse) else { return false };
        entries.iter().any(|entry| entry.matches(&origin))
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not scheme://host[:port]", self.entry)
    }
}

impl std::error::Error for OriginError {}

/// An origin in one comparable form: lower case, no default port (RFC 6454 §4, §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    authority: Authority,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        if !is_scheme(scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = Authority::parse(authority)?;
        let authority = match scheme.as_str() {
            "http" | "ws" => authority.without_default(80),
            "https" | "wss" => authority.without_default(443),
            _ => authority,
        };
        Some(Self { scheme, authority })
    }

    /// Whether a page of this origin came from `host`.
    fn is_of(&self, host: &Authority, secure: Option<bool>) -> bool {
        let page_secure = match self.scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return false,
        };
        secure.is_none_or(|secure| secure == page_secure)
            && self.authority.same(host, default_port(page_secure))
    }
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Null,
    Exact(Origin),
    /// Hosts that end in a dot and this host.
    Below(Origin),
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let Some((scheme, parent)) = text.split_once("://*.") else {
            return Origin::parse(text).map(Self::Exact);
        };
        let parent = Origin::parse(&format!("{scheme}://{parent}"))?;
        let host = parent.authority.host();
        let last = host.trim_end_matches('.').rsplit('.').next()?;
        let is_address = host.starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit());
        let is_top_level = last.len() == host.trim_end_matches('.').len() && last != "localhost";
        if is_address || is_top_level { None } else { Some(Self::Below(parent)) }
    }

    fn matches(&self, origin: &Origin) -> bool {
        match self {
            Self::Null => false,
            Self::Exact(exact) => exact == origin,
            Self::Below(parent) => {
                let below = origin.authority.host().strip_suffix(parent.authority.host());
                parent.scheme == origin.scheme
                    && parent.authority.port_or(0) == origin.authority.port_or(0)
                    && below.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
            }
        }
    }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
