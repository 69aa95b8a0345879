//! A decoder for what we send that shares nothing with the engine: RFC 6455 §5 read once more, strictly, for endpoints that
//! never fragment. It panics at the first byte that is wrong.

use std::collections::VecDeque;

/// One frame.
pub struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

/// Everything that one side sent.
pub struct Sent {
    frames: Vec<Frame>,
    cut: bool,
}

/// Decodes whole frames, `masked` or not. The last one may be broken off if the connection was `cut`.
pub fn decode(mut wire: &[u8], masked: bool, cut: bool) -> Sent {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let frame = take_frame(&mut wire, masked);
        assert!(frame.is_some() || cut, "a frame is broken off");
        let Some(frame) = frame else { break };
        frames.push(frame);
    }
    Sent { frames, cut }
}

/// One frame; `None` if it is broken off.
fn take_frame(wire: &mut &[u8], masked: bool) -> Option<Frame> {
    let head = take(wire, 2)?;
    assert_eq!(head[0] & 0xf0, 0x80, "FIN and nothing else: {:#04x}", head[0]);
    let opcode = head[0] & 0x0f;
    assert!(matches!(opcode, 1 | 2 | 8 | 9 | 10), "opcode {opcode}");
    assert_eq!(head[1] & 0x80 != 0, masked, "mask bit");
    let len = match head[1] & 0x7f {
        126 => {
            let bytes = take(wire, 2)?;
            let len = usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
            assert!(len > 125, "{len} has a shorter form");
            len
        }
        127 => {
            let len = take(wire, 8)?.iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte));
            assert!(len > 0xffff, "{len} has a shorter form");
            len
        }
        len => len.into(),
    };
    assert!(opcode < 8 || len <= 125, "a control frame of {len} bytes");
    let key = if masked { take(wire, 4)? } else { &[0; 4] };
    let payload: Vec<u8> = take(wire, len)?.iter().enumerate().map(|(at, byte)| byte ^ key[at & 3]).collect();
    assert!(opcode != 1 || std::str::from_utf8(&payload).is_ok(), "text that is not UTF-8");
    Some(Frame { opcode, payload })
}

fn take<'w>(wire: &mut &'w [u8], len: usize) -> Option<&'w [u8]> {
    let (taken, rest) = wire.split_at_checked(len)?;
    *wire = rest;
    Some(taken)
}

impl Sent {
    /// The messages are those that were sent; each pong answers a ping, in order; nothing comes behind a Close.
    pub fn check<'p>(&self, sent: &[Vec<u8>], pings: impl Iterator<Item = &'p [u8]>) {
        let messages: Vec<_> = self.frames.iter().filter(|frame| frame.opcode < 8).collect();
        assert!(
            messages.len() == sent.len() || self.cut,
            "{} of {} messages left",
            messages.len(),
            sent.len()
        );
        let same = messages.iter().zip(sent).all(|(message, sent)| message.payload == *sent);
        assert!(same, "not the messages that were admitted");
        let mut pings: VecDeque<&[u8]> = pings.collect();
        for pong in self.frames.iter().filter(|frame| frame.opcode == 10) {
            let answers = pings.iter().position(|ping| *ping == &pong.payload[..]);
            pings.drain(..=answers.expect("a pong answers a ping, in their order"));
        }
        let closes = self.frames.iter().position(|frame| frame.opcode == 8);
        assert!(closes.is_none_or(|at| at + 1 == self.frames.len()), "something behind the Close");
        if let Some(code) = self.close_code() {
            assert!(matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), "close code {code}");
        }
    }

    /// The code of our Close, if there is one and it has one.
    pub fn close_code(&self) -> Option<u16> {
        let close = self.frames.last().filter(|frame| frame.opcode == 8)?;
        assert_ne!(close.payload.len(), 1, "half a code");
        let (code, reason) = close.payload.split_first_chunk::<2>()?;
        assert!(std::str::from_utf8(reason).is_ok(), "the reason is not UTF-8");
        Some(u16::from_be_bytes(*code))
    }
}
