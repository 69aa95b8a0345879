//! A host and perhaps a port, as in `Host`, `Origin` and URLs (RFC 3986 §3.2.2, §3.2.3), in one comparable form.

use std::fmt;
use std::net::Ipv6Addr;

/// A host in lower case, without default port filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Authority {
    /// A name, an IPv4 address, or an IPv6 address in its brackets and its canonical text.
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Parses `host[:port]`. Stricter than RFC 3986: a name is letters, digits, `-`, `_`, `~` and dots between labels,
    /// with one dot allowed at its end; at most 255 bytes; no percent-encoding, no user information, no zone.
    ///
    /// An empty port (`h:`) is a valid way to write none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > AUTHORITY_BYTES_MAX {
            return None;
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (format!("[{address}]"), if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        } else {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            (is_name(host).then(|| host.to_ascii_lowercase())?, port)
        };
        let port = match port {
            None | Some("") => None,
            // `parse` alone would let a plus sign pass.
            Some(digits) if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { host, port })
    }

    /// The host; an IPv6 address has its brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port, `default` where none is written.
    pub(super) fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// Whether both mean one host and port, for a scheme whose default port is `default`.
    pub(super) fn same(&self, other: &Self, default: u16) -> bool {
        self.host == other.host && self.port_or(default) == other.port_or(default)
    }

    /// The same with no port where it is `default`.
    pub(super) fn without_default(mut self, default: u16) -> Self {
        self.port = self.port.filter(|port| *port != default);
        self
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

/// 80 or 443.
pub(super) const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    name.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
    })
}

/// A DNS name has at most 253 bytes; the catalogue's HS-15 refuses above 255, port included.
const AUTHORITY_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_put_in_one_form() {
        for (text, form) in [
            ("LocalHost:080", "localhost:80"),
            ("a_b-c.Example.", "a_b-c.example."),
            ("127.0.0.1:", "127.0.0.1"),
            ("[0:0::0:1]:9001", "[::1]:9001"),
            ("[::FFFF:1.2.3.4]", "[::ffff:1.2.3.4]"),
        ] {
            assert_eq!(Authority::parse(text).map(|authority| authority.to_string()).as_deref(), Some(form));
        }
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            ":80",
            "a,b",
            "u@h",
            "h/p",
            "h:99999",
            "h:+80",
            "h: 80",
            "h:80:80",
            "[::1",
            "::1",
            "[::1]80",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "h%41",
            "h\u{e9}",
        ] {
            assert_eq!(Authority::parse(bad), None, "{bad}");
        }
    }
}
