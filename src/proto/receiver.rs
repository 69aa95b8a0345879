//! Bytes in, messages and control frames out: headers, unmasking, assembly, UTF-8 (RFC 6455 §5, §8.1).
//!
//! Whatever the peer can get wrong is found here, at the first byte that proves it, and becomes a [`ProtocolError`].
//! Answering is not done here: pongs and close echoes are the [`connection`](super::connection)'s.
//!
//! A frame that lies whole in the input passes without leaving a trace; what is broken off goes through a [`Partial`].

use std::time::Instant;

use bytes::Bytes;

use super::{
    config::Config,
    deflate::{DeflateTerms, wire_bytes_max},
    error::{Limit, LimitError, ProtocolError},
    frame::{FrameHeader, OpCode, Role, parse_first},
    kept::Kept,
    mask::mask,
    message::{Control, Kind, Payload, Text},
    partial::{Inbound, Open, Partial, Step, Target},
    time::{Clock, Deadline},
    utf8::Utf8Bytes,
};

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    partial: Option<Box<Partial>>,
}

/// What a receiver goes by.
#[derive(Clone, Copy)]
pub(super) struct Rules<'c> {
    pub(super) config: &'c Config,
    pub(super) role: Role,
    /// permessage-deflate is in use, on these terms.
    pub(super) deflate: Option<DeflateTerms>,
    /// Our Close is out: messages are parsed to find the peer's, and dropped (catalogue: CL-22).
    pub(super) drop_messages: bool,
    pub(super) clock: Clock,
    pub(super) now: Instant,
}

/// What a receiver finds.
pub(super) enum Found<'e> {
    Text(Text<'e>),
    Binary(Payload<'e>),
    Part { kind: Kind, piece: &'e [u8], last: bool },
    Control(OpCode, Control),
}

/// What is left to look at, and the find before it; `Ok(None)`: all of the input was taken.
type Look<'i, 'e> = (&'i mut [u8], Result<Option<Found<'e>>, ProtocolError>);

impl Receiver {
    /// Nothing is broken off, and no message is open.
    #[inline]
    pub(super) fn is_between_messages(&self) -> bool {
        self.partial.is_none()
    }

    pub(super) fn receive<'i, 's, 'e>(
        &mut self,
        rules: Rules<'_>,
        kept: &mut Kept,
        mut input: &'i mut [u8],
        lent: &'s mut Inbound,
    ) -> Look<'i, 'e>
    where
        'i: 'e,
        's: 'e,
    {
        while self.partial.is_none() {
            if input.is_empty() {
                return (input, Ok(None));
            }
            let (header, len) = match FrameHeader::parse(input, rules.role) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => break,
                Err(error) => return (&mut [], Err(rules.first_error(input[0], false, error))),
            };
            if let Err(error) = rules.check(&header, None) {
                return (&mut [], Err(error));
            }
            let control = header.opcode.is_control();
            let whole = header.payload_len <= (input.len() - len) as u64;
            if !whole || !header.fin || header.rsv1 || (rules.config.parts && !control) {
                break;
            }
            let (frame, rest) = input.split_at_mut(len + header.payload_len as usize);
            if rules.drop_messages && !control {
                input = rest;
                continue;
            }
            let payload = &mut frame[len..];
            if let Some(key) = header.mask {
                mask(payload, key);
            }
            return (rest, found_whole(header.opcode, payload).map(Some));
        }
        self.receive_broken_off(rules, kept, input, lent)
    }

    fn receive_broken_off<'i, 's, 'e>(
        &mut self,
        rules: Rules<'_>,
        kept: &mut Kept,
        mut input: &'i mut [u8],
        lent: &'s mut Inbound,
    ) -> Look<'i, 'e>
    where
        'i: 'e,
        's: 'e,
    {
        let mut partial = self.partial.take().unwrap_or_else(|| lent.borrow(rules.window_ends()));
        loop {
            match partial.step(rules, &mut input) {
                Err(error) => return (&mut [], Err(error)),
                Ok(Step::Header) => {}
                Ok(Step::NeedsMore) => {
                    self.put_by(partial, lent);
                    return (input, Ok(None));
                }
                Ok(Step::Control(opcode, payload)) => {
                    self.put_by(partial, lent);
                    return (input, Ok(Some(Found::Control(opcode, payload))));
                }
                Ok(Step::Piece(piece, last)) => {
                    let kind = partial.kind();
                    let inflates = partial.is_compressed() && !rules.drop_messages;
                    if inflates && let Err(error) = partial.inflate(piece, last, rules, kept, lent) {
                        return (&mut [], Err(error));
                    }
                    if last
                        && let Err(error) = partial.end()
                        && !rules.drop_messages
                    {
                        return (&mut [], Err(error));
                    }
                    if rules.drop_messages {
                        partial.drop_assembly();
                    } else if rules.config.parts {
                        if !piece.is_empty() || last {
                            self.put_by(partial, lent);
                            return (input, Ok(Some(Found::Part { kind, piece, last })));
                        }
                    } else {
                        if !inflates {
                            partial.append(piece);
                        }
                        if last {
                            let owned = partial.take_assembly(lent);
                            self.put_by(partial, lent);
                            return (input, found_assembled(kind, owned, &lent.whole).map(Some));
                        }
                    }
                }
            }
        }
    }

    /// Keeps what is unfinished, gives back what is not.
    fn put_by(&mut self, partial: Box<Partial>, lent: &mut Inbound) {
        if partial.is_idle() {
            lent.give_back(partial);
        } else {
            self.partial = Some(partial);
        }
    }

    pub(super) fn target<'c>(&'c mut self, bytes_received: &'c mut u64) -> Option<Target<'c>> {
        self.partial.as_mut()?.target(bytes_received)
    }

    pub(super) fn partial(&mut self) -> Option<&mut Partial> {
        self.partial.as_deref_mut()
    }

    /// When the window of the unfinished message ends.
    pub(super) fn window_ends(&self) -> Deadline {
        self.partial.as_ref().map_or(Deadline::NEVER, |partial| partial.window_ends)
    }

    /// Lets go of what is unfinished: nothing more of this peer is looked at.
    pub(super) fn stop(&mut self) {
        self.partial = None;
    }
}

