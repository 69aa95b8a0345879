//! What an application does with its connections.

use std::net::SocketAddr;

use super::websocket::WebSocket;
use crate::{
    driver::close_info::CloseInfo,
    handshake::{Refusal, Request, Response},
    proto::{Message, Outgoing, Payload, Text},
};

/// What an application does with the connections of one loop. There is one handler a loop, made on its thread: nothing in it
/// needs a lock, and nothing in it may wait, for everybody of its loop waits with it.
///
/// No callback runs inside another one. What one callback does to other connections, they are told of later in the same turn
/// of the loop.
///
/// A callback that panics ends its own connection with 1011 and no other. The handler goes on as it was left.
///
/// ```
/// use framecast::reactor::{Handler, Received, WebSocket};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type Data = ();
///
///     fn message(&mut self, ws: &mut WebSocket<'_, ()>, message: Received<'_>) {
///         // There is room for an answer of the message's size.
///         let _ = ws.send(message);
///     }
/// }
/// ```
pub trait Handler {
    /// What the application keeps with each connection; it goes after [`close`](Self::close).
    type Data: Default;

    /// A request that breaks no rule, of the client at `peer`: the 101 and the connection's data, or a refusal.
    ///
    /// By default the endpoint's choice of a subprotocol, compression if it is on, and no more headers. It is answered at once:
    /// who has to ask somebody else first wants the tokio driver.
    ///
    /// # Errors
    /// What to refuse with.
    fn upgrade(&mut self, request: &Request, peer: SocketAddr) -> Result<(Response, Self::Data), Refusal> {
        let _ = peer;
        Ok((request.accept(), Self::Data::default()))
    }

    /// The 101 is written: the connection is open.
    fn open(&mut self, ws: &mut WebSocket<'_, Self::Data>) {
        let _ = ws;
    }

    /// A message. When it is called there is room in the outbox for an answer of the same size; until there is, nothing more is
    /// read of who does not read us.
    fn message(&mut self, ws: &mut WebSocket<'_, Self::Data>, message: Received<'_>) {
        let _ = (ws, message);
    }

    /// The peer pinged; the pong is queued.
    fn ping(&mut self, ws: &mut WebSocket<'_, Self::Data>, payload: &[u8]) {
        let _ = (ws, payload);
    }

    /// The peer sent a pong, to a ping of ours or unasked.
    fn pong(&mut self, ws: &mut WebSocket<'_, Self::Data>, payload: &[u8]) {
        let _ = (ws, payload);
    }

    /// The outbox was above its low-water mark or full, and is no more; after a [`SendError::Full`] something was written since.
    ///
    /// [`SendError::Full`]: crate::SendError::Full
    fn drain(&mut self, ws: &mut WebSocket<'_, Self::Data>) {
        let _ = ws;
    }

    /// The end of a connection that was open, told once; its data is still there, and others can be sent to.
    fn close(&mut self, ws: &mut WebSocket<'_, Self::Data>, end: CloseInfo) {
        let _ = (ws, end);
    }
}

/// A message as it was received. What came in one read borrows the loop's buffer; what was assembled is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<'m> {
    /// Text.
    Text(Text<'m>),
    /// Bytes.
    Binary(Payload<'m>),
}

impl Received<'_> {
    /// The payload's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_str().as_bytes(),
            Self::Binary(payload) => payload,
        }
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) => None,
        }
    }

    /// The message for keeps: copies what is borrowed.
    pub fn into_message(self) -> Message {
        match self {
            Self::Text(text) => Message::Text(text.into_bytes()),
            Self::Binary(payload) => Message::Binary(payload.into_bytes()),
        }
    }
}

/// To send it back: what is its own is not copied.
impl<'m> From<Received<'m>> for Outgoing<'m> {
    #[inline]
    fn from(received: Received<'m>) -> Self {
        match received {
            Received::Text(Text::Borrowed(text)) => Self::Text(text),
            Received::Text(Text::Owned(text)) => Self::Owned(Message::Text(text)),
            Received::Binary(Payload::Borrowed(bytes)) => Self::Binary(bytes),
            Received::Binary(Payload::Owned(bytes)) => Self::Owned(Message::Binary(bytes)),
        }
    }
}

impl From<Message> for Received<'_> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(Text::Owned(text)),
            Message::Binary(bytes) => Self::Binary(Payload::Owned(bytes)),
        }
    }
}
