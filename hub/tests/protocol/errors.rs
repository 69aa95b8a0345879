//! `error`, code by code; the connection stays.

use crate::support::World;

#[test]
fn each_code_is_told_with_the_id_and_nothing_ends() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    let long = "x".repeat(256);
    let big =
        format!(r#"{{"type":"message","id":1,"room":"r","payload":"{}"}}"#, "x".repeat((1 << 20) - 2048));
    for (said, error) in [
        ("{", r#""id":null,"code":"bad_json","message":"not JSON at line 1, column 1"#),
        ("", r#""id":null,"code":"bad_json","#),
        (r#"{"type":"ping"} x"#, r#""id":null,"code":"bad_json","#),
        (r#"{'type':'ping'}"#, r#""id":null,"code":"bad_json","#),
        ("\u{feff}{}", r#""id":null,"code":"bad_json","#),
        ("7", r#""id":null,"code":"bad_request","#),
        (r#""ping""#, r#""id":null,"code":"bad_request","#),
        ("null", r#""id":null,"code":"bad_request","#),
        (r#"{"id":1}"#, r#""id":1,"code":"bad_request","message":"`type` is missing""#),
        (r#"{"id":1,"type":7}"#, r#""id":1,"code":"bad_request","message":"`type` is not a string""#),
        (r#"{"id":1,"type":"dance"}"#, r#""id":1,"code":"unknown_type","message":"no such type""#),
        (r#"{"id":1,"type":"Ping"}"#, r#""id":1,"code":"unknown_type","#),
        (r#"{"id":1.5,"type":"ping"}"#, r#""id":null,"code":"bad_request","message":"`id` is neither"#),
        (r#"{"id":1,"type":"subscribe"}"#, r#""id":1,"code":"bad_request","message":"`room` is missing""#),
        (
            r#"{"id":1,"type":"subscribe","room":null}"#,
            r#""id":1,"code":"bad_request","message":"`room` is missing""#,
        ),
        (
            r#"{"id":1,"type":"subscribe","room":["r"]}"#,
            r#""id":1,"code":"bad_request","message":"`room` is not a string""#,
        ),
        (
            r#"{"id":1,"type":"subscribe","room":""}"#,
            r#""id":1,"code":"bad_request","message":"the room has no name""#,
        ),
        (
            r#"{"id":1,"type":"subscribe","room":"a\nb"}"#,
            r#""id":1,"code":"bad_request","message":"control character at byte 1"#,
        ),
        (r#"{"id":1,"type":"subscribe","room":"\u0001r"}"#, r#""id":1,"code":"bad_request","#),
        (r#"{"id":1,"type":"subscribe","room":"\ud800"}"#, r#""id":1,"code":"bad_request","#),
        (
            &format!(r#"{{"id":1,"type":"subscribe","room":"{long}"}}"#),
            r#""id":1,"code":"bad_request","message":"a room's name of 256 bytes is above 255""#,
        ),
        (
            r#"{"id":1,"type":"subscribe","room":"r","policy":"wish"}"#,
            r#""id":1,"code":"bad_request","message":"`policy` is none of"#,
        ),
        (r#"{"id":1,"type":"subscribe","room":"r","policy":1}"#, r#""id":1,"code":"bad_request","#),
        (
            r#"{"id":1,"type":"subscribe","room":"r","max_rate":0}"#,
            r#""id":1,"code":"bad_request","message":"`max_rate`"#,
        ),
        (r#"{"id":1,"type":"subscribe","room":"r","max_rate":-1e309}"#, r#""id":1,"code":"bad_request","#),
        (
            r#"{"id":1,"type":"subscribe","room":"r","since":5}"#,
            r#""id":1,"code":"bad_request","message":"`since` is not {epoch, offset}""#,
        ),
        (
            r#"{"id":1,"type":"subscribe","room":"r","since":{"epoch":1,"offset":-1}}"#,
            r#""id":1,"code":"bad_request","#,
        ),
        (
            r#"{"id":1,"type":"subscribe","room":"r","presence":"yes"}"#,
            r#""id":1,"code":"bad_request","message":"`presence` is not a boolean""#,
        ),
        (
            r#"{"id":1,"type":"unsubscribe","room":"r"}"#,
            r#""id":1,"code":"not_subscribed","message":"not subscribed to this room""#,
        ),
        (
            r#"{"id":1,"type":"message","room":"r"}"#,
            r#""id":1,"code":"bad_request","message":"`payload` is missing""#,
        ),
        (
            r#"{"id":1,"type":"message","room":"a:*","payload":1}"#,
            r#""id":1,"code":"bad_request","message":"a wildcard is for subscribers only""#,
        ),
        (r#"{"id":1,"type":"message","room":"r","payload":1,"echo":0}"#, r#""id":1,"code":"bad_request","#),
        (
            &format!(r#"{{"id":1,"type":"message","room":"r","payload":1,"key":"{long}"}}"#),
            r#""id":1,"code":"bad_request","message":"`key` is longer than 255 bytes""#,
        ),
        (&big, r#""id":1,"code":"too_large","message":"a payload of 1046530 bytes is above 1046528""#),
        (
            r#"{"id":1,"type":"direct","payload":1}"#,
            r#""id":1,"code":"bad_request","message":"`to` is missing""#,
        ),
        (
            r#"{"id":1,"type":"direct","to":"x"}"#,
            r#""id":1,"code":"bad_request","message":"`payload` is missing""#,
        ),
        (r#"{"id":1,"type":"presence","room":"a:*"}"#, r#""id":1,"code":"bad_request","#),
        (
            r#"{"id":1,"type":"history","room":"r","limit":-1}"#,
            r#""id":1,"code":"bad_request","message":"`limit` is not a whole number""#,
        ),
        (r#"{"id":1,"type":"auth"}"#, r#""id":1,"code":"bad_request","message":"`token` is missing""#),
        (
            r#"{"id":1,"type":"auth","token":"x"}"#,
            r#""id":1,"code":"unauthorized","message":"the token is not known""#,
        ),
    ] {
        let heard = ada.asks(said);
        let expected = format!(r#"{{"type":"error",{error}"#);
        assert!(heard.len() == 1 && heard[0].starts_with(&expected), "{said:.80}: {heard:?}");
    }
    assert_eq!(
        ada.asks(r#"{"type":"ping","id":"still"}"#),
        [r#"{"type":"pong","id":"still","ts":1730000000123}"#]
    );
    assert!(world.hub.topics().is_empty());
}
