//! `framecast echo`: answers each message to its sender.

use framecast::WebSocket;

use crate::server::{Options, Result, stopped};

pub(crate) fn run(options: Options) -> Result<()> {
    options.serve(|listener| async { listener.serve_until(stopped()?, echo).await })
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}
