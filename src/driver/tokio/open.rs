//! A connection whose opening handshake is done, in either role: what is left is to run it.

use std::{future::poll_fn, sync::Arc};

use ::tokio::io::{AsyncRead, AsyncWrite};

use super::{
    book::Entry,
    close_info::CloseInfo,
    lent::with_lent,
    pump::Pump,
    run::run,
    shared::{Shared, now},
    websocket::WebSocket,
};
use crate::proto::{Config, Connection, Role};

#[derive(Debug)]
pub(super) struct Opened<S> {
    pump: Pump<S>,
    websocket: WebSocket,
    entry: Option<Entry>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opened<S> {
    /// `early` is what came behind the handshake's head.
    pub(super) fn new(
        stream: S,
        config: Arc<Config>,
        role: Role,
        early: Vec<u8>,
        subprotocol: Option<Box<str>>,
        entry: Option<Entry>,
    ) -> Self {
        let shared = Arc::new(Shared::new(Connection::new(config, role, now(), seed())));
        let websocket = WebSocket::new(shared.clone(), subprotocol);
        if let Some(entry) = &entry {
            entry.opened(&shared);
        }
        Self { pump: Pump::new(stream, shared, early), websocket, entry }
    }

    /// The handler and the pump, in this task.
    pub(super) async fn run<H, F>(self, handler: H) -> (F::Output, CloseInfo)
    where
        H: FnOnce(WebSocket) -> F,
        F: Future,
    {
        let _entry = self.entry;
        run(self.pump, handler(self.websocket)).await
    }

    /// The pump in a task of its own.
    pub(super) fn spawn(self) -> WebSocket
    where
        S: Send + 'static,
    {
        let Self { mut pump, websocket, entry } = self;
        ::tokio::spawn(async move {
            let _entry = entry;
            poll_fn(|cx| pump.poll_to_end(cx)).await;
        });
        websocket
    }
}

/// Spreads the pings of connections that open together.
fn seed() -> u64 {
    with_lent(|lent| u64::from(u32::from_ne_bytes(lent.outbound.masks.key())))
}
