//! `direct`, its `ack`, and receipts: resent after 5 s, twice, then told.

use framecast_hub::Limits;
use serde_json::value::RawValue;

use crate::support::World;

/// The hub's own id of a message.
fn hub_id(direct: &str) -> &str {
    let (_, rest) = direct.split_once(r#""id":""#).expect("it has an id");
    rest.split('"').next().expect("there is something")
}

#[test]
fn a_direct_message_reaches_every_connection_of_a_user() {
    let world = World::with_tokens(|hub| hub);
    let (ada, phone, laptop) =
        (world.user("ada"), world.user_as("bob", "phone"), world.user_as("bob", "laptop"));
    assert_eq!(
        ada.asks(r#"{"type":"direct","id":"d1","to":"bob","payload":{"n": 1}}"#),
        [r#"{"type":"ack","id":"d1","recipients":2}"#]
    );
    let direct =
        r#"{"type":"direct","id":"d-00000001-1","user_id":"ada","payload":{"n": 1},"ts":1730000000123}"#;
    for peer in [&phone, &laptop] {
        assert_eq!(peer.hears(), [direct]);
    }
    assert_eq!(
        ada.asks(r#"{"type":"direct","id":"d1","to":"bob","payload":{"n": 1}}"#),
        [r#"{"type":"ack","id":"d1","recipients":2}"#]
    );
    assert_eq!(phone.hears(), [] as [&str; 0], "it is delivered once");
    assert_eq!(
        ada.asks(r#"{"type":"direct","id":2,"to":"nobody","payload":1}"#),
        [r#"{"type":"ack","id":2,"recipients":0}"#]
    );
    assert_eq!(ada.asks(r#"{"type":"direct","to":"bob","payload":1}"#), [] as [&str; 0]);
}

#[test]
fn a_receipt_comes_when_all_have_acked() {
    let world = World::with_tokens(|hub| hub);
    let (ada, phone, laptop) =
        (world.user("ada"), world.user_as("bob", "phone"), world.user_as("bob", "laptop"));
    assert_eq!(
        ada.asks(r#"{"type":"direct","id":"d1","to":"bob","payload":1,"receipt":true}"#),
        [r#"{"type":"ack","id":"d1","recipients":2}"#]
    );
    let heard = phone.hears();
    assert_eq!(
        heard,
        [
            r#"{"type":"direct","id":"d-00000001-1","user_id":"ada","payload":1,"receipt":true,"ts":1730000000123}"#
        ]
    );
    let ack = format!(r#"{{"type":"ack","id":"{}"}}"#, hub_id(&heard[0]));
    assert_eq!(phone.asks(&ack), [] as [&str; 0]);
    phone.says(&ack);
    assert_eq!(ada.hears(), [] as [&str; 0], "twice by one is not by two");
    laptop.says(&ack);
    assert_eq!(ada.hears(), [r#"{"type":"receipt","id":"d1","acked":2,"of":2}"#]);
    world.passes(60_000);
    assert_eq!(ada.wakes().hears(), [] as [&str; 0]);
    assert_eq!(phone.hears(), [] as [&str; 0]);
}

#[test]
fn who_does_not_ack_is_sent_it_again_twice() {
    let world = World::with_tokens(|hub| hub);
    let (ada, phone, laptop) =
        (world.user("ada"), world.user_as("bob", "phone"), world.user_as("bob", "laptop"));
    ada.says(r#"{"type":"direct","id":"d1","to":"bob","payload":1,"receipt":true}"#).hears();
    let id = hub_id(&phone.hears()[0]).to_owned();
    phone.says(&format!(r#"{{"type":"ack","id":"{id}"}}"#));
    laptop.hears();
    for _ in 0..2 {
        world.passes(4_999);
        assert_eq!((ada.wakes().hears().len(), laptop.hears().len()), (0, 0));
        world.passes(1);
        assert_eq!(ada.session.borrow().poll_timeout(), Some(world.now()));
        ada.wakes();
        assert_eq!(laptop.hears().len(), 1, "once more");
        assert_eq!((ada.hears().len(), phone.hears().len()), (0, 0));
    }
    world.passes(5_000);
    assert_eq!(ada.wakes().hears(), [r#"{"type":"receipt","id":"d1","acked":1,"of":2}"#]);
    assert_eq!(laptop.hears(), [] as [&str; 0]);
    laptop.says(&format!(r#"{{"type":"ack","id":"{id}"}}"#));
    assert_eq!(ada.hears(), [] as [&str; 0], "it is too late");
}

#[test]
fn nobody_waits_for_those_who_are_gone() {
    let world = World::with_tokens(|hub| hub);
    let (ada, bob) = (world.user("ada"), world.user("bob"));
    ada.says(r#"{"type":"direct","id":"d1","to":"bob","payload":1,"receipt":true}"#).hears();
    bob.hangs_up();
    world.passes(5_000);
    assert_eq!(ada.wakes().hears(), [r#"{"type":"receipt","id":"d1","acked":0,"of":1}"#]);
    assert_eq!(
        ada.asks(r#"{"type":"direct","id":"d2","to":"bob","payload":1,"receipt":true}"#),
        [r#"{"type":"ack","id":"d2","recipients":0}"#, r#"{"type":"receipt","id":"d2","acked":0,"of":0}"#,]
    );
}

#[test]
fn a_receipt_needs_an_id() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    assert_eq!(
        ada.asks(r#"{"type":"direct","to":"bob","payload":1,"receipt":true}"#),
        [r#"{"type":"error","id":null,"code":"bad_request","message":"a receipt needs an `id`"}"#]
    );
}

#[test]
fn an_ack_of_nothing_is_nothing() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for id in ["", "d-00000001-9", "d-00000001-", "d-00000001-99999999999999999999999", "x"] {
        assert_eq!(ada.asks(&format!(r#"{{"type":"ack","id":"{id}"}}"#)), [] as [&str; 0]);
    }
    assert!(ada.asks(r#"{"type":"ack"}"#)[0].contains("bad_request"));
    assert_eq!(ada.asks(r#"{"type":"pong"}"#), [] as [&str; 0]);
}

#[test]
fn the_server_sends_to_users_as_well() {
    let world = World::with_tokens(|hub| hub);
    let ada = world.user("ada");
    let payload = RawValue::from_string("[1]".to_owned()).expect("it is JSON");
    assert_eq!(world.hub.direct("ada", &payload), 1);
    assert_eq!(
        ada.hears(),
        [r#"{"type":"direct","id":"d-00000001-1","user_id":null,"payload":[1],"ts":1730000000123}"#]
    );
    assert_eq!(world.hub.direct("bob", &payload), 0);
}

#[test]
fn times_are_options() {
    let mut limits = Limits::default();
    limits.receipt_resends = 0;
    limits.receipt_after = std::time::Duration::from_millis(10);
    let world = World::with_tokens(|hub| hub.limits(limits));
    let (ada, _bob) = (world.user("ada"), world.user("bob"));
    ada.says(r#"{"type":"direct","id":1,"to":"bob","payload":1,"receipt":true}"#).hears();
    world.passes(10);
    assert_eq!(ada.wakes().hears(), [r#"{"type":"receipt","id":1,"acked":0,"of":1}"#]);
}
