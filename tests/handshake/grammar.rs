//! Subprotocols and extensions, and the headers an application adds (catalogue §3.3).

use std::time::{Duration, Instant};

use framecast::handshake::{Endpoint, HeaderError, Refusal};
use framecast::proto::Config;
use http::StatusCode;

use crate::support::*;

fn speaking(subprotocols: &[&'static str]) -> Endpoint {
    Endpoint::new().subprotocols(subprotocols.iter().copied()).expect("tokens")
}

/// The lines of a 101 that name a subprotocol.
fn chosen(answer: Vec<u8>) -> Vec<String> {
    let text = String::from_utf8(answer).expect("ASCII");
    text.lines().filter(|line| line.starts_with("Sec-WebSocket-Protocol")).map(str::to_owned).collect()
}

/// RFC 6455 §4.2.2, §11.3.4 · catalogue: HS-60
#[test]
fn one_offered_subprotocol_is_chosen_by_the_servers_preference() {
    for lines in [
        &["Sec-WebSocket-Protocol: chat, superchat"][..],
        &["Sec-WebSocket-Protocol: chat", "sec-websocket-protocol:superchat"],
    ] {
        let answer = expect_of(&speaking(&["other", "superchat", "chat"]), &base_and(lines), 101);
        assert_eq!(chosen(answer), ["Sec-WebSocket-Protocol: superchat"]);
        assert_eq!(request(Endpoint::new(), &base_and(lines)).subprotocols(), ["chat", "superchat"]);
    }
}

/// RFC 6455 §4.2.2 · catalogue: HS-61
#[test]
fn no_common_subprotocol_means_none_or_a_400_as_the_endpoint_wants() {
    let offering = base_and(["Sec-WebSocket-Protocol: mqtt"]);
    for (endpoint, input) in
        [(speaking(&["chat"]), &offering), (speaking(&["chat"]), &head(BASE)), (Endpoint::new(), &offering)]
    {
        assert_eq!(expect_of(&endpoint, input, 101), SWITCHING);
        expect_of(&endpoint.subprotocol_required(), input, 400);
    }
    let response = request(Endpoint::new(), &offering).accept();
    assert!(response.clone().with_subprotocol(Some("chat")).is_err(), "the client did not offer it");
    let response = response.with_subprotocol(Some("mqtt")).expect("the client offered it");
    assert_eq!(chosen(response.encode()), ["Sec-WebSocket-Protocol: mqtt"]);
    assert_eq!(response.with_subprotocol(None).expect("none is always possible").encode(), SWITCHING);
    for bad in [&["a b"][..], &[""], &["a", "a"], &["a,b"]] {
        assert!(Endpoint::new().subprotocols(bad.iter().copied()).is_err());
    }
}

/// RFC 6455 §4.1 item 10, §4.3 · catalogue: HS-62
#[test]
fn malformed_subprotocol_lists_are_answered_with_400() {
    for value in
        [",", "", "chat, chat", "ch@t", "\"chat\"", "ch\u{e9}t", "a b", "chat;", ",,", "a,,,,,,,,,,b"]
    {
        expect(&base_and([format!("Sec-WebSocket-Protocol: {value}")]), 400);
    }
    expect(&base_and(["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"]), 400);
    for value in ["chat,,x", "chat,", ",,,,,,,,x", " , x"] {
        expect(&base_and([format!("Sec-WebSocket-Protocol: {value}")]), 101);
    }
    expect(&base_and([format!("Sec-WebSocket-Protocol: {}x", ",".repeat(9))]), 400);
}

/// RFC 6455 §4.2.2 · catalogue: HS-63
#[test]
fn subprotocols_are_matched_by_case() {
    let answer = expect_of(&speaking(&["chat"]), &base_and(["Sec-WebSocket-Protocol: Chat"]), 101);
    assert_eq!(answer, SWITCHING);
}

fn roomy() -> Config {
    Config::builder().head_bytes_max(8 << 20).headers_max(1000).build().expect("fits")
}

/// How long one whole delivery of the base request and `line` takes, and its status.
fn timed(line: String) -> (Duration, u16) {
    let (config, input) = (roomy(), base_and([line]));
    let start = Instant::now();
    let served = serve_pieces(&config, &Endpoint::new().into(), &[&input]);
    let took = start.elapsed();
    match served {
        Served::Request(..) => (took, 101),
        Served::Refused(error) => (took, error.status().as_u16()),
        Served::Waiting => panic!("the head is complete"),
    }
}

/// catalogue: HS-64
#[test]
fn ten_thousand_subprotocols_are_refused_in_linear_time() {
    let list = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>().join(", ");
    let (took, status) = timed(format!("Sec-WebSocket-Protocol: {}", list(10_000)));
    assert_eq!(status, 400);
    assert!(took < Duration::from_millis(100), "{took:?}");
    expect(&base_and([format!("Sec-WebSocket-Protocol: {}", list(128))]), 101);
    expect(&base_and([format!("Sec-WebSocket-Protocol: {}", list(129))]), 400);
}

/// RFC 6455 §9.1 · catalogue: HS-65, V-45
#[test]
fn malformed_extensions_are_answered_with_400_and_unknown_ones_ignored() {
    for value in [
        "permessage-deflate; ;",
        ";=",
        "foo; bar=",
        "foo; bar=\"a b\"",
        "foo; bar=\"un",
        ",",
        "",
        "foo;",
        "foo bar",
        "foo; =1",
        "foo; a=b=c",
        "\"foo\"",
        "foo; b=\"\"",
        "foo; b=\"\\",
        "f\u{e9}",
        "foo; b=\"\\\"\"",
        "foo; a b",
    ] {
        expect(&base_and([format!("Sec-WebSocket-Extensions: {value}")]), 400);
    }
    expect(&base_and(["Sec-WebSocket-Extensions: foo; a=\"\x01\""]), 400);
    for value in [
        "foo; b=\"\\x\"",
        "a;b=c;b=d",
        "\tfoo \t;\tbar\t=\tbaz\t,\tqux\t",
        "foo,,bar",
        "constructor",
        "a;b=\"c\"",
    ] {
        assert_eq!(
            expect(&base_and([format!("Sec-WebSocket-Extensions: {value}")]), 101),
            SWITCHING,
            "{value}"
        );
    }
}

/// catalogue: HS-66, V-45
#[test]
fn pathological_grammar_costs_linear_time() {
    let lists: [fn(usize) -> String; 7] = [
        |n| "a;".repeat(n / 2),
        |n| format!("a{}", ";a".repeat(n / 2)),
        |n| format!("a;b=\"{}", "\\\"".repeat(n / 2)),
        |n| format!("a;b=\"{}", "\\".repeat(n)),
        |n| format!("a{}b", " ".repeat(n)),
        |n| ",".repeat(n),
        |n| format!("a;b=\"{}\"", "\\a".repeat(n / 2)),
    ];
    for list in lists {
        for field in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade"] {
            // A thousandth of a second is for 16 KiB in a release build; here it is 4 MiB and maybe a debug build, where
            // anything quadratic would take hours.
            let (took, _) = timed(format!("{field}: {}", list(4 << 20)));
            assert!(took < Duration::from_secs(5), "{field} {took:?}");
        }
    }
}

