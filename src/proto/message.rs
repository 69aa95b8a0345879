//! What goes in and comes out: [`Event`]s that borrow from a read, [`Outgoing`] messages, and [`Message`], which owns.

use std::ops::Deref;

use bytes::Bytes;

use super::{
    closing::Cause, deflate::Deflate, outbox::SPLICE_MIN, prepared::PreparedMessage, utf8::Utf8Bytes,
};

/// What [`Connection::receive`](super::Connection::receive) found.
///
/// `'e` is the read buffer's or the lent [`Inbound`](super::Inbound)'s: the compiler keeps one peer's bytes from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A whole text message.
    Text(Text<'e>),
    /// A whole binary message.
    Binary(Payload<'e>),
    /// A piece of a message as it came; only with [`parts`](super::ConfigBuilder::parts).
    ///
    /// Text was checked up to here, but a piece may end inside a character.
    Part {
        /// Whether the message is text or binary.
        kind: Kind,
        /// The piece; empty only if the message or its last frame is.
        piece: &'e [u8],
        /// The message ends with this piece.
        last: bool,
    },
    /// The peer pinged, and a pong is queued.
    Ping(Control),
    /// The peer sent a pong, asked for or not.
    Pong(Control),
    /// The end: there is one of these, and nothing after it.
    Closed(Cause),
}

/// Text or binary (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// A message's bytes: borrowed where it came in one read or is small, its own where it was assembled.
#[derive(Clone, Debug)]
pub enum Payload<'e> {
    /// In the read buffer, or in the lent one.
    Borrowed(&'e [u8]),
    /// Read into a buffer of its own.
    Owned(Bytes),
}

impl Payload<'_> {
    /// The bytes for keeps: copies what is borrowed, so that a small message never pins a large buffer.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

/// A text message, known to be UTF-8.
#[derive(Clone, Debug)]
pub enum Text<'e> {
    /// In the read buffer, or in the lent one.
    Borrowed(&'e str),
    /// Read into a buffer of its own.
    Owned(Utf8Bytes),
}

impl Text<'_> {
    /// The text, without a second check.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }

    /// The text for keeps: copies what is borrowed.
    pub fn into_bytes(self) -> Utf8Bytes {
        match self {
            Self::Borrowed(text) => text.into(),
            Self::Owned(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

/// A ping's or pong's payload, by value: at most 125 bytes (RFC 6455 §5.5).
#[derive(Clone, Copy)]
pub struct Control {
    bytes: [u8; 125],
    len: u8,
}

impl Control {
    /// `None` if `payload` is longer than 125 bytes.
    pub fn new(payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; 125];
        bytes.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(Self { bytes, len: payload.len() as u8 })
    }

    /// The first 125 bytes: for payloads whose header was checked.
    #[inline]
    pub(super) fn truncating(payload: &[u8]) -> Self {
        let len = payload.len().min(125);
        let mut bytes = [0; 125];
        bytes[..len].copy_from_slice(&payload[..len]);
        Self { bytes, len: len as u8 }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
}

impl Deref for Control {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialEq for Control {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Control {}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({:02x?})", &**self)
    }
}

/// A message to send. What is borrowed is copied once, into the outbox; what is owned and large is not copied by a server.
#[derive(Clone, Debug)]
pub enum Outgoing<'m> {
    /// Text.
    Text(&'m str),
    /// Bytes.
    Binary(&'m [u8]),
    /// Either, owned.
    Owned(Message),
    /// Either, encoded already, for many.
    Prepared(&'m PreparedMessage),
}

/// Whether a message is compressed, where permessage-deflate is in use; where it is not, nothing is. A message that compressing
/// does not make smaller is sent plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// From the [`threshold`](super::Deflate::threshold) on.
    #[default]
    Auto,
    /// Whatever its size.
    Always,
    /// Not: it is compressed already, or holds a secret beside what others may choose (CRIME, BREACH).
    Never,
}

impl Compression {
    /// Whether a message of so many bytes is to be compressed. Nothing is not made smaller, and a compressor with takeover would
    /// forget what was before.
    pub(super) fn is_wanted(self, len: usize, policy: Deflate) -> bool {
        let wanted = match self {
            Self::Auto => len >= policy.threshold,
            Self::Always => true,
            Self::Never => false,
        };
        wanted && len > 0
    }
}

/// A message that owns its bytes; a clone is a reference count.
///
/// ```
/// use framecast::proto::{Message, Utf8Bytes};
///
/// let message = Message::text("hi");
/// assert_eq!(message, Message::Text(Utf8Bytes::from("hi")));
/// assert_eq!(message.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Lends itself, if its payload is so small that sending copies it anyway.
    #[inline]
    pub(crate) fn copied(&self) -> Option<Outgoing<'_>> {
        match self {
            _ if self.len() >= SPLICE_MIN => None,
            Self::Text(text) => Some(Outgoing::Text(text)),
            Self::Binary(bytes) => Some(Outgoing::Binary(bytes)),
        }
    }

    /// The payload, whatever it is.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes,
        }
    }
}

macro_rules! from {
    ($($text:ty, $bytes:ty;)*) => {
        $(impl From<$text> for Message {
            fn from(text: $text) -> Self {
                Self::text(text)
            }
        }

        impl From<$bytes> for Message {
            fn from(bytes: $bytes) -> Self {
                Self::binary(bytes)
            }
        })*
    };
}

from! {
    &str, &'static [u8];
    String, Vec<u8>;
    Utf8Bytes, Bytes;
}

impl From<String> for Outgoing<'_> {
    fn from(text: String) -> Self {
        Self::Owned(text.into())
    }
}

impl From<Vec<u8>> for Outgoing<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }
}

impl<'m, const N: usize> From<&'m [u8; N]> for Outgoing<'m> {
    fn from(bytes: &'m [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'m> From<&'m str> for Outgoing<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m [u8]> for Outgoing<'m> {
    fn from(bytes: &'m [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Message> for Outgoing<'_> {
    fn from(message: Message) -> Self {
        Self::Owned(message)
    }
}

impl<'m> From<&'m PreparedMessage> for Outgoing<'m> {
    fn from(message: &'m PreparedMessage) -> Self {
        Self::Prepared(message)
    }
}

impl From<Utf8Bytes> for Outgoing<'_> {
    fn from(text: Utf8Bytes) -> Self {
        Self::Owned(Message::Text(text))
    }
}

impl From<Bytes> for Outgoing<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Owned(Message::Binary(bytes))
    }
}

impl<'m> From<&'m Message> for Outgoing<'m> {
    fn from(message: &'m Message) -> Self {
        message.copied().unwrap_or_else(|| Self::Owned(message.clone()))
    }
}

impl<'m> From<&'m String> for Outgoing<'m> {
    fn from(text: &'m String) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<Text<'m>> for Outgoing<'m> {
    fn from(text: Text<'m>) -> Self {
        match text {
            Text::Borrowed(text) => Self::Text(text),
            Text::Owned(text) => text.into(),
        }
    }
}

impl<'m> From<Payload<'m>> for Outgoing<'m> {
    fn from(payload: Payload<'m>) -> Self {
        match payload {
            Payload::Borrowed(bytes) => Self::Binary(bytes),
            Payload::Owned(bytes) => bytes.into(),
        }
    }
}
