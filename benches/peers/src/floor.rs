//! What tokio itself takes: the same bytes in, the same bytes out, and nobody looks at them.

use std::{cell::RefCell, io};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Error;

const BUFFER_BYTES: usize = 64 << 10;

/// The floor that ratios are told to. Its buffer is the task's own, as anybody would write it.
pub(crate) async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// The floor of an idle connection: the thread's buffer is borrowed between two waits, so that what is left of a connection
/// is its socket and its task.
pub(crate) async fn echo_lent(mut stream: TcpStream) -> Result<(), Error> {
    loop {
        stream.readable().await?;
        let unsent = match BUFFER.with_borrow_mut(|buffer| turn(&stream, buffer)) {
            Ok(Some(unsent)) => unsent,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        if !unsent.is_empty() {
            stream.write_all(&unsent).await?;
        }
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_BYTES]);
}

/// Reads once and writes once; returns what could not be written, or `None` at the end.
fn turn(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
    let read = stream.try_read(buffer)?;
    if read == 0 {
        return Ok(None);
    }
    let written = match stream.try_write(&buffer[..read]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    Ok(Some(buffer[written..read].to_vec()))
}

/// The floor of an opening handshake: accept, read, a fixed answer, close.
pub(crate) async fn handshake(mut stream: TcpStream) -> Result<(), Error> {
    let mut head = [0; 4096];
    let mut filled = 0;
    while !head[..filled].ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut head[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
    }
    stream.write_all(SWITCHING_PROTOCOLS).await?;
    Ok(())
}

pub(crate) const SWITCHING_PROTOCOLS: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    \r\n";
