//! What a read broke off: a header's first bytes, a control frame's, a message's. It lives in a box that an idle
//! connection does not have, and the boxes are lent by the thread.
//!
//! The assembly grows with bytes received, never with a length announced.

use bytes::{BufMut, Bytes, buf::Limit};

use super::{
    deflate::{InflateError, Inflater, Inflaters, STREAMS_MAX},
    error::{Limit as OurLimit, LimitError, ProtocolError},
    frame::{FrameHeader, HEADER_BYTES_MAX, OpCode, parse_first},
    kept::Kept,
    mask::{mask, rotate},
    message::{Control, Kind},
    receiver::Rules,
    time::Deadline,
    utf8::Utf8,
};

/// What is lent to a connection that receives: room for what is broken off, and the last small message that was put
/// together. One a thread.
#[derive(Debug, Default)]
pub struct Inbound {
    #[expect(clippy::vec_box, reason = "the boxes are what is lent")]
    spare: Vec<Box<Partial>>,
    pub(super) whole: Vec<u8>,
    inflaters: Inflaters,
}

impl Inbound {
    pub(super) fn borrow(&mut self, window_ends: Deadline) -> Box<Partial> {
        let mut partial = self.spare.pop().unwrap_or_default();
        partial.window_ends = window_ends;
        partial.window_bytes = 0;
        partial
    }

    pub(super) fn give_back(&mut self, partial: Box<Partial>) {
        debug_assert!(partial.is_idle() && partial.assembly.is_empty() && partial.inflater.is_none());
        if self.spare.len() < SPARE_MAX && partial.assembly.capacity() <= ASSEMBLY_KEPT_MAX {
            self.spare.push(partial);
        }
    }
}

/// One connection's unfinished business.
#[derive(Debug)]
pub(super) struct Partial {
    in_hand: InHand,
    open: Option<Open>,
    assembly: Vec<u8>,
    /// Of a compressed message.
    inflater: Option<Box<Inflater>>,
    /// Until when the window's bytes must have come,
    pub(super) window_ends: Deadline,
    /// and how many have: payload of data frames only, so that pings do not feed an unfinished message.
    pub(super) window_bytes: u32,
}

/// The frame that is broken off.
#[derive(Debug)]
enum InHand {
    Header {
        bytes: [u8; HEADER_BYTES_MAX],
        len: u8,
    },
    Control {
        opcode: OpCode,
        key: Option<[u8; 4]>,
        bytes: [u8; 125],
        len: u8,
        received: u8,
    },
    Data {
        fin: bool,
        key: Option<[u8; 4]>,
        missing: u64,
    },
    /// Bytes that came by a [`Target`] broke a rule, which the next look tells.
    Failed(ProtocolError),
}

/// The message that is unfinished.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) kind: Kind,
    pub(super) compressed: bool,
    /// Bytes of payload that came; of a compressed message they are not what it inflates to.
    pub(super) len: u64,
    pub(super) fragments: u32,
    utf8: Utf8,
}

/// How far one step went.
pub(super) enum Step<'i> {
    /// The input is used up.
    NeedsMore,
    /// A data frame's header is in.
    Header,
    /// A control frame is whole.
    Control(OpCode, Control),
    /// A piece of the open message, its last one or not.
    Piece(&'i [u8], bool),
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            in_hand: InHand::NOTHING,
            open: None,
            assembly: Vec::new(),
            inflater: None,
            window_ends: Deadline::NEVER,
            window_bytes: 0,
        }
    }
}

impl InHand {
    const NOTHING: Self = Self::Header { bytes: [0; HEADER_BYTES_MAX], len: 0 };
}

