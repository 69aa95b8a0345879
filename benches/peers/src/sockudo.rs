//! sockudo-ws, with its default configuration, without compression.

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use sockudo_ws::{
    Config, Message, WebSocketStream,
    handshake::{build_response, generate_accept_key, parse_request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Error, batching};

/// Its example `simple_echo`: each message is sent.
pub(crate) async fn example(stream: TcpStream) -> Result<(), Error> {
    let mut ws = accept(stream).await?;
    while let Some(message) = ws.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => ws.send(message).await?,
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(())
}

pub(crate) async fn batched(stream: TcpStream) -> Result<(), Error> {
    let ws = accept(stream).await?;
    let is_data = |message: &Message| matches!(message, Message::Text(_) | Message::Binary(_));
    Ok(batching::echo(ws, is_data).await?)
}

/// The handshake that its example makes of its parts; what a client sends before the answer would be lost there too.
async fn accept(mut stream: TcpStream) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut head = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err("the client left before its request was whole".into());
        }
        if let Some((request, _)) = parse_request(&head)? {
            let answer = build_response(&generate_accept_key(request.key), None, None);
            stream.write_all(&answer).await?;
            return Ok(WebSocketStream::server(stream, Config::default()));
        }
    }
}
