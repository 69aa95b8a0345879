//! Bytes of a peer, in any split, into the opening handshake of either role. What is claimed:
//!
//! - nothing panics; no call says that it used more than it was given; a handshake that is over stays over;
//! - the verdict, what it carries and where the head ends do not depend on how the bytes were split: whole, byte by byte,
//!   as the input says;
//! - a request that is accepted gets a 101 that our own client takes, for the same key and subprotocols;
//! - whatever we answer is one well-formed response: no byte of the peer's ends a line of it or adds one, the length is
//!   the body's, and a refusal is never an upgrade;
//! - the request that our client makes of any URL that parses is one that our server takes.
//!
//! Run:  `cargo +nightly fuzz run handshake fuzz/corpus/handshake fuzz/seeds/handshake -- -dict=fuzz/handshake.dict`
//!
//! An input is, by bytes: flags, number of split lengths, those, then the stream.
#![no_main]

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use framecast::{
    handshake::{
        ClientHandshake, ClientRequest, Endpoint, HandshakeError, OriginPolicy, Request, ServerHandshake, Url,
    },
    proto::Config,
};
use http::header::SEC_WEBSOCKET_KEY;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[flags, splits], rest)) = data.split_first_chunk::<2>() else { return };
    let (splits, stream) = rest.split_at(usize::from(splits % 8).min(rest.len()));
    let config = if flags & 4 == 0 {
        Config::builder()
    } else {
        Config::builder().head_bytes_max(300).request_line_bytes_max(40).headers_max(8)
    };
    let config = config.build().expect("these limits are sound");
    match (flags & 16 != 0, flags & 1 != 0) {
        (true, _) => ask(stream, &config),
        (_, true) => connect(stream, splits, &config),
        (_, false) => serve(stream, splits, &config, &endpoint(flags)),
    }
});

fn endpoint(flags: u8) -> Arc<Endpoint> {
    let origins =
        if flags & 2 == 0 { OriginPolicy::same_origin() } else { OriginPolicy::any_origin_dangerous() };
    let endpoint =
        Endpoint::new().origins(origins).subprotocols(["superchat", "chat"]).expect("two distinct tokens");
    let endpoint = if flags & 8 == 0 { endpoint } else { endpoint.subprotocol_required() };
    Arc::new(if flags & 32 == 0 { endpoint } else { endpoint.secure(flags & 64 != 0) })
}

/// The pieces of each delivery of `stream`.
fn deliveries<'s>(stream: &'s [u8], splits: &[u8]) -> [Vec<&'s [u8]>; 3] {
    let mut left = stream;
    let mut pieces = Vec::new();
    let lens = if splits.is_empty() { &[1, 40][..] } else { splits };
    for len in lens.iter().cycle() {
        // A length of 0 is an empty read, of which there may be one between any two.
        let (piece, rest) = left.split_at(left.len().min((*len).into()));
        pieces.push(piece);
        left = rest;
        if left.is_empty() || pieces.len() > 2 * stream.len() {
            pieces.push(left);
            break;
        }
    }
    [vec![stream], stream.chunks(1).collect(), pieces]
}

