//! A connection whose opening handshake is done, in either role: what is left is to run it.

use std::{future::poll_fn, sync::Arc};

use ::tokio::io::{AsyncRead, AsyncWrite};

use super::{
    book::Entry,
    lent::with_lent,
    line::Split,
    pump::Pump,
    run::Run,
    shared::{Shared, now},
    websocket::WebSocket,
};
use crate::{
    driver::admission::seed,
    proto::{Config, Connection, DeflateTerms, Role},
};

#[derive(Debug)]
pub(super) struct Opened<S> {
    pump: Pump<S>,
    websocket: WebSocket,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opened<S> {
    /// `early` is what came behind the handshake's head, `entry` its place in a listener's book, `split` how its stream is split.
    #[expect(clippy::too_many_arguments, reason = "all of what a handshake came to")]
    pub(super) fn new(
        stream: S,
        config: Arc<Config>,
        role: Role,
        early: Vec<u8>,
        deflate: Option<DeflateTerms>,
        subprotocol: Option<Box<str>>,
        entry: Option<Entry>,
        split: Option<Split<S>>,
    ) -> Self {
        let connection =
            Connection::new(config, role, now(), with_lent(|lent| seed(&mut lent.outbound.masks)))
                .with_deflate(deflate);
        let shared = Arc::new(Shared::new(connection, subprotocol));
        let websocket = WebSocket::new(shared.clone());
        if let Some(entry) = &entry {
            entry.opened(&shared);
        }
        Self { pump: Pump::new(stream, shared, early, entry, split), websocket }
    }

    /// The handler and the pump, in this task.
    pub(super) fn run<H, F>(self, handler: H) -> Run<S, F>
    where
        H: FnOnce(WebSocket) -> F,
        F: Future,
    {
        Run::new(self.pump, || handler(self.websocket))
    }

    /// The pump in a task of its own.
    pub(super) fn spawn(self) -> WebSocket
    where
        S: Send + 'static,
    {
        let Self { mut pump, websocket } = self;
        ::tokio::spawn(poll_fn(move |cx| pump.poll_to_end(cx)));
        websocket
    }
}
