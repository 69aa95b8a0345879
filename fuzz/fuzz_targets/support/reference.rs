//! What a receiver makes of a stream, read from the RFCs once more: RFC 6455 §5, §7.4, §8.1, RFC 7692 §6, §7.2.2.
//! Plain, slow, and the whole stream at once. It shares no code with the engine.
//!
//! Where the RFCs leave it to the receiver, it does what the engine promises: limits, at most 64 streams in a message, and every
//! rule told at the first byte that breaks it.

use crate::{
    engine::Told,
    inflate::{Inflated, Stop, inflate},
};

/// What a receiver goes by.
pub struct Rules {
    /// The peer is a client: its frames are masked.
    pub masked: bool,
    /// permessage-deflate is in use; how many bytes of earlier messages one of the peer's may refer to.
    pub deflate: Option<usize>,
    pub message_bytes_max: usize,
    /// Lengths need not be in their shortest form, but for those of control frames.
    pub long_lengths: bool,
}

#[derive(Debug, PartialEq)]
pub enum End {
    /// No rule is broken so far.
    Unfinished,
    /// One is; this code says which kind.
    Refused(u16),
    Closed(Option<(u16, String)>),
}

struct Open {
    text: bool,
    compressed: bool,
    payload: Vec<u8>,
}

pub fn decode(mut stream: &[u8], rules: &Rules) -> (Vec<Told>, End) {
    let (mut told, mut open, mut history) = (Vec::new(), None, Vec::new());
    loop {
        if let Err(end) = next_frame(&mut stream, rules, &mut told, &mut open, &mut history) {
            return (told, end);
        }
    }
}

fn next_frame(
    stream: &mut &[u8],
    rules: &Rules,
    told: &mut Vec<Told>,
    open: &mut Option<Open>,
    history: &mut Vec<u8>,
) -> Result<(), End> {
    let first = take(stream, 1)?[0];
    let (fin, rsv1, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x0f);
    let control = opcode >= 8;
    refuse_if(1002, first & 0x30 != 0 || !matches!(opcode, 0..=2 | 8..=10) || control && !fin)?;
    refuse_if(1002, rsv1 && (rules.deflate.is_none() || !matches!(opcode, 1 | 2)))?;
    refuse_if(1002, !control && (opcode == 0) != open.is_some())?;
    let second = take(stream, 1)?[0];
    refuse_if(1002, (second & 0x80 != 0) != rules.masked || control && second & 0x7f > 125)?;
    let (len, shortest) = match second & 0x7f {
        126 => (number(take(stream, 2)?), 126),
        127 => {
            refuse_if(1002, stream.first().is_some_and(|byte| byte & 0x80 != 0))?;
            (number(take(stream, 8)?), 0x10000)
        }
        short => (short.into(), 0),
    };
    let key = if rules.masked { take(stream, 4)? } else { &[0; 4] };
    refuse_if(1002, len < shortest && !rules.long_lengths)?;

    let (before, compressed) = open.as_ref().map_or((0, rsv1), |open| (open.payload.len(), open.compressed));
    let plain_max = rules.message_bytes_max;
    let wire_max = if compressed { plain_max + plain_max / 8 + 64 } else { plain_max };
    refuse_if(1009, !control && len > (wire_max - before) as u64)?;
    let whole = len <= stream.len() as u64;
    let came = take(stream, stream.len().min(len as usize))?;
    let payload: Vec<u8> = came.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    if control {
        return if whole { take_control(opcode, payload, told) } else { Err(End::Unfinished) };
    }

    let message =
        open.get_or_insert_with(|| Open { text: opcode == 1, compressed: rsv1, payload: Vec::new() });
    message.payload.extend(payload);
    let ends = fin && whole;
    let (plain, broken) = match (message.compressed, ends) {
        (false, _) => (message.payload.clone(), None),
        (true, false) => so_far(inflate(&message.payload, history, plain_max)),
        (true, true) => inflate_message(&message.payload, history, plain_max),
    };
    if message.text {
        // Bad text is told before what is wrong behind it.
        let bad = std::str::from_utf8(&plain[..plain.len().min(plain_max)]).err();
        refuse_if(1007, bad.is_some_and(|bad| bad.error_len().is_some()))?;
        refuse_if(1007, bad.is_some() && ends && broken.is_none())?;
    }
    if let Some(code) = broken {
        return Err(End::Refused(code));
    }
    if !whole {
        return Err(End::Unfinished);
    }
    if ends {
        if message.compressed {
            history.extend(&plain);
            let window = rules.deflate.unwrap_or_default();
            history.drain(..history.len().saturating_sub(window));
        }
        told.push(if message.text { text(plain) } else { Told::Binary(plain) });
        *open = None;
    }
    Ok(())
}

fn take_control(opcode: u8, payload: Vec<u8>, told: &mut Vec<Told>) -> Result<(), End> {
    match (opcode, &payload[..]) {
        (9, _) => told.push(Told::Ping(payload)),
        (10, _) => told.push(Told::Pong(payload)),
        (_, []) => return Err(End::Closed(None)),
        (_, [_]) => return Err(End::Refused(1002)),
        (_, [code, reason @ ..]) => {
            let (code, reason) = (u16::from(*code) << 8 | u16::from(reason[0]), &reason[1..]);
            refuse_if(1002, !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999))?;
            let reason = String::from_utf8(reason.to_vec()).map_err(|_| End::Refused(1007))?;
            return Err(End::Closed(Some((code, reason))));
        }
    }
    Ok(())
}

fn text(plain: Vec<u8>) -> Told {
    Told::Text(String::from_utf8(plain).expect("it was checked"))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn refuse_if(code: u16, broken: bool) -> Result<(), End> {
    if broken { Err(End::Refused(code)) } else { Ok(()) }
}

fn take<'s>(stream: &mut &'s [u8], len: usize) -> Result<&'s [u8], End> {
    let (taken, rest) = stream.split_at_checked(len).ok_or(End::Unfinished)?;
    *stream = rest;
    Ok(taken)
}

/// A whole message: its bytes, and the code if it is broken.
///
/// What the sender has left away only ends it (RFC 7692 §7.2.1): it brings no bytes, and leaves no block open.
fn inflate_message(payload: &[u8], history: &[u8], max: usize) -> (Vec<u8>, Option<u16>) {
    let alone = inflate(payload, history, max);
    if !matches!(alone.stop, Stop::BetweenBlocks | Stop::InsideBlock) {
        return so_far(alone);
    }
    let ended = inflate(&[payload, &[0, 0, 0xff, 0xff]].concat(), history, max);
    let whole = matches!(ended.stop, Stop::BetweenBlocks | Stop::Ended);
    let code = (!whole || ended.plain != alone.plain).then_some(1007);
    (alone.plain, code)
}

fn so_far(inflated: Inflated) -> (Vec<u8>, Option<u16>) {
    assert!(inflated.distance_max <= 32 << 10, "DEFLATE cannot say more");
    let code = match inflated.stop {
        Stop::BetweenBlocks | Stop::InsideBlock | Stop::Ended => None,
        Stop::Invalid => Some(1007),
        Stop::TooLong => Some(1009),
        Stop::TooManyStreams => Some(1008),
    };
    (inflated.plain, code)
}
