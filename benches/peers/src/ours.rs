//! framecast by `accept`: the connection's I/O is a task of its own. By `run` it is `framecast echo`.

use framecast::Acceptor;
use tokio::net::TcpStream;

use crate::Error;

pub(crate) async fn accept(stream: TcpStream) -> Result<(), Error> {
    let mut ws = Acceptor::default().accept(stream).await?;
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}
