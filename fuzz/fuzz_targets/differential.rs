//! Our receiver against two others: a naive one (`support/reference.rs`), and, without compression, tungstenite. What is claimed:
//! they tell the same messages, pings and pongs, and end alike: with the same Close, or for a broken rule, with the naive one by the
//! same code, at the same byte.
//!
//! Where tungstenite differs, [`Exception`] says why.
//!
//! Run:  `cargo +nightly fuzz run differential fuzz/corpus/differential fuzz/seeds/differential`
//!
//! An input is, by bytes: flags, terms, limit, then the stream or what it is made of.
#![no_main]

#[path = "support/compressed.rs"]
mod compressed;
#[path = "support/engine.rs"]
mod engine;
#[path = "support/inflate.rs"]
mod inflate;
#[path = "support/reference.rs"]
mod reference;
#[path = "support/stream.rs"]
mod stream;

use std::io::{self, Read, Write};

use compressed::Writer;
use engine::{Heard, Told};
use framecast::proto::{Cause, DeflateTerms, ProtocolError, Role};
use libfuzzer_sys::fuzz_target;
use reference::{End, Rules};
use tungstenite::{Error, Message, WebSocket, protocol};

fuzz_target!(|data: &[u8]| {
    let Some((&[flags, terms, limit], rest)) = data.split_first_chunk::<3>() else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let masked = role == Role::Server;
    let takeover = terms & 1 == 0;
    let stream = match flags >> 1 & 3 {
        0 => rest.to_vec(),
        1 => stream::build(rest, masked),
        what => {
            let mut writer = Writer::new(masked, takeover);
            if what == 2 {
                writer.write_anything(rest)
            } else {
                writer.write_messages(rest)
            }
            writer.stream
        }
    };
    // What tungstenite takes of lengths, we take too if asked to.
    let long_lengths = flags & 8 != 0;
    let message_bytes_max = [0, 1, 100, 1000, 5000, 20_000, 70_000, 200_000][usize::from(limit & 7)];
    let window_bits = 8 + (terms >> 1 & 7);
    let deflated = flags & 16 == 0;
    let terms = DeflateTerms {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: window_bits,
        client_max_window_bits: window_bits,
    };
    let config = engine::config(message_bytes_max).accept_long_lengths(long_lengths);
    let config = config.build().expect("these limits are sound");
    let connection = engine::connection(config, role, deflated.then_some(terms));
    let heard = engine::hear(connection, &stream, &[stream.len().max(1)]);

    let deflate = deflated.then_some(if takeover { 1 << window_bits } else { 0 });
    let rules = Rules { masked, deflate, message_bytes_max, long_lengths };
    let (told, end) = reference::decode(&stream, &rules);
    assert_eq!(heard.told, told, "against the naive decoder");
    assert_eq!(heard.end(), end, "against the naive decoder, {:?}", heard.cause);

    if !deflated && long_lengths {
        let (told, end) = hear_by_tungstenite(&stream, role, message_bytes_max);
        if !Exception::ALL.iter().any(|exception| exception.holds(&stream, &heard, &told, &end)) {
            assert_eq!(heard.told, told, "against tungstenite");
            assert_eq!(heard.end().without_code(), end.without_code(), "against tungstenite");
        }
    }
});

impl Heard {
    fn end(&self) -> End {
        match &self.cause {
            None => End::Unfinished,
            Some(Cause::Protocol(error)) => End::Refused(error.close_code().0),
            Some(Cause::Peer(frame)) => {
                End::Closed(frame.as_ref().map(|frame| (frame.code.0, frame.reason.to_string())))
            }
            Some(other) => panic!("nobody ended it: {other:?}"),
        }
    }
}

impl End {
    /// For those who refuse without a code.
    fn without_code(self) -> Self {
        if let Self::Refused(_) = self { Self::Refused(0) } else { self }
    }
}

/// Where tungstenite does something else on purpose, or for want of it.
#[derive(Clone, Copy)]
enum Exception {
    /// It looks at a frame once all of it is there; we at each byte.
    WholeFramesOnly,
    /// It takes a control frame of up to 125 bytes whose length is in a long form; we look away only for data frames.
    LongFormOfControl,
    /// It does not know 1014, which came into IANA's registry later, and answers it with 1002.
    Code1014,
    /// It tells a Close with a code that must not be sent as if it had another, this one of its own.
    BadCodeIsReplaced,
}

impl Exception {
    const ALL: [Self; 4] =
        [Self::WholeFramesOnly, Self::LongFormOfControl, Self::Code1014, Self::BadCodeIsReplaced];

    /// `true` only if all else is the same.
    fn holds(self, stream: &[u8], ours: &Heard, told: &[Told], theirs: &End) -> bool {
        let refused = matches!(ours.end(), End::Refused(_));
        let same = ours.told == told;
        let replaced = *theirs == End::Closed(Some((1002, "Protocol violation".into())));
        match self {
            Self::WholeFramesOnly => {
                same && refused && *theirs == End::Unfinished && !ends_with_a_frame(stream)
            }
            Self::LongFormOfControl => {
                let long = matches!(ours.cause, Some(Cause::Protocol(ProtocolError::LongControl(_))));
                long && told.starts_with(&ours.told)
            }
            Self::Code1014 => same && replaced && matches!(ours.end(), End::Closed(Some((1014, _)))),
            Self::BadCodeIsReplaced => {
                let bad = matches!(ours.cause, Some(Cause::Protocol(ProtocolError::InvalidCloseCode(_))));
                same && replaced && bad
            }
        }
    }
}

/// Whether the stream ends where a frame does, going by lengths alone.
fn ends_with_a_frame(mut stream: &[u8]) -> bool {
    while let [_, second, rest @ ..] = stream {
        let form = [0, 2, 8][usize::from(second & 0x7f).saturating_sub(125)];
        let Some((len, rest)) = rest.split_at_checked(form) else { return false };
        let len = match form {
            0 => u64::from(second & 0x7f),
            _ => len.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        let len = len.saturating_add(u64::from(second >> 7) * 4);
        let Some(rest) = usize::try_from(len).ok().and_then(|len| rest.get(len..)) else { return false };
        stream = rest;
    }
    stream.is_empty()
}

/// A peer that has sent all it ever will, and takes whatever it is sent.
struct Wire<'s>(&'s [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hear_by_tungstenite(stream: &[u8], role: Role, message_bytes_max: usize) -> (Vec<Told>, End) {
    let config = protocol::WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(message_bytes_max))
        // Control frames are under the same limit there, and under none of their own that the header would show.
        .max_frame_size(Some(message_bytes_max.max(125)));
    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Wire(stream), role, Some(config));
    let mut told = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => told.push(Told::Text(text.to_string())),
            Ok(Message::Binary(bytes)) => told.push(Told::Binary(bytes.to_vec())),
            Ok(Message::Ping(payload)) => told.push(Told::Ping(payload.to_vec())),
            Ok(Message::Pong(payload)) => told.push(Told::Pong(payload.to_vec())),
            Ok(Message::Close(frame)) => {
                break End::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
            }
            Ok(Message::Frame(_)) => panic!("a frame is never read"),
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                break End::Unfinished;
            }
            Err(_) => break End::Refused(0),
        }
    };
    (told, end)
}
