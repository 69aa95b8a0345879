//! sockudo-ws, with its default configuration: without compression, and with the one that it calls shared. It relays by its
//! own `PubSub`, whose queues have no bound.

use std::{pin::pin, sync::Arc};

use bytes::BytesMut;
use futures_util::{
    Sink, SinkExt, Stream, StreamExt,
    future::{Either, select},
    stream,
};
use sockudo_ws::{
    CompressedWebSocketStream, Compression, Config, Message, WebSocketStream,
    deflate::{DeflateConfig, negotiate_server_deflate},
    handshake::{build_response, generate_accept_key, parse_request},
    pubsub::{PubSub, SubscriberId},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::{Error, batching, relay as by_hand};

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

/// As its documentation has it: a subscriber is a queue, and each message in it is sent.
pub(crate) async fn relay(stream: TcpStream, pubsub: Arc<PubSub>) -> Result<(), Error> {
    let (stream, _) = open(stream, None).await?;
    let (mut reader, mut writer) = WebSocketStream::server(stream, Config::default()).split();
    let (subscription, mut queued) = Subscription::new(pubsub);
    loop {
        let next = match select(pin!(reader.next()), pin!(queued.recv())).await {
            Either::Left((received, _)) => Either::Left(received),
            Either::Right((message, _)) => Either::Right(message),
        };
        match next {
            Either::Left(Some(message)) => subscription.publish(message?),
            Either::Right(Some(message)) => writer.send(message).await?,
            Either::Left(None) | Either::Right(None) => return Ok(()),
        }
    }
}

/// The same with one flush for what waits in the queue.
pub(crate) async fn relay_batched(stream: TcpStream, pubsub: Arc<PubSub>) -> Result<(), Error> {
    let (stream, _) = open(stream, None).await?;
    relay_over(WebSocketStream::server(stream, Config::default()), pubsub).await
}

/// And compressed, by each connection for itself.
pub(crate) async fn relay_deflate(stream: TcpStream, pubsub: Arc<PubSub>) -> Result<(), Error> {
    match open(stream, Compression::Shared.to_deflate_config()).await? {
        (stream, None) => relay_over(WebSocketStream::server(stream, Config::default()), pubsub).await,
        (stream, Some(terms)) => {
            relay_over(CompressedWebSocketStream::server(stream, Config::default(), terms), pubsub).await
        }
    }
}

async fn relay_over<W>(ws: W, pubsub: Arc<PubSub>) -> Result<(), Error>
where
    W: Stream<Item = Result<Message, sockudo_ws::Error>> + Sink<Message, Error = sockudo_ws::Error> + Unpin,
{
    let (subscription, mut queued) = Subscription::new(pubsub);
    let queued = stream::poll_fn(move |cx| queued.poll_recv(cx));
    Ok(by_hand::run(ws, queued, |message| subscription.publish(message)).await?)
}

/// One that ends with its connection.
struct Subscription {
    pubsub: Arc<PubSub>,
    id: SubscriberId,
}

impl Subscription {
    fn new(pubsub: Arc<PubSub>) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (sender, queued) = mpsc::unbounded_channel();
        let id = pubsub.create_subscriber(sender);
        pubsub.subscribe(id, TOPIC);
        (Self { pubsub, id }, queued)
    }

    fn publish(&self, message: Message) {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            self.pubsub.publish(TOPIC, message);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.pubsub.remove_subscriber(self.id);
    }
}

const TOPIC: &str = "all";

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
