//! A raw peer that reads and writes frames by hand.

#![allow(dead_code, reason = "not every binary that has it needs all of it")]

use std::{sync::Once, time::Duration};

use base64::Engine;
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The smallest request that is right.
pub(crate) const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

// ---- frames by hand

/// A whole client's frame.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(0x80 | opcode, payload, Some([0x37, 0xfa, 0x21, 0x3d]))
}

/// A whole server's frame.
pub(crate) fn bare_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(0x80 | opcode, payload, None)
}

pub(crate) fn raw_frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(bit | len as u8),
        len @ 126..=0xffff => {
            out.push(bit | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(bit | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    if mask.is_some() {
        out.extend(key);
    }
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A client's Close.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &close_payload(code, reason))
}

// ---- the peer

/// The other end, which knows frames and nothing else.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    read: Vec<u8>,
    is_client: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new(), is_client: true }
    }

    /// Sends the request, reads the 101.
    pub(crate) async fn open(stream: S) -> Self {
        let mut peer = Self::new(stream);
        peer.send(REQUEST).await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }

    /// Reads a client's request, answers with a 101 and `more` in one write.
    pub(crate) async fn serve(stream: S, more: &[u8]) -> Self {
        let mut peer = Self::new(stream);
        peer.is_client = false;
        let head = peer.head().await;
        peer.send(&[&response_to(&head), more].concat()).await;
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the driver reads");
    }

    /// A text message.
    pub(crate) async fn text(&mut self, text: &str) {
        let bytes = self.frame(TEXT, text.as_bytes());
        self.send(&bytes).await;
    }

    pub(crate) fn frame(&self, opcode: u8, payload: &[u8]) -> Vec<u8> {
        if self.is_client { frame(opcode, payload) } else { bare_frame(opcode, payload) }
    }

    /// The head of a request or a response, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.read.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head is ASCII");
            }
            assert!(self.more().await, "ended inside a head: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// The next frame; `None` at the end, be it a reset.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "ended inside a frame: {} bytes", self.read.len());
                return None;
            }
        }
    }

    /// The next frame; `None` at the end, be it in the midst of one.
    pub(crate) async fn next_or_torn(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub(crate) async fn next_text(&mut self) -> String {
        let (opcode, payload) = self.next().await.expect("a frame");
        assert_eq!(opcode, TEXT, "{payload:?}");
        String::from_utf8(payload).expect("text is UTF-8")
    }

    /// The code of the Close that comes next.
    pub(crate) async fn next_close(&mut self) -> u16 {
        let (opcode, payload) = self.next().await.expect("a Close, and not the end");
        assert_eq!(opcode, CLOSE, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// All that is left, to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Shuts down our direction and no more.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("the driver is there");
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..read]);
        read > 0
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.read.first()?, *self.read.get(1)?);
        assert_eq!(second & 0x80 == 0, self.is_client, "masked: the client's frames, and no others");
        let (len, mut start) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(self.read.get(2..10)?.try_into().ok()?) as usize, 10),
            short => (usize::from(short), 2),
        };
        let mut key = [0; 4];
        if !self.is_client {
            key.copy_from_slice(self.read.get(start..start + 4)?);
            start += 4;
        }
        let payload = self.read.get(start..start + len)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.read.drain(..start + len);
        assert_eq!(first & 0xf0, 0x80, "one whole frame a message");
        Some((first & 0xf, payload))
    }
}

impl Peer<TcpStream> {
    /// Goes by RST.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }
}

/// The 101 for a request.
pub(crate) fn response_to(request: &str) -> Vec<u8> {
    let key = request
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim())
        })
        .expect("a key");
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
        .into_bytes()
}

/// A test that hangs ends: by real time, whatever tokio's clock says.
pub(crate) fn watchdog() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(120));
            eprintln!("a test hangs");
            std::process::abort();
        });
    });
}
