//! The one door: bytes in, events out; messages in, bytes out; time in, deadlines out.
//!
//! What the parts beside this file find and keep comes together here: pings are answered, a broken rule becomes a Close,
//! a deadline becomes an end.

#[cfg(any(feature = "tokio", feature = "reactor"))]
mod beside;
mod ending;
mod transmit;

use std::{io, num::NonZeroU32, sync::Arc, time::Instant};

use super::{
    close::{CloseCode, CloseFrame},
    closing::{Cause, Closing, State, Then, Want},
    config::Config,
    deflate::{DeflateTerms, Deflaters},
    error::{Limit, LimitError, SendError},
    frame::{OpCode, Role},
    keepalive::{Due, Keepalive},
    kept::Kept,
    message::{Compression, Control, Event, Message, Outgoing, Payload, Text},
    outbox::{Body, Outbound, Outbox},
    partial::{Inbound, Target},
    prepared::PreparedMessage,
    receiver::{Found, Receiver, Rules, check_text},
    short::Short,
    stats::Stats,
    time::{Clock, Deadline},
};

pub use transmit::Transmit;

/// A WebSocket connection that has been opened: RFC 6455 §5–§8 without a socket, a clock or a task.
///
/// A driver feeds what it reads to [`receive`](Self::receive), writes what [`poll_transmit`](Self::poll_transmit) offers,
/// calls [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout), and does what
/// [`want`](Self::want) says.
///
/// ```
/// use framecast::proto::{Config, Connection, Event, Inbound, Outbound, Role};
/// use std::{sync::Arc, time::Instant};
///
/// let now = Instant::now();
/// let config = Arc::new(Config::default());
/// let (mut inbound, mut outbound) = (Inbound::default(), Outbound::default());
/// let mut client = Connection::new(config.clone(), Role::Client, now, 1);
/// let mut server = Connection::new(config, Role::Server, now, 2);
///
/// client.send("hello", &mut outbound)?;
/// let transmit = client.poll_transmit(now, &mut outbound).expect("a frame waits");
/// let mut wire: Vec<u8> = transmit.slices().iter().flat_map(|slice| slice.to_vec()).collect();
/// transmit.wrote(wire.len());
///
/// let (rest, event) = server.receive(now, &mut wire, &mut inbound);
/// assert!(rest.is_empty());
/// assert!(matches!(event, Some(Event::Text(text)) if text.as_str() == "hello"));
/// # Ok::<(), framecast::proto::SendError>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    clock: Clock,
    receiver: Receiver,
    outbox: Option<Box<Outbox>>,
    /// The context of compression; the end, if no input brought it: for `poll_event`.
    kept: Kept,
    keepalive: Keepalive,
    closing: Closing,
    counts: Counts,
    role: Role,
    deflate: Option<DeflateTerms>,
    close_was_received: bool,
    close_was_flushed: bool,
    /// When reading was paused.
    paused_millis: Option<NonZeroU32>,
    /// Bytes thrown away since the end, or since our Close was out.
    discarded: u32,
}

/// What is counted as it happens.
#[derive(Debug, Default)]
struct Counts {
    bytes_received: u64,
    bytes_sent: u64,
    messages_received: u64,
    messages_sent: u64,
}

// An idle connection is its state and nothing else.
const _: () = assert!(size_of::<Connection>() <= 160);

impl Connection {
    /// A connection whose opening handshake is done.
    ///
    /// `seed` spreads the pings of connections that opened together; it need not be secret.
    pub fn new(config: Arc<Config>, role: Role, now: Instant, seed: u64) -> Self {
        let clock = Clock::new(now);
        Self {
            keepalive: Keepalive::new(&config, clock.millis(now), seed),
            config,
            clock,
            receiver: Receiver::default(),
            outbox: None,
            kept: Kept::default(),
            closing: Closing::Open,
            counts: Counts::default(),
            role,
            deflate: None,
            close_was_received: false,
            close_was_flushed: false,
            paused_millis: None,
            discarded: 0,
        }
    }

    /// Uses permessage-deflate on the terms that the handshake agreed on (RFC 7692).
    pub fn with_deflate(mut self, terms: Option<DeflateTerms>) -> Self {
        self.deflate = terms.filter(|_| cfg!(feature = "deflate") && !self.config.parts);
        self
    }

    // ---- what the world did