/// Gives the pieces in turn until a verdict is there; with what is accepted goes where the head ended.
fn feed<T, E>(
    pieces: &[&[u8]],
    mut receive: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
) -> Option<Result<(T, usize), E>> {
    let mut before = 0;
    for piece in pieces {
        match receive(piece) {
            Ok(None) => before += piece.len(),
            Ok(Some((accepted, used))) => {
                assert!(used <= piece.len(), "{used} bytes used of {}", piece.len());
                return Some(Ok((accepted, before + used)));
            }
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

fn serve(stream: &[u8], splits: &[u8], config: &Config, endpoint: &Arc<Endpoint>) {
    let verdicts = deliveries(stream, splits).map(|pieces| {
        let mut server = ServerHandshake::new(config, endpoint.clone());
        let verdict = feed(&pieces, |piece| server.receive(piece));
        assert!(server.received_any() || stream.is_empty());
        if let Some(verdict) = &verdict {
            let expected = verdict.as_ref().err().copied().unwrap_or(HandshakeError::Finished);
            assert_eq!(server.receive(b"GET").err(), Some(expected), "it is over");
        } else {
            assert!(stream.len() <= config.head_bytes_max(), "more is held than may be");
        }
        verdict
    });
    same(&verdicts);
    match &verdicts[0] {
        Some(Ok((request, _))) => accept(request, config),
        Some(Err(error)) => {
            let bytes = error.refusal().encode();
            let head = check_response(&bytes);
            assert_eq!(head.status, error.status().as_u16());
            assert!((400..600).contains(&head.status), "a refusal with status {}", head.status);
            assert!(head.fields("connection").any(|options| options.starts_with("close")));
        }
        None => {}
    }
}

/// What follows from a request that kept the rules: our client takes our answer.
fn accept(request: &Request, config: &Config) {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).expect("an accepted request has a key");
    let key = STANDARD.decode(key).expect("the key is base64");
    let key = <[u8; 16]>::try_from(key).expect("the key has 16 bytes");
    let offered = request.subprotocols().iter().map(String::as_str);
    let url = Url::parse("ws://localhost/").expect("a plain URL");
    let ask = ClientRequest::new(url).subprotocols(offered).expect("what was accepted can be offered");

    // The worst an application does: it sends back what the peer gave it.
    let mut response = request.accept();
    for (name, value) in [("x-target", request.target().as_bytes()), ("x-host", request.host().as_bytes())] {
        response = response.header(name, value).expect("an accepted target or host holds no control byte");
    }
    let bytes = response.encode();
    let head = check_response(&bytes);
    assert_eq!((head.status, head.body.len()), (101, 0));
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert_eq!(head.fields(name).count(), 1, "{name}");
    }
    // Limits are the peer's affair.
    let config = if config.headers_max() < 100 { &Config::default() } else { config };
    let (_, mut client) = ask.start(config, key);
    let (established, used) = client.receive(&bytes).expect("our 101 is sound").expect("our 101 is complete");
    assert_eq!((established.subprotocol(), used), (response.subprotocol(), bytes.len()));
}

fn connect(stream: &[u8], splits: &[u8], config: &Config) {
    let url = Url::parse("ws://server.example.com/chat").expect("a plain URL");
    let ask = ClientRequest::new(url).subprotocols(["chat", "superchat"]).expect("two distinct tokens");
    let verdicts = deliveries(stream, splits).map(|pieces| {
        let (_, mut client): (_, ClientHandshake) = ask.start(config, *b"the sample nonce");
        let verdict = feed(&pieces, |piece| client.receive(piece));
        // After an error it is told again; without a verdict the end of the stream is one.
        (verdict, client.receive_eof())
    });
    same(&verdicts);
    if let (Some(Ok((established, _))), _) = &verdicts[0] {
        assert!(matches!(established.subprotocol(), None | Some("chat" | "superchat")));
    }
}

/// A URL to a request to a verdict.
fn ask(text: &[u8], config: &Config) {
    let Some(url) = std::str::from_utf8(text).ok().and_then(|text| Url::parse(text).ok()) else { return };
    let (bytes, _) = ClientRequest::new(url).start(config, [7; 16]);
    let mut server = ServerHandshake::new(&Config::default(), endpoint(2));
    let (request, used) =
        server.receive(&bytes).expect("our request keeps the rules").expect("our request is complete");
    assert_eq!(used, bytes.len());
    accept(&request, config);
}

fn same(verdicts: &[impl std::fmt::Debug; 3]) {
    let [whole, bytes, pieces] = verdicts.each_ref().map(|verdict| format!("{verdict:?}"));
    assert_eq!(whole, bytes, "whole against byte by byte");
    assert_eq!(whole, pieces, "whole against the input's splits");
}

/// A response, read by someone who trusts nothing.
struct Head<'r> {
    status: u16,
    fields: Vec<(String, &'r str)>,
    body: &'r [u8],
}

impl<'r> Head<'r> {
    fn fields(&self, name: &str) -> impl Iterator<Item = &'r str> {
        self.fields.iter().filter(move |field| field.0 == name).map(|field| field.1)
    }
}

fn check_response(bytes: &[u8]) -> Head<'_> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an empty line ends the head");
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let head = std::str::from_utf8(head).expect("what we send back is ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).expect("a status line");
    let (status, reason) = status.split_once(' ').expect("a space before the reason");
    assert!(reason.bytes().all(|byte| byte.is_ascii_alphabetic() || b" -".contains(&byte)), "{reason:?}");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a field line");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name:?}");
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{value:?}");
        (name.to_ascii_lowercase(), value)
    });
    let head = Head { status: status.parse().expect("a number"), fields: fields.collect(), body };
    let length: Vec<&str> = head.fields("content-length").collect();
    match head.status {
        101 => assert!(length.is_empty(), "a 101 has no body"),
        // The answer to HEAD has none either.
        405 if body.is_empty() => {}
        _ => assert_eq!(length, [body.len().to_string()]),
    }
    head
}
