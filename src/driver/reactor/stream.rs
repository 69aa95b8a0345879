//! A connection's socket: TCP, or TLS over it by rustls' own buffers.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, SocketAddr},
};

use mio::{Interest, Registry, Token, net::TcpStream};

use crate::proto::Target;

#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    #[cfg(feature = "reactor-tls")]
    tls: Option<Box<rustls::ServerConnection>>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            #[cfg(feature = "reactor-tls")]
            tls: None,
        }
    }

    #[cfg(feature = "reactor-tls")]
    pub(super) fn with_tls(tcp: TcpStream, tls: rustls::ServerConnection) -> Self {
        Self { tcp, tls: Some(Box::new(tls)) }
    }

    /// Both directions, once and for all: what is ready is told at its edges.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.tcp, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    /// Reads once. A plain read that does not fill the buffer has emptied the socket.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "reactor-tls")]
        if let Some(tls) = &mut self.tls {
            return read_tls(tls, &mut self.tcp, buffer);
        }
        retried(|| self.tcp.read(buffer))
    }

    /// Goes on with TLS' handshake, if it is not done.
    ///
    /// # Errors
    /// `WouldBlock` until it is; whatever ends it.
    pub(super) fn shake_hands(&mut self) -> io::Result<()> {
        #[cfg(feature = "reactor-tls")]
        if let Some(tls) = &mut self.tls {
            while tls.is_handshaking() {
                receive_tls(tls, &mut self.tcp)?;
            }
        }
        Ok(())
    }

    /// Whether a read that is shorter than its buffer, or a write that is shorter than its bytes, says that there is no more to be had
    /// for now. With TLS it speaks of rustls' buffers.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        #[cfg(feature = "reactor-tls")]
        return self.tls.is_none();
        #[cfg(not(feature = "reactor-tls"))]
        true
    }

    /// Reads into the rest of a large message; `None` if it must go by the shared buffer.
    pub(super) fn read_into(&mut self, target: &mut Target<'_>) -> Option<io::Result<usize>> {
        if !self.is_plain() {
            return None;
        }
        let mut room = target.buffer();
        let limit = room.limit();
        let buffer: &mut Vec<u8> = room.get_mut();
        Some(if limit == buffer.capacity() - buffer.len() {
            retried(|| Ok(rustix::io::read(&self.tcp, rustix::buffer::spare_capacity(&mut *buffer))?))
        } else {
            // The vector has more room than the message: the reader is to be kept from filling it.
            let before = buffer.len();
            match (&mut self.tcp).take(limit as u64).read_to_end(buffer) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                Err(error) if buffer.len() == before => Err(error),
                _ => Ok(buffer.len() - before),
            }
        })
    }

    /// Writes once.
    #[inline]
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "reactor-tls")]
        if let Some(tls) = &mut self.tls {
            flush_tls(tls, &mut self.tcp)?;
            let written = tls.writer().write_vectored(slices)?;
            return if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) };
        }
        let written = match slices {
            [slice] => retried(|| self.tcp.write(slice)),
            slices => retried(|| self.tcp.write_vectored(slices)),
        };
        match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        }
    }

    /// Writes what TLS holds back.
    #[inline]
    pub(super) fn flush(&mut self) -> io::Result<()> {
        #[cfg(feature = "reactor-tls")]
        if let Some(tls) = &mut self.tls {
            return flush_tls(tls, &mut self.tcp);
        }
        Ok(())
    }

    /// Ends our direction, TLS' first (RFC 8446 §6.1).
    pub(super) fn shut_write(&mut self) -> io::Result<()> {
        #[cfg(feature = "reactor-tls")]
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            flush_tls(tls, &mut self.tcp)?;
        }
        match self.tcp.shutdown(Shutdown::Write) {
            // The peer is gone already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shut => shut,
        }
    }
}

/// A signal is no failure.
#[inline]
fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(feature = "reactor-tls")]
fn read_tls(tls: &mut rustls::ServerConnection, tcp: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        receive_tls(tls, tcp)?;
    }
}

/// Reads once what is TLS' own, and answers it; what it could not write before, too.
#[cfg(feature = "reactor-tls")]
fn receive_tls(tls: &mut rustls::ServerConnection, tcp: &mut TcpStream) -> io::Result<()> {
    let read = retried(|| tls.read_tls(tcp));
    if read.is_ok()
        && let Err(error) = tls.process_new_packets()
    {
        // The alert says why, if it can.
        let _ = flush_tls(tls, tcp);
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    if tls.wants_write() {
        match flush_tls(tls, tcp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    if read? == 0 && tls.is_handshaking() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(feature = "reactor-tls")]
fn flush_tls(tls: &mut rustls::ServerConnection, tcp: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        if retried(|| tls.write_tls(tcp))? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}
