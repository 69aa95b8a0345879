//! What HTTP/1.1 asks of a head, and what we ask beyond it (catalogue §3.2).

use framecast::handshake::{Endpoint, HandshakeError, HeadError, Refusal, ServerHandshake};
use framecast::proto::Config;

use crate::support::*;

/// RFC 9112 §5.2 · catalogue: HS-30
#[test]
fn folded_lines_are_answered_with_400() {
    expect(&base_and(["X: a", " b"]), 400);
    expect(&base_and(["X: a", "\tb"]), 400);
    expect(&base_with("Host", ["Host: localhost", " :9001"]), 400);
    expect(&base_with("Sec-WebSocket-Key", ["Sec-WebSocket-Key:", " dGhlIHNhbXBsZSBub25jZQ=="]), 400);
    expect(&base_with("Host", ["X: a", " b", "Host: h"]), 400);
}

/// RFC 9112 §5.1 · catalogue: HS-31
#[test]
fn white_space_before_the_colon_is_answered_with_400() {
    for line in ["Host : h", "Host\t: h"] {
        expect(&base_with("Host", [line]), 400);
    }
    expect(&base_with("Sec-WebSocket-Key", ["Sec-WebSocket-Key\t: dGhlIHNhbXBsZSBub25jZQ=="]), 400);
}

/// RFC 9112 §2.2 · catalogue: HS-32
#[test]
fn white_space_at_the_start_of_a_line_is_answered_with_400() {
    expect(&base_with("Host", [" Host: h"]), 400);
    expect(&base_with("Host", [" ", "Host: h"]), 400);
    expect(&base_and(["\t"]), 400);
    expect(&[b" ".as_slice(), &head(BASE)].concat(), 400);
}

/// RFC 9112 §2.2 · catalogue: HS-33
#[test]
fn bare_lf_is_answered_with_400_as_soon_as_it_comes() {
    let base = String::from_utf8(head(BASE)).expect("ASCII");
    let ends = base.match_indices("\r\n").map(|(at, _)| at);
    for at in ends {
        expect(format!("{}{}", &base[..at], &base[at + 1..]).as_bytes(), 400);
        // Nothing need follow the LF.
        expect(format!("{}\n", &base[..at]).as_bytes(), 400);
    }
    for text in ["\n\n", "\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\n", "GET\n"] {
        expect(text.as_bytes(), 400);
    }
}

/// RFC 9112 §2.2 · catalogue: HS-34
#[test]
fn bare_cr_is_answered_with_400() {
    for line in ["X: a\rb", "X\ra: b", "X: a\r", "\rX: a", "X: \r\r"] {
        expect(&base_and([line]), 400);
    }
    let base = String::from_utf8(head(BASE)).expect("ASCII");
    expect(base.replace("\r\n", "\r").as_bytes(), 400);
    expect(base.replace("\r\n\r\n", "\r\n\rX").as_bytes(), 400);
    expect(base.replace("HTTP/1.1\r\n", "HTTP/1.1\r\r\n").as_bytes(), 400);
    expect(b"\r\r\n", 400);
}

/// RFC 9110 §5.5 · catalogue: HS-35
#[test]
fn control_bytes_are_answered_with_400_wherever_they_stand() {
    for control in (0..=0x1f).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r')) {
        let around = |before: &str, after: &str| [before.as_bytes(), &[control], after.as_bytes()].concat();
        expect(&base_and([around("X: a", "b")]), 400);
        expect(&base_and([around("X", ": b")]), 400);
        expect(&base_target(around("/a", "b")), 400);
        expect(&base_with("GET", [around("G", "ET /ws HTTP/1.1")]), 400);
        expect(&base_with("GET", [around("GET /ws HTTP/1.1", "")]), 400);
    }
    for opaque in 0x80..=0xff {
        expect(&base_and([[b"X: a".as_slice(), &[opaque]].concat()]), 101);
    }
}

/// RFC 9110 §5.1 · catalogue: HS-36
#[test]
fn names_that_are_no_tokens_are_answered_with_400() {
    let bad: [&[u8]; 7] = [b"Ho st: x", b"Ho[]st: x", b"\xefoo: x", b"(x): x", b": v", b":", b"a\"b: x"];
    for line in bad {
        expect(&base_and([line]), 400);
    }
    expect(&base_and(["!#$%&'*+-.^_`|~09azAZ: x"]), 101);
}

