//! The base request and response, the four deliveries, and what a peer sees of each.

use std::sync::Arc;

use bytes::Bytes;
use framecast::handshake::{
    ClientRequest, ConnectError, Endpoint, Established, HandshakeError, HeadError, Request, ServerHandshake,
    Url,
};
use framecast::proto::Config;
use http::request::Parts;

/// The base request of the catalogue, §3, line by line.
pub(crate) const BASE: [&str; 6] = [
    "GET /ws HTTP/1.1",
    "Host: localhost:9001",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// The exact answer to [`BASE`].
pub(crate) const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub(crate) const KEY: [u8; 16] = *b"the sample nonce";

/// Lines with their CRLFs, and the empty one.
pub(crate) fn head<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.as_ref());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The base request and more lines.
pub(crate) fn base_and<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = BASE.iter().map(|line| line.as_bytes().to_vec()).collect();
    all.extend(lines.into_iter().map(|line| line.as_ref().to_vec()));
    head(all)
}

/// The base request with other lines in the place of those that begin with `start`; none takes them away.
pub(crate) fn base_with<L: AsRef<[u8]>>(start: &str, lines: impl IntoIterator<Item = L>) -> Vec<u8> {
    let mut lines: Option<Vec<Vec<u8>>> =
        Some(lines.into_iter().map(|line| line.as_ref().to_vec()).collect());
    let mut all = Vec::new();
    for line in BASE {
        if line.starts_with(start) {
            all.extend(lines.take().unwrap_or_default())
        } else {
            all.push(line.into())
        }
    }
    assert!(lines.is_none(), "no line of the base request begins with {start}");
    head(all)
}

/// The base request with another target.
pub(crate) fn base_target(target: impl AsRef<[u8]>) -> Vec<u8> {
    base_with("GET", [[b"GET ", target.as_ref(), b" HTTP/1.1"].concat()])
}

/// Every way in which `bytes` is delivered: whole, byte by byte, split at every offset, random splits from a seed.
pub(crate) fn deliveries(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let single = std::iter::once(bytes.chunks(1).collect());
    // A long input is split at every offset near its ends, and at strides between.
    let len = bytes.len();
    let splits = (0..=len).filter(move |at| len <= 1500 || *at < 250 || at + 100 > len || at % 997 == 0);
    let halves = splits.map(move |at| vec![&bytes[..at], &bytes[at..]]);
    let random = (1..=8u64).map(move |seed| random_split(bytes, seed));
    std::iter::once(vec![bytes]).chain(single).chain(halves).chain(random)
}

fn random_split(bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let (mut state, mut rest, mut pieces) = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), bytes, Vec::new());
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (piece, after) = rest.split_at((state % 40) as usize % rest.len() + 1);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// How a server takes one delivery.
#[derive(Debug)]
pub(crate) enum Served {
    /// The request, and how many bytes of the whole input were its own.
    Request(Box<Request>, usize),
    Refused(HandshakeError),
    /// The input ended first.
    Waiting,
}

pub(crate) fn serve_pieces(config: &Config, endpoint: &Arc<Endpoint>, pieces: &[&[u8]]) -> Served {
    let mut handshake = ServerHandshake::new(config, Arc::clone(endpoint));
    let mut before = 0;
    for piece in pieces {
        match handshake.receive(piece) {
            Ok(None) => before += piece.len(),
            Ok(Some((request, used))) => {
                assert_eq!(handshake.receive(b"x").err(), Some(HandshakeError::Finished));
                return Served::Request(Box::new(request), before + used);
            }
            Err(error) => {
                // Nothing after it is looked at, not even a sound request.
                assert_eq!(handshake.receive(&head(BASE)).err(), Some(error));
                return Served::Refused(error);
            }
        }
    }
    Served::Waiting
}

/// What the peer reads, the same in every delivery and by whoever reads the head: the answer's bytes, or `None` while the server
/// waits for more.
pub(crate) fn answer_of(config: &Config, endpoint: &Endpoint, input: &[u8]) -> Option<Vec<u8>> {
    let endpoint = Arc::new(endpoint.clone());
    let mut first = None;
    for pieces in deliveries(input) {
        let answer = match serve_pieces(config, &endpoint, &pieces) {
            Served::Request(request, _) => Some(request.accept().encode()),
            Served::Refused(error) => {
                assert_eq!(error.refusal().status(), error.status());
                Some(error.refusal().encode())
            }
            Served::Waiting => None,
        };
        let lengths = || pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
        assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "delivered as {:?}", lengths());
    }
    assert_same_parsed(config, &endpoint, input);
    first.flatten()
}

