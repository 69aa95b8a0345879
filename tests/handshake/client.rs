//! What RFC 6455 asks of a client (catalogue §3.6).

use std::collections::HashSet;

use framecast::handshake::{
    ClientRequest, ConnectError, HeadError, HeaderError, RefusedByServer, Url, UrlError, random_key,
};
use framecast::proto::Config;

use crate::support::*;

fn refused(input: &[u8]) -> RefusedByServer {
    match client_error(input) {
        ConnectError::Refused(refused) => *refused,
        other => panic!("{other:?}"),
    }
}

/// RFC 6455 §4.1 · catalogue: HS-01
#[test]
fn request_is_exact() {
    let (bytes, _) = client_request().start(&Config::default(), KEY);
    assert_eq!(bytes, head(BASE));
    let request =
        client_request().subprotocols(["a", "b"]).expect("tokens").origin("http://o").expect("an origin");
    let (bytes, _) = request.start(&Config::default(), KEY);
    assert_eq!(bytes, base_and(["Sec-WebSocket-Protocol: a, b", "origin: http://o"]));
}

/// RFC 6455 §4.1 · catalogue: HC-01, HC-20 (never followed), V-48
#[test]
fn answers_other_than_101_are_errors_with_status_headers_and_body() {
    for status in [200, 301, 302, 307, 308, 400, 401, 403, 404, 426, 429, 503, 500] {
        let text = format!(
            "HTTP/1.1 {status} Some Reason\r\nLocation: ws://b\r\nContent-Length: 5\r\n\r\nhello\x01\x01x"
        );
        let refused = refused(text.as_bytes());
        assert_eq!((refused.status.as_u16(), &refused.body[..]), (status, &b"hello"[..]));
        assert_eq!(refused.headers["location"], "ws://b");
    }
    for bodyless in ["HTTP/1.1 204 No Content\r\n\r\nx", "HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\nx"] {
        assert!(refused(bodyless.as_bytes()).body.is_empty());
    }
    assert_eq!(refused(b"HTTP/1.0 403 Forbidden\r\n\r\nno").body, "no");
}

/// RFC 9110 §15.2 · catalogue: HC-02
#[test]
fn eight_interim_responses_are_skipped_and_a_ninth_fails() {
    let answer = head(ANSWER);
    for interim in
        ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 \r\nX: y\r\n\r\n", "HTTP/1.1 103\r\nLink: a\r\n\r\n"]
    {
        let input = |count: usize| [interim.repeat(count).as_bytes(), &answer].concat();
        for count in [1, 8] {
            let input = input(count);
            assert_eq!(client(&input).map(|(_, used)| used), Ok(input.len()));
        }
        assert_eq!(client_error(&input(9)), ConnectError::Interim { max: 8 });
    }
}

/// RFC 6455 §4.1 · catalogue: HC-03
#[test]
fn upgrade_other_than_websocket_fails() {
    let upgrades: [&[&str]; 6] = [
        &[],
        &["Upgrade: h2c"],
        &["Upgrade: websocket, x"],
        &["Upgrade: websocket", "Upgrade: websocket"],
        &["Upgrade:"],
        &["Upgrade: websockets"],
    ];
    for lines in upgrades {
        assert_eq!(client_error(&answer_with("Upgrade", lines)), ConnectError::Upgrade, "{lines:?}");
    }
    assert!(client(&answer_with("Upgrade", &["uPGRADE:\tWebSocket "])).is_ok());
}

/// RFC 6455 §4.1 · catalogue: HC-04
#[test]
fn connection_must_list_upgrade() {
    let bad: [&[&str]; 4] = [&[], &["Connection: close"], &["Connection: notupgrade"], &["Connection:"]];
    for lines in bad {
        assert_eq!(client_error(&answer_with("Connection", lines)), ConnectError::Connection, "{lines:?}");
    }
    let good: [&[&str]; 3] = [
        &["Connection: keep-alive, Upgrade"],
        &["Connection: keep-alive", "Connection: upgrade"],
        &["connection:UPGRADE"],
    ];
    for lines in good {
        assert!(client(&answer_with("Connection", lines)).is_ok(), "{lines:?}");
    }
}

