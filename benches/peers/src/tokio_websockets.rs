//! tokio-websockets, as in its example `echo_server`: without limits, and outside tokio's budget.

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, task::unconstrained};
use tokio_websockets::{Config, Limits, Message, ServerBuilder, WebSocketStream};

use crate::{
    Error, batching,
    relay::{self, Hub},
};

/// Its example: each message is sent.
pub(crate) async fn example(stream: TcpStream) -> Result<(), Error> {
    unconstrained(async {
        let mut ws = accept(stream, Config::default()).await?;
        while let Some(message) = ws.next().await {
            let message = message?;
            if is_data(&message) {
                ws.send(message).await?;
            }
        }
        Ok(())
    })
    .await
}

/// It flushes what was fed when it is asked for the next message, so the messages are gathered first; and by itself at 8 KiB,
/// which who batches raises.
pub(crate) async fn batched(stream: TcpStream) -> Result<(), Error> {
    unconstrained(async {
        let ws = accept(stream, Config::default().flush_threshold(64 << 10)).await?;
        Ok(batching::echo_gathered(ws, is_data).await?)
    })
    .await
}

/// With a queue a connection, and one flush for what waits in it; the threshold as above.
pub(crate) async fn relay(stream: TcpStream, hub: Hub<Message>) -> Result<(), Error> {
    unconstrained(async {
        let ws = accept(stream, Config::default().flush_threshold(64 << 10)).await?;
        let (_place, queued) = hub.join();
        let publish = |message| {
            if is_data(&message) {
                hub.publish(&message);
            }
        };
        Ok(relay::run(ws, queued, publish).await?)
    })
    .await
}

async fn accept(stream: TcpStream, config: Config) -> Result<WebSocketStream<TcpStream>, Error> {
    let builder = ServerBuilder::new().config(config.frame_size(usize::MAX)).limits(Limits::unlimited());
    let (_request, ws) = builder.accept(stream).await?;
    Ok(ws)
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}