/// A head as another HTTP server hands it over, if it lets it pass: cut by httparse without a limit, and its target understood.
pub(crate) fn parsed(input: &[u8]) -> Option<Parts> {
    let mut fields = vec![httparse::EMPTY_HEADER; 20_000];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(_) = head.parse(input).ok()? else { return None };
    let mut request = http::Request::builder().method(head.method?).uri(head.path?);
    request =
        request.version(if head.version? == 1 { http::Version::HTTP_11 } else { http::Version::HTTP_10 });
    for field in head.headers {
        request = request.header(field.name, field.value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// What is not about single bytes, which that server has judged in its own way, is judged alike.
fn assert_same_parsed(config: &Config, endpoint: &Arc<Endpoint>, input: &[u8]) {
    let Some(parts) = parsed(input) else { return };
    let ours = match serve_pieces(config, endpoint, &[input]) {
        Served::Request(request, _) => Ok(request.accept()),
        Served::Refused(HandshakeError::Head(error)) if error != HeadError::Version => return,
        Served::Refused(error) => Err(error),
        Served::Waiting => return,
    };
    let same = endpoint.check(config, &parts).map(|request| request.accept());
    let shown = String::from_utf8_lossy(&input[..input.len().min(400)]);
    match (ours, same) {
        (Ok(ours), Ok(same)) => {
            assert_eq!(same.encode(), ours.encode(), "{shown:?}");
            assert_eq!(written(&same.to_http().map(|()| Bytes::new())), ours.encode().to_ascii_lowercase());
        }
        (Err(ours), Err(same)) => {
            assert_eq!(same, ours, "{shown:?}");
            let refusal = same.refusal();
            assert_eq!(written(&refusal.to_http()), refusal.encode().to_ascii_lowercase());
        }
        (ours, same) => panic!("{ours:?}, but parsed {same:?}: {shown:?}"),
    }
}

/// A response as that server writes it, in lower case.
fn written(response: &http::Response<Bytes>) -> Vec<u8> {
    let status = response.status();
    let mut lines = vec![
        format!("HTTP/1.1 {} {}", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes(),
    ];
    let fields = response.headers().iter();
    lines.extend(fields.map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes()].concat()));
    [head(lines), response.body().to_vec()].concat().to_ascii_lowercase()
}

/// The answer of an endpoint without terms of its own.
pub(crate) fn answer(input: &[u8]) -> Vec<u8> {
    answer_of(&Config::default(), &Endpoint::new(), input).expect("the server has answered")
}

/// The three digits of an answer.
pub(crate) fn status(answer: &[u8]) -> u16 {
    std::str::from_utf8(&answer[9..12]).expect("digits").parse().expect("digits")
}

/// Asserts the status that `input` is answered with, and what every refusal has.
#[track_caller]
pub(crate) fn expect(input: &[u8], wanted: u16) -> Vec<u8> {
    expect_of(&Endpoint::new(), input, wanted)
}

#[track_caller]
pub(crate) fn expect_of(endpoint: &Endpoint, input: &[u8], wanted: u16) -> Vec<u8> {
    let shown = String::from_utf8_lossy(&input[..input.len().min(400)]);
    let answer =
        answer_of(&Config::default(), endpoint, input).unwrap_or_else(|| panic!("no answer to {shown:?}"));
    assert_eq!(status(&answer), wanted, "{shown:?}");
    if wanted != 101 {
        assert_sound_refusal(&answer);
    }
    answer
}

/// `Connection: close`, `Content-Length` that is the body's, and the fixed body, which repeats nothing of the input.
#[track_caller]
pub(crate) fn assert_sound_refusal(answer: &[u8]) {
    let text = std::str::from_utf8(answer).expect("our own ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\nConnection: close"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let reason = &head[13..head.find("\r\n").expect("a line")];
    assert!(body.is_empty() || body == format!("{reason}\n"), "{body}");
}

/// The request that a whole input holds.
pub(crate) fn request(endpoint: Endpoint, input: &[u8]) -> Request {
    match serve_pieces(&Config::default(), &Arc::new(endpoint), &[input]) {
        Served::Request(request, _) => *request,
        other => panic!("{other:?}"),
    }
}

/// The lines of a sound 101.
pub(crate) const ANSWER: [&str; 4] = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

/// The sound 101 with other lines in the place of those that begin with `start`; none takes them away.
pub(crate) fn answer_with(start: &str, lines: &[&str]) -> Vec<u8> {
    head(ANSWER.iter().flat_map(|line| if line.starts_with(start) { lines.to_vec() } else { vec![*line] }))
}

/// The sound 101 and more lines.
pub(crate) fn answer_and(lines: &[&str]) -> Vec<u8> {
    head(ANSWER.iter().chain(lines))
}

pub(crate) fn client_request() -> ClientRequest {
    ClientRequest::new(Url::parse("ws://localhost:9001/ws").expect("a URL"))
}

/// What a client makes of `input`, the same in every delivery: with how many bytes used, or why it fails. The server
/// closes behind the last byte.
pub(crate) fn client_of(
    config: &Config,
    request: &ClientRequest,
    input: &[u8],
) -> Result<(Established, usize), ConnectError> {
    let mut first: Option<Result<usize, ConnectError>> = None;
    let mut last = None;
    for pieces in deliveries(input) {
        let (_, mut handshake) = request.start(config, KEY);
        let mut before = 0;
        let mut outcome = None;
        for piece in &pieces {
            match handshake.receive(piece) {
                Ok(None) => before += piece.len(),
                Ok(Some((established, used))) => {
                    outcome = Some(Ok((established, before + used)));
                    assert_eq!(handshake.receive(b"x").err(), Some(ConnectError::Finished));
                    break;
                }
                Err(error) => {
                    assert_eq!(handshake.receive(&head(ANSWER)).err().as_ref(), Some(&error));
                    outcome = Some(Err(error));
                    break;
                }
            }
        }
        let outcome = outcome.unwrap_or_else(|| Err(handshake.receive_eof()));
        let seen = outcome.as_ref().map(|(_, used)| *used).map_err(Clone::clone);
        assert_eq!(&seen, first.get_or_insert_with(|| seen.clone()));
        last = Some(outcome);
    }
    last.expect("a delivery")
}

pub(crate) fn client(input: &[u8]) -> Result<(Established, usize), ConnectError> {
    client_of(&Config::default(), &client_request(), input)
}

/// Why a client fails over `input`.
#[track_caller]
pub(crate) fn client_error(input: &[u8]) -> ConnectError {
    client(input).err().unwrap_or_else(|| panic!("accepted {:?}", String::from_utf8_lossy(input)))
}
