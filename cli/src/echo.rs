//! `framecast echo`: answers each message to its sender.

use framecast::{
    WebSocket,
    reactor::{self, Handler, Received},
};

use crate::server::{Options, Result, stopped};

pub(crate) fn run(options: Options) -> Result<()> {
    options.serve(None, |listener| async { listener.serve_until(stopped()?, echo).await }, |_| Echo)
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn message(&mut self, ws: &mut reactor::WebSocket<'_, ()>, message: Received<'_>) {
        // There is room for it, unless the connection is closing.
        let _ = ws.send(message);
    }
}
