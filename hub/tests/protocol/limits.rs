//! Rates: told before they are enforced, enforced on who does not heed.

use framecast::Message;
use framecast_hub::{Limits, Rate};

use crate::support::World;

const PING: &str = r#"{"type":"ping","id":1}"#;

#[test]
fn a_connection_has_its_burst_then_its_rate() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for _ in 0..200 {
        assert!(ada.asks(PING)[0].contains("pong"));
    }
    assert_eq!(
        ada.asks(PING),
        [r#"{"type":"error","id":1,"code":"rate_limited","message":"too fast","retry_after_ms":10}"#]
    );
    world.passes(9);
    assert_eq!(
        ada.asks(PING),
        [r#"{"type":"error","id":1,"code":"rate_limited","message":"too fast","retry_after_ms":1}"#]
    );
    world.passes(1);
    assert!(ada.asks(PING)[0].contains("pong"));
    assert!(ada.asks(PING)[0].contains("rate_limited"));
    // A connection that heeds what it is told goes on for ever.
    for _ in 0..1000 {
        world.passes(10);
        assert!(ada.asks(PING)[0].contains("pong"));
    }
}

#[test]
fn who_does_not_heed_it_is_closed_with_1008() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    let mut sent = 0;
    while ada.is_closed_with().is_none() {
        ada.says(PING);
        sent += 1;
        assert!(sent < 1000);
    }
    assert_eq!((sent, ada.is_closed_with()), (401, Some((1008, "rate limit ignored".to_owned()))));
    // What was told came first.
    assert_eq!(ada.hears().iter().filter(|heard| heard.contains("rate_limited")).count(), 200);
    assert_eq!(ada.asks(PING), [] as [&str; 0]);
}

#[test]
fn bytes_have_a_rate_too() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    let bytes = [&b"\x00\x01r"[..], &vec![0; (1 << 20) - 4096]].concat();
    for _ in 0..2 {
        ada.sends(Message::binary(bytes.clone()));
        assert_eq!(ada.hears(), [] as [&str; 0]);
    }
    ada.sends(Message::binary(bytes.clone()));
    let heard = ada.hears();
    assert!(
        heard[0].contains(r#""code":"rate_limited","message":"too fast","retry_after_ms":98"#),
        "{heard:?}"
    );
    world.passes(1_000);
    ada.sends(Message::binary(bytes));
    assert_eq!(ada.hears(), [] as [&str; 0]);
}

#[test]
fn each_request_of_a_batch_counts() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    let one = r#"{"jsonrpc":"2.0","method":"presence","params":{"room":"r"},"id":1}"#;
    let batch = format!("[{}]", vec![one; 100].join(","));
    for _ in 0..2 {
        assert!(ada.asks(&batch)[0].starts_with(r#"[{"jsonrpc":"2.0","result""#));
    }
    let heard = ada.asks(&batch);
    assert_eq!(
        heard,
        [
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"too fast","data":{"code":"rate_limited","retry_after_ms":1000}},"id":null}"#
        ]
    );
    assert_eq!(
        ada.asks(one),
        [
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"too fast","data":{"code":"rate_limited","retry_after_ms":10}},"id":1}"#
        ]
    );
    let long = format!("[{}]", vec![one; 101].join(","));
    world.passes(2_000);
    assert_eq!(
        ada.asks(&long),
        [
            r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"more than 100 requests in a batch","data":{"code":"too_large"}},"id":null}"#
        ]
    );
}

#[test]
fn who_insists_on_what_makes_no_sense_is_closed_with_1008() {
    let mut limits = Limits::default();
    limits.misuses = Rate { per_second: 1, burst: 5 };
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").greeted();
    for _ in 0..5 {
        assert!(ada.asks(r#"{"type":"dance"}"#)[0].contains("unknown_type"));
    }
    // Other errors are nobody's fault.
    assert!(ada.asks(r#"{"type":"unsubscribe","room":"r"}"#)[0].contains("not_subscribed"));
    ada.says("nonsense");
    assert_eq!(ada.is_closed_with(), Some((1008, "too much that makes no sense".to_owned())));
}

/// catalogue: DS-30
#[test]
fn who_does_not_read_what_it_is_sent_directly_is_closed_with_4008() {
    use framecast::broadcast::Local;
    use framecast_hub::{Secret, Visitor};
    let world = World::with_tokens(|hub| hub);
    let visitor = Visitor { token: Some(Secret::new("bob-token")), ..Visitor::default() };
    let bob = world.visit_by(visitor, Local::with_bounds(world.hub.topics(), 3, 1 << 20)).greeted();
    let ada = world.user("ada");
    bob.local.hold(true);
    for _ in 0..4 {
        ada.says(r#"{"type":"direct","to":"bob","payload":1}"#);
    }
    assert_eq!(bob.is_closed_with(), Some((4008, "too slow a reader".to_owned())));
}
