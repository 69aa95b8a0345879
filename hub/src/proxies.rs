//! Who is behind a proxy, as far as a trusted one says so (RFC 7239), and who is really on this machine.
//!
//! A header is only as true as who wrote it: lists are read from their end, and only as far as trusted proxies have written them
//! (catalogue: HS-92).

use std::{error::Error, fmt, net::IpAddr};

use http::{
    HeaderMap, HeaderName,
    header::{FORWARDED, VIA},
};

/// The proxies that are trusted to say who is behind them: addresses and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// What is no address, with a prefix or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyError {
    /// It, as it was given.
    pub entry: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u128,
    mask: u128,
}

impl Proxies {
    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Addresses (`10.0.0.7`) and networks (`10.0.0.0/8`, `fd00::/8`).
    ///
    /// # Errors
    /// The first that is neither.
    pub fn new<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, ProxyError> {
        let parse = |entry: &str| Network::parse(entry).ok_or_else(|| ProxyError { entry: entry.to_owned() });
        entries.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The client's address: `peer`'s own, unless it is a trusted proxy; then the last of `Forwarded` or `X-Forwarded-For` that is no
    /// trusted proxy's either.
    ///
    /// Where it says nothing that can be understood, it stays with who is known. So it does if both headers are there and do not say
    /// the same: then one of them is the client's own.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let forwarded = headers.contains_key(FORWARDED).then(|| self.last(peer, for_of_forwarded(headers)));
        let others = headers
            .contains_key(X_FORWARDED_FOR)
            .then(|| self.last(peer, lines(headers, X_FORWARDED_FOR).map(|entry| node(entry.trim()))));
        match (forwarded, others) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    /// Goes back from the peer as long as it is trusted proxies that speak.
    fn last(&self, peer: IpAddr, backwards: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in backwards {
            // `unknown`, or what is none: whoever is behind it, this is the last that is known.
            let Some(hop) = hop else { return client };
            client = hop.to_canonical();
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }

    /// Whether it is a trusted proxy that has sent this, and says, truly or not, that somebody is behind it.
    pub(crate) fn speak(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        self.trusts(peer) && (headers.contains_key(FORWARDED) || headers.contains_key(X_FORWARDED_FOR))
    }

    /// Whether this is a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let bits = bits(address.to_canonical());
        self.0.iter().any(|network| bits & network.mask == network.bits)
    }
}

impl Network {
    fn parse(entry: &str) -> Option<Self> {
        let (address, prefix) = match entry.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (entry, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (before, max) = if address.is_ipv4() { (96, 32) } else { (0, 128) };
        let prefix = prefix.unwrap_or(max);
        if prefix > max {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - before - prefix).unwrap_or(0);
        Some(Self { bits: bits(address) & mask, mask })
    }
}

/// Whether a request really comes from this machine: from loopback, to a loopback name, and through no proxy, which would make
/// the whole world local.
pub fn is_local(peer: IpAddr, headers: &HeaderMap, host: &str) -> bool {
    is_from_this_machine(peer, headers) && is_loopback_name(host)
}

/// From loopback, and through no proxy.
pub(crate) fn is_from_this_machine(peer: IpAddr, headers: &HeaderMap) -> bool {
    let is_forwarded = |name: &HeaderName| {
        [FORWARDED, VIA, X_REAL_IP].contains(name) || name.as_str().starts_with("x-forwarded-")
    };
    peer.to_canonical().is_loopback() && !headers.keys().any(is_forwarded)
}

/// A `Host` with a port or without.
pub(crate) fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The `for` of each hop, the last first; `None` for one that says nothing of use.
fn for_of_forwarded(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    lines(headers, FORWARDED).map(|hop| {
        let mut pairs = hop.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        let value = value.trim();
        node(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    })
}

/// The elements of a list header, the last first. A comma within quotes would be no node of use either.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let all: Vec<_> = headers.get_all(name).iter().collect();
    all.into_iter().rev().flat_map(|line| line.to_str().unwrap_or("?").rsplit(','))
}

/// RFC 7239 §6: an address, perhaps with a port; IPv6 in brackets, though many leave them out.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        return if port.is_empty() || is_port(port.strip_prefix(':')?) { address.parse().ok() } else { None };
    }
    let (address, port) = text.split_once(':')?;
    if is_port(port) { address.parse().ok() } else { None }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an address nor a network", self.entry)
    }
}