    /// Looks at `input` up to the next event; returns what is left of it to look at. No event: all of it was taken.
    ///
    /// The input is unmasked in place, and never has to be shown again. A rule that the peer broke is an event like any
    /// other end: one [`Event::Closed`], after which input is thrown away.
    #[inline]
    pub fn receive<'i, 's, 'e>(
        &mut self,
        now: Instant,
        input: &'i mut [u8],
        lent: &'s mut Inbound,
    ) -> (&'i mut [u8], Option<Event<'e>>)
    where
        'i: 'e,
        's: 'e,
    {
        if matches!(self.closing, Closing::Open)
            && self.receiver.is_between_messages()
            && let Some(short) = Short::find(input, self.role, &self.config)
        {
            let (frame, rest) = input.split_at_mut(short.frame_len);
            self.counts.bytes_received += short.frame_len as u64;
            let payload = short.payload(frame);
            let event = match short.opcode {
                OpCode::Text => match check_text(payload) {
                    Ok(text) => Event::Text(Text::Borrowed(text)),
                    Err(error) => return (&mut [], Some(Event::Closed(self.fail(now, error)))),
                },
                _ => Event::Binary(Payload::Borrowed(payload)),
            };
            self.counts.messages_received += 1;
            return (rest, Some(event));
        }
        self.receive_any(now, input, lent)
    }

    /// What is not a short message, or not whole.
    #[inline(never)]
    fn receive_any<'i, 's, 'e>(
        &mut self,
        now: Instant,
        input: &'i mut [u8],
        lent: &'s mut Inbound,
    ) -> (&'i mut [u8], Option<Event<'e>>)
    where
        'i: 'e,
        's: 'e,
    {
        let given = input.len();
        let open = matches!(self.closing, Closing::Open);
        if !open && !matches!(self.closing, Closing::Awaiting { .. }) {
            self.discard(given);
            return (&mut [], None);
        }
        let rules = Rules {
            config: &self.config,
            role: self.role,
            deflate: self.deflate,
            // Then our Close is queued or out, and the peer's awaited.
            drop_messages: !open,
            clock: self.clock,
            now,
        };
        let (rest, found) = self.receiver.receive(rules, &mut self.kept, input, lent);
        let looked_at = given - rest.len();
        self.counts.bytes_received += looked_at as u64;
        if !open && self.close_was_flushed {
            self.discard(looked_at);
        }
        let event = match found {
            Ok(None) => {
                self.excuse_if_inside_data(now);
                return (rest, None);
            }
            Ok(Some(Found::Text(text))) => Event::Text(text),
            Ok(Some(Found::Binary(payload))) => Event::Binary(payload),
            Ok(Some(Found::Part { kind, piece, last })) => {
                self.counts.messages_received += u64::from(last);
                return (rest, Some(Event::Part { kind, piece, last }));
            }
            Ok(Some(Found::Control(opcode, payload))) => {
                return (rest, Some(self.receive_control(now, opcode, payload)));
            }
            Err(error) => return (&mut [], Some(Event::Closed(self.fail(now, error)))),
        };
        self.counts.messages_received += 1;
        (rest, Some(event))
    }

    /// Room to read the rest of a large payload straight into its message; `None`: read into a shared buffer.
    ///
    /// Once it is filled, call [`receive`](Self::receive) with an empty input.
    pub fn read_target(&mut self) -> Option<Target<'_>> {
        if self.config.parts || !matches!(self.closing, Closing::Open) {
            return None;
        }
        self.receiver.target(&mut self.counts.bytes_received)
    }

    /// The peer ended TCP's other direction. Without a Close before it, that is the end (1006).
    pub fn receive_eof(&mut self, now: Instant) {
        match &mut self.closing {
            Closing::Open | Closing::Awaiting { .. } => {
                self.kept.ended(Cause::Eof);
                self.end(now, Then::Drop);
            }
            Closing::Flushing { then, .. } => *then = Then::Drop,
            Closing::Shutting { .. } | Closing::Lingering { .. } => {
                self.closing = Closing::Done { abort: false }
            }
            Closing::Done { .. } => {}
        }
    }

    /// Reading or writing failed: nothing more can be done with the transport.
    pub fn handle_transport_error(&mut self, kind: io::ErrorKind) {
        if matches!(self.closing, Closing::Open | Closing::Awaiting { .. }) {
            self.kept.ended(Cause::Transport(kind));
        }
        self.cut();
    }

    /// The driver has shut down the write side, as [`Want::ShutdownWrite`] asked.
    pub fn write_is_shut(&mut self, now: Instant) {
        if matches!(self.closing, Closing::Shutting { .. }) {
            self.linger(now);
        }
    }

    /// Time has passed: [`poll_timeout`](Self::poll_timeout)'s deadline or not, too early does no harm.
    ///
    /// Look for bytes before: a driver that was held up blames nobody for it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.renew_clock(now);
        let millis = self.clock.millis(now);
        if self.closing.deadline().has_passed(millis) {
            match self.closing {
                Closing::Awaiting { .. } => {
                    self.kept.ended(Cause::CloseUnanswered);
                    self.cut();
                }
                Closing::Flushing { .. } => self.cut(),
                _ => self.closing = Closing::Done { abort: false },
            }
        }
        match self.keepalive.handle_timeout(&self.config, millis, self.paused_millis.is_some()) {
            Due::Nothing => {}
            Due::Ping(payload) => self.outbox().push_ping(payload),
            Due::NoPong => {
                let value = self.config.pong_within.as_millis() as u64;
                self.fail_by_time(now, LimitError { limit: Limit::Pong, value });
            }
            Due::WriteStall => {
                if matches!(self.closing, Closing::Open | Closing::Awaiting { .. }) {
                    self.kept.ended(Cause::WriteStall);
                }
                self.cut();
            }
        }
        if self.paused_millis.is_none() {
            self.check_window(now, millis);
        }
    }

    // ---- what the application wants

    /// Queues a message, if the outbox has room for it: it is admitted if nothing is queued or it stays within
    /// `outbox_bytes_max` and `outbox_messages_max`.
    ///
    /// After an end that input brought, there is time until the next [`poll_transmit`](Self::poll_transmit) to answer what
    /// came before it: the answers leave ahead of our Close.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`].
    #[inline]
    pub fn send<'m>(
        &mut self,
        message: impl Into<Outgoing<'m>>,
        lent: &mut Outbound,
    ) -> Result<Admission, SendError> {
        self.send_with(message, Compression::Auto, lent)
    }

    /// [`send`](Self::send), compressed or not.
    ///
    /// # Errors
    /// [`SendError::Full`], by its length before compression; [`SendError::Closed`].
    #[inline]
    pub fn send_with<'m>(
        &mut self,
        message: impl Into<Outgoing<'m>>,
        compression: Compression,
        lent: &mut Outbound,
    ) -> Result<Admission, SendError> {
        if !matches!(self.closing, Closing::Open) && !self.may_answer() {
            return Err(SendError::Closed);
        }
        let (opcode, body) = match message.into() {
            Outgoing::Text(text) => (OpCode::Text, Body::Borrowed(text.as_bytes())),
            Outgoing::Binary(bytes) => (OpCode::Binary, Body::Borrowed(bytes)),
            Outgoing::Owned(Message::Text(text)) => (OpCode::Text, Body::Owned(text.into())),
            Outgoing::Owned(Message::Binary(bytes)) => (OpCode::Binary, Body::Owned(bytes)),
            Outgoing::Prepared(prepared) => return self.send_prepared(prepared, lent),
        };
        let key = (self.role == Role::Client).then(|| lent.masks.key());
        let outbox = self.outbox.get_or_insert_with(|| lent.borrow());
        if !outbox.admits(body.len(), key.is_some(), &self.config) {
            return Err(SendError::Full);
        }
        let compressed = self.deflate.and_then(|terms| {
            let sender = terms.of_sender(self.role);
            compressed(sender, body.bytes(), compression, &self.config, &mut self.kept, &mut lent.deflaters)
        });
        match compressed {
            Some(payload) => outbox.push_compressed(opcode, payload, key),
            None => outbox.push(opcode, body, key),
        }
        self.counts.messages_sent += 1;
        let low = outbox.queued_bytes() <= self.config.outbox_bytes_low;
        Ok(if low { Admission::Below } else { Admission::Above })
    }

    /// The same bytes for everybody: nothing is encoded or compressed for this connection alone, but for a client, who masks. By
    /// itself, as whoever sends other messages would pay for its length.
    #[inline(never)]
    fn send_prepared(
        &mut self,
        prepared: &PreparedMessage,
        lent: &mut Outbound,
    ) -> Result<Admission, SendError> {
        if self.role == Role::Client {
            // With a context of our own it is plain, as a server's is: what may be taken back must not be referred to.
            let keeps_context = self.deflate.is_some_and(|terms| terms.of_sender(self.role).1);
            let compression = if keeps_context { Compression::Never } else { prepared.compression() };
            return match prepared.as_text() {
                Some(text) => self.send_with(text, compression, lent),
                None => self.send_with(prepared.payload(), compression, lent),
            };
        }
        let outbox = self.outbox.get_or_insert_with(|| lent.borrow());
        if !outbox.admits(prepared.payload().len(), false, &self.config) {
            return Err(SendError::Full);
        }
        let deflated = match self.deflate.map(|terms| terms.of_sender(Role::Server)) {
            Some((window_bits, false)) => {
                let policy = self.config.deflate.unwrap_or_default();
                prepared.deflated(window_bits, policy, &mut lent.deflaters)
            }
            _ => None,
        };
        outbox.push_encoded(deflated.unwrap_or(prepared.frame()));
        self.counts.messages_sent += 1;
        let low = outbox.queued_bytes() <= self.config.outbox_bytes_low;
        Ok(if low { Admission::Below } else { Admission::Above })
    }

    /// Whether [`send`](Self::send) would admit a message of this many bytes, as far as the outbox is concerned.
    pub fn has_room(&self, payload_len: usize) -> bool {
        let masked = self.role == Role::Client;
        self.outbox.as_ref().is_none_or(|outbox| outbox.admits(payload_len, masked, &self.config))
    }

    /// Starts the closing handshake: a Close behind what is queued, then `close_within` for the peer's.
    ///
    /// # Errors
    /// A code that must not be sent, a reason above 123 bytes; [`SendError::Closed`] if it was closed before.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let sent = CloseFrame::new(code, reason)?;
        if !matches!(self.closing, Closing::Open) {
            return Err(SendError::Closed);
        }
        self.outbox().push_close(Some(&sent));
        // A ping of ours that came due would follow our Close; close_within is the deadline from here on.
        self.keepalive.stop();
        let deadline = Deadline::after(self.clock.millis(now), self.config.close_within);
        self.closing = Closing::Awaiting { deadline, sent: Box::new(sent) };
        Ok(())
    }

    /// Sends a ping of the application's own, ahead of what is queued. Its pong comes as [`Event::Pong`].
    ///
    /// # Errors
    /// A payload above 125 bytes; [`SendError::Full`] while the last one is not written.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        let payload = Control::new(payload).ok_or(SendError::PayloadTooLong { bytes: payload.len() })?;
        if !matches!(self.closing, Closing::Open) {
            return Err(SendError::Closed);
        }
        if self.outbox().push_own_ping(payload) { Ok(()) } else { Err(SendError::Full) }
    }

    /// Says whether the driver reads. While it does not, what the peer has sent cannot be seen, so its deadlines stand
    /// still.
    pub fn pause_reading(&mut self, now: Instant, on: bool) {
        let millis = self.clock.millis(now);
        match (on, self.paused_millis) {
            (true, None) => {
                self.paused_millis = Some(millis.saturating_add(1).try_into().unwrap_or(NonZeroU32::MAX))
            }
            (false, Some(since)) => {
                self.paused_millis = None;
                let paused = (millis + 1).saturating_sub(since.get());
                self.keepalive.resume(&self.config, millis, paused);
                if let Some(partial) = self.receiver.partial() {
                    let whole = Deadline::after(millis, self.config.incomplete_window);
                    partial.window_ends = partial.window_ends.later(paused).min(whole);
                }
            }
            _ => {}
        }
    }

    // ---- what the driver must do

    /// The next bytes to write, in order; call it until it returns `None`.
    #[inline]
    pub fn poll_transmit<'a>(&'a mut self, now: Instant, lent: &mut Outbound) -> Option<Transmit<'a>> {
        if matches!(self.closing, Closing::Done { .. }) {
            return None;
        }
        if let Some(mut outbox) = self.outbox.take() {
            let (role, masks) = (self.role, &mut lent.masks);
            outbox.stage(|| (role == Role::Client).then(|| masks.key()));
            if !outbox.is_empty() {
                self.outbox = Some(outbox);
                if !self.keepalive.write_waits() {
                    self.keepalive.write_goes_on(&self.config, self.clock.millis(now));
                }
                return Some(Transmit { connection: self, now });
            }
            lent.give_back(outbox);
            self.keepalive.write_done();
        }
        if !matches!(self.closing, Closing::Open) {
            self.flushed(now);
        }
        None
    }

    /// An event that no input brought: the end by a time-out, by the end of TCP, by a failure of the transport.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.kept.take_end().map(Event::Closed)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). May change after every other call, and mostly does not.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let paused = self.paused_millis.is_some();
        let window = if paused { Deadline::NEVER } else { self.receiver.window_ends() };
        let next = self.closing.deadline().min(self.keepalive.next(paused)).min(window);
        let is_over = matches!(self.closing, Closing::Done { .. });
        self.clock.instant(if is_over { next } else { next.min(Clock::RENEWAL) })
    }

    /// What to do with the transport, once [`poll_transmit`](Self::poll_transmit) has returned `None`.
    pub fn want(&self) -> Want {
        match self.closing {
            Closing::Shutting { .. } => Want::ShutdownWrite,
            Closing::Done { abort: true } => Want::Abort,
            Closing::Done { abort: false } => Want::Drop,
            _ if self.discarded > self.config.linger_bytes_max => Want::StopReading,
            _ => Want::Nothing,
        }
    }

    // ---- facts

    /// Where the connection is in its life.
    pub fn state(&self) -> State {
        match self.closing {
            Closing::Open => State::Open,
            Closing::Awaiting { .. } => State::Closing,
            _ => State::Closed,
        }
    }

    /// Whether the closing handshake was done: the peer's Close came, and ours was handed to the transport.
    pub fn is_clean(&self) -> bool {
        self.close_was_received && self.close_was_flushed
    }

    /// What was counted until now.
    pub fn stats(&self) -> Stats {
        let outbox = self.outbox.as_deref();
        Stats {
            bytes_received: self.counts.bytes_received,
            bytes_sent: self.counts.bytes_sent,
            messages_received: self.counts.messages_received,
            messages_sent: self.counts.messages_sent,
            queued_bytes: outbox.map_or(0, Outbox::queued_bytes),
            queued_messages: outbox.map_or(0, Outbox::queued_messages),
            round_trip: self.keepalive.round_trip(),
        }
    }

    /// The terms of permessage-deflate, if it is in use.
    pub fn deflate(&self) -> Option<DeflateTerms> {
        self.deflate
    }

    /// The limits and time-outs that hold here.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

