//! What RFC 6455 asks of a server (catalogue §3.1).

use framecast::handshake::{Endpoint, Refusal};
use http::StatusCode;

use crate::support::*;

/// RFC 6455 §4.2.2 · catalogue: HS-01
#[test]
fn base_request_is_answered_with_the_exact_101() {
    assert_eq!(answer(&head(BASE)), SWITCHING);
}

/// RFC 6455 §4.2.1 · catalogue: HS-02
#[test]
fn names_and_values_are_matched_whatever_their_case() {
    for lines in
        [["uPgRaDe: WebSocket", "connection: UPGRADE"], ["UPGRADE: WEBSOCKET", "CONNECTION: upgrade"]]
    {
        let input =
            head([BASE[0], "hOST: localhost:9001", lines[0], lines[1], BASE[4], "SEC-websocket-VERSION: 13"]);
        assert_eq!(answer(&input), SWITCHING);
    }
}

/// RFC 6455 §4.2.1 · catalogue: HS-03
#[test]
fn order_of_headers_does_not_matter() {
    for rotation in 0..5 {
        let mut headers = BASE[1..].to_vec();
        headers.rotate_left(rotation);
        assert_eq!(answer(&head([&BASE[..1], &headers].concat())), SWITCHING);
        headers.reverse();
        assert_eq!(answer(&head([&BASE[..1], &headers].concat())), SWITCHING);
    }
}

/// RFC 6455 §4.2.1 item 10 · catalogue: HS-04
#[test]
fn unknown_headers_are_ignored() {
    assert_eq!(answer(&base_and((0..50).map(|n| format!("x-foo-{n}: {n}")))), SWITCHING);
    assert_eq!(answer(&base_and((0..50).map(|_| "x-foo: 1"))), SWITCHING);
}

/// RFC 6455 §4.2.1 item 1 · catalogue: HS-05
#[test]
fn methods_other_than_get_are_answered_with_405_and_allow() {
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "get", "GETT", "CONNECT", "TRACE", "G"] {
        let answer = expect(&base_with("GET", [format!("{method} /ws HTTP/1.1")]), 405);
        let text = String::from_utf8(answer).expect("ASCII");
        assert!(text.contains("\r\nallow: GET\r\n"), "{text}");
        // RFC 9110 §9.3.2: no body to a HEAD.
        assert_eq!(text.ends_with("\r\n\r\n"), method == "HEAD", "{text}");
    }
    expect(&base_with("GET", [format!("{} /ws HTTP/1.1", "M".repeat(33))]), 400);
    expect(&base_with("GET", [format!("{} /ws HTTP/1.1", "M".repeat(32))]), 405);
}

/// RFC 6455 §4.2.1 item 1, RFC 9110 §7.8 · catalogue: HS-06
#[test]
fn http_1_0_is_answered_with_505() {
    expect(&base_with("GET", ["GET /ws HTTP/1.0"]), 505);
}

/// RFC 9112 §2.3 · catalogue: HS-07
#[test]
fn other_versions_are_answered_with_505_and_malformed_ones_with_400() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "HTTP/0.9"] {
        expect(&base_with("GET", [format!("GET /ws {version}")]), 505);
    }
    for version in [
        "http/1.1",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1",
        "HTTP /1.1",
        "HTTP/4294967295.255",
        "HTTP/1.",
        "HTTP/1,1",
        "X",
    ] {
        expect(&base_with("GET", [format!("GET /ws {version}")]), 400);
    }
}

/// RFC 6455 §4.2.2 · catalogue: HS-08
#[test]
fn unknown_path_is_the_applications_404() {
    let request = request(Endpoint::new(), &base_target("/nowhere"));
    assert_eq!(request.path(), "/nowhere");
    let answer = Refusal::new(StatusCode::NOT_FOUND).encode();
    assert_eq!(status(&answer), 404);
    assert_sound_refusal(&answer);
}

/// RFC 9112 §3.2 · catalogue: HS-09
#[test]
fn targets_that_are_no_paths_are_answered_with_400() {
    let bad: [&[u8]; 12] = [
        b"",
        b"*",
        b"ws",
        b"/a b",
        b"/a#frag",
        b"/\xc3\xa9",
        b"/\0",
        b"/a\\b",
        b"/\xc0\xaf",
        b"/\x7f",
        b"/\"",
        b"/<",
    ];
    for target in bad {
        expect(&base_target(target), 400);
    }
}

