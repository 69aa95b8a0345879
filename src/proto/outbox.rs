//! Messages in, bytes out: the one way out of a connection, in order and bounded.
//!
//! Small messages gather in one buffer, the cork; large ones that are owned are spliced in between without a copy. Pongs
//! and pings overtake what is queued, at a frame's end and never inside one; Close is always the last.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

use super::{
    close::CloseFrame,
    config::Config,
    deflate::Deflaters,
    frame::{FIN, FrameHeader, OpCode, RSV1},
    mask::mask,
    message::Control,
    random::Masks,
};

/// What is lent to a connection that sends: emptied outboxes, and the source of masking keys. One a thread.
#[derive(Debug, Default)]
pub struct Outbound {
    #[expect(clippy::vec_box, reason = "the boxes are what is lent")]
    spare: Vec<Box<Outbox>>,
    pub(super) deflaters: Deflaters,
    /// Where masking keys come from.
    pub masks: Masks,
}

impl Outbound {
    /// An empty outbox: a used one if there is one, so that a busy thread allocates nothing a message.
    pub(super) fn borrow(&mut self) -> Box<Outbox> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back an emptied outbox, unless there are enough or it has grown beyond what is worth keeping.
    pub(super) fn give_back(&mut self, outbox: Box<Outbox>) {
        debug_assert!(outbox.is_empty());
        let frames = outbox.frames.capacity() + outbox.splices.capacity();
        if self.spare.len() < SPARE_MAX
            && outbox.cork.capacity() <= CORK_KEPT_MAX
            && frames <= FRAMES_KEPT_MAX
        {
            self.spare.push(outbox);
        }
    }
}

/// A message's payload on its way into the outbox.
pub(super) enum Body<'m> {
    Borrowed(&'m [u8]),
    Owned(Bytes),
}

impl Body<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Frames one behind the other, less the payloads that are spliced in.
    cork: Vec<u8>,
    /// How much of the cork is written.
    cork_written: usize,
    splices: VecDeque<Splice>,
    /// Bytes of the cork behind the last splice.
    cork_tail: usize,
    /// The length of each data frame and of Close, in order.
    frames: VecDeque<usize>,
    /// How much of the first of them is written.
    frame_written: usize,
    /// Bytes of data and Close that wait.
    queued: usize,
    pongs: VecDeque<Control>,
    /// The keepalive's ping.
    ping: Option<Control>,
    /// The application's.
    own_ping: Option<Control>,
    /// A Close's payload, until it is encoded.
    close: Option<Control>,
    /// Pongs and pings, encoded: they leave before anything else does.
    control: Vec<u8>,
    control_written: usize,
    /// How many pongs are among them.
    pongs_staged: usize,
    /// The encoded control frames have our ping among them.
    ping_leaves: bool,
}

#[derive(Debug)]
struct Splice {
    /// Bytes of the cork before it.
    cork_before: usize,
    payload: Bytes,
}