/// Whether a message that was admitted left the outbox below its low-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Below,
    /// More than `outbox_bytes_low` waits: a considerate sender lets it drain.
    Above,
}

/// The message compressed, if it is to be and that makes it smaller; by the connection's own compressor if its context is kept.
#[inline(never)]
fn compressed<'l>(
    (window_bits, takeover): (u8, bool),
    message: &[u8],
    compression: Compression,
    config: &Config,
    kept: &mut Kept,
    deflaters: &'l mut Deflaters,
) -> Option<&'l [u8]> {
    let policy = config.deflate.unwrap_or_default();
    if !compression.is_wanted(message.len(), policy) {
        return None;
    }
    if takeover {
        deflaters.deflate_on(message, window_bits, policy.level, &mut kept.context()?.deflater)
    } else {
        deflaters.deflate(message, window_bits, policy.level)
    }
}

/// What the parts need of each other.
impl Connection {
    /// For what is queued where no [`Outbound`] is lent: control frames and Close, which are rare.
    fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    /// Inside a data frame no pong can come (RFC 6455 §5.4), so a peer that uploads is not blamed for its absence.
    fn excuse_if_inside_data(&mut self, now: Instant) {
        if self.receiver.partial().is_some_and(|partial| partial.is_inside_data()) {
            self.keepalive.excuse(&self.config, self.clock.millis(now));
        }
    }

    /// An unfinished message must bring `incomplete_bytes_min` in each `incomplete_window`.
    fn check_window(&mut self, now: Instant, millis: u32) {
        let window = self.config.incomplete_window;
        let Some(partial) = self.receiver.partial() else { return };
        if !partial.window_ends.has_passed(millis) {
            return;
        }
        let brought = std::mem::take(&mut partial.window_bytes);
        let enough = brought >= self.config.incomplete_bytes_min;
        if enough || partial.window_ends.overslept(millis, window) {
            partial.window_ends = Deadline::after(millis, window);
        } else {
            let value = self.config.incomplete_bytes_min.into();
            self.fail_by_time(now, LimitError { limit: Limit::IncompleteMessage, value });
        }
    }

    fn renew_clock(&mut self, now: Instant) {
        let Some(millis) = self.clock.renew(now) else { return };
        self.keepalive.renew(millis);
        self.closing.renew(millis);
        if let Some(partial) = self.receiver.partial() {
            partial.window_ends = partial.window_ends.earlier(millis);
        }
        self.paused_millis = self
            .paused_millis
            .map(|since| since.get().saturating_sub(millis).try_into().unwrap_or(NonZeroU32::MIN));
    }
}
