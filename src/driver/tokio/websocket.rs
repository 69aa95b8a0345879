//! The handles: [`WebSocket`], which reads, and [`Sender`], which any task may have.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use futures_sink::Sink;

use super::{
    inbox::Batch,
    shared::Shared,
    waits::{Ticket, Wait},
};
use crate::driver::close_info::CloseInfo;
use crate::proto::{CloseCode, Compression, DeflateTerms, Message, Outgoing, SendError, State, Stats};

/// An open WebSocket: receives and sends messages.
///
/// Pings are answered and time-outs are kept whatever its owner does, or does not. Dropping it starts the closing handshake,
/// with 1000, or 1011 if it is dropped by a panic; what was sent before still leaves.
///
/// ```
/// # async fn example(mut ws: framecast::WebSocket) -> Result<(), framecast::SendError> {
/// use framecast::{CloseCode, Message};
///
/// ws.send(Message::text("what time is it?")).await?;
/// while let Some(message) = ws.recv().await {
///     if let Some(time) = message.as_text() {
///         println!("it is {time}");
///         break;
///     }
/// }
/// let end = ws.close(CloseCode::NORMAL, "thanks").await?;
/// assert!(end.clean, "{end}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WebSocket {
    sender: Sender,
    /// Messages that were taken off the inbox and not returned yet.
    batch: Batch,
    /// What the [`Sink`] has taken and could not queue yet; in a box, as that is rare.
    held: Option<Box<Message>>,
}

/// Sends to a [`WebSocket`]'s peer, from any task or thread; a clone is a reference count.
///
/// It does not keep the connection open: that is the [`WebSocket`]'s.
///
/// ```
/// # fn example(ws: &framecast::WebSocket) {
/// let sender = ws.sender();
/// std::thread::spawn(move || {
///     // No runtime needed; a full outbox is an error, and the news is old by the time there is room.
///     let _ = sender.try_send("tick");
/// });
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl WebSocket {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { sender: Sender { shared }, batch: Batch::default(), held: None }
    }

    /// The next message; `None` once the connection has ended and everything before its end was received. How it ended says
    /// [`closed`](Self::closed).
    ///
    /// Cancel safe: a message is taken when this returns it, and not before.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send + Unpin {
        Recv(self)
    }

    /// Queues a message, once there is room for it below the high-water mark; it leaves no later than when this task next
    /// yields.
    ///
    /// Cancel safe: dropped before it returns, nothing was queued.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    #[inline]
    pub fn send<M: Into<Message>>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<(), SendError>> + Send + Unpin + use<'_, M> {
        self.sender.send(message)
    }

    /// [`send`](Self::send), compressed or not, where compression was negotiated.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    #[inline]
    pub fn send_with<M: Into<Message>>(
        &self,
        message: M,
        compression: Compression,
    ) -> impl Future<Output = Result<(), SendError>> + Send + Unpin + use<'_, M> {
        self.sender.send_with(message, compression)
    }

    /// Queues a message if there is room for it; borrowed text and bytes are copied once.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`].
    #[inline]
    pub fn try_send<'m>(&self, message: impl Into<Outgoing<'m>>) -> Result<(), SendError> {
        self.sender.try_send(message)
    }

    /// [`try_send`](Self::try_send), compressed or not, where compression was negotiated.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn try_send_with<'m>(
        &self,
        message: impl Into<Outgoing<'m>>,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.sender.try_send_with(message, compression)
    }

    /// The terms of permessage-deflate (RFC 7692), if it is in use.
    pub fn deflate(&self) -> Option<DeflateTerms> {
        self.sender.shared.lock().connection.deflate()
    }

    pub(super) fn as_sender(&self) -> &Sender {
        &self.sender
    }

    /// A handle that sends, for any task.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The subprotocol that was agreed on (RFC 6455 §1.9).
    pub fn subprotocol(&self) -> Option<&str> {
        self.sender.shared.subprotocol()
    }

    /// Closes: our Close leaves behind what was sent before, then the peer's is waited for, `close_within` at most.
    ///
    /// Messages that came before can still be received; later ones are dropped. Cancel safe: the closing handshake goes on.
    ///
    /// # Errors
    /// A code that must not be sent, a reason above 123 bytes. A connection that has ended already is no error.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<CloseInfo, SendError> {
        self.sender.close_or_closed(code, reason)?;
        Ok(self.closed().await)
    }

    /// Waits for the end, and says how it came. Cancel safe.
    pub async fn closed(&self) -> CloseInfo {
        self.sender.closed().await
    }

    /// What was counted until now, and the round-trip time.
    pub fn stats(&self) -> Stats {
        self.sender.stats()
    }
}