impl Partial {
    /// Nothing is broken off and no message is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && matches!(self.in_hand, InHand::Header { len: 0, .. })
    }

    /// Whether the next byte belongs to a data frame's payload, so that no pong can come before it.
    pub(super) fn is_inside_data(&self) -> bool {
        matches!(self.in_hand, InHand::Data { .. })
    }

    /// Goes on by one header, one control frame or one piece of a message.
    pub(super) fn step<'i>(
        &mut self,
        rules: Rules<'_>,
        input: &mut &'i mut [u8],
    ) -> Result<Step<'i>, ProtocolError> {
        match &mut self.in_hand {
            InHand::Failed(error) => Err(*error),
            InHand::Header { .. } => self.step_header(rules, input),
            InHand::Control { opcode, key, bytes, len, received } => {
                let missing = &mut bytes[usize::from(*received)..usize::from(*len)];
                let piece = take(input, missing.len());
                missing[..piece.len()].copy_from_slice(piece);
                *received += piece.len() as u8;
                if received < len {
                    return Ok(Step::NeedsMore);
                }
                let control = unmasked(&bytes[..usize::from(*len)], *key);
                let opcode = *opcode;
                self.in_hand = InHand::NOTHING;
                Ok(Step::Control(opcode, control))
            }
            InHand::Data { missing: 1.., .. } if input.is_empty() => Ok(Step::NeedsMore),
            InHand::Data { fin, key, missing } => {
                let piece = take(input, usize::try_from(*missing).unwrap_or(usize::MAX));
                *missing -= piece.len() as u64;
                let (frame_ends, last) = (*missing == 0, *missing == 0 && *fin);
                unmask_next(piece, key);
                self.check(piece, !rules.drop_messages)?;
                if frame_ends {
                    self.in_hand = InHand::NOTHING;
                }
                Ok(Step::Piece(piece, last))
            }
        }
    }

    fn step_header<'i>(
        &mut self,
        rules: Rules<'_>,
        input: &mut &'i mut [u8],
    ) -> Result<Step<'i>, ProtocolError> {
        let InHand::Header { bytes, len } = &mut self.in_hand else { return Ok(Step::NeedsMore) };
        let before = usize::from(*len);
        let copied = input.len().min(HEADER_BYTES_MAX - before);
        bytes[before..before + copied].copy_from_slice(&input[..copied]);
        let seen = before + copied;
        let Some((header, header_len)) = FrameHeader::parse(&bytes[..seen], rules.role)
            .map_err(|error| rules.first_error(bytes[0], self.open.is_some(), error))?
        else {
            *len = seen as u8;
            take(input, copied);
            if seen > 0 {
                let (_, rsv1, opcode) = parse_first(bytes[0])?;
                rules.check_first(bytes[0], rsv1, opcode, self.open.is_some())?;
            }
            return Ok(Step::NeedsMore);
        };
        rules.check(&header, self.open.as_ref())?;
        take(input, header_len - before);
        if header.opcode.is_control() {
            let len = header.payload_len as u8;
            self.in_hand = InHand::Control {
                opcode: header.opcode,
                key: header.mask,
                bytes: [0; 125],
                len,
                received: 0,
            };
            return Ok(Step::Header);
        }
        self.in_hand = InHand::Data { fin: header.fin, key: header.mask, missing: header.payload_len };
        let open = self.open.get_or_insert(Open {
            kind: if header.opcode == OpCode::Text { Kind::Text } else { Kind::Binary },
            compressed: header.rsv1,
            len: 0,
            fragments: 0,
            utf8: Utf8::default(),
        });
        open.fragments = open.fragments.saturating_add(1);
        Ok(Step::Header)
    }

    /// Counts a piece of the open message, and, if it is to be told, checks it as far as it goes.
    fn check(&mut self, piece: &[u8], is_told: bool) -> Result<(), ProtocolError> {
        self.window_bytes = self.window_bytes.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.kind == Kind::Text && is_told && !open.compressed {
            open.utf8.feed(piece, open.len).map_err(|at| ProtocolError::InvalidUtf8 { at })?;
        }
        open.len = open.len.saturating_add(piece.len() as u64);
        Ok(())
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.compressed)
    }

    /// Inflates a piece behind what was inflated of the message, up to the limit, and checks that as far as it goes.
    pub(super) fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
        rules: Rules<'_>,
        kept: &mut Kept,
        lent: &mut Inbound,
    ) -> Result<(), ProtocolError> {
        let limit = rules.config.message_bytes_max;
        let history = kept.history();
        if self.inflater.is_none() {
            self.inflater = lent.inflaters.borrow(history);
        }
        let Some(inflater) = &mut self.inflater else { return Err(ProtocolError::InvalidDeflate) };
        let checked = self.assembly.len();
        let mut inflated = inflater.inflate(piece, &mut self.assembly, limit, history);
        if last && inflated.is_ok() {
            inflated = inflater.finish(&mut self.assembly, limit, history);
        }
        // Bad text that came before what cannot be inflated is told first, however the two were split.
        let within = usize::try_from(limit).unwrap_or(usize::MAX).min(self.assembly.len());
        if let Some(open) = &mut self.open
            && open.kind == Kind::Text
        {
            let fed = open.utf8.feed(&self.assembly[checked..within], checked as u64);
            fed.map_err(|at| ProtocolError::InvalidUtf8 { at })?;
        }
        inflated.map_err(|error| match error {
            InflateError::Invalid => ProtocolError::InvalidDeflate,
            InflateError::TooLong => limit_error(OurLimit::MessageBytes, limit),
            InflateError::TooManyStreams => limit_error(OurLimit::DeflateStreams, STREAMS_MAX.into()),
        })?;
        if last {
            if let Some(inflater) = self.inflater.take() {
                lent.inflaters.give_back(inflater);
            }
            if let Some((window_bits, true)) = rules.deflate.map(|terms| terms.of_sender(rules.role.peer()))
                && let Some(context) = kept.context()
            {
                context.history.push(&self.assembly, 1 << window_bits);
            }
        }
        Ok(())
    }

    pub(super) fn append(&mut self, piece: &[u8]) {
        self.assembly.extend_from_slice(piece);
    }

    pub(super) fn kind(&self) -> Kind {
        self.open.as_ref().map_or(Kind::Binary, |open| open.kind)
    }

    /// Ends the open message: text must not end inside a character.
    pub(super) fn end(&mut self) -> Result<(), ProtocolError> {
        match self.open.take() {
            Some(open) if open.utf8.broken_off() > 0 => {
                let len = if open.compressed { self.assembly.len() as u64 } else { open.len };
                Err(ProtocolError::InvalidUtf8 { at: len - open.utf8.broken_off() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn drop_assembly(&mut self) {
        self.assembly.clear();
        self.inflater = None;
    }

    /// Hands over what was assembled: its own buffer if it is large, else by way of the lent one, so that a small message
    /// that two reads brought costs no allocation either.
    pub(super) fn take_assembly(&mut self, lent: &mut Inbound) -> Option<Bytes> {
        if self.assembly.len() >= OWNED_MIN {
            return Some(std::mem::take(&mut self.assembly).into());
        }
        std::mem::swap(&mut self.assembly, &mut lent.whole);
        self.assembly.clear();
        None
    }

    /// Where to read the rest of a large payload to; `bytes_received` counts what comes.
    pub(super) fn target<'c>(&'c mut self, bytes_received: &'c mut u64) -> Option<Target<'c>> {
        let InHand::Data { missing, .. } = self.in_hand else { return None };
        // What is compressed goes by way of the inflater.
        if missing < TARGET_MIN || self.is_compressed() {
            return None;
        }
        // Doubles what was received, so that a header's promise reserves no more than that; and not before little is left
        // of what was reserved, as the vector would double that.
        let spare = (self.assembly.capacity() - self.assembly.len()) as u64;
        if spare < missing.min(ROOM_MIN) {
            let room = missing.min(self.assembly.len().max(TARGET_MIN as usize) as u64) as usize;
            self.assembly.reserve(room);
        }
        let limit = (self.assembly.capacity() - self.assembly.len())
            .min(usize::try_from(missing).unwrap_or(usize::MAX));
        let before = self.assembly.len();
        Some(Target { partial: self, before, limit, bytes_received })
    }
}

/// Room to read the rest of a large payload straight into its message, past the shared read buffer.
///
/// What was appended to [`buffer`](Self::buffer) counts when the `Target` is dropped; then call
/// [`receive`](super::Connection::receive) with an empty input, which tells what came of it.
#[derive(Debug)]
pub struct Target<'c> {
    partial: &'c mut Partial,
    before: usize,
    limit: usize,
    bytes_received: &'c mut u64,
}

impl Target<'_> {
    /// The buffer to append to: no more than belongs to the payload, and as much as is reserved.
    pub fn buffer(&mut self) -> Limit<&mut Vec<u8>> {
        let left = self.limit - (self.partial.assembly.len() - self.before);
        (&mut self.partial.assembly).limit(left)
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        let mut assembly = std::mem::take(&mut self.partial.assembly);
        let piece = &mut assembly[self.before..];
        *self.bytes_received += piece.len() as u64;
        if let InHand::Data { key, missing, .. } = &mut self.partial.in_hand {
            *missing -= piece.len() as u64;
            unmask_next(piece, key);
        }
        if let Err(error) = self.partial.check(piece, true) {
            self.partial.in_hand = InHand::Failed(error);
        }
        self.partial.assembly = assembly;
    }
}

fn limit_error(limit: OurLimit, value: u64) -> ProtocolError {
    ProtocolError::Limit(LimitError { limit, value })
}

/// Splits up to `len` bytes off the front of `input`.
fn take<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    // The length first: what was taken out has none.
    let len = len.min(input.len());
    let (taken, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}

fn unmask_next(piece: &mut [u8], key: &mut Option<[u8; 4]>) {
    if let Some(key) = key {
        mask(piece, *key);
        *key = rotate(*key, piece.len());
    }
}

fn unmasked(payload: &[u8], key: Option<[u8; 4]>) -> Control {
    let mut control = Control::truncating(payload);
    if let Some(key) = key {
        mask(control.bytes_mut(), key);
    }
    control
}

/// Assembled messages below this size are lent, from here on they own their buffer.
const OWNED_MIN: usize = 4 << 10;
/// A payload that misses at least this much is read into its own buffer.
const TARGET_MIN: u64 = 16 << 10;
/// A target has at least this much room, or all that is missing.
const ROOM_MIN: u64 = 4 << 10;
/// A spare keeps an assembly buffer of up to this capacity.
const ASSEMBLY_KEPT_MAX: usize = 8 << 10;
/// Spares a thread keeps.
const SPARE_MAX: usize = 32;

const _: () = assert!(size_of::<Partial>() <= 256);
