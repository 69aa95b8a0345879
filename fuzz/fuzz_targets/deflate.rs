//! permessage-deflate, on any terms, in either role. What is claimed:
//!
//! - of a peer's bytes: nothing panics; messages, counters and the end do not depend on how the bytes were split; no message is above
//!   `message_bytes_max`; nothing comes behind the end;
//! - of messages that another compressor wrote (miniz_oxide): they are received as they were;
//! - of messages that we compress: another inflater (miniz_oxide, and that of `support/inflate.rs`) makes of them what they were,
//!   and none refers back beyond the window agreed on.
//!
//! Run:  `cargo +nightly fuzz run deflate fuzz/corpus/deflate fuzz/seeds/deflate`
//!
//! An input is, by bytes: flags, terms, windows, limit, number of split lengths, those, then the stream or what it is made
//! of; see [`Case::parse`].
#![no_main]

#[path = "support/compressed.rs"]
mod compressed;
#[path = "support/engine.rs"]
mod engine;
#[path = "support/inflate.rs"]
mod inflate;

use arbitrary::Unstructured;
use compressed::Writer;
use framecast::proto::{Compression, Deflate, DeflateTerms, Masks, Message, Outbound, Role};
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::{TINFLStatus, core};

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::parse(data) else { return };
    match case.what {
        What::Stream => hear_anything(&case, case.rest),
        What::Writer => {
            let mut writer = Writer::new(case.masked(), case.takeover(case.role.peer()));
            writer.write_anything(case.rest);
            hear_anything(&case, &writer.stream);
        }
        What::Theirs => hear_theirs(&case),
        What::Ours => send_ours(&case),
    }
});

/// What one input says.
struct Case<'d> {
    role: Role,
    what: What,
    terms: DeflateTerms,
    message_bytes_max: usize,
    level: u8,
    splits: Vec<usize>,
    rest: &'d [u8],
}

enum What {
    /// The rest is a stream.
    Stream,
    /// It describes one.
    Writer,
    /// It describes messages that a peer sends, all sound,
    Theirs,
    /// or that we send.
    Ours,
}

impl<'d> Case<'d> {
    fn parse(data: &'d [u8]) -> Option<Self> {
        let (&[flags, terms, windows, limit, splits], rest) = data.split_first_chunk::<5>()?;
        let (splits, rest) = rest.split_at(usize::from(splits % 8).min(rest.len()));
        Some(Self {
            role: if flags & 1 == 0 { Role::Server } else { Role::Client },
            what: match flags >> 1 & 3 {
                0 => What::Stream,
                1 => What::Writer,
                2 => What::Theirs,
                _ => What::Ours,
            },
            terms: DeflateTerms {
                server_no_context_takeover: terms & 1 != 0,
                client_no_context_takeover: terms & 2 != 0,
                server_max_window_bits: 8 + (windows & 7),
                client_max_window_bits: 8 + (windows >> 4 & 7),
            },
            message_bytes_max: [0, 1, 100, 1000, 5000, 20_000, 70_000, 1 << 20][usize::from(limit & 7)],
            level: 1 + (limit >> 3) % 9,
            splits: splits.iter().map(|len| usize::from(*len).max(1)).collect(),
            rest,
        })
    }

    /// The peer masks.
    fn masked(&self) -> bool {
        self.role == Role::Server
    }

    fn takeover(&self, sender: Role) -> bool {
        match sender {
            Role::Server => !self.terms.server_no_context_takeover,
            Role::Client => !self.terms.client_no_context_takeover,
        }
    }

    fn window(&self, sender: Role) -> usize {
        1 << match sender {
            Role::Server => self.terms.server_max_window_bits,
            Role::Client => self.terms.client_max_window_bits,
        }
    }

    fn hear(&self, stream: &[u8], lens: &[usize]) -> engine::Heard {
        let config = engine::config(self.message_bytes_max).build().expect("these limits are sound");
        let connection = engine::connection(config, self.role, Some(self.terms));
        engine::hear(connection, stream, lens)
    }
}

fn hear_anything(case: &Case<'_>, stream: &[u8]) {
    let whole = case.hear(stream, &[stream.len().max(1)]);
    // A few bytes a piece would be too slow for what is long.
    let least = stream.len() / 4096 + 1;
    let halves = [stream.len() / 2 + 1];
    let splits = if case.splits.is_empty() { &halves[..] } else { &case.splits };
    let splits: Vec<usize> = splits.iter().map(|len| *len.max(&least)).collect();
    assert_eq!(whole, case.hear(stream, &[least]), "whole against byte by byte");
    assert_eq!(whole, case.hear(stream, &splits), "whole against {splits:?}");
}

