//! What the system takes to relay: the same bytes sent to the same sockets, one after the other.
//!
//! The frames of each read are unmasked into one buffer, once for all, and that is one `send` for each open connection. Nothing
//! is checked and nothing is limited. A compressed message is sent on as it came, so that nobody here compresses.

use std::{
    io::{self, ErrorKind, Read},
    sync::Arc,
};

use framecast::{
    Config, Deflate, Endpoint, OriginPolicy,
    handshake::ServerHandshake,
    proto::{FrameHeader, OpCode, Role, mask},
};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;

use crate::floor_mio::{BUFFER_BYTES, LISTENER, write_some};

struct Peer {
    stream: TcpStream,
    /// Until it is open.
    opening: Option<Box<ServerHandshake>>,
    /// The begin of a frame whose end has not come.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

pub(crate) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let deflate = Deflate::takeover().server_no_context_takeover(true).client_no_context_takeover(true);
    let config = Config::builder().deflate(Some(deflate)).build().map_err(io::Error::other)?;
    let endpoint = Arc::new(Endpoint::new().origins(OriginPolicy::any_origin_dangerous()));
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut peers: Slab<Peer> = Slab::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut frames = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    let entry = peers.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(entry.key()), interest)?;
                    let opening = Some(Box::new(ServerHandshake::new(&config, endpoint.clone())));
                    entry.insert(Peer { stream, opening, partial: Vec::new(), unsent: Vec::new() });
                }
                continue;
            }
            let Token(key) = event.token();
            frames.clear();
            // What ended earlier in this turn may still have an event in it.
            let Some(peer) = peers.get_mut(key) else { continue };
            if event.is_writable() {
                peer.send(&[]);
            }
            let goes_on = !event.is_readable() || matches!(peer.read(&mut buffer, &mut frames), Ok(true));
            if !goes_on {
                peers.remove(key);
            }
            if !frames.is_empty() {
                for (_, peer) in &mut peers {
                    if peer.opening.is_none() {
                        peer.send(&frames);
                    }
                }
            }
        }
    }
}

impl Peer {
    /// One `send`, unless something waits already. Of a peer that is gone tells its own event.
    fn send(&mut self, bytes: &[u8]) {
        if self.unsent.is_empty() {
            let written = write_some(&self.stream, bytes).unwrap_or(bytes.len());
            self.unsent.extend_from_slice(&bytes[written..]);
        } else {
            self.unsent.extend_from_slice(bytes);
            let written = write_some(&self.stream, &self.unsent).unwrap_or(self.unsent.len());
            self.unsent.drain(..written);
        }
    }

    /// Appends the frames that are there, as a server sends them; `false` at the end.
    fn read(&mut self, buffer: &mut Vec<u8>, frames: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let kept = self.partial.len();
            if buffer.len() < kept + BUFFER_BYTES {
                buffer.resize(kept + BUFFER_BYTES, 0);
            }
            buffer[..kept].copy_from_slice(&self.partial);
            self.partial.clear();
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.partial.extend_from_slice(&buffer[..kept]);
                    return Ok(true);
                }
                read => read?,
            };
            let all_read = kept + read < buffer.len();
            if !self.take(&mut buffer[..kept + read], frames)? {
                return Ok(false);
            }
            if all_read {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, mut input: &mut [u8], frames: &mut Vec<u8>) -> io::Result<bool> {
        if let Some(opening) = &mut self.opening {
            let Some((request, used)) = opening.receive(input).map_err(io::Error::other)? else {
                return Ok(true);
            };
            self.opening = None;
            self.send(&request.accept().encode());
            input = &mut input[used..];
        }
        while let Some((header, head)) = FrameHeader::parse(input, Role::Server).map_err(io::Error::other)? {
            let end = head + header.payload_len as usize;
            if input.len() < end {
                break;
            }
            // A Close is not for all.
            if header.opcode == OpCode::Close {
                return Ok(false);
            }
            let (frame, rest) = input.split_at_mut(end);
            let payload = &mut frame[head..];
            if let Some(key) = header.mask {
                mask(payload, key);
            }
            frames.extend_from_slice(&FrameHeader { mask: None, ..header }.encode());
            frames.extend_from_slice(payload);
            input = rest;
        }
        self.partial.extend_from_slice(input);
        Ok(true)
    }
}
