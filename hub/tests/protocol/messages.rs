//! `message` and its `ack`: the payload untouched, echoes, ids that come twice.

use framecast_hub::{Denied, Incoming, Visitor};

use crate::support::World;

#[test]
fn a_message_reaches_all_and_its_sender_with_the_payload_untouched() {
    let world = World::with_tokens(|hub| hub);
    let (ada, bob) = (world.user("ada").inside(&["r"]), world.user_as("bob", "bob-1").inside(&["r"]));
    ada.hears();
    for payload in [
        r#"{"b":1.0,"a":12345678901234567890.10,"b":1e400, "z" : [ ] }"#,
        "null",
        "-0",
        r#""\u0041\ud83c\udf88 é \/""#,
        "[\n 1 ,\t2 ]",
        "true",
    ] {
        let said = format!(r#"{{"payload":{payload},"id":"m-1","type":"message","room":"r","extra":[1]}}"#);
        let offset = world.hub.topics().position("r").map_or(0, |position| position.offset) + 1;
        let message = format!(
            r#"{{"type":"message","room":"r","payload":{payload},"user_id":"ada","client_id":"ada","epoch":7,"offset":{offset},"ts":{}}}"#,
            1_730_000_000_123 + 200_000 * (offset - 1)
        );
        ada.says(&said);
        assert_eq!(bob.hears().concat(), message);
        let mut heard = ada.hears();
        heard.sort_by_key(|heard| heard.contains("ack"));
        assert_eq!(heard, [message, format!(r#"{{"type":"ack","id":"m-1","offset":{offset}}}"#)]);
        world.passes(200_000);
    }
}

#[test]
fn without_an_id_there_is_no_ack_and_without_echo_no_copy() {
    let world = World::new();
    let (ada, bob) = (world.anonymous("ada"), world.anonymous("bob"));
    ada.hears();
    ada.says(r#"{"type":"subscribe","room":"r"}"#).hears();
    bob.says(r#"{"type":"subscribe","room":"r"}"#).hears();
    assert_eq!(ada.asks(r#"{"type":"message","room":"r","payload":1,"echo":false}"#), [] as [&str; 0]);
    assert_eq!(bob.hears().len(), 1);
    assert_eq!(ada.asks(r#"{"type":"message","room":"r","payload":1,"echo":true}"#).len(), 1);
}

#[test]
fn nobody_has_to_be_subscribed_to_publish() {
    let world = World::new();
    let ada = world.anonymous("ada");
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"message","id":5,"room":"empty","payload":1}"#),
        [r#"{"type":"ack","id":5,"offset":1}"#]
    );
}

#[test]
fn an_id_that_comes_twice_is_acked_twice_and_delivered_once() {
    let world = World::with_tokens(|hub| hub);
    let bob = world.user("bob").inside(&["r"]);
    let ada = world.user_as("ada", "phone");
    let said = r#"{"type":"message","id":"m1","room":"r","payload":1}"#;
    let acked = [r#"{"type":"ack","id":"m1","offset":1}"#];
    assert_eq!(ada.asks(said), acked);
    assert_eq!(
        ada.asks(r#"{"type":"message","id":"\u006d1","room":"r","payload":2}"#),
        [r#"{"type":"ack","id":"\u006d1","offset":1}"#]
    );
    // After the connection was lost, too: nobody else knows whether it came through.
    ada.hangs_up();
    let again = world.user_as("ada", "phone");
    assert_eq!(again.asks(said), acked);
    assert_eq!(bob.hears().len(), 1);
    // It is this client's id, and nobody else's;
    let other = world.user_as("ada", "laptop");
    assert_eq!(other.asks(said), [r#"{"type":"ack","id":"m1","offset":2}"#]);
    // and only for a while.
    world.passes(120_000);
    assert_eq!(again.asks(said), [r#"{"type":"ack","id":"m1","offset":3}"#]);
    assert_eq!(again.asks(&said.replace("\"m1\"", "1")), [r#"{"type":"ack","id":1,"offset":4}"#]);
}

#[test]
fn what_was_refused_may_be_sent_again_by_its_id() {
    let world = World::with(|hub| {
        hub.on_message(|context, incoming| match incoming {
            Incoming::Message { room, payload } if payload.get().contains("damn") => {
                Err(Denied::new(format!("{} mind your language in {room}", context.client_id())))
            }
            _ => Ok(()),
        })
    });
    let ada = world.anonymous("ada");
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"message","id":1,"room":"r","payload":"damn"}"#),
        [r#"{"type":"error","id":1,"code":"forbidden","message":"ada mind your language in r"}"#]
    );
    assert_eq!(
        ada.asks(r#"{"type":"message","id":1,"room":"r","payload":"darn"}"#),
        [r#"{"type":"ack","id":1,"offset":1}"#]
    );
}

#[test]
fn names_are_quoted_as_json_wants_it() {
    let world = World::new();
    let visitor = Visitor { client_id: Some(r#"a"b\c"#.to_owned()), ..Visitor::default() };
    let ada = world.visit(visitor);
    assert!(ada.hears()[0].contains(r#""client_id":"a\"b\\c""#));
    ada.says(r#"{"type":"subscribe","room":"\"}\\é"}"#).hears();
    let heard = ada.asks(r#"{"type":"message","room":"\"}\\\u00e9","payload":1}"#);
    assert!(heard[0].starts_with(
        r#"{"type":"message","room":"\"}\\é","payload":1,"user_id":null,"client_id":"a\"b\\c","#
    ));
}

#[test]
fn everybody_who_is_known_gets_what_is_for_all() {
    let world = World::with_tokens(|hub| hub);
    let ada = world.user("ada");
    let unknown = world.anonymous("eve");
    unknown.hears();
    let payload = serde_json::value::RawValue::from_string("{\"down\": 5}".to_owned()).expect("it is JSON");
    let mut broadcast = std::pin::pin!(world.hub.broadcast(&payload));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(broadcast.as_mut().poll(&mut context).is_pending(), "nobody has had a turn to take it");
    assert_eq!(ada.hears(), [r#"{"type":"broadcast","payload":{"down": 5},"ts":1730000000123}"#]);
    assert_eq!(unknown.hears(), [] as [&str; 0]);
    assert!(broadcast.poll(&mut context).is_ready());
    assert_eq!(world.hub.stats().messages_out, 1);
}