impl Error for ProxyError {}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What nginx is often told to say, beside `X-Forwarded-For` or in its place.
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("it is an address")
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("it is a value"));
        }
        headers
    }

    /// catalogue: HS-92
    #[test]
    fn a_client_is_who_the_last_trusted_proxy_says() {
        let proxies = Proxies::new(["10.0.0.0/8", "fd00::/8"]).expect("they are networks");
        let client = |lines: &[_]| proxies.client(ip("10.0.0.1"), &headers(lines)).to_string();
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&[("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
            (&[("x-forwarded-for", "198.51.100.1, 203.0.113.9, 10.0.0.2")], "203.0.113.9"),
            (&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
            (&[("x-forwarded-for", "203.0.113.9:4711")], "203.0.113.9"),
            (&[("x-forwarded-for", "")], "10.0.0.1"),
            (&[("x-forwarded-for", "203.0.113.9, ")], "10.0.0.1"),
            (&[("x-forwarded-for", "203.0.113.9, nonsense, 10.0.0.2")], "10.0.0.2"),
            (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (&[("forwarded", "for=203.0.113.9;proto=https")], "203.0.113.9"),
            (&[("forwarded", "for=198.51.100.1, For=\"[2001:db8::7]:80\"")], "2001:db8::7"),
            (&[("forwarded", "for=unknown")], "10.0.0.1"),
            (&[("forwarded", "for=203.0.113.9, by=10.0.0.2")], "10.0.0.1"),
            (&[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.9")], "10.0.0.1"),
            (&[("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
        ] {
            assert_eq!(client(lines), expected, "{lines:?}");
        }
        let spoofed = headers(&[("x-forwarded-for", "203.0.113.9")]);
        assert_eq!(proxies.client(ip("192.0.2.1"), &spoofed), ip("192.0.2.1"), "it is no proxy");
        assert_eq!(Proxies::none().client(ip("::1"), &spoofed), ip("::1"));
        assert_eq!(proxies.client(ip("::ffff:10.0.0.1"), &spoofed), ip("203.0.113.9"));
        let many = vec!["203.0.113.9"; 10_000].join(",");
        assert_eq!(client(&[("x-forwarded-for", &many)]), "203.0.113.9");
    }

    #[test]
    fn networks_are_checked() {
        for entry in ["", "10.0.0.0/33", "10.0.0", "::/129", "10.0.0.0/x", "example.com", "10.0.0.0/-1"] {
            assert!(Proxies::new([entry]).is_err(), "{entry}");
        }
        let all = Proxies::new(["0.0.0.0/0"]).expect("it is a network");
        assert!(all.trusts(ip("255.255.255.255")) && !all.trusts(ip("2001:db8::1")));
        assert!(Proxies::new(["::/0"]).expect("it is a network").trusts(ip("2001:db8::1")));
    }

    #[test]
    fn what_came_through_a_proxy_or_for_another_name_is_not_local() {
        let none = HeaderMap::new();
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "127.8.8.8"] {
            assert!(is_local(ip("127.0.0.1"), &none, host), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "", "[::1", "[::2]:1", "0.0.0.0"] {
            assert!(!is_local(ip("127.0.0.1"), &none, host), "{host}");
        }
        assert!(!is_local(ip("192.0.2.1"), &none, "localhost"));
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "via"] {
            assert!(!is_local(ip("::1"), &headers(&[(name, "x")]), "localhost"), "{name}");
        }
    }
}
