//! A connection's stream: whole, or, once messages to many are written to it from elsewhere, the half that reads.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

#[derive(Debug)]
pub(super) enum Line<S> {
    Whole(S),
    Half(OwnedReadHalf),
    /// While it is split.
    Between,
}

/// Splits a stream that can be written to from elsewhere, or gives it back.
pub(super) type Split<S> = fn(S) -> Result<(OwnedReadHalf, OwnedWriteHalf), S>;

/// A listener's streams can be split.
pub(super) fn split_tcp(stream: TcpStream) -> Result<(OwnedReadHalf, OwnedWriteHalf), TcpStream> {
    Ok(stream.into_split())
}

impl<S> Line<S> {
    /// Keeps the half that reads; the other one, if the stream was whole and can be split.
    pub(super) fn split(&mut self, split: Split<S>) -> Option<OwnedWriteHalf> {
        match std::mem::replace(self, Self::Between) {
            Self::Whole(stream) => match split(stream) {
                Ok((read, write)) => {
                    *self = Self::Half(read);
                    Some(write)
                }
                Err(stream) => {
                    *self = Self::Whole(stream);
                    None
                }
            },
            same => {
                *self = same;
                None
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Half(half) => Pin::new(half).poll_read(cx, buffer),
            Self::Between => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Half(half) => poll_try(half.as_ref(), cx, |stream| stream.try_write(bytes)),
            Self::Between => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Half(half) => poll_try(half.as_ref(), cx, |stream| stream.try_write_vectored(slices)),
            Self::Between => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Whole(stream) => stream.is_write_vectored(),
            Self::Half(_) => true,
            Self::Between => false,
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(stream) => Pin::new(stream).poll_flush(cx),
            Self::Half(_) | Self::Between => Poll::Ready(Ok(())),
        }
    }

    /// Of a half: nothing, as the other one shuts its direction when it is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Half(_) | Self::Between => Poll::Ready(Ok(())),
        }
    }
}

fn poll_try(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    write: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match write(stream) {
            // What was ready is no more: it is waited for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}