/// RFC 6455 §4.1, §11.3.3 · catalogue: HC-05
#[test]
fn accept_value_must_be_for_our_key_and_single() {
    let bad: [&[&str]; 7] = [
        &[],
        &["Sec-WebSocket-Accept:"],
        &["Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="],
        &["Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ=="],
        &["Sec-WebSocket-Accept: s3pplmbitxaq9kygzzhzrbk+xoo="],
        &["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo"],
        &[ANSWER[3], ANSWER[3]],
    ];
    for lines in bad {
        assert_eq!(
            client_error(&answer_with("Sec-WebSocket-Accept", lines)),
            ConnectError::Accept,
            "{lines:?}"
        );
    }
    assert!(client(&answer_with("Sec-WebSocket-Accept", &[&format!("{} \t", ANSWER[3])])).is_ok());
}

/// RFC 6455 §4.1, §9.1 · catalogue: HC-06
#[test]
fn extension_that_was_not_offered_fails() {
    for value in ["foo", "permessage-deflate", "permessage-deflate, permessage-deflate", ";;", ""] {
        assert_eq!(
            client_error(&answer_and(&[&format!("Sec-WebSocket-Extensions: {value}")])),
            ConnectError::Extension
        );
    }
}

/// RFC 6455 §4.1 · catalogue: HC-07
#[test]
fn subprotocol_must_be_one_that_was_offered() {
    let request = client_request().subprotocols(["chat", "chat2"]).expect("tokens");
    let config = Config::default();
    let of = |request: &ClientRequest, lines: &[&str]| {
        client_of(&config, request, &answer_and(lines))
            .map(|(established, _)| established.subprotocol().map(str::to_owned))
    };
    let bad: [&[&str]; 5] = [
        &["Sec-WebSocket-Protocol: mqtt"],
        &["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat2"],
        &["Sec-WebSocket-Protocol: chat, chat2"],
        &["Sec-WebSocket-Protocol:"],
        &["Sec-WebSocket-Protocol: Chat"],
    ];
    for lines in bad {
        assert_eq!(of(&request, lines), Err(ConnectError::Subprotocol), "{lines:?}");
    }
    assert_eq!(of(&client_request(), &["Sec-WebSocket-Protocol: chat"]), Err(ConnectError::Subprotocol));
    assert_eq!(of(&request, &["Sec-WebSocket-Protocol: chat2"]), Ok(Some("chat2".to_owned())));
    assert_eq!(of(&request, &[]), Ok(None));
    assert_eq!(of(&request.subprotocol_required(), &[]), Err(ConnectError::SubprotocolRequired));
}

/// catalogue: HC-08, V-64
#[test]
fn body_of_a_refusal_is_read_up_to_64_kib() {
    let endless = vec![b'x'; (64 << 10) + 100];
    for field in [
        "Content-Length: 9223372036854775808",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 65537",
        "Content-Length: -1",
        "Transfer-Encoding: chunked",
        "X: y",
        "Content-Length: 1, 1",
    ] {
        let head = format!("HTTP/1.1 401 No\r\n{field}\r\n\r\n");
        let (_, mut handshake) = client_request().start(&Config::default(), KEY);
        assert!(handshake.receive(head.as_bytes()).expect("the body is missing").is_none(), "{field}");
        assert!(
            handshake.receive(&endless[..(64 << 10) - 1]).expect("a byte is missing").is_none(),
            "{field}"
        );
        let Err(ConnectError::Refused(refused)) = handshake.receive(&endless) else { panic!("{field}") };
        assert_eq!(refused.body.len(), 64 << 10, "{field}");
    }
    let short = b"HTTP/1.1 401 No\r\nContent-Length: 10\r\n\r\nhello";
    assert_eq!(refused(short).body, "hello", "the server closed early");
}

/// RFC 9112 §6.3 · catalogue: HC-09
#[test]
fn length_or_coding_of_a_101_means_nothing() {
    for line in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let answer = answer_and(&[line]);
        let used = client(&[&answer[..], b"hello"].concat()).map(|(_, used)| used);
        assert_eq!(used, Ok(answer.len()));
    }
}

