//! Two of our endpoints on one wire.

use std::time::Duration;

use framecast::proto::{Config, Role};

use super::{Delivery, Pair};

/// A client and a server of ours; each one's writes are also judged by [`Strict`](super::Strict).
pub(crate) struct Joined {
    pub(crate) client: Pair,
    pub(crate) server: Pair,
}

impl Joined {
    pub(crate) fn open() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let client = Pair::seeded(Role::Client, config.clone(), 1);
        let mut server = Pair::seeded(Role::Server, config, 2);
        server.now = client.now;
        Self { client, server }
    }

    /// Carries bytes both ways until neither end has more.
    pub(crate) fn exchange(&mut self, delivery: Delivery) {
        loop {
            let up = self.client.peer_reads_bytes();
            self.server.peer_sends(delivery, &up);
            let down = self.server.peer_reads_bytes();
            self.client.peer_sends(delivery, &down);
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    /// Time passes at both ends, deadline by deadline, and what they say is carried.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let until = self.client.now + duration;
        loop {
            self.exchange(Delivery::Whole);
            let next = [&self.client, &self.server]
                .into_iter()
                .filter_map(|end| end.connection.poll_timeout())
                .min();
            let at = next.filter(|at| *at <= until).unwrap_or(until);
            let step = at.saturating_duration_since(self.client.now);
            self.client.advance(step);
            self.server.advance(step);
            if at == until {
                self.exchange(Delivery::Whole);
                return;
            }
        }
    }
}
