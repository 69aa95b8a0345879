//! A stream whose kind is only known when it is there: TCP, TLS over it for a client, what hyper hands over for a server.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use ::tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

#[cfg(feature = "axum")]
use {
    ::tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    bytes::Bytes,
    hyper::upgrade::Upgraded,
    hyper_util::{rt::TokioIo, server::conn::auto},
};

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// TCP, and what was read of it before it was ours.
    #[cfg(feature = "axum")]
    ReadAhead(TcpStream, Box<Bytes>),
    #[cfg(feature = "axum")]
    Upgraded(Box<TokioIo<Upgraded>>),
}

#[cfg(feature = "axum")]
impl Stream {
    /// Takes the TCP stream out of what hyper hands over, if that is what it was given: by axum's server, or by hyper's own, which
    /// wrap it differently.
    pub(super) fn of_upgraded(upgraded: Upgraded) -> Self {
        let (tcp, early) = match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (parts.io, parts.read_buf),
            Err(upgraded) => match upgraded.downcast::<TokioIo<TcpStream>>() {
                Ok(parts) => (parts.io, parts.read_buf),
                // It gives by itself what was read ahead.
                Err(upgraded) => return Self::Upgraded(Box::new(TokioIo::new(upgraded))),
            },
        };
        let tcp = tcp.into_inner();
        // A peer that is gone already has no options to set; its socket says so soon enough.
        let _ = tcp.set_nodelay(true);
        // What was read ahead may be hundreds of kilobytes, compressed. It is read as all else is, with room for what comes of it.
        if early.is_empty() { Self::Plain(tcp) } else { Self::ReadAhead(tcp, Box::new(early)) }
    }

    /// TCP can be split, once what was read ahead is used up.
    pub(super) fn split(self) -> Result<(OwnedReadHalf, OwnedWriteHalf), Self> {
        match self {
            Self::Plain(tcp) => Ok(tcp.into_split()),
            Self::ReadAhead(tcp, early) if early.is_empty() => Ok(tcp.into_split()),
            same => Err(same),
        }
    }
}

macro_rules! on_each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Stream::Plain($stream) => $call,
            #[cfg(feature = "tls")]
            Stream::Tls($stream) => $call,
            #[cfg(feature = "axum")]
            Stream::ReadAhead($stream, _) => $call,
            #[cfg(feature = "axum")]
            Stream::Upgraded($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        #[cfg(feature = "axum")]
        if let Self::ReadAhead(_, early) = this
            && !early.is_empty()
        {
            let bytes = early.len().min(buffer.remaining());
            buffer.put_slice(&early.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        on_each!(this, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        on_each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