impl Sender {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Queues a message, once there is room for it below the high-water mark. Cancel safe, as [`WebSocket::send`] is.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    #[inline]
    pub fn send<M: Into<Message>>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<(), SendError>> + Send + Unpin + use<'_, M> {
        self.send_with(message, Compression::Auto)
    }

    /// [`send`](Self::send), compressed or not, where compression was negotiated.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    #[inline]
    pub fn send_with<M: Into<Message>>(
        &self,
        message: M,
        compression: Compression,
    ) -> impl Future<Output = Result<(), SendError>> + Send + Unpin + use<'_, M> {
        // Not an `async fn`, which would hold the message twice.
        let mut message = Some(message.into());
        Wait::new(&self.shared, move |shared: &Shared, cx: &mut Context<'_>, ticket: &mut Ticket| {
            shared.poll_send(cx, ticket, &mut message, compression)
        })
    }

    /// Queues a message if there is room for it; needs no runtime.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`].
    #[inline]
    pub fn try_send<'m>(&self, message: impl Into<Outgoing<'m>>) -> Result<(), SendError> {
        self.shared.try_send(message.into(), Compression::Auto)
    }

    /// [`try_send`](Self::try_send), compressed or not, where compression was negotiated.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn try_send_with<'m>(
        &self,
        message: impl Into<Outgoing<'m>>,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.shared.try_send(message.into(), compression)
    }

    /// Waits until everything queued was handed to the transport. Cancel safe.
    pub async fn flush(&self) {
        Wait::new(&self.shared, Shared::poll_flush).await;
    }

    /// Sends a ping of the application's own, for peers that want one; nobody is told of its pong, other than by
    /// [`round_trip`](Self::round_trip). Keepalive has its own pings, and [`stats`](Self::stats) their round-trip time.
    ///
    /// # Errors
    /// A payload above 125 bytes; [`SendError::Full`] while the last one is not written; [`SendError::Closed`].
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.ping(payload)
    }

    /// Sends a ping with this payload and waits for its pong; the time from the one to the other.
    ///
    /// While the last ping is not written it waits for that. It ends with the connection at the latest, so put a time-out
    /// around it where that is too late: a peer need only answer the newest of several pings (RFC 6455 §5.5.3). A pong is read
    /// behind the messages before it; while those are not received, it waits with them. Pings of one payload are answered in
    /// their order, so give each its own where one may be given up. Cancel safe: a ping that was sent stays sent, and its pong
    /// is nobody's.
    ///
    /// # Errors
    /// A payload above 125 bytes; [`SendError::Closed`], also if the connection ends before the pong.
    pub async fn round_trip(&self, payload: &[u8]) -> Result<Duration, SendError> {
        Wait::new(&self.shared, |shared: &Shared, cx: &mut Context<'_>, ticket: &mut Ticket| {
            shared.poll_round_trip(cx, ticket, payload)
        })
        .await
    }

    /// Starts the closing handshake, and does not wait for its end: see [`closed`](Self::closed).
    ///
    /// # Errors
    /// A code that must not be sent, a reason above 123 bytes, [`SendError::Closed`].
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.shared.close(code, reason)
    }

    /// [`close`](Self::close), behind what the topics that it has [joined](Self::join) have for it: what was published until now leaves
    /// first, however slowly it is read and whatever its rate, then our Close; of what is published from now on it gets nothing. For a
    /// server that stops, and does not want to take from anybody what it has counted as queued.
    ///
    /// Until then the connection is open, and the first such Close counts. `close_within` begins when our Close is queued, and before
    /// that only who takes nothing at all is cut, after `write_stall_after`: call [`close`](Self::close) for who has not taken it in time.
    /// That one follows what is in the outbox already, and what waits behind it is dropped; so it is if the [`WebSocket`] is dropped.
    /// Without topics this is [`close`](Self::close).
    ///
    /// # Errors
    /// A code that must not be sent, a reason above 123 bytes, [`SendError::Closed`].
    pub fn close_behind_topics(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.shared.close_behind_topics(code, reason)
    }

    /// Waits for the end, and says how it came. Cancel safe.
    pub async fn closed(&self) -> CloseInfo {
        Wait::new(&self.shared, Shared::poll_closed).await
    }

    /// Whether messages can be sent: no Close is queued, and no end is known.
    pub fn is_open(&self) -> bool {
        self.shared.lock().connection.state() == State::Open
    }

    /// What was counted until now, and the round-trip time.
    pub fn stats(&self) -> Stats {
        self.shared.lock().connection.stats()
    }

    /// Closes; a connection that is closing already is fine.
    fn close_or_closed(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        match self.close(code, reason) {
            Err(SendError::Closed) => Ok(()),
            result => result,
        }
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let code = if std::thread::panicking() { CloseCode::INTERNAL } else { CloseCode::NORMAL };
        self.sender.shared.abandon(code);
    }
}

/// What [`WebSocket::recv`] is. By a name, so that its code can be had in line: a message that is handed from call to call is
/// written to the stack and read back each time, and small ones cost little else.
struct Recv<'w>(&'w mut WebSocket);

impl Future for Recv<'_> {
    type Output = Option<Message>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let WebSocket { sender, batch, .. } = &mut *self.0;
        sender.shared.poll_recv(cx, batch)
    }
}

impl Stream for WebSocket {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Self { sender, batch, .. } = self.get_mut();
        sender.shared.poll_recv(cx, batch)
    }
}

/// Messages that `start_send` takes leave as [`WebSocket::send`]'s do; `poll_close` closes with 1000.
impl Sink<Message> for WebSocket {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Self { sender, held, .. } = self.get_mut();
        let mut message = held.take().map(|message| *message);
        let sent = sender.shared.poll_send(cx, &mut Ticket::of_sink(), &mut message, Compression::Auto);
        *held = message.map(Box::new);
        sent
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        let Self { sender, held, .. } = self.get_mut();
        debug_assert!(held.is_none(), "`poll_ready` comes before `start_send`");
        match sender.try_send(&message) {
            Err(SendError::Full) => *held = Some(Box::new(message)),
            result => return result,
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(self.as_mut().poll_ready(cx))?;
        self.sender.shared.poll_flush(cx, &mut Ticket::of_sink()).map(Ok)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        match ready!(self.as_mut().poll_ready(cx)) {
            Ok(()) | Err(SendError::Closed) => {}
            error => return Poll::Ready(error),
        }
        self.sender.close_or_closed(CloseCode::NORMAL, "")?;
        self.sender.shared.poll_closed(cx, &mut Ticket::of_sink()).map(|_| Ok(()))
    }
}
