//! A message that goes to many: encoded once, compressed once for each window, shared by reference.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::{
    deflate::{Deflate, Deflaters, WINDOW_BITS_MAX},
    frame::{HEADER_BYTES_MAX, OpCode},
    message::{Compression, Kind, Message},
    outbox::header,
    utf8::Utf8Bytes,
};

/// A message that is encoded once and sent to any number of connections; a clone is a reference count.
///
/// A server's frames are not masked (RFC 6455 §5.1), so they are the same bytes for every client. Where permessage-deflate is in use
/// without context takeover, it is compressed when the first connection with that window asks for it, once for each size of
/// window and by the level of that connection's [`Config`](super::Config). Where a connection keeps its context, it is sent plain:
/// what is compressed with a context of one's own is nobody else's (RFC 7692 §7.1.1.1). A client masks a copy of its own.
///
/// ```
/// use framecast::proto::{Config, Connection, Outbound, PreparedMessage, Role};
/// use std::{sync::Arc, time::Instant};
///
/// let (now, config) = (Instant::now(), Arc::new(Config::default()));
/// let goal = PreparedMessage::new("2:1");
/// let mut outbound = Outbound::default();
/// for seed in 0..3 {
///     let mut server = Connection::new(config.clone(), Role::Server, now, seed);
///     server.send(&goal, &mut outbound)?;
///     let transmit = server.poll_transmit(now, &mut outbound).expect("a frame waits");
///     assert_eq!(&*transmit.slices()[0], b"\x81\x032:1");
/// }
/// # Ok::<(), framecast::proto::SendError>(())
/// ```
#[derive(Clone)]
pub struct PreparedMessage(Arc<Prepared>);

struct Prepared {
    /// A server's frame.
    frame: Bytes,
    header_len: u8,
    kind: Kind,
    compression: Compression,
    /// Made for the first connection that compresses.
    deflated: OnceLock<Box<Deflated>>,
}

/// The compressed frame for windows of 8 to 15 bits; `None` in it: it would not be smaller.
type Deflated = [OnceLock<Option<Bytes>>; WINDOW_BITS_MAX as usize - 7];

impl PreparedMessage {
    /// Encodes a message; its payload is copied once.
    pub fn new(message: impl Into<Message>) -> Self {
        Self::with_compression(message, Compression::Auto)
    }

    /// [`new`](Self::new), compressed or not, whatever [`send_with`](super::Connection::send_with) says.
    pub fn with_compression(message: impl Into<Message>, compression: Compression) -> Self {
        let message = message.into();
        let kind = match message {
            Message::Text(_) => Kind::Text,
            Message::Binary(_) => Kind::Binary,
        };
        let (frame, header_len) = encode(opcode(kind), false, message.as_bytes());
        Self(Arc::new(Prepared { frame, header_len, kind, compression, deflated: OnceLock::new() }))
    }

    /// The payload's bytes.
    pub fn payload(&self) -> &[u8] {
        &self.0.frame[usize::from(self.0.header_len)..]
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        // It was text when it was prepared; so short a check is nobody's cost but the reader's.
        (self.0.kind == Kind::Text).then(|| std::str::from_utf8(self.payload()).unwrap_or_default())
    }

    /// The message by itself; its bytes are shared.
    pub fn to_message(&self) -> Message {
        let payload = self.0.frame.slice(usize::from(self.0.header_len)..);
        match self.0.kind {
            Kind::Binary => Message::Binary(payload),
            Kind::Text => match Utf8Bytes::try_from(payload) {
                Ok(text) => Message::Text(text),
                Err(_) => Message::Binary(Bytes::new()),
            },
        }
    }

    /// Bytes of its frame as a server sends it without compression: what it counts for where something is bounded.
    pub fn frame_bytes(&self) -> usize {
        self.0.frame.len()
    }

    /// The frame, as a server sends it without compression.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.0.frame
    }

    pub(super) fn compression(&self) -> Compression {
        self.0.compression
    }

    /// The compressed frame for a window of so many bits, if it is to be compressed and smaller by that.
    pub(super) fn deflated(
        &self,
        window_bits: u8,
        policy: Deflate,
        deflaters: &mut Deflaters,
    ) -> Option<&Bytes> {
        let payload = self.payload();
        if !self.0.compression.is_wanted(payload.len(), policy) {
            return None;
        }
        let forms = self.0.deflated.get_or_init(Box::default);
        let form = forms.get(usize::from(window_bits).checked_sub(8)?)?;
        form.get_or_init(|| {
            let deflated = deflaters.deflate(payload, window_bits, policy.level)?;
            Some(encode(opcode(self.0.kind), true, deflated).0)
        })
        .as_ref()
    }
}

impl<T: Into<Message>> From<T> for PreparedMessage {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.payload().len();
        f.debug_struct("PreparedMessage").field("kind", &self.0.kind).field("bytes", &bytes).finish()
    }
}

fn opcode(kind: Kind) -> OpCode {
    match kind {
        Kind::Text => OpCode::Text,
        Kind::Binary => OpCode::Binary,
    }
}

/// A server's frame, and the length of its header.
fn encode(opcode: OpCode, rsv1: bool, payload: &[u8]) -> (Bytes, u8) {
    let header = header(opcode, rsv1, payload.len(), None).encode();
    let mut frame = Vec::with_capacity(header.len() + payload.len());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(payload);
    debug_assert!(header.len() <= HEADER_BYTES_MAX);
    (frame.into(), header.len() as u8)
}

#[cfg(test)]
mod tests;
