//! One connection on its way up: TCP, the request, the answer. Takes a step at each event of its socket.

use std::{
    io::{self, Read, Write},
    ops::Range,
};

use framecast::{
    Config, DeflateTerms,
    handshake::{ClientHandshake, ConnectError, random_key},
};
use mio::{Interest, Registry, Token, net::TcpStream};

use super::{failure::explain, target::Target};

pub(super) struct Opening {
    socket: TcpStream,
    connected: bool,
    request: Vec<u8>,
    written: usize,
    answer: Answer,
    wants_terms: bool,
    terms: Option<DeflateTerms>,
}

/// What the server has to say before the connection is open.
enum Answer {
    /// Nothing: this is plain TCP.
    None,
    /// A 101 that keeps every rule.
    Switch(Box<ClientHandshake>),
    /// Anything up to a blank line, of which so much was seen.
    BlankLine(usize),
}

/// What plain TCP is sent to open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RawRequest {
    None,
    /// The same bytes as a WebSocket server, for a server with a fixed answer.
    Same,
}

impl Opening {
    pub(super) fn start(
        target: &Target,
        config: &Config,
        raw: RawRequest,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, String> {
        let start = || {
            let mut socket = TcpStream::connect(target.address)?;
            socket.set_nodelay(true)?;
            registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok((socket, random_key()?))
        };
        let (socket, key) = start().map_err(|error: io::Error| explain(&error))?;
        let (mut request, handshake) = target.request.start(config, key);
        let answer = match raw {
            RawRequest::None if target.raw => {
                request.clear();
                Answer::None
            }
            _ if target.raw => Answer::BlankLine(0),
            _ => Answer::Switch(Box::new(handshake)),
        };
        Ok(Self {
            socket,
            connected: false,
            request,
            written: 0,
            answer,
            wants_terms: config.deflate().is_some(),
            terms: None,
        })
    }

    /// Goes on after an event. `Some`: it is open, and this part of `buffer` holds what the server said already.
    pub(super) fn advance(&mut self, buffer: &mut [u8]) -> Result<Option<Range<usize>>, String> {
        if !self.connected && !self.is_connected().map_err(|error| explain(&error))? {
            return Ok(None);
        }
        self.connected = true;
        while self.written < self.request.len() {
            match self.socket.write(&self.request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(explain(&error)),
            }
        }
        if matches!(self.answer, Answer::None) {
            return Ok(Some(0..0));
        }
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err(self.ended()),
                Ok(read) => {
                    if let Some(used) = self.receive(&buffer[..read])? {
                        return Ok(Some(used..read));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(explain(&error)),
            }
        }
    }

    /// The terms of compression that the server took, once it is open.
    pub(super) fn terms(&self) -> Option<DeflateTerms> {
        self.terms
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks at what came; `Some`: the answer is complete, with so many bytes of `input`.
    fn receive(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        match &mut self.answer {
            Answer::None => Ok(Some(0)),
            Answer::Switch(handshake) => match handshake.receive(input) {
                Ok(None) => Ok(None),
                Ok(Some((established, _))) if self.wants_terms && established.deflate().is_none() => {
                    Err("the server declined compression".to_owned())
                }
                Ok(Some((established, used))) => {
                    self.terms = established.deflate();
                    Ok(Some(used))
                }
                Err(error) => Err(refusal(&error)),
            },
            Answer::BlankLine(seen) => {
                for (at, byte) in input.iter().enumerate() {
                    *seen = match byte {
                        _ if *byte == b"\r\n\r\n"[*seen] => *seen + 1,
                        b'\r' => 1,
                        _ => 0,
                    };
                    if *seen == 4 {
                        return Ok(Some(at + 1));
                    }
                }
                Ok(None)
            }
        }
    }

    fn ended(&mut self) -> String {
        match &mut self.answer {
            Answer::Switch(handshake) => refusal(&handshake.receive_eof()),
            _ => "the server closed before it answered".to_owned(),
        }
    }
}

fn refusal(error: &ConnectError) -> String {
    match error {
        ConnectError::Refused(refused) => format!("the server refused with status {}", refused.status),
        error => error.to_string(),
    }
}
