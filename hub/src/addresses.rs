//! How much one address may ask for: handshakes a second, and connections at a time.
//!
//! IPv6 goes by /64, as whoever has one address there has all of them; an IPv4 address in IPv6 clothes is itself
//! (catalogue: DS-40).

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{RateLimiter, state::keyed::HashMapStateStore};

use crate::{
    clock::{Clock, Ticks},
    limits::Rate,
};

/// What addresses have; a clone is a reference count.
#[derive(Clone, Debug)]
pub struct Addresses(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handshakes: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, Ticks>,
    checks: AtomicUsize,
    connections_max: usize,
    exempt_loopback: bool,
    clock: Ticks,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that was let in; it counts until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Admitted(Option<(Arc<Shared>, IpAddr)>);

/// Why a connection was not let in: an HTTP 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// Handshakes come too fast.
    TooFast {
        /// Until there is room for another one.
        retry_after: Duration,
    },
    /// It has as many connections as it may have.
    TooMany {
        /// The limit.
        max: usize,
    },
}

impl Addresses {
    /// So many handshakes and connections of each address, loopback perhaps exempt; see [`standard`](Self::standard).
    pub fn new(handshakes: Rate, connections_max: usize, exempt_loopback: bool, clock: &Clock) -> Self {
        let clock = Ticks::new(clock);
        Self(Arc::new(Shared {
            handshakes: RateLimiter::hashmap_with_clock(handshakes.quota(), clock.clone()),
            checks: AtomicUsize::new(0),
            connections_max,
            exempt_loopback,
            clock,
            open: Mutex::default(),
        }))
    }

    /// 20 handshakes a second and 40 at once, 1,024 connections, loopback exempt.
    pub fn standard(clock: &Clock) -> Self {
        Self::new(Rate { per_second: 20, burst: 40 }, 1024, true, clock)
    }

    /// Lets a connection of this address in. If a proxy `is_between`, loopback is not exempt: anybody may be behind it, and have it
    /// said of themselves.
    ///
    /// # Errors
    /// It has too many, or comes too fast.
    pub fn admit(&self, address: IpAddr, is_between: bool) -> Result<Admitted, AddressError> {
        let address = of_one_owner(address);
        if self.0.exempt_loopback && address.is_loopback() && !is_between {
            return Ok(Admitted(None));
        }
        self.forget_now_and_then();
        if let Err(not_until) = self.0.handshakes.check_key(&address) {
            let retry_after = not_until.wait_time_from(governor::clock::Clock::now(&self.0.clock));
            return Err(AddressError::TooFast { retry_after });
        }
        let mut open = self.0.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.0.connections_max {
            return Err(AddressError::TooMany { max: self.0.connections_max });
        }
        *count += 1;
        Ok(Admitted(Some((self.0.clone(), address))))
    }

    /// Addresses that something is kept of.
    pub fn len(&self) -> usize {
        self.0.handshakes.len().max(self.0.lock().len())
    }

    /// Whether nothing is kept of any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets those that have their full burst again.
    fn forget_now_and_then(&self) {
        if self.0.checks.fetch_add(1, Ordering::Relaxed) % CHECKS == CHECKS - 1 {
            self.0.handshakes.retain_recent();
            self.0.handshakes.shrink_to_fit();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some((shared, address)) = self.0.take() else { return };
        let mut open = shared.lock();
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

/// The address that stands for all that its owner has.
fn of_one_owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

impl AddressError {
    /// When to come back, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast { retry_after } => Some(*retry_after),
            Self::TooMany { .. } => None,
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFast { retry_after } => {
                write!(f, "too many handshakes, try again in {} ms", retry_after.as_millis() + 1)
            }
            Self::TooMany { max } => write!(f, "an address has {max} connections at most"),
        }
    }
}

impl Error for AddressError {}

/// How often those are forgotten that are idle.
const CHECKS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(connections_max: usize) -> Addresses {
        Addresses::new(Rate { per_second: 1, burst: 3 }, connections_max, true, &Clock::system())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("it is an address")
    }

    /// catalogue: DS-40
    #[test]
    fn an_owner_has_one_count_whatever_its_address_looks_like() {
        let addresses = addresses(2);
        let first = addresses.admit(ip("2001:db8::1"), false).expect("there is room");
        let _second = addresses.admit(ip("2001:db8::ffff:2"), false).expect("there is room");
        assert_eq!(addresses.admit(ip("2001:db8::3"), false).err(), Some(AddressError::TooMany { max: 2 }));
        assert!(addresses.admit(ip("2001:db8:0:1::1"), false).is_ok(), "another /64");
        drop(first);
        assert!(matches!(addresses.admit(ip("2001:db8::4"), false), Err(AddressError::TooFast { .. })));
        let _v4 = [addresses.admit(ip("192.0.2.1"), false), addresses.admit(ip("::ffff:192.0.2.1"), false)];
        assert_eq!(addresses.admit(ip("192.0.2.1"), false).err(), Some(AddressError::TooMany { max: 2 }));
    }

    #[test]
    fn loopback_is_exempt_and_leaves_nothing() {
        let addresses = addresses(1);
        let admitted: Vec<_> = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]
            .map(|text| addresses.admit(ip(text), false))
            .into();
        assert!(admitted.iter().all(Result::is_ok) && addresses.is_empty());
    }

    /// A client that sends a `Forwarded` of its own through a proxy that writes `X-Forwarded-For` is known by the proxy's address.
    #[test]
    fn loopback_is_not_exempt_behind_a_proxy() {
        let addresses = addresses(1);
        let _first = addresses.admit(ip("127.0.0.1"), true).expect("there is room");
        assert_eq!(addresses.admit(ip("127.0.0.1"), true).err(), Some(AddressError::TooMany { max: 1 }));
        assert!(addresses.admit(ip("127.0.0.1"), false).is_ok());
    }
}