/// RFC 9112 §5 · catalogue: HS-37
#[test]
fn lines_without_a_colon_are_answered_with_400() {
    expect(&base_with("Host", ["Host localhost"]), 400);
    expect(&base_and(["Transfer-", "Encoding: chunked"]), 400);
    expect(&base_and(["X"]), 400);
}

/// RFC 9110 §5.6.3 · catalogue: HS-38
#[test]
fn bytes_that_only_look_like_spaces_are_not_trimmed() {
    for space in [0x85, 0xa0] {
        let around = |before: &str, after: &str| [before.as_bytes(), &[space], after.as_bytes()].concat();
        expect(&base_with("Upgrade", [around("Upgrade: ", "websocket")]), 426);
        expect(&base_with("Upgrade", [around("Upgrade: websocket", "")]), 426);
        expect(&base_with("Connection", [around("Connection: ", "Upgrade")]), 426);
        expect(&base_with("Upgrade", [around("", "Upgrade: websocket")]), 400);
        expect(&base_with("Upgrade", [around("Upgrade", ": websocket")]), 400);
    }
}

/// RFC 9112 §2.2 · catalogue: HS-39
#[test]
fn four_empty_lines_before_the_request_are_skipped_and_five_are_not() {
    for lines in [1, 4, 5, 1000] {
        let input = [b"\r\n".repeat(lines), head(BASE)].concat();
        expect(&input, if lines <= 4 { 101 } else { 400 });
    }
}

/// RFC 9112 §3 · catalogue: HS-40
#[test]
fn malformed_request_lines_are_answered_with_400() {
    for line in [
        "GET  /ws HTTP/1.1",
        "GET /ws  HTTP/1.1",
        "GET\t/ws HTTP/1.1",
        "GET /ws\tHTTP/1.1",
        "GET /ws HTTP/1.1 ",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "GET /ws",
        "GET /ws ",
        "GET",
        " GET /ws HTTP/1.1",
        "GET /ws HTTP/1.1 x",
        "G:T /ws HTTP/1.1",
    ] {
        expect(&base_with("GET", [line]), 400);
    }
    expect(b"GET\n", 400);
    // The first byte of a TLS hello proves it.
    expect(&[0x16], 400);
}

/// RFC 9112 §3.2.2 · catalogue: HS-41
#[test]
fn absolute_url_is_accepted_when_it_names_the_same_host() {
    for target in ["http://localhost:9001/ws", "HTTP://LOCALHOST:9001/ws?a=b", "https://localhost:9001"] {
        expect(&base_target(target), 101);
    }
    for target in [
        "http://localhost/ws",
        "http://localhost:9002/ws",
        "http://evil.example:9001/ws",
        "ws://localhost:9001/ws",
        "wss://localhost:9001/ws",
        "http://u@localhost:9001/ws",
        "http:///ws",
        "http:/ws",
        "://localhost:9001/ws",
    ] {
        expect(&base_target(target), 400);
    }
    expect_of(&Endpoint::new().secure(false), &base_target("https://localhost:9001/ws"), 400);
    expect_of(&Endpoint::new().secure(true), &base_target("https://localhost:9001/ws"), 101);
    let request = request(Endpoint::new(), &base_target("http://localhost:9001?a=b"));
    assert_eq!((request.path(), request.query()), ("/", Some("a=b")));
}

/// RFC 9112 §3.2.3, §3.2.4 · catalogue: HS-42
#[test]
fn authority_and_asterisk_targets_are_answered_with_400() {
    for target in ["localhost:9001", "localhost", "*", "[::1]:80"] {
        expect(&base_target(target), 400);
    }
}

/// RFC 9112 §6 · catalogue: HS-43
#[test]
fn content_length_of_zero_is_accepted() {
    assert_eq!(answer(&base_and(["Content-Length: 0"])), SWITCHING);
}

/// catalogue: HS-44
#[test]
fn announced_body_is_answered_with_400() {
    let announced = base_and(["Content-Length: 5"]);
    expect(&announced, 400);
    expect(&[announced, b"hello".to_vec()].concat(), 400);
}