impl Outbox {
    /// Bytes of data and Close that wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued
    }

    /// Frames of data and Close that wait, the half-written one with them.
    pub(super) fn queued_messages(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0 && self.control.is_empty() && !self.control_waits() && self.close.is_none()
    }

    fn control_waits(&self) -> bool {
        !self.pongs.is_empty() || self.ping.is_some() || self.own_ping.is_some()
    }

    /// Whether a message of this size may be queued: to an empty outbox always, so that one above the mark can leave too.
    #[inline]
    pub(super) fn admits(&self, payload_len: usize, masked: bool, config: &Config) -> bool {
        self.queued == 0
            || (self.frames.len() < config.outbox_messages_max
                && self.queued.saturating_add(frame_len(payload_len, masked)) <= config.outbox_bytes_max)
    }

    /// Queues one frame. `key` masks it, in our copy and never in the caller's (RFC 6455 §10.3).
    #[inline]
    pub(super) fn push(&mut self, opcode: OpCode, body: Body<'_>, key: Option<[u8; 4]>) {
        self.push_frame(opcode, 0, body, key);
    }

    /// Queues a frame that is encoded already, and shared: a large one is not copied.
    #[inline]
    pub(super) fn push_encoded(&mut self, frame: &Bytes) {
        let len = frame.len();
        if len >= SPLICE_MIN {
            self.splices.push_back(Splice { cork_before: self.cork_tail, payload: frame.clone() });
            self.cork_tail = 0;
        } else {
            self.cork.extend_from_slice(frame);
            self.cork_tail += len;
        }
        self.frames.push_back(len);
        self.queued += len;
    }

    /// Takes back up to `frames` of the frames that were queued last, but none that has begun and never all that wait: a
    /// connection whose socket is full keeps something to write, by which it is known to stall. How many it was.
    #[cfg(any(feature = "tokio", feature = "reactor", test))]
    pub(super) fn retract(&mut self, frames: usize) -> usize {
        let frames = frames.min(self.frames.len().saturating_sub(1));
        for _ in 0..frames {
            let Some(mut left) = self.frames.pop_back() else { break };
            self.queued -= left;
            while left > 0 {
                let of_cork = left.min(self.cork_tail);
                self.cork.truncate(self.cork.len() - of_cork);
                self.cork_tail -= of_cork;
                left -= of_cork;
                if left > 0 {
                    let Some(splice) = self.splices.pop_back() else { break };
                    debug_assert!(left >= splice.payload.len(), "a splice is of one frame");
                    left -= splice.payload.len();
                    self.cork_tail = splice.cork_before;
                }
            }
        }
        frames
    }

    /// Queues one frame that is a whole message, compressed (RFC 7692 §6).
    pub(super) fn push_compressed(&mut self, opcode: OpCode, payload: &[u8], key: Option<[u8; 4]>) {
        self.push_frame(opcode, RSV1, Body::Borrowed(payload), key);
    }

    #[inline]
    fn push_frame(&mut self, opcode: OpCode, rsv1: u8, body: Body<'_>, key: Option<[u8; 4]>) {
        let header_len = match (body.len(), key) {
            // Most headers are these two bytes, whose copy the compiler can see through.
            (len @ ..126, None) => {
                self.cork.extend_from_slice(&[FIN | rsv1 | opcode as u8, len as u8]);
                2
            }
            (len, key) => {
                let header = header(opcode, rsv1 != 0, len, key).encode();
                self.cork.extend_from_slice(&header);
                header.len()
            }
        };
        let frame = header_len + body.len();
        match body {
            Body::Owned(payload) if key.is_none() && payload.len() >= SPLICE_MIN => {
                self.splices.push_back(Splice { cork_before: self.cork_tail + header_len, payload });
                self.cork_tail = 0;
            }
            Body::Owned(payload) => self.copy(header_len, &payload, key),
            Body::Borrowed(payload) => self.copy(header_len, payload, key),
        }
        self.frames.push_back(frame);
        self.queued += frame;
    }

    #[inline]
    fn copy(&mut self, header: usize, payload: &[u8], key: Option<[u8; 4]>) {
        let start = self.cork.len();
        self.cork.extend_from_slice(payload);
        if let Some(key) = key {
            mask(&mut self.cork[start..], key);
        }
        self.cork_tail += header + payload.len();
    }

    /// Queues a pong, or, where `pending_max` wait, puts it in the last one's place (RFC 6455 §5.5.3). A peer that pings
    /// without reading would otherwise grow our outbox by 125 bytes at a time (catalogue: DS-20).
    pub(super) fn push_pong(&mut self, payload: Control, pending_max: usize) {
        // Those that are encoded wait as well. One can always be told: the newest.
        if self.pongs.len() >= pending_max.saturating_sub(self.pongs_staged).max(1) {
            self.pongs.pop_back();
        }
        self.pongs.push_back(payload);
    }

    /// Queues the keepalive's ping, of which there is one at a time.
    pub(super) fn push_ping(&mut self, payload: Control) {
        self.ping = Some(payload);
    }

    /// Queues a ping of the application's; whether there was room, which is for one.
    pub(super) fn push_own_ping(&mut self, payload: Control) -> bool {
        let free = self.own_ping.is_none();
        self.own_ping.get_or_insert(payload);
        free
    }

    /// Queues the Close, behind everything: nothing is queued after it.
    pub(super) fn push_close(&mut self, frame: Option<&CloseFrame>) {
        let code = frame.map(|frame| frame.code.0.to_be_bytes());
        let reason = frame.map_or("", |frame| &frame.reason);
        self.close = Some(Control::truncating(
            &[code.as_ref().map_or(&[][..], |code| code), reason.as_bytes()].concat(),
        ));
    }

    /// Whether there is a Close that is not encoded yet, so that messages still come before it.
    pub(super) fn close_waits(&self) -> bool {
        self.close.is_some()
    }

    /// Encodes what waits in other forms: Close at the end of the queue; control frames ahead of it, if a frame's end is
    /// where we are and those before them are written.
    #[inline]
    pub(super) fn stage(&mut self, mut key: impl FnMut() -> Option<[u8; 4]>) {
        if let Some(payload) = self.close.take() {
            self.push(OpCode::Close, Body::Borrowed(&payload), key());
        }
        if !self.control_waits() || !self.control.is_empty() || self.frame_written > 0 {
            return;
        }
        self.pongs_staged = self.pongs.len();
        while let Some(payload) = self.pongs.pop_front() {
            encode_control(&mut self.control, OpCode::Pong, &payload, key());
        }
        if let Some(payload) = self.own_ping.take() {
            encode_control(&mut self.control, OpCode::Ping, &payload, key());
        }
        if let Some(payload) = self.ping.take() {
            encode_control(&mut self.control, OpCode::Ping, &payload, key());
            self.ping_leaves = true;
        }
    }

    /// What is to be written next, in order. Only the half-written frame's rest, if a control frame waits for its end.
    pub(super) fn slices(&self) -> Slices<'_> {
        let mut slices = Slices::default();
        slices.push(&self.control[self.control_written..]);
        debug_assert!(self.frame_written == 0 || self.control.is_empty(), "control frames go between frames");
        let mut left = match self.frames.front() {
            // Between frames they wait for control frames before them, and must not be overtaken: a Close may be next.
            Some(_) if self.control_waits() && self.frame_written == 0 => 0,
            Some(frame) if self.control_waits() => frame - self.frame_written,
            _ => self.queued,
        };
        let mut cork = &self.cork[self.cork_written..];
        for splice in &self.splices {
            let (before, rest) = cork.split_at(splice.cork_before);
            cork = rest;
            for piece in [before, &splice.payload] {
                let piece = &piece[..piece.len().min(left)];
                left -= piece.len();
                slices.push(piece);
            }
            if slices.is_full() || left == 0 {
                return slices;
            }
        }
        slices.push(&cork[..cork.len().min(left)]);
        slices
    }

    /// Takes note that the first `written` bytes of [`slices`](Self::slices) left; whether our ping is out by that.
    pub(super) fn wrote(&mut self, written: usize) -> bool {
        let of_control = written.min(self.control.len() - self.control_written);
        self.control_written += of_control;
        let control_is_out = self.control_written == self.control.len();
        if control_is_out {
            self.control.clear();
            self.control_written = 0;
            self.pongs_staged = 0;
        }
        self.wrote_data(written - of_control);
        control_is_out && std::mem::take(&mut self.ping_leaves)
    }

    fn wrote_data(&mut self, mut written: usize) {
        self.queued -= written;
        if self.queued == 0 {
            self.cork.clear();
            self.cork_written = 0;
            self.splices.clear();
            self.cork_tail = 0;
            self.frames.clear();
            self.frame_written = 0;
            return;
        }
        self.frame_written += written;
        while let Some(frame) = self.frames.front()
            && *frame <= self.frame_written
        {
            self.frame_written -= frame;
            self.frames.pop_front();
        }
        while written > 0 {
            let Some(splice) = self.splices.front_mut() else {
                self.cork_written += written;
                self.cork_tail -= written;
                break;
            };
            let of_cork = written.min(splice.cork_before);
            splice.cork_before -= of_cork;
            self.cork_written += of_cork;
            let of_payload = (written - of_cork).min(splice.payload.len());
            splice.payload.advance(of_payload);
            if splice.cork_before == 0 && splice.payload.is_empty() {
                self.splices.pop_front();
            }
            written -= of_cork + of_payload;
        }
        self.compact();
    }

    /// Lets go of the cork's written part once it is the larger one, so that a byte is moved once on average.
    fn compact(&mut self) {
        if self.cork_written > self.cork.len() / 2 {
            self.cork.drain(..self.cork_written);
            self.cork_written = 0;
        }
    }
}

