//! tokio-tungstenite, with its default configuration.

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::TcpStream;
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::{Error, batching};

/// Its example `echo-server`: both halves tied together, which flushes when nothing is left to forward.
pub(crate) async fn forward(stream: TcpStream) -> Result<(), Error> {
    let (write, read) = accept_async(stream).await?.split();
    read.try_filter(|message| future::ready(is_data(message))).forward(write).await?;
    Ok(())
}

/// Its example `autobahn-server`, and what most people write: each message is sent.
pub(crate) async fn send(stream: TcpStream) -> Result<(), Error> {
    let mut ws = accept_async(stream).await?;
    while let Some(message) = ws.next().await {
        let message = message?;
        if is_data(&message) {
            ws.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) async fn batched(stream: TcpStream) -> Result<(), Error> {
    let ws = accept_async(stream).await?;
    Ok(batching::echo(ws, is_data).await?)
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}
