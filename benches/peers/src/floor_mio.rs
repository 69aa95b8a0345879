//! What epoll itself takes: one loop, and one buffer for all connections.

use std::io::{self, ErrorKind, Read, Write};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;

use crate::floor::SWITCHING_PROTOCOLS;

pub(crate) const BUFFER_BYTES: usize = 256 << 10;
pub(crate) const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// What the socket did not take. While there is any, nothing more is read.
    unsent: Vec<u8>,
}

/// The floor of an echo.
pub(crate) fn echo(listener: std::net::TcpListener) -> io::Result<()> {
    serve(listener, Connection::turn)
}

/// The floor of an opening handshake: accept, read, a fixed answer, close.
pub(crate) fn handshake(listener: std::net::TcpListener) -> io::Result<()> {
    serve(listener, Connection::answer)
}

/// `turn` says whether a connection goes on.
fn serve(
    listener: std::net::TcpListener,
    turn: fn(&mut Connection, &mut [u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections = Slab::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Token(key) = event.token();
            // What ended earlier in this turn may still have an event in it.
            let Some(connection) = connections.get_mut(key) else { continue };
            if !matches!(turn(connection, &mut buffer), Ok(true)) {
                connections.remove(key);
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Slab<Connection>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let entry = connections.vacant_entry();
        poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE | Interest::WRITABLE)?;
        entry.insert(Connection { stream, unsent: Vec::new() });
    }
}

impl Connection {
    /// Echoes until there is nothing to read or no room to write; `false` at the end of input.
    fn turn(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let written = write_some(&self.stream, &self.unsent)?;
            self.unsent.drain(..written);
            if !self.unsent.is_empty() {
                return Ok(true);
            }
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                read => read?,
            };
            let written = write_some(&self.stream, &buffer[..read])?;
            self.unsent.extend_from_slice(&buffer[written..read]);
            // A read that did not fill the buffer has emptied the socket, as tokio takes it too: more brings an event.
            if self.unsent.is_empty() && read < buffer.len() {
                return Ok(true);
            }
        }
    }
}

impl Connection {
    /// A head that is whole is answered; one that is not is waited for. `unsent` is what was read of it.
    fn answer(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let read = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            read => read?,
        };
        self.unsent.extend_from_slice(&buffer[..read]);
        if !self.unsent.ends_with(b"\r\n\r\n") {
            return Ok(read > 0);
        }
        self.stream.write_all(SWITCHING_PROTOCOLS)?;
        Ok(false)
    }
}

/// Writes until it is all gone or the socket takes no more.
pub(crate) fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            wrote => written += wrote?,
        }
    }
    Ok(written)
}
