//! sockudo-ws, with its default configuration: without compression, and with the one that it calls shared.

use bytes::BytesMut;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sockudo_ws::{
    CompressedWebSocketStream, Compression, Config, Message, WebSocketStream,
    deflate::{DeflateConfig, negotiate_server_deflate},
    handshake::{build_response, generate_accept_key, parse_request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Error, batching};

/// Its example `simple_echo`: each message is sent.
pub(crate) async fn example(stream: TcpStream) -> Result<(), Error> {
    let (stream, _) = open(stream, None).await?;
    echo(WebSocketStream::server(stream, Config::default())).await
}

pub(crate) async fn batched(stream: TcpStream) -> Result<(), Error> {
    let (stream, _) = open(stream, None).await?;
    let is_data = |message: &Message| matches!(message, Message::Text(_) | Message::Binary(_));
    Ok(batching::echo(WebSocketStream::server(stream, Config::default()), is_data).await?)
}

/// The same, compressed for a client that offers it.
pub(crate) async fn deflate(stream: TcpStream) -> Result<(), Error> {
    match open(stream, Compression::Shared.to_deflate_config()).await? {
        (stream, None) => echo(WebSocketStream::server(stream, Config::default())).await,
        (stream, Some(terms)) => {
            echo(CompressedWebSocketStream::server(stream, Config::default(), terms)).await
        }
    }
}

async fn echo<W>(mut ws: W) -> Result<(), Error>
where
    W: Stream<Item = Result<Message, sockudo_ws::Error>> + Sink<Message, Error = sockudo_ws::Error> + Unpin,
{
    while let Some(message) = ws.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => ws.send(message).await?,
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(())
}

/// The handshake that its example makes of its parts; what a client sends before the answer would be lost there too.
async fn open(
    mut stream: TcpStream,
    deflate: Option<DeflateConfig>,
) -> Result<(TcpStream, Option<DeflateConfig>), Error> {
    let mut head = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err("the client left before its request was whole".into());
        }
        if let Some((request, _)) = parse_request(&head)? {
            let agreed = deflate.zip(request.extensions);
            let agreed = agreed.and_then(|(policy, offers)| negotiate_server_deflate(offers, &policy));
            let terms = agreed.as_ref().map(|agreed| agreed.to_response_header());
            let answer = build_response(&generate_accept_key(request.key), None, terms.as_deref());
            stream.write_all(&answer).await?;
            return Ok((stream, agreed.map(|agreed| agreed.config)));
        }
    }
}