/// RFC 9112 §4 · catalogue: HC-10
#[test]
fn status_lines_are_read_strictly() {
    for line in [
        "HTTP/2 101 Switching",
        "HTTP/1.1 1010 X",
        "HTTP/1.1 10 X",
        "HTTP/1.1 abc X",
        "HTTP/1.1  101 X",
        "http/1.1 101 X",
        "HTTP/1.1 001 X",
        "HTTP/1.1\t101 X",
        " HTTP/1.1 101 X",
        "HTTP/1.1 101\tX",
        "HTTP/1.1 101 X\0",
        "HTTP/1.1",
        "",
    ] {
        assert_eq!(
            client_error(&answer_with("HTTP", &[line])),
            ConnectError::Head(HeadError::FirstLine),
            "{line:?}"
        );
    }
    for (line, error) in [
        ("HTTP/1.0 101 X", HeadError::Version),
        ("HTTP/2.0 101 X", HeadError::Version),
        ("HTTP/1.2 101 X", HeadError::Version),
        ("HTTP/1.1 101 a\rb", HeadError::BareCr),
    ] {
        assert_eq!(client_error(&answer_with("HTTP", &[line])), ConnectError::Head(error), "{line:?}");
    }
    for line in ["HTTP/1.1 101 ", "HTTP/1.1 101", "HTTP/1.1 101 \u{e9} x"] {
        assert!(client(&answer_with("HTTP", &[line])).is_ok(), "{line:?}");
    }
}

/// catalogue: HC-11 (the limits; the deadline is the driver's)
#[test]
fn head_of_the_answer_has_limits() {
    let padded = |bytes: usize| answer_and(&[&format!("X: {}", "a".repeat(bytes - head(ANSWER).len() - 5))]);
    assert!(client(&padded(16_384)).is_ok());
    assert_eq!(client_error(&padded(16_385)), ConnectError::Head(HeadError::HeadBytes { max: 16_384 }));
    let headers = |count: usize| answer_and(&vec!["a:"; count - 3]);
    assert!(client(&headers(100)).is_ok());
    for count in [101, 2_000] {
        assert_eq!(client_error(&headers(count)), ConnectError::Head(HeadError::Headers { max: 100 }));
    }
}

/// RFC 9112 §2.2, §5 · catalogue: HC-12
#[test]
fn malformed_heads_fail() {
    for (line, error) in [
        ("X: a\nY: b", HeadError::BareLf),
        ("X: a\r\n b", HeadError::Folded),
        ("X: a\0", HeadError::ValueByte(0)),
        ("X : a", HeadError::FieldName),
        ("X", HeadError::NoColon),
    ] {
        assert_eq!(client_error(&answer_and(&[line])), ConnectError::Head(error), "{line:?}");
    }
    assert_eq!(client_error(b"HTTP/1.1 101 X\n"), ConnectError::Head(HeadError::BareLf));
}

/// catalogue: HC-13 (the core's part)
#[test]
fn end_at_every_offset_of_the_answer_is_an_error() {
    let answer = head(ANSWER);
    for end in 0..answer.len() {
        let (_, mut handshake) = client_request().start(&Config::default(), KEY);
        assert!(handshake.receive(&answer[..end]).expect("sound so far").is_none());
        assert_eq!(handshake.receive_eof(), ConnectError::Closed);
        assert_eq!(handshake.receive_eof(), ConnectError::Closed);
        assert_eq!(handshake.receive(&answer[end..]).err(), Some(ConnectError::Closed));
    }
}

/// catalogue: HC-30, V-52
#[test]
fn application_cannot_set_what_the_handshake_sets_nor_split_a_request() {
    for name in
        ["Host", "Sec-WebSocket-Key", "sec-websocket-protocol", "Upgrade", "Connection", "Content-Length"]
    {
        assert!(matches!(client_request().header(name, "x"), Err(HeaderError::Reserved(_))), "{name}");
    }
    assert_eq!(client_request().header("x", "a\r\nb: c").err(), Some(HeaderError::InvalidValue));
    assert_eq!(client_request().origin("a\r\nb: c").err(), Some(HeaderError::InvalidValue));
    assert_eq!(client_request().header("a b", "x").err(), Some(HeaderError::InvalidName));
    let once = client_request().header("X-A", "1").expect("may be set");
    assert!(matches!(once.header("x-a", "2"), Err(HeaderError::Duplicate(_))));
    for bad in [&["a b"][..], &["a", "a"], &["a\r\nb"]] {
        assert!(client_request().subprotocols(bad.iter().copied()).is_err());
    }
}

