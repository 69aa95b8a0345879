//! framecast by `accept`: the connection's I/O is a task of its own. By `run` it is `framecast echo`.

use framecast::Acceptor;
use framecast::WebSocket;
use tokio::net::TcpStream;

use crate::Error;

/// The handshake ends with its task, so that what it needed is not kept for as long as the connection lives.
pub(crate) async fn accept(stream: TcpStream) -> Result<(), Error> {
    let ws = Acceptor::default().accept(stream).await?;
    tokio::spawn(echo(ws));
    Ok(())
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}