/// RFC 6455 §9.1, RFC 7692 §5 · catalogue: HS-67
#[test]
fn offers_of_extensions_are_kept_in_order_for_whoever_negotiates() {
    let one = [
        "Sec-WebSocket-Extensions: foo, permessage-deflate; client_max_window_bits, permessage-deflate; x=\"1\"",
    ];
    let many = [
        "Sec-WebSocket-Extensions: foo",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Extensions: permessage-deflate; x=1",
    ];
    for lines in [&one[..], &many] {
        assert_eq!(answer(&base_and(lines)), SWITCHING, "compression is off");
        let request = request(Endpoint::new(), &base_and(lines));
        let offers: Vec<_> =
            request.extensions().iter().map(|offer| (offer.name.as_str(), offer.params.len())).collect();
        assert_eq!(offers, [("foo", 0), ("permessage-deflate", 1), ("permessage-deflate", 1)]);
        assert_eq!(request.extensions()[1].params[0], ("client_max_window_bits".to_owned(), None));
        assert_eq!(request.extensions()[2].params[0], ("x".to_owned(), Some("1".to_owned())));
    }
}

/// catalogue: HS-68, V-53
#[test]
fn application_cannot_set_what_the_handshake_sets_nor_split_a_response() {
    let response = request(Endpoint::new(), &head(BASE)).accept();
    let refusal = Refusal::new(StatusCode::FORBIDDEN);
    for name in [
        "Upgrade",
        "CONNECTION",
        "Sec-WebSocket-Accept",
        "sec-websocket-extensions",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Version",
        "Content-Length",
        "Transfer-Encoding",
        "Trailer",
        "TE",
        "Host",
    ] {
        assert!(matches!(response.clone().header(name, "x"), Err(HeaderError::Reserved(_))), "{name}");
        assert!(matches!(refusal.clone().header(name, "x"), Err(HeaderError::Reserved(_))), "{name}");
    }
    for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "\x7f"] {
        assert_eq!(response.clone().header("x", value).err(), Some(HeaderError::InvalidValue));
    }
    for name in ["", "a b", "a:b", "a\r\nb", "\u{e9}"] {
        assert_eq!(response.clone().header(name, "x").err(), Some(HeaderError::InvalidName));
    }
    let response =
        response.header("Set-Cookie", "a=1").and_then(|response| response.header("set-cookie", "b=2"));
    let wanted = [&SWITCHING[..SWITCHING.len() - 2], b"set-cookie: a=1\r\nset-cookie: b=2\r\n\r\n"].concat();
    assert_eq!(response.expect("may be set").encode(), wanted);
}
