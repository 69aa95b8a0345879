//! What the upgrades of an app share: its limits and terms, and who is connected by them.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum_core::extract::FromRef;

use crate::{
    driver::tokio::{accept::Acceptor, book::Book},
    proto::{CloseCode, Config},
};

/// The limits and terms by which an app upgrades, and who is connected by them: a part of its state.
///
/// It holds [`connections_max`](crate::proto::ConfigBuilder::connections_max) at most, and above it clients get 503; above
/// [`handshakes_max`](crate::proto::ConfigBuilder::handshakes_max) that wait for their handler or for hyper, the oldest does. A clone is
/// the same one. An app whose state is `()` has one with the defaults, which all such apps of a process share.
#[derive(Clone, Debug)]
pub struct Upgrades {
    acceptor: Acceptor,
    book: Arc<Book>,
}

impl Upgrades {
    /// With the limits and terms of `acceptor`.
    pub fn new(acceptor: Acceptor) -> Self {
        let book = Arc::new(Book::new(acceptor.config()));
        Self { acceptor, book }
    }

    /// Refuses upgrades with 503 from now on, closes connections with 1001, and returns when they are gone, or after their time to
    /// close.
    ///
    /// Do it before the server's own end, or in the future that starts it: hyper does not count connections that were upgraded, and
    /// whoever leaves its runtime drops them without a Close.
    pub async fn shut_down(&self) {
        self.book.shut_down(self.acceptor.config()).await;
    }

    /// [`shut_down`](Self::shut_down) with closes that are spread evenly over `within`, so that those who come back elsewhere do not
    /// all come at once: first upgrades are refused, then each connection, the oldest first, is closed with what `close` says about
    /// the time until the last one is. Nobody waits if nobody is connected, and one alone is closed at once.
    ///
    /// What topics have for a connection comes before its Close. This returns when all are gone, or when the time to close of
    /// the last one is up.
    pub async fn drain(&self, within: Duration, close: impl Fn(Duration) -> (CloseCode, String)) {
        self.book.drain(self.acceptor.config(), within, close).await;
    }

    /// Whether upgrades are let in, as far as there is room: neither [`drain`](Self::drain) nor [`shut_down`](Self::shut_down) has begun.
    pub fn is_open(&self) -> bool {
        self.book.is_open()
    }

    /// The limits that hold.
    pub fn config(&self) -> &Arc<Config> {
        self.acceptor.config()
    }

    pub(super) fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    pub(super) fn book(&self) -> &Arc<Book> {
        &self.book
    }
}

impl Default for Upgrades {
    fn default() -> Self {
        Self::new(Acceptor::default())
    }
}

impl FromRef<()> for Upgrades {
    fn from_ref((): &()) -> Self {
        static SHARED: LazyLock<Upgrades> = LazyLock::new(Upgrades::default);
        SHARED.clone()
    }
}