/// RFC 6455 §3, §4.1 item 4 · catalogue: HC-31
#[test]
fn urls_become_the_right_request_line_and_host() {
    for (url, host, port, host_header, target) in [
        ("ws://h", "h", 80, "h", "/"),
        ("WS://H:80/", "h", 80, "h", "/"),
        ("ws://h:443/a?b", "h", 443, "h:443", "/a?b"),
        ("wss://h:443?b", "h", 443, "h", "/?b"),
        ("wss://h:80/%20", "h", 80, "h:80", "/%20"),
        ("ws://h/a%23b", "h", 80, "h", "/a%23b"),
        ("ws://[0::1]:9001/", "::1", 9001, "[::1]:9001", "/"),
        ("ws://u:p@h/x@y", "h", 80, "h", "/x@y"),
    ] {
        let url = Url::parse(url).expect(url);
        assert_eq!(
            (url.host(), url.port(), url.host_header().as_str(), url.target()),
            (host, port, host_header, target)
        );
        let (bytes, _) = ClientRequest::new(url).start(&Config::default(), KEY);
        assert!(bytes.starts_with(format!("GET {target} HTTP/1.1\r\nHost: {host_header}\r\n").as_bytes()));
        assert!(!String::from_utf8_lossy(&bytes).contains("uthorization"));
    }
    for (url, error) in [
        ("h", UrlError::Scheme),
        ("http://h", UrlError::Scheme),
        ("ws:/h", UrlError::Scheme),
        ("ws://", UrlError::Authority),
        ("ws:///x", UrlError::Authority),
        ("ws://:80", UrlError::Authority),
        ("ws://h:99999", UrlError::Authority),
        ("ws://h x/", UrlError::Authority),
        ("ws://b\u{fc}cher.example/", UrlError::Authority),
        ("ws://[fe80::1%25eth0]/", UrlError::Authority),
        ("ws://h/#", UrlError::Fragment),
        ("ws://h#f", UrlError::Fragment),
        ("ws://h/a b", UrlError::Target),
        ("ws://h/\u{e9}", UrlError::Target),
        ("ws://h/\r\nX: y", UrlError::Target),
        ("ws://h/ HTTP/1.1", UrlError::Target),
        ("ws://a b@h/", UrlError::UserInfo),
        ("ws://%zz@h/", UrlError::UserInfo),
        ("ws://a@b@h/", UrlError::UserInfo),
    ] {
        assert_eq!(Url::parse(url).err(), Some(error), "{url}");
    }
}

/// RFC 7617 §2 · catalogue: HC-31
#[test]
fn user_information_is_sent_only_when_asked_and_never_shown() {
    for (url, basic) in [("ws://u:p%40@h", "dTpwQA=="), ("ws://u@h", "dTo=")] {
        let request = ClientRequest::new(Url::parse(url).expect(url)).authorize_from_url().expect("once");
        let (bytes, _) = request.start(&Config::default(), KEY);
        assert!(String::from_utf8_lossy(&bytes).contains(&format!("\r\nauthorization: Basic {basic}\r\n")));
        assert!(!format!("{request:?}").contains("p%40") && !format!("{request:?}").contains(basic));
        assert!(matches!(request.authorize_from_url(), Err(HeaderError::Duplicate(_))));
    }
    assert!(client_request().authorize_from_url().is_ok());
}

/// RFC 6455 §4.1 item 7 · catalogue: HC-32
#[test]
fn keys_are_drawn_fresh() {
    let keys: HashSet<[u8; 16]> = (0..1000).map(|_| random_key().expect("randomness")).collect();
    assert_eq!(keys.len(), 1000);
    let ones: u32 = keys.iter().flatten().map(|byte| byte.count_ones()).sum();
    // 128 000 fair bits: six standard deviations are 1 073.
    assert!(ones.abs_diff(64_000) < 1_100, "{ones}");
}

/// RFC 6455 §4.1 · catalogue: HC-50, V-65
#[test]
fn frames_behind_the_101_are_left_to_the_connection() {
    let answer = head(ANSWER);
    for tail in [&b"\x81\x05hello"[..], b"\x81\x05he", &[0; 64 << 10], b"\x88\x02\x03\xe8"] {
        let used = client(&[&answer, tail].concat()).map(|(_, used)| used);
        assert_eq!(used, Ok(answer.len()));
    }
    let (established, _) = client(&answer_and(&["X-Node: 7"])).expect("sound");
    assert_eq!(established.headers()["x-node"], "7");
}

/// RFC 6455 §4.1 · catalogue: HC-51
#[test]
fn frame_before_the_101_fails_at_its_first_byte() {
    for byte in [0x81, 0x88, 0x00, b'\r', b'h'] {
        assert_eq!(client_error(&[byte]), ConnectError::Head(HeadError::FirstLine));
    }
}
