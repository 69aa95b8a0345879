//! How an application batches by hand with a library that does not do it: it answers all that is there, then writes once.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// For a library whose connection is a stream and a sink of messages: feeds each echo, and flushes when the next message would
/// have to be waited for.
pub(crate) async fn echo<S, M, E>(mut ws: S, is_data: impl Fn(&M) -> bool) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    while let Some(first) = ws.next().await {
        let mut next = Some(first);
        while let Some(message) = next {
            let message = message?;
            if is_data(&message) {
                ws.feed(message).await?;
            }
            next = match poll_fn(|cx| Poll::Ready(ws.poll_next_unpin(cx))).await {
                Poll::Ready(Some(message)) => Some(message),
                Poll::Ready(None) => return Ok(()),
                Poll::Pending => None,
            };
        }
        ws.flush().await?;
    }
    Ok(())
}

/// For one that flushes whenever it is asked for a message: gathers what is there, then feeds all echoes and flushes.
pub(crate) async fn echo_gathered<S, M, E>(mut ws: S, is_data: impl Fn(&M) -> bool) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    let mut gathered = Vec::new();
    while let Some(first) = ws.next().await {
        gathered.push(first?);
        while gathered.len() < GATHERED_MAX {
            match poll_fn(|cx| Poll::Ready(ws.poll_next_unpin(cx))).await {
                Poll::Ready(Some(message)) => gathered.push(message?),
                Poll::Ready(None) => return Ok(()),
                Poll::Pending => break,
            }
        }
        for message in gathered.drain(..) {
            if is_data(&message) {
                ws.feed(message).await?;
            }
        }
        ws.flush().await?;
    }
    Ok(())
}

/// A peer that never stops sending gets its echoes nevertheless.
const GATHERED_MAX: usize = 128;

pin_project! {
    /// For a library that writes each frame, and whose reads must not be given up halfway: a stream that gathers what is
    /// written, and writes it when a read has to wait.
    pub(crate) struct FlushOnWait<S> {
        #[pin]
        stream: BufWriter<S>,
    }
}

impl<S: AsyncWrite> FlushOnWait<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: BufWriter::with_capacity(64 << 10, stream) }
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncRead for FlushOnWait<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.project().stream;
        let read = stream.as_mut().poll_read(cx, into);
        if read.is_pending() {
            // Whether it is done or goes on when there is room: we are woken for it, and come back here.
            if let Poll::Ready(Err(error)) = stream.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
        }
        read
    }
}

impl<S: AsyncWrite> AsyncWrite for FlushOnWait<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}