impl Rules<'_> {
    /// Where the window ends of a message that begins now and is broken off.
    fn window_ends(&self) -> Deadline {
        Deadline::after(self.clock.millis(self.now), self.config.incomplete_window)
    }

    /// What a header can break of the rules that depend on more than itself.
    #[inline]
    pub(super) fn check(&self, header: &FrameHeader, open: Option<&Open>) -> Result<(), ProtocolError> {
        let config = self.config;
        self.check_first(header.first_byte(), header.rsv1, header.opcode, open.is_some())?;
        if !header.minimal && !config.accept_long_lengths {
            return Err(ProtocolError::LengthNotMinimal);
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        if !config.parts {
            // By subtraction, as the sum of two lengths from the wire can overflow (catalogue: V-04, FR-22).
            let bytes_max = self.wire_max(config.message_bytes_max, header, open);
            if header.payload_len > bytes_max - open.map_or(0, |open| open.len) {
                return limit(Limit::MessageBytes, bytes_max);
            }
            if open.map_or(0, |open| open.fragments) >= config.fragments_max {
                return limit(Limit::Fragments, config.fragments_max.into());
            }
        }
        let bytes_max = self.wire_max(config.frame_bytes_max, header, open);
        if header.payload_len > bytes_max {
            return limit(Limit::FrameBytes, bytes_max);
        }
        Ok(())
    }

    /// A limit on plain bytes, for what is on the wire: what does not compress is a little longer there. What it inflates to is
    /// counted as it comes.
    fn wire_max(&self, bytes_max: u64, header: &FrameHeader, open: Option<&Open>) -> u64 {
        let compressed = open.map_or(header.rsv1, |open| open.compressed);
        if compressed { wire_bytes_max(bytes_max) } else { bytes_max }
    }

    /// Of two rules that a header breaks, the one that its first byte breaks: what is told must not depend on how many
    /// bytes came at once (catalogue: G-12).
    #[cold]
    pub(super) fn first_error(&self, first: u8, open: bool, error: ProtocolError) -> ProtocolError {
        parse_first(first)
            .and_then(|(_, rsv1, opcode)| self.check_first(first, rsv1, opcode, open))
            .err()
            .unwrap_or(error)
    }

    /// What the first byte proves, before the length is in.
    #[inline]
    pub(super) fn check_first(
        &self,
        first: u8,
        rsv1: bool,
        opcode: OpCode,
        open: bool,
    ) -> Result<(), ProtocolError> {
        // permessage-deflate, once negotiated, gives it a meaning on a message's first frame, and nowhere else (RFC 7692 §6).
        if rsv1 && (self.deflate.is_none() || !matches!(opcode, OpCode::Text | OpCode::Binary)) {
            return Err(ProtocolError::ReservedBits(first));
        }
        match opcode {
            OpCode::Continuation if !open => Err(ProtocolError::UnexpectedContinuation),
            OpCode::Text | OpCode::Binary if open => Err(ProtocolError::ExpectedContinuation),
            OpCode::Text if !self.config.text => Err(ProtocolError::UnsupportedType),
            OpCode::Binary if !self.config.binary => Err(ProtocolError::UnsupportedType),
            _ => Ok(()),
        }
    }
}

fn limit(limit: Limit, value: u64) -> Result<(), ProtocolError> {
    Err(ProtocolError::Limit(LimitError { limit, value }))
}

/// A frame that lay whole in the input.
#[inline]
fn found_whole(opcode: OpCode, payload: &mut [u8]) -> Result<Found<'_>, ProtocolError> {
    match opcode {
        OpCode::Text => found_text(payload),
        OpCode::Binary | OpCode::Continuation => Ok(Found::Binary(Payload::Borrowed(payload))),
        control => Ok(Found::Control(control, Control::truncating(payload))),
    }
}

/// A message that was put together, in its own buffer or else in the lent one.
fn found_assembled(kind: Kind, owned: Option<Bytes>, lent: &[u8]) -> Result<Found<'_>, ProtocolError> {
    Ok(match (kind, owned) {
        // Text in the lent buffer was checked in pieces; it is small, and a second check is the safe way to a `str`.
        (Kind::Text, None) => return found_text(lent),
        (Kind::Text, Some(owned)) => Found::Text(Text::Owned(Utf8Bytes::from_checked(owned))),
        (Kind::Binary, None) => Found::Binary(Payload::Borrowed(lent)),
        (Kind::Binary, Some(owned)) => Found::Binary(Payload::Owned(owned)),
    })
}

#[inline]
fn found_text(text: &[u8]) -> Result<Found<'_>, ProtocolError> {
    check_text(text).map(|text| Found::Text(Text::Borrowed(text)))
}

/// A whole text's check (RFC 6455 §8.1).
#[inline]
pub(super) fn check_text(text: &[u8]) -> Result<&str, ProtocolError> {
    // The fast check does not say where; the other one does.
    simdutf8::basic::from_utf8(text).map_err(|_| ProtocolError::InvalidUtf8 {
        at: simdutf8::compat::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len) as u64,
    })
}
