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
    assert_eq!(world.hub.counts().get("closes", Some("too_slow")), Some(1));
}

fn user_limits(user_messages: Rate) -> Limits {
    let mut limits = Limits::default();
    limits.user_messages = user_messages;
    limits
}

#[test]
fn a_users_connections_share_a_rate() {
    let limits = user_limits(Rate { per_second: 10, burst: 6 });
    let world = World::with_tokens(|hub| hub.limits(limits));
    let (phone, laptop) = (world.user_as("ada", "phone"), world.user_as("ada", "laptop"));
    let bob = world.user("bob");
    for _ in 0..3 {
        assert!(phone.asks(PING)[0].contains("pong") && laptop.asks(PING)[0].contains("pong"));
    }
    for peer in [&phone, &laptop] {
        assert_eq!(
            peer.asks(PING),
            [r#"{"type":"error","id":1,"code":"rate_limited","message":"too fast","retry_after_ms":100}"#]
        );
    }
    assert!(bob.asks(PING)[0].contains("pong"), "it is not another user's");
    world.passes(100);
    assert!(phone.asks(PING)[0].contains("pong"));
    assert!(laptop.asks(PING)[0].contains("rate_limited"));
}

#[test]
fn a_users_bytes_are_counted_too() {
    let mut limits = Limits::default();
    limits.user_bytes = Rate { per_second: 1000, burst: 1000 };
    let world = World::with_tokens(|hub| hub.limits(limits));
    let (phone, laptop) = (world.user_as("ada", "phone"), world.user_as("ada", "laptop"));
    phone.sends(Message::binary([&b"\x00\x01r"[..], &[0; 897]].concat()));
    assert_eq!(phone.hears(), [] as [&str; 0]);
    laptop.sends(Message::binary([&b"\x00\x01r"[..], &[0; 197]].concat()));
    assert_eq!(
        laptop.hears(),
        [r#"{"type":"error","id":null,"code":"rate_limited","message":"too fast","retry_after_ms":100}"#]
    );
}

#[test]
fn who_does_not_heed_its_users_rate_is_closed_alone() {
    let limits = user_limits(Rate { per_second: 1, burst: 1 });
    let world = World::with_tokens(|hub| hub.limits(limits));
    let (phone, laptop) = (world.user_as("ada", "phone"), world.user_as("ada", "laptop"));
    // One is answered, and as many are refused as a connection may have refused.
    for _ in 0..201 {
        phone.says(PING);
        assert_eq!(phone.is_closed_with(), None);
    }
    phone.says(PING);
    assert_eq!(phone.is_closed_with(), Some((1008, "rate limit ignored".to_owned())));
    assert!(laptop.asks(PING)[0].contains("rate_limited"));
    assert_eq!(laptop.is_closed_with(), None);
}

/// catalogue: DS-40
#[test]
fn to_connect_again_is_no_way_to_a_new_burst() {
    let limits = user_limits(Rate { per_second: 1, burst: 10 });
    let world = World::with_tokens(|hub| hub.limits(limits));
    let first = world.user_as("ada", "phone");
    for _ in 0..10 {
        assert!(first.asks(PING)[0].contains("pong"));
    }
    first.hangs_up();
    let second = world.user_as("ada", "phone");
    assert!(second.asks(PING)[0].contains("rate_limited"));
    world.passes(1_000);
    assert!(second.asks(PING)[0].contains("pong"));
    second.hangs_up();
    world.passes(10_000);
    // Whoever comes next has the old ones forgotten.
    world.user("bob");
    let third = world.user_as("ada", "phone");
    for _ in 0..10 {
        assert!(third.asks(PING)[0].contains("pong"));
    }
    assert!(third.asks(PING)[0].contains("rate_limited"));
}

#[test]
fn who_says_later_who_it_is_counts_with_its_user() {
    let limits = user_limits(Rate { per_second: 1, burst: 2 });
    let world = World::with_tokens(|hub| hub.limits(limits).allow_anonymous(true));
    let ada = world.anonymous("phone").greeted();
    for _ in 0..5 {
        assert!(ada.asks(PING)[0].contains("pong"), "nobody's connection has its own rate alone");
    }
    ada.asks(r#"{"type":"auth","token":"ada-token"}"#);
    assert!(ada.asks(PING)[0].contains("pong") && ada.asks(PING)[0].contains("pong"));
    assert!(ada.asks(PING)[0].contains("rate_limited"));
}

/// catalogue: DS-40
#[test]
fn a_user_has_so_many_connections_and_one_more_is_to_come_back_later() {
    let mut limits = Limits::default();
    limits.connections_per_user_max = 2;
    let world = World::with_tokens(|hub| hub.limits(limits).allow_anonymous(true));
    let first = world.user_as("ada", "phone");
    let _second = world.user_as("ada", "laptop");
    let too_many = Some((1013, "too many connections of this user".to_owned()));
    let third = world.with_token("ada-token", "tablet");
    assert_eq!((third.hears().len(), third.is_closed_with()), (0, too_many.clone()));
    // Its name is not taken by that, nor another user's room.
    let bob = world.user_as("bob", "tablet");
    // By a first message it is the same, and who is nobody stays nobody.
    let late = world.with_token("wrong", "late").greeted();
    late.says(r#"{"type":"auth","token":"ada-token"}"#);
    assert_eq!(late.is_closed_with(), too_many);
    let nobody = world.anonymous("nobody").greeted();
    assert_eq!(
        nobody.asks(r#"{"type":"auth","id":1,"token":"ada-token"}"#),
        [r#"{"type":"error","id":1,"code":"unavailable","message":"too many connections of this user"}"#]
    );
    assert_eq!(
        (
            nobody.is_closed_with(),
            nobody.session.borrow().context().and_then(|who| who.user_id().map(str::to_owned))
        ),
        (None, None)
    );
    // Who connects again takes its own place; who leaves makes room.
    let again = world.user_as("ada", "phone");
    assert_eq!(first.is_closed_with().map(|(code, _)| code), Some(4009));
    again.hangs_up();
    assert_eq!(world.with_token("ada-token", "tablet2").is_closed_with(), None);
    assert_eq!(bob.is_closed_with(), None);
}

/// catalogue: DS-45
#[test]
fn a_room_has_a_rate_of_all_who_publish_to_it() {
    let mut limits = Limits::default();
    limits.room_messages = Some(Rate { per_second: 10, burst: 2 });
    let world = World::with_tokens(|hub| hub.limits(limits));
    let (ada, bob) = (world.user("ada").inside(&["r"]), world.user("bob"));
    let says = |id: u32, room: &str| format!(r#"{{"type":"message","id":{id},"room":"{room}","payload":1}}"#);
    assert!(ada.asks(&says(1, "r")).concat().contains(r#"{"type":"ack","id":1,"offset":1}"#));
    assert_eq!(bob.asks(&says(1, "r")), [r#"{"type":"ack","id":1,"offset":2}"#]);
    let refused =
        r#"{"type":"error","id":2,"code":"rate_limited","message":"too fast","retry_after_ms":100}"#;
    assert_eq!(bob.asks(&says(2, "r")), [refused]);
    bob.sends(Message::binary(&b"\x00\x01rx"[..]));
    assert!(bob.hears()[0].contains(r#""id":null,"code":"rate_limited""#));
    assert_eq!(
        bob.asks(r#"{"jsonrpc":"2.0","method":"publish","params":{"room":"r","payload":1},"id":3}"#),
        [
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"too fast","data":{"code":"rate_limited","retry_after_ms":100}},"id":3}"#
        ]
    );
    // What was acknowledged is acknowledged again, whatever the rate; the server's own is not counted.
    assert_eq!(bob.asks(&says(1, "r")), [r#"{"type":"ack","id":1,"offset":2}"#]);
    assert_eq!(bob.asks(&says(9, "other")), [r#"{"type":"ack","id":9,"offset":1}"#]);
    let payload = serde_json::value::RawValue::from_string("1".to_owned()).expect("it is JSON");
    world.hub.publish("r", payload, None).expect("it is the server's");
    world.passes(100);
    assert_eq!(bob.asks(&says(2, "r")), [r#"{"type":"ack","id":2,"offset":4}"#], "it was not sent before");
    // Nobody is closed for a busy room, however often it asks.
    for id in 10..110 {
        assert!(bob.asks(&says(id, "r"))[0].contains("rate_limited"));
    }
    assert_eq!(bob.is_closed_with(), None);
}

/// The application may keep what it is asked about: it is asked once about what is published once.
#[test]
fn the_application_is_not_asked_about_what_is_not_published() {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };
    let (asked, count) = (Arc::new(AtomicU32::new(0)), |asked: &AtomicU32| asked.load(Ordering::SeqCst));
    let mut limits = Limits::default();
    limits.room_messages = Some(Rate { per_second: 1, burst: 1 });
    let world = World::with(|hub| {
        let asked = asked.clone();
        hub.limits(limits).on_message(move |_, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    });
    let ada = world.anonymous("ada").greeted();
    let once = r#"{"type":"message","id":1,"room":"r","payload":1}"#;
    assert_eq!(ada.asks(once), ada.asks(once));
    assert!(ada.asks(r#"{"type":"message","id":2,"room":"r","payload":1}"#)[0].contains("rate_limited"));
    assert_eq!(count(&asked), 1);
    let direct = r#"{"type":"direct","id":3,"to":"bob","payload":1}"#;
    assert_eq!(ada.asks(direct), ada.asks(direct));
    assert_eq!(count(&asked), 2);
}
