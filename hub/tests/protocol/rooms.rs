//! `subscribe`, `unsubscribe`, `presence`, `history`, `join`, `leave`, `gap`; rights to rooms.

use std::sync::Arc;

use framecast::broadcast::Local;
use framecast_hub::{Action, CloseCode, Denied, Limits, Patterns, Rights, Visitor};
use serde_json::value::RawValue;

use crate::support::World;

#[test]
fn a_subscription_is_answered_with_the_rooms_place() {
    let world = World::new();
    let (ada, bob) = (world.anonymous("ada"), world.anonymous("bob").inside(&["match:42"]));
    ada.hears();
    bob.says(r#"{"type":"message","room":"match:42","payload":1}"#);
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":"s1","room":"match:42"}"#),
        [
            r#"{"type":"subscribed","id":"s1","room":"match:42","members":2,"epoch":7,"offset":1,"recovered":false}"#
        ]
    );
    // catalogue: ZC-30
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":2,"room":"match:42"}"#),
        [
            r#"{"type":"subscribed","id":2,"room":"match:42","members":2,"epoch":7,"offset":1,"recovered":false}"#
        ]
    );
    assert_eq!(
        ada.asks(r#"{"type":"unsubscribe","id":3,"room":"match:42"}"#),
        [r#"{"type":"unsubscribed","id":3,"room":"match:42"}"#]
    );
    bob.says(r#"{"type":"message","room":"match:42","payload":2}"#);
    assert_eq!(ada.hears(), [] as [&str; 0]);
}

#[test]
fn what_was_missed_follows_the_answer_and_comes_before_what_is_live() {
    let world = World::new();
    let bob = world.anonymous("bob");
    for payload in 1..=3 {
        bob.says(&format!(r#"{{"type":"message","room":"r","payload":{payload}}}"#));
    }
    let epoch = world.hub.topics().position("r").expect("it is known").epoch;
    let ada = world.anonymous("ada");
    ada.hears();
    ada.says(&format!(r#"{{"type":"subscribe","room":"r","since":{{"epoch":{epoch},"offset":1}}}}"#));
    bob.says(r#"{"type":"message","room":"r","payload":4}"#);
    let message = |offset: u64| {
        format!(
            r#"{{"type":"message","room":"r","payload":{offset},"user_id":null,"client_id":"bob","epoch":7,"offset":{offset},"ts":1730000000123}}"#
        )
    };
    let subscribed = r#"{"type":"subscribed","room":"r","members":1,"epoch":7,"offset":3,"recovered":true}"#;
    assert_eq!(ada.hears(), [subscribed.to_owned(), message(2), message(3), message(4)]);
}

#[test]
fn an_epoch_that_is_gone_recovers_nothing() {
    let world = World::new();
    let ada = world.anonymous("ada");
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","room":"r","since":{"epoch":1,"offset":5}}"#),
        [r#"{"type":"subscribed","room":"r","members":1,"epoch":7,"offset":0,"recovered":false}"#]
    );
}

#[test]
fn a_wildcard_has_no_place_and_its_messages_have_their_rooms() {
    let world = World::new();
    let (ada, bob) = (world.anonymous("ada"), world.anonymous("bob"));
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":1,"room":"match:*","since":{"epoch":1,"offset":1}}"#),
        [r#"{"type":"subscribed","id":1,"room":"match:*","members":0,"recovered":false}"#]
    );
    bob.says(r#"{"type":"message","room":"match:7","payload":"x"}"#);
    bob.says(r#"{"type":"message","room":"match:7:x","payload":"y"}"#);
    assert_eq!(
        ada.hears(),
        [
            r#"{"type":"message","room":"match:7","payload":"x","user_id":null,"client_id":"bob","epoch":7,"offset":1,"ts":1730000000123}"#
        ]
    );
    assert_eq!(
        ada.asks(r#"{"type":"unsubscribe","room":"match:*"}"#),
        [r#"{"type":"unsubscribed","room":"match:*"}"#]
    );
}

#[test]
fn who_watches_is_told_who_joins_and_leaves() {
    let world = World::with_tokens(|hub| hub.allow_anonymous(true));
    let (ada, eve) = (world.user("ada"), world.anonymous("eve-1"));
    ada.says(r#"{"type":"subscribe","room":"r","presence":true}"#).hears();
    let bob = world.user_as("bob", "bob-1").inside(&["r"]);
    eve.says(r#"{"type":"subscribe","room":"r"}"#);
    assert_eq!(
        ada.hears(),
        [
            r#"{"type":"join","room":"r","user_id":"bob","client_id":"bob-1","members":2}"#,
            r#"{"type":"join","room":"r","user_id":null,"client_id":"eve-1","members":3}"#,
        ]
    );
    assert_eq!(
        ada.asks(r#"{"type":"presence","id":9,"room":"r"}"#),
        [
            r#"{"type":"presence","id":9,"room":"r","users":[{"user_id":null,"connections":1},{"user_id":"ada","connections":1},{"user_id":"bob","connections":1}]}"#
        ]
    );
    bob.says(r#"{"type":"unsubscribe","room":"r"}"#);
    eve.hangs_up();
    assert_eq!(
        ada.hears(),
        [
            r#"{"type":"leave","room":"r","user_id":"bob","client_id":"bob-1","members":2}"#,
            r#"{"type":"leave","room":"r","user_id":null,"client_id":"eve-1","members":1}"#,
        ]
    );
    assert!(bob.hears().iter().all(|heard| !heard.contains("join")), "who did not ask is not told");
}

#[test]
fn history_is_paged_and_says_when_it_is_gone() {
    let world = World::new();
    let ada = world.anonymous("ada");
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"history","room":"r"}"#),
        [r#"{"type":"history","room":"r","epoch":7,"offset":0,"messages":[]}"#]
    );
    for payload in 1..=3 {
        ada.says(&format!(r#"{{"type":"message","room":"r","payload":{payload}}}"#));
    }
    let epoch = world.hub.topics().position("r").expect("it is known").epoch;
    let message = |offset: u64| {
        format!(
            r#"{{"type":"message","room":"r","payload":{offset},"user_id":null,"client_id":"ada","epoch":7,"offset":{offset},"ts":1730000000123}}"#
        )
    };
    assert_eq!(
        ada.asks(r#"{"type":"history","id":1,"room":"r","limit":2}"#),
        [format!(
            r#"{{"type":"history","id":1,"room":"r","epoch":7,"offset":3,"messages":[{},{}]}}"#,
            message(2),
            message(3)
        )]
    );
    let since = |epoch: u64, offset: u64| {
        format!(
            r#"{{"type":"history","id":1,"room":"r","since":{{"epoch":{epoch},"offset":{offset}}},"limit":1}}"#
        )
    };
    assert_eq!(
        ada.asks(&since(epoch, 1)),
        [format!(
            r#"{{"type":"history","id":1,"room":"r","epoch":7,"offset":3,"messages":[{}]}}"#,
            message(2)
        )]
    );
    let gone = r#"{"type":"error","id":1,"code":"history_gone","message":"the room's history does not reach back so far"}"#;
    assert_eq!(ada.asks(&since(epoch ^ 1, 1)), [gone]);
    world.passes(301_000);
    assert_eq!(ada.asks(&since(epoch, 1)), [gone]);
}

#[test]
fn who_reads_too_slowly_is_told_what_it_lost() {
    let world = World::new();
    let bob = world.anonymous("bob");
    let visitor = Visitor { client_id: Some("ada".to_owned()), ..Visitor::default() };
    let ada = world.visit_by(visitor, Local::with_bounds(world.hub.topics(), 2, 1 << 20));
    ada.says(r#"{"type":"subscribe","room":"r","policy":"drop_newest"}"#).hears();
    ada.local.hold(true);
    for payload in 1..=4 {
        bob.says(&format!(r#"{{"type":"message","room":"r","payload":{payload}}}"#));
        ada.local.take(world.now());
    }
    ada.local.hold(false);
    let heard: Vec<_> = ada.hears();
    assert_eq!(heard[2..], [r#"{"type":"gap","room":"r","from":3,"to":4,"reason":"slow"}"#]);
    // Received and lost are all there was.
    assert!(heard[0].contains(r#""offset":1"#) && heard[1].contains(r#""offset":2"#), "{heard:?}");
}

#[test]
fn a_rate_lets_the_newest_through() {
    let world = World::new();
    let (ada, bob) = (world.anonymous("ada"), world.anonymous("bob"));
    ada.says(r#"{"type":"subscribe","room":"r","policy":"conflate","max_rate":2}"#).hears();
    for (payload, key) in [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b")] {
        bob.says(&format!(r#"{{"type":"message","room":"r","payload":{payload},"key":"{key}"}}"#));
    }
    let mut payloads = Vec::new();
    for _ in 0..4 {
        payloads.extend(ada.hears());
        world.passes(500);
    }
    let payloads: Vec<_> =
        payloads.iter().map(|heard| heard.split(r#""payload":"#).nth(1).map(|rest| &rest[..1])).collect();
    assert_eq!(payloads, [Some("1"), None, Some("4"), Some("5")]);
}

/// catalogue: ZC-40
#[test]
fn rights_hold_for_every_way_into_a_room() {
    let patterns = |list: &[&'static str]| Patterns::new(list.iter().copied()).expect("they are patterns");
    let rights = Rights { subscribe: patterns(&["match:*", "news"]), publish: patterns(&["match:1"]) };
    let world = World::with(|hub| {
        hub.anonymous_rights(rights).on_subscribe(|_, room| match room {
            "match:13" => Err(Denied::new("bad luck")),
            _ => Ok(()),
        })
    });
    let ada = world.anonymous("ada");
    ada.hears();
    for room in ["secret", "match:>", ">", "*", "match:1:x", "*:1"] {
        for kind in ["subscribe", "presence", "history"] {
            let heard = ada.asks(&format!(r#"{{"type":"{kind}","room":"{room}"}}"#));
            let code =
                if kind != "subscribe" && room.contains(['*', '>']) { "bad_request" } else { "forbidden" };
            assert!(heard[0].contains(code), "{kind} {room}: {heard:?}");
        }
    }
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":1,"room":"match:13"}"#),
        [r#"{"type":"error","id":1,"code":"forbidden","message":"bad luck"}"#]
    );
    assert_eq!(
        ada.asks(r#"{"type":"message","id":1,"room":"news","payload":1}"#),
        [r#"{"type":"error","id":1,"code":"forbidden","message":"this room may not be published to"}"#]
    );
    assert!(world.hub.topics().is_empty(), "what is denied leaves nothing");
    assert!(ada.asks(r#"{"type":"subscribe","room":"match:*"}"#)[0].contains("subscribed"));
    assert!(ada.asks(r#"{"type":"message","id":1,"room":"match:1","payload":1}"#)[0].contains("ack"));
}

#[test]
fn a_path_subscribes() {
    let world =
        World::with(|hub| hub.route("/ws/chat/{room}", "chat:{room}").route("/ws/chat/{any}", "lobby"));
    let visitor =
        Visitor { path: "/ws/chat/tea".to_owned(), client_id: Some("ada".to_owned()), ..Visitor::default() };
    let ada = world.visit(visitor);
    assert_eq!(
        ada.hears()[1..],
        [
            r#"{"type":"subscribed","room":"chat:tea","members":1,"epoch":7,"offset":0,"recovered":false}"#,
            r#"{"type":"subscribed","room":"lobby","members":1,"epoch":7,"offset":0,"recovered":false}"#,
        ]
    );
}

/// catalogue: DS-41
#[test]
fn a_connection_has_so_many_rooms_and_no_more() {
    let limits = Limits::default();
    assert_eq!(limits.rooms_max, 128);
    let world = World::new();
    let ada = world.anonymous("ada");
    ada.hears();
    for room in 0..128 {
        assert!(ada.asks(&format!(r#"{{"type":"subscribe","room":"r{room}"}}"#))[0].contains("subscribed"));
    }
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":1,"room":"r128"}"#),
        [r#"{"type":"error","id":1,"code":"too_many_rooms","message":"a connection has 128 rooms at most"}"#]
    );
    ada.says(r#"{"type":"unsubscribe","room":"r0"}"#).hears();
    assert!(ada.asks(r#"{"type":"subscribe","room":"r128"}"#)[0].contains("subscribed"));
}

/// A hub whose matches have a state, and whose match 13 does not exist.
fn matches() -> World {
    World::with(|hub| {
        hub.route("/ws/match/{id}", "match:{id}")
            .route("/ws/match/13", "unlucky")
            .on_subscribe(|_, room| match room {
                "match:13" => Err(Denied::closing(CloseCode::POLICY, "unknown match")),
                "match:14" => Err(Denied::closing(CloseCode::ABNORMAL, "é".repeat(100))),
                _ => Ok(()),
            })
            .on_subscribed(|context, room| {
                let state = format!(r#"{{"state":"of {room} for {}"}}"#, context.client_id());
                room.starts_with("match:").then(|| RawValue::from_string(state).expect("it is JSON"))
            })
    })
}

#[test]
fn who_comes_into_a_room_is_told_its_state_first_and_alone() {
    let world = matches();
    let bob = world.anonymous("bob").inside(&["match:42", "match:*"]);
    world
        .hub
        .publish("match:42", RawValue::from_string("1".to_owned()).expect("it is JSON"), None)
        .expect("it is");
    bob.hears();
    let ada = world.visit(Visitor {
        client_id: Some("ada".to_owned()),
        path: "/ws/match/42".to_owned(),
        ..Visitor::default()
    });
    assert_eq!(
        ada.hears()[1..],
        [
            r#"{"type":"subscribed","room":"match:42","members":2,"epoch":7,"offset":1,"recovered":false}"#,
            r#"{"type":"message","room":"match:42","payload":{"state":"of match:42 for ada"},"user_id":null,"client_id":null,"ts":1730000000123}"#,
        ]
    );
    assert_eq!(bob.hears(), [] as [&str; 0], "nobody else is told");
    for (again, why) in [
        (r#"{"type":"subscribe","room":"match:42"}"#, "it is in it"),
        (r#"{"type":"subscribe","room":"match:>"}"#, "a wildcard has no state"),
        (r#"{"type":"subscribe","room":"tea"}"#, "the application has nothing to say"),
    ] {
        assert_eq!(ada.asks(again).len(), 1, "{why}");
    }
}

#[test]
fn who_recovers_is_not_told_the_state_and_who_cannot_is() {
    let world = matches();
    let ada = world.anonymous("ada").inside(&["match:42"]);
    let publish = |payload: &str| {
        let payload = RawValue::from_string(payload.to_owned()).expect("it is JSON");
        world.hub.publish("match:42", payload, None).expect("there is room")
    };
    let position = publish("1");
    publish("2");
    ada.hangs_up();
    let ada = world.anonymous("ada-2").greeted();
    let since = |offset| {
        format!(
            r#"{{"type":"subscribe","room":"match:42","since":{{"epoch":{},"offset":{offset}}}}}"#,
            position.epoch
        )
    };
    let heard = ada.asks(&since(1));
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains(r#""recovered":true"#) && heard[1].contains(r#""payload":2,"#), "{heard:?}");
    let bob = world.anonymous("bob").greeted();
    let heard = bob.asks(&since(99));
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(
        heard[0].contains(r#""recovered":false"#) && heard[1].contains("of match:42 for bob"),
        "{heard:?}"
    );
}

#[test]
fn the_application_may_end_a_connection_for_what_it_asks() {
    let world = matches();
    for (path, code, reason) in
        [("/ws/match/13", 1008, "unknown match".to_owned()), ("/ws/match/14", 1008, "é".repeat(61))]
    {
        let eve = world.visit(Visitor { path: path.to_owned(), ..Visitor::default() });
        assert_eq!(eve.is_closed_with(), Some((code, reason)), "{path}");
        assert_eq!(eve.hears().len(), 1, "the welcome, and nothing behind it");
    }
    let (visitor, mut out) = (Visitor { path: "/ws/match/13".to_owned(), ..Visitor::default() }, Vec::new());
    world.hub.open(visitor, Arc::new(Local::new(world.hub.topics())), &mut out);
    assert!(matches!(&out[..], [Action::Close(CloseCode::POLICY, _)]), "another route is not taken: {out:?}");
    let ada = world.anonymous("ada").greeted();
    assert_eq!(
        ada.asks(r#"{"jsonrpc":"2.0","method":"presence","params":{"room":"match:13"},"id":1}"#).len(),
        1
    );
    assert_eq!(ada.is_closed_with(), None);
    assert_eq!(ada.asks(r#"{"type":"subscribe","id":1,"room":"match:13"}"#), [] as [&str; 0]);
    assert_eq!(ada.is_closed_with(), Some((1008, "unknown match".to_owned())));
    assert_eq!((world.hub.stats().total_connections, world.hub.topics().is_empty()), (0, true));
}