/// RFC 9112 §3.2 · catalogue: HS-09
#[test]
fn paths_reach_the_application_undecoded() {
    for (target, path, query) in [
        ("/%00", "/%00", None),
        ("/%0d%0a?", "/%0d%0a", Some("")),
        ("//", "//", None),
        ("/../?a?b", "/../", Some("a?b")),
        ("/%zz%", "/%zz%", None),
        ("/a%2Fb?x={1|2}", "/a%2Fb", Some("x={1|2}")),
    ] {
        assert_eq!(answer(&base_target(target)), SWITCHING, "{target}");
        let request = request(Endpoint::new(), &base_target(target));
        assert_eq!((request.path(), request.query(), request.target()), (path, query, target));
        assert_eq!((request.method().as_str(), request.host(), request.origin()), ("GET", "localhost", None));
    }
}

/// RFC 6455 §4.2.1 item 3 · catalogue: HS-10
#[test]
fn request_without_upgrade_is_answered_with_426() {
    let wanted = b"HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
        Content-Length: 17\r\ncontent-type: text/plain; charset=utf-8\r\n\r\nUpgrade Required\n";
    assert_eq!(expect(&base_with::<&str>("Upgrade", []), 426), wanted);
    assert_eq!(expect(&head(&BASE[..2]), 426), wanted);
}

/// RFC 6455 §4.2.1 item 3 · catalogue: HS-11
#[test]
fn upgrade_to_anything_but_websocket_is_refused() {
    for value in ["h2c", "websocket/13", "websockets", "\"websocket\"", "", "web socket"] {
        expect(&base_with("Upgrade", [format!("Upgrade: {value}")]), 426);
    }
    expect(&base_with("Upgrade", ["Upgrade: websocket", "Upgrade: websocket"]), 426);
    for value in ["websocket, h2c", "h2c,websocket", "websocket,"] {
        expect(&base_with("Upgrade", [format!("Upgrade: {value}")]), 400);
    }
}

/// RFC 6455 §4.2.1 item 4 · catalogue: HS-12
#[test]
fn request_without_connection_is_answered_with_426() {
    expect(&base_with::<&str>("Connection", []), 426);
}

/// RFC 6455 §4.2.1 item 4, RFC 9110 §7.6.1 · catalogue: HS-13
#[test]
fn connection_is_matched_by_token_and_not_by_substring() {
    for value in ["notupgrade", "upgrade-x", "\"upgrade\"", "xUpgrade", "keep-alive", "", "up grade"] {
        expect(&base_with("Connection", [format!("Connection: {value}")]), 426);
    }
    for value in
        ["keep-alive, Upgrade", "Upgrade,,keep-alive", "\tkeep-alive\t,\tUpgrade\t", "close, Upgrade"]
    {
        expect(&base_with("Connection", [format!("Connection: {value}")]), 101);
    }
    expect(&base_with("Connection", ["Connection: keep-alive", "Connection: Upgrade"]), 101);
    expect(&base_with("Connection", [format!("Connection: Upgrade{}", ",".repeat(8))]), 101);
    expect(&base_with("Connection", [format!("Connection: Upgrade{}", ",".repeat(9))]), 400);
    expect(&base_with("Connection", ["Connection: Upgrade, a b"]), 400);
}

/// RFC 9110 §7.6.1 · catalogue: HS-14
#[test]
fn connection_that_hides_a_field_of_the_handshake_is_answered_with_400() {
    for name in ["Sec-WebSocket-Key", "Host", "sec-websocket-protocol", "Origin", "Cookie"] {
        expect(&base_with("Connection", [format!("Connection: Upgrade, {name}")]), 400);
    }
}

/// RFC 9112 §3.2 · catalogue: HS-15
#[test]
fn host_that_is_missing_repeated_or_malformed_is_answered_with_400() {
    expect(&base_with::<&str>("Host", []), 400);
    expect(&base_with("Host", ["Host: h", "Host: h"]), 400);
    expect(&base_with("Host", ["Host: h", "Host: i"]), 400);
    for host in ["", "a,b", "u@h", "h/path", "h:99999", "h: 80", "[::1", "h\0", "h i", "http://h", "\u{e9}"] {
        expect(&base_with("Host", [format!("Host: {host}")]), 400);
    }
    expect(&base_with("Host", [format!("Host: {}", "h".repeat(256))]), 400);
    for host in ["h", "[::1]:9001", "127.0.0.1:1", "a_b.example.", &"h".repeat(255)] {
        expect(&base_with("Host", [format!("Host: {host}")]), 101);
    }
}