/// RFC 9110 §8.6 · catalogue: HS-45
#[test]
fn malformed_content_lengths_are_answered_with_400() {
    for length in
        ["-1", "+5", "0x5", "5, 5", "5,6", "1_0", "", "18446744073709551616", "00", " 5 5", "0, 0", "+0"]
    {
        expect(&base_and([format!("Content-Length: {length}")]), 400);
    }
    expect(&base_and(["Content-Length: 0", "Content-Length: 0"]), 400);
    expect(&base_and(["Content-Length: 0", "Content-Length: 5"]), 400);
}

/// RFC 9112 §6.1 · catalogue: HS-46
#[test]
fn transfer_encoding_is_answered_with_400() {
    for coding in ["chunked", "identity", ",chunked", "xchunked", "", "gzip, chunked"] {
        expect(&base_and([format!("Transfer-Encoding: {coding}")]), 400);
    }
    expect(&base_and(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]), 400);
    expect(&base_and(["Transfer-Encoding: chunked", "Content-Length: 0"]), 400);
}

/// RFC 9110 §10.1.1 · catalogue: HS-47
#[test]
fn expectations_are_answered_with_417() {
    for expectation in ["100-continue", "x", ""] {
        expect(&base_and([format!("Expect: {expectation}")]), 417);
    }
}

/// catalogue: HS-48
#[test]
fn headers_that_concern_nobody_here_are_ignored() {
    let lines =
        ["Trailer: x", "TE: trailers", "Keep-Alive: 5", "Proxy-Connection: x", "Proxy-Authorization: x"];
    assert_eq!(answer(&base_and(lines)), SWITCHING);
}

/// catalogue: HS-49, V-48
#[test]
fn request_hidden_in_a_chunked_body_is_never_seen() {
    let chunked = base_and(["Transfer-Encoding: chunked"]);
    expect(&[chunked, b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()].concat(), 400);
}

/// RFC 9112 §3 · catalogue: HS-50
#[test]
fn request_line_above_its_limit_is_answered_with_414_at_once() {
    let line = |bytes: usize| format!("GET /{} HTTP/1.1", "a".repeat(bytes - 14));
    for (bytes, wanted) in [(8191, 101), (8192, 101), (8193, 414)] {
        expect(&base_with("GET", [line(bytes)]), wanted);
    }
    // The rest need not come, and a megabyte of it is not read.
    expect(&line(9000).as_bytes()[..8193], 414);
    let mut handshake = ServerHandshake::new(&Config::default(), Endpoint::new().into());
    let error = handshake.receive(line(1 << 20).as_bytes()).err();
    assert_eq!(error, Some(HandshakeError::Head(HeadError::RequestLineBytes { max: 8192 })));
    let config = Config::builder().request_line_bytes_max(1).build().expect("fits");
    assert_eq!(answer_of(&config, &Endpoint::new(), b"GE").map(|answer| status(&answer)), Some(414));
}

/// RFC 6585 §5 · catalogue: HS-51, V-44
#[test]
fn hundred_and_first_header_is_answered_with_431_at_once() {
    for (headers, wanted) in [(99, 101), (100, 101), (101, 431), (10_000, 431)] {
        let input = base_and((5..headers).map(|_| "a:"));
        let input = if wanted == 101 { &input } else { &input[..input.len().min(600)] };
        expect(input, wanted);
    }
}

/// RFC 6585 §5 · catalogue: HS-51
#[test]
fn head_above_its_limit_is_answered_with_431_at_once() {
    let padded = |bytes: usize| base_and([format!("X: {}", "a".repeat(bytes - head(BASE).len() - 5))]);
    assert_eq!(padded(16_384).len(), 16_384);
    expect(&padded(16_383), 101);
    expect(&padded(16_384), 101);
    expect(&padded(16_385), 431);
    expect(&padded(20_000)[..16_385], 431);
    expect(&base_and(["N".repeat(64 << 10)]), 431);
    let mut handshake = ServerHandshake::new(&Config::default(), Endpoint::new().into());
    let error = handshake.receive(&padded(20 << 20)).err();
    assert_eq!(error, Some(HandshakeError::Head(HeadError::HeadBytes { max: 16_384 })));
    for max in [1, usize::MAX] {
        let config =
            Config::builder().head_bytes_max(max).headers_max(max).request_line_bytes_max(max).build();
        let answer = answer_of(&config.expect("fits"), &Endpoint::new(), &head(BASE)).expect("an answer");
        assert_eq!(status(&answer), if max == 1 { 431 } else { 101 });
    }
}