/// Some slices for one vectored write; dereferences to them.
#[derive(Debug)]
pub struct Slices<'a> {
    slices: [IoSlice<'a>; SLICES_MAX],
    len: usize,
}

impl Default for Slices<'_> {
    fn default() -> Self {
        Self { slices: [IoSlice::new(&[]); SLICES_MAX], len: 0 }
    }
}

impl<'a> Slices<'a> {
    fn push(&mut self, bytes: &'a [u8]) {
        if !bytes.is_empty() && !self.is_full() {
            self.slices[self.len] = IoSlice::new(bytes);
            self.len += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.len == SLICES_MAX
    }
}

impl<'a> std::ops::Deref for Slices<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &Self::Target {
        &self.slices[..self.len]
    }
}

/// The length of a whole frame.
#[inline]
fn frame_len(payload_len: usize, masked: bool) -> usize {
    let header = match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    payload_len.saturating_add(header + if masked { 4 } else { 0 })
}

pub(super) fn header(opcode: OpCode, rsv1: bool, payload_len: usize, mask: Option<[u8; 4]>) -> FrameHeader {
    FrameHeader { fin: true, rsv1, opcode, mask, payload_len: payload_len as u64, minimal: true }
}

fn encode_control(into: &mut Vec<u8>, opcode: OpCode, payload: &[u8], key: Option<[u8; 4]>) {
    into.extend_from_slice(&header(opcode, false, payload.len(), key).encode());
    let start = into.len();
    into.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut into[start..], key);
    }
}

/// An owned payload from here on is spliced and not copied: below, a copy is cheaper than a slice of its own.
pub(super) const SPLICE_MIN: usize = 4 << 10;
/// A spare outbox keeps a cork of up to this capacity,
const CORK_KEPT_MAX: usize = 64 << 10;
/// and room for so many frames.
const FRAMES_KEPT_MAX: usize = 4 << 10;
/// Spare outboxes a thread keeps.
const SPARE_MAX: usize = 32;
/// Slices a write is given at most; the kernel takes 1,024.
const SLICES_MAX: usize = 32;

#[cfg(test)]
mod tests;
