//! fastwebsockets, its handshake by hyper as in its example `echo_server`.

use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError, upgrade};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::unconstrained,
};

use crate::{Error, batching::FlushOnWait};

type Answer = Response<http_body_util::Empty<bytes::Bytes>>;

/// Its example: each frame is written as it comes.
pub(crate) async fn example(stream: TcpStream) -> Result<(), Error> {
    serve(stream, |mut request| async move {
        let (answer, opening) = upgrade::upgrade(&mut request)?;
        tokio::spawn(unconstrained(async move { echo(opening.await?).await }));
        Ok(answer)
    })
    .await
}

/// The same on a stream that gathers what is written; a read cannot be tried and given up, as a frame's header would be lost.
pub(crate) async fn batched(stream: TcpStream) -> Result<(), Error> {
    serve(stream, |mut request| async move {
        let (answer, opening) = upgrade::upgrade(&mut request)?;
        tokio::spawn(unconstrained(async move {
            let stream = FlushOnWait::new(opening.await?.into_inner());
            echo(WebSocket::after_handshake(stream, Role::Server)).await
        }));
        Ok(answer)
    })
    .await
}

async fn serve<A, F>(stream: TcpStream, answer: A) -> Result<(), Error>
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Answer, WebSocketError>>,
{
    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await?;
    Ok(())
}

async fn echo(ws: WebSocket<impl AsyncRead + AsyncWrite + Unpin>) -> Result<(), Error> {
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}