/// catalogue: HS-52 (what is told; when is the driver's)
#[test]
fn unfinished_head_is_told_from_silence() {
    let mut handshake = ServerHandshake::new(&Config::default(), Endpoint::new().into());
    assert!(!handshake.received_any());
    assert!(handshake.receive(b"").expect("nothing came").is_none());
    assert!(!handshake.received_any());
    assert!(handshake.receive(b"G").expect("it may become one").is_none());
    assert!(handshake.received_any());
    let answer = Refusal::request_timeout().encode();
    assert_eq!(status(&answer), 408);
    assert_sound_refusal(&answer);
}

/// catalogue: HS-53, HS-54, HS-55 (what is told; when is the driver's)
#[test]
fn drivers_and_hooks_refuse_with_the_right_fields() {
    let unauthorized = Refusal::unauthorized("Bearer realm=\"a\"").expect("a challenge");
    for (refusal, wanted, field) in [
        (Refusal::unavailable(7), 503, "\r\nretry-after: 7\r\n"),
        (Refusal::too_many(60), 429, "\r\nretry-after: 60\r\n"),
        (unauthorized, 401, "\r\nwww-authenticate: Bearer realm=\"a\"\r\n"),
        (Refusal::forbidden(), 403, "\r\nConnection: close\r\n"),
    ] {
        let answer = refusal.encode();
        assert_eq!(status(&answer), wanted);
        assert_sound_refusal(&answer);
        assert!(String::from_utf8_lossy(&answer).contains(field));
    }
    assert!(Refusal::unauthorized("a\r\nb: c").is_err());
}

/// RFC 9110 §6.4.1 · catalogue: HS-55
#[test]
fn refusal_is_never_an_interim_response_nor_a_body_where_none_may_be() {
    use http::StatusCode;
    assert_eq!(Refusal::new(StatusCode::SWITCHING_PROTOCOLS).status(), 500);
    assert_eq!(
        Refusal::new(StatusCode::NO_CONTENT).body("x").encode(),
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    );
    let own = Refusal::new(StatusCode::OK)
        .header("content-type", "text/html")
        .expect("may be set")
        .body("<p>")
        .encode();
    assert_eq!(
        own,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\ncontent-type: text/html\r\n\r\n<p>"
    );
}

/// RFC 9112 §2.2, §3, §5 · catalogue: HS-30, HS-31, HS-32, HS-33, HS-34, HS-35, HS-36, HS-37, HS-39, HS-40
#[test]
fn rubbish_is_refused_at_the_byte_that_proves_it() {
    for (input, error) in [
        ("GET / HTTP/1.1\n", HeadError::BareLf),
        ("GET / HTTP/1.1\r\nA: b\n", HeadError::BareLf),
        ("GET / HTTP/1.1\r\nA: b\rc", HeadError::BareCr),
        ("GET / HTTP/1.1\r\n\rX", HeadError::BareCr),
        ("\r\n\r\n\r\n\r\n\r\n", HeadError::EmptyLines),
        ("\x16", HeadError::FirstLine),
        ("GET  ", HeadError::FirstLine),
        ("GET / X", HeadError::FirstLine),
        ("GET / HTTP/1.10", HeadError::FirstLine),
        ("GET /\t", HeadError::TargetByte(b'\t')),
        ("GET / HTTP/1.0\r\n", HeadError::Version),
        ("GET / HTTP/1.1\r\n ", HeadError::Folded),
        ("GET / HTTP/1.1\r\nA: b\r\n\t", HeadError::Folded),
        ("GET / HTTP/1.1\r\nA ", HeadError::FieldName),
        ("GET / HTTP/1.1\r\n:", HeadError::FieldName),
        ("GET / HTTP/1.1\r\nA\r", HeadError::NoColon),
        ("GET / HTTP/1.1\r\nA: \0", HeadError::ValueByte(0)),
    ] {
        let mut handshake = ServerHandshake::new(&Config::default(), Endpoint::new().into());
        let (before, last) = input.as_bytes().split_at(input.len() - 1);
        assert!(handshake.receive(before).expect("nothing is proved yet").is_none(), "{input:?}");
        assert_eq!(handshake.receive(last).err(), Some(HandshakeError::Head(error)), "{input:?}");
    }
}