fn hear_theirs(case: &Case<'_>) {
    let sender = case.role.peer();
    // It always uses the largest window, which only between messages would be noticed.
    let takeover = case.takeover(sender) && case.window(sender) == 1 << 15;
    let mut writer = Writer::new(case.masked(), takeover);
    writer.write_messages(case.rest);
    let config = engine::config(1 << 20).build().expect("these limits are sound");
    let connection = engine::connection(config, case.role, Some(case.terms));
    let splits = if case.splits.is_empty() { &[1 << 20][..] } else { &case.splits };
    let heard = engine::hear(connection, &writer.stream, splits);
    assert_eq!(heard.cause, None);
    assert_eq!(heard.told, writer.told);
}

fn send_ours(case: &Case<'_>) {
    let config = engine::config(0).deflate(Deflate::takeover().level(case.level).threshold(64));
    let mut sender = engine::connection(config.build().expect("sound"), case.role, Some(case.terms));
    let mut receiver = Receiver::new(case);
    let mut outbound = Outbound::default();
    outbound.masks = Masks::predictable(9);
    let mut input = Unstructured::new(case.rest);
    let mut plain = Vec::new();
    while let Ok(how) = input.arbitrary::<u8>() {
        let Ok((text, message)) = compressed::message(&mut input, &plain) else { break };
        plain = message;
        let compression = [Compression::Auto, Compression::Always, Compression::Never][usize::from(how % 3)];
        let message = match String::from_utf8(plain.clone()) {
            Ok(string) if text => Message::text(string),
            _ => Message::binary(plain.clone()),
        };
        sender.send_with(message, compression, &mut outbound).expect("there is room");
        let mut wire = Vec::new();
        while let Some(transmit) = sender.poll_transmit(engine::now(), &mut outbound) {
            wire.extend(transmit.slices().iter().flat_map(|slice| slice.to_vec()));
            let len = transmit.slices().iter().map(|slice| slice.len()).sum();
            transmit.wrote(len);
        }
        assert!(wire.len() <= plain.len() + 14, "{} bytes for {}", wire.len(), plain.len());
        receiver.receive(&wire, text, &plain, compression);
        if wire.is_empty() || input.is_empty() {
            break;
        }
    }
}

/// A peer that takes apart what we send.
struct Receiver {
    masked: bool,
    takeover: bool,
    window: usize,
    /// As much as a message may refer to.
    history: Vec<u8>,
}

impl Receiver {
    fn new(case: &Case<'_>) -> Self {
        let (masked, takeover) = (case.role == Role::Client, case.takeover(case.role));
        Self { masked, takeover, window: case.window(case.role), history: Vec::new() }
    }

    /// One frame, which is one message.
    fn receive(&mut self, wire: &[u8], text: bool, plain: &[u8], compression: Compression) {
        let (len, header) = match wire[1] & 0x7f {
            126 => (usize::from(wire[2]) << 8 | usize::from(wire[3]), 4),
            127 => (wire[2..10].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), 10),
            short => (short.into(), 2),
        };
        assert_eq!(wire[1] & 0x80 != 0, self.masked);
        let (key, payload) = wire[header..].split_at(if self.masked { 4 } else { 0 });
        let mut payload = payload.to_vec();
        payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= key.get(at % 4).unwrap_or(&0));
        assert_eq!(payload.len(), len);
        assert_eq!(wire[0] & !0x40, if text { 0x81 } else { 0x82 });
        if wire[0] & 0x40 == 0 {
            assert_eq!(payload, plain);
            return;
        }
        assert_ne!(compression, Compression::Never);
        assert!(self.window > 256, "zlib has no such window");
        assert!(payload.len() < plain.len());
        payload.extend_from_slice(&[0, 0, 0xff, 0xff]);
        self.inflate(&payload, plain);
        if self.takeover {
            self.history.extend_from_slice(plain);
            self.history.drain(..self.history.len().saturating_sub(self.window));
        }
    }

    fn inflate(&self, payload: &[u8], plain: &[u8]) {
        let inflated = inflate::inflate(payload, &self.history, plain.len());
        assert_eq!(inflated.stop, inflate::Stop::BetweenBlocks);
        assert!(inflated.distance_max <= self.window, "{} bytes back", inflated.distance_max);
        assert!(inflated.plain == plain, "not what was sent");
        let before = self.history.len();
        let mut out = self.history.clone();
        out.resize(before + plain.len() + 1, 0);
        let flags = core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let mut inflater = Box::new(core::DecompressorOxide::new());
        let (status, taken, made) = core::decompress(&mut inflater, payload, &mut out, before, flags);
        assert_eq!((status, taken, made), (TINFLStatus::NeedsMoreInput, payload.len(), plain.len()));
        assert!(out[before..before + made] == *plain, "not what was sent");
    }
}