/// catalogue: HS-16, V-49
#[test]
fn http_2_by_upgrade_never_gets_a_101() {
    let h2c = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"];
    expect(&head([&BASE[..2], &h2c, &BASE[4..]].concat()), 426);
    expect(&base_and(["HTTP2-Settings: AAMAAABk"]), 400);
    expect(&base_with("Connection", ["Connection: Upgrade, HTTP2-Settings"]), 400);
}

/// catalogue: HS-17
#[test]
fn http_2_preface_is_answered_with_505() {
    expect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

/// RFC 6455 §4.2.1 item 5 · catalogue: HS-20, V-57
#[test]
fn key_that_is_not_16_bytes_in_base64_is_answered_with_400() {
    expect(&base_with::<&str>("Sec-WebSocket-Key", []), 400);
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25j",     // 15 bytes
        "dGhlIHNhbXBsZSBub25jZWU=", // 17 bytes
        "dGhlIHNhbXBsZSBub25jZWVl", // 18 bytes
        "dGhlIHNhbXBsZSBub25jZQ",   // no padding
        "-_hlIHNhbXBsZSBub25jZQ==", // base64url
        "dGhlIHNhb BsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ== x",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "dGhlIHNhbXBsZSBub25jZR==", // bits beyond the last byte
    ] {
        expect(&base_with("Sec-WebSocket-Key", [format!("Sec-WebSocket-Key: {key}")]), 400);
    }
    expect(&base_with("Sec-WebSocket-Key", [format!("Sec-WebSocket-Key: {}", "A".repeat(10_000))]), 400);
}

/// RFC 9110 §5.5 · catalogue: HS-21
#[test]
fn white_space_around_the_key_is_not_part_of_it() {
    for line in
        ["Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \t "]
    {
        assert_eq!(answer(&base_with("Sec-WebSocket-Key", [line])), SWITCHING);
    }
}

/// RFC 6455 §11.3.1 · catalogue: HS-22, V-42
#[test]
fn second_key_is_answered_with_400() {
    for other in [BASE[4], "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="] {
        expect(&base_and([other]), 400);
    }
    expect(&base_with("Sec-WebSocket-Key", [format!("{}, AAAAAAAAAAAAAAAAAAAAAA==", BASE[4])]), 400);
}

#[track_caller]
fn expect_naming_13(input: &[u8], wanted: u16) {
    let text = String::from_utf8(expect(input, wanted)).expect("ASCII");
    assert!(text.contains("\r\nsec-websocket-version: 13\r\n"), "{text}");
    assert_eq!(text.contains("\r\nUpgrade: websocket\r\n"), wanted == 426, "{text}");
}

/// RFC 6455 §4.2.2, §4.4 · catalogue: HS-23
#[test]
fn other_websocket_versions_are_answered_with_426_that_names_13() {
    expect_naming_13(&base_with::<&str>("Sec-WebSocket-Version", []), 426);
    for version in ["14", "7", "0", "8", "99", "100", "249", "255"] {
        expect_naming_13(
            &base_with("Sec-WebSocket-Version", [format!("Sec-WebSocket-Version: {version}")]),
            426,
        );
    }
}

/// RFC 6455 §4.3 · catalogue: HS-24
#[test]
fn malformed_websocket_versions_are_answered_with_400() {
    for version in [
        "013", "+13", "13.0", "0x0d", "256", "-13", "13 13", "１３", "\"13\"", "", "00", "300", "1300", "13;",
    ] {
        expect_naming_13(
            &base_with("Sec-WebSocket-Version", [format!("Sec-WebSocket-Version: {version}")]),
            400,
        );
    }
}

/// RFC 6455 §11.3.5 · catalogue: HS-25
#[test]
fn repeated_websocket_version_is_answered_with_400() {
    expect_naming_13(&base_and(["Sec-WebSocket-Version: 13"]), 400);
    expect_naming_13(&base_with("Sec-WebSocket-Version", ["Sec-WebSocket-Version: 13, 8"]), 400);
}

/// catalogue: HS-26
#[test]
fn same_key_on_a_thousand_connections_is_accepted() {
    for _ in 0..1000 {
        assert_eq!(request(Endpoint::new(), &head(BASE)).accept().encode(), SWITCHING);
    }
}
