//! What stands behind a head (catalogue §3.4, as far as it needs no socket).

use framecast::handshake::Endpoint;
use framecast::proto::Config;

use crate::support::*;

/// Every delivery finds the end of the head at the same byte of the whole.
#[track_caller]
fn assert_head_ends(input: &[u8], wanted: usize) {
    for pieces in deliveries(input) {
        match serve_pieces(&Config::default(), &Endpoint::new().into(), &pieces) {
            Served::Request(_, used) => assert_eq!(used, wanted),
            other => panic!("{other:?}"),
        }
    }
}

/// RFC 6455 §4.1 · catalogue: HS-75, V-65
#[test]
fn frames_behind_the_head_are_left_to_the_connection() {
    let base = head(BASE);
    let frame = [0x81, 0x85, 1, 2, 3, 4, b'h' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1];
    assert_head_ends(&base, base.len());
    assert_head_ends(&[&base[..], &frame].concat(), base.len());
    assert_head_ends(&[&base[..], &frame[..5]].concat(), base.len());
    assert_head_ends(&[&base[..], &frame.repeat(6000)].concat(), base.len());
    // They do not count to the head's limits.
    let full = base_and([format!("X: {}", "a".repeat(16_384 - base.len() - 5))]);
    assert_head_ends(&[&full[..], &frame].concat(), 16_384);
}

/// catalogue: HS-76
#[test]
fn rubbish_behind_the_head_is_left_to_the_connection() {
    let base = head(BASE);
    assert_head_ends(&[&base[..], b"\r\n\r\nGET /admin HTTP/1.1\r\n\r\n\0\xff"].concat(), base.len());
}

/// catalogue: HS-70, HS-71, HS-72, V-48, V-67 (the bytes; that the socket closes is the driver's)
#[test]
fn nothing_behind_a_refused_head_is_answered() {
    let version = base_with("Sec-WebSocket-Version", ["Sec-WebSocket-Version: 1"]);
    expect(&[&version[..], b"GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"].concat(), 426);
    expect(&[&version[..], &head(BASE)].concat(), 426);
    let post = base_with("GET", ["POST /ws HTTP/1.1", "Content-Length: 36"]);
    expect(&[&post[..], b"GET /admin HTTP/1.1\r\nHost: admin\r\n\r\n"].concat(), 405);
}
