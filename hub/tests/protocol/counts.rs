//! What a hub counts, with reasons: for each drop and each refusal there is a number that says why.

use framecast_hub::{Denied, Limits, Rate, Rights, Visitor};

use crate::support::{START_MS, World, jwt};

/// What is not 0, as `name value` or `name{kind} value`.
fn counted(world: &World) -> Vec<String> {
    let counts = world.hub.counts();
    let shown = counts.iter().filter(|count| count.value > 0).map(|count| match count.label {
        Some((_, kind)) => format!("{}{{{kind}}} {}", count.name, count.value),
        None => format!("{} {}", count.name, count.value),
    });
    shown.collect()
}

/// What has become more since.
fn since(world: &World, before: &[String]) -> Vec<String> {
    counted(world).into_iter().filter(|count| !before.contains(count)).collect()
}

#[test]
fn nothing_is_counted_before_anything_is() {
    let world = World::new();
    assert_eq!(counted(&world), [] as [&str; 0]);
    // But each number is there, at 0: whoever draws them wants to know that there was none.
    for (name, kind) in [
        ("closes", Some("too_slow")),
        ("rate_limited", Some("room")),
        ("errors", Some("unavailable")),
        ("publishes", None),
    ] {
        assert_eq!(world.hub.counts().get(name, kind), Some(0), "{name}");
    }
    assert_eq!(world.hub.counts().get("closes", Some("else")), None);
}

#[test]
fn who_is_too_slow_for_its_rooms_is_counted_among_those_who_are_closed() {
    use framecast::broadcast::Local;
    let world = World::new();
    let visitor = Visitor { client_id: Some("ada".to_owned()), ..Visitor::default() };
    let ada = world.visit_by(visitor, Local::with_bounds(world.hub.topics(), 2, 1 << 20)).inside(&["r"]);
    let bob = world.anonymous("bob");
    ada.local.hold(true);
    for payload in 1..=5 {
        bob.says(&format!(r#"{{"type":"message","room":"r","payload":{payload}}}"#));
        ada.local.take(world.now());
    }
    assert_eq!(ada.is_closed_with().map(|(code, _)| code), Some(4008));
    assert_eq!(world.hub.counts().get("closes", Some("too_slow")), Some(1));
}

#[test]
fn rooms_are_counted() {
    let world = World::with(|hub| {
        hub.on_subscribe(|_, room| if room == "secret" { Err(Denied::new("no")) } else { Ok(()) })
    });
    let (ada, bob) = (world.anonymous("ada").inside(&["r"]), world.anonymous("bob").inside(&["r"]));
    let before = counted(&world);
    ada.says(r#"{"type":"message","id":1,"room":"r","payload":1}"#);
    ada.says(r#"{"type":"message","id":1,"room":"r","payload":1}"#);
    ada.says(r#"{"type":"subscribe","room":"secret"}"#);
    ada.says(r#"{"type":"message","room":"r:*","payload":1}"#);
    assert_eq!((ada.hears().len(), bob.hears().len()), (5, 1));
    // The second one's place is of a run that is forgotten.
    let epoch = world.hub.topics().position("r").expect("it is known").epoch;
    for epoch in [epoch, epoch ^ 1] {
        bob.says(r#"{"type":"unsubscribe","room":"r"}"#);
        bob.says(&format!(r#"{{"type":"subscribe","room":"r","since":{{"epoch":{epoch},"offset":0}}}}"#));
    }
    assert_eq!(
        since(&world, &before),
        [
            "messages_in 10",
            "messages_out 2",
            "publishes 1",
            "duplicates 1",
            "joins 4",
            "joins_refused{forbidden} 1",
            "recoveries{yes} 1",
            "recoveries{no} 1",
            "errors{bad_request} 1",
            "errors{forbidden} 1",
        ]
    );
}

#[test]
fn a_publish_that_finds_no_room_is_counted_by_its_reason() {
    let mut limits = Limits::default();
    (limits.rooms_total_max, limits.rooms_max) = (1, 1);
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").inside(&["r"]);
    let before = counted(&world);
    ada.says(r#"{"type":"message","room":"other","payload":1}"#);
    ada.says(r#"{"type":"subscribe","room":"third"}"#);
    assert_eq!(
        since(&world, &before),
        [
            "messages_in 3",
            "publishes_refused{too_many_topics} 1",
            "joins_refused{too_many_rooms} 1",
            "errors{too_many_rooms} 1",
            "errors{unavailable} 1",
        ]
    );
}

/// catalogue: DS-41, DS-42
#[test]
fn wildcards_that_find_no_room_are_refused_until_another_has_gone() {
    let mut limits = Limits::default();
    limits.wildcards_total_max = 1;
    let world = World::with(|hub| hub.limits(limits));
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").greeted());
    let before = counted(&world);
    let subscribed = |room: &str| {
        format!(r#"{{"type":"subscribed","id":1,"room":"{room}","members":0,"recovered":false}}"#)
    };
    let subscribe = |room: &str| format!(r#"{{"type":"subscribe","id":1,"room":"{room}"}}"#);
    let full = r#"{"type":"error","id":1,"code":"unavailable","message":"there are 1 wildcards already"}"#
        .to_owned();
    ada.says(&subscribe("a:*"));
    bob.says(&subscribe("b:*"));
    bob.says(&subscribe("a:*"));
    assert_eq!((ada.hears(), bob.hears()), (vec![subscribed("a:*")], vec![full, subscribed("a:*")]));
    assert_eq!(
        since(&world, &before),
        ["messages_in 3", "joins 2", "joins_refused{unavailable} 1", "errors{unavailable} 1"]
    );
    ada.hangs_up();
    bob.says(r#"{"type":"unsubscribe","room":"a:*"}"#);
    bob.says(&subscribe("b:*"));
    assert_eq!(bob.hears().last(), Some(&subscribed("b:*")));
    bob.says(&subscribe(&format!("{}*", "a:".repeat(16))));
    let long =
        r#"{"type":"error","id":1,"code":"bad_request","message":"a wildcard of 17 parts is above 16"}"#;
    assert_eq!(bob.hears(), [long]);
}

#[test]
fn direct_messages_and_receipts_are_counted() {
    let world = World::with_tokens(|hub| hub);
    let (ada, bob) = (world.user("ada"), world.user("bob"));
    let laptop = world.user_as("bob", "laptop");
    let before = counted(&world);
    let direct = |id: u32, to: &str| {
        ada.says(&format!(r#"{{"type":"direct","id":{id},"to":"{to}","payload":1,"receipt":true}}"#));
        let (heard, other) = (bob.hears(), laptop.hears());
        let name = heard.iter().chain(&other).next().and_then(|heard| heard.split('"').nth(7));
        name.map(|name| format!(r#"{{"type":"ack","id":"{name}"}}"#)).unwrap_or_default()
    };
    let ack = direct(1, "bob");
    bob.says(&ack);
    laptop.says(&ack);
    let ack = direct(2, "bob");
    bob.says(&ack);
    direct(3, "bob");
    direct(4, "nobody");
    for _ in 0..3 {
        world.passes(5_000);
        ada.wakes();
    }
    assert_eq!(
        since(&world, &before),
        [
            "messages_in 7",
            "directs 6",
            "receipts{all} 1",
            "receipts{some} 1",
            "receipts{none} 1",
            "receipts{nobody_there} 1",
        ]
    );
}

#[test]
fn requests_are_counted_by_what_came_of_them() {
    use framecast_hub::RpcError;
    let rights = Rights { publish: Rights::none().publish, ..Rights::all() };
    let world = World::with(|hub| {
        hub.anonymous_rights(rights)
            .method("fine", |_, _| async { Ok(1) })
            .method("bad", |_, _| async { Err::<u32, _>(RpcError::new(1, "bad")) })
    });
    let ada = world.anonymous("ada").greeted();
    let before = counted(&world);
    for request in [
        r#"{"jsonrpc":"2.0","method":"fine","id":1}"#,
        r#"{"jsonrpc":"2.0","method":"presence","params":{"room":"r"},"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"bad"}"#,
        r#"{"jsonrpc":"2.0","method":"none","id":1}"#,
        r#"{"jsonrpc":"2.0","method":"stats","id":1}"#,
        r#"{"jsonrpc":"2.0","method":"publish","params":{"room":"r","payload":1},"id":1}"#,
        r#"{"jsonrpc":"1.0","method":"fine","id":1}"#,
        "[]",
        r#"{"jsonrpc":"#,
    ] {
        ada.says(request);
    }
    assert_eq!(
        since(&world, &before),
        [
            "messages_in 9",
            "rpc_requests{ok} 2",
            "rpc_requests{failed} 1",
            "rpc_requests{not_found} 1",
            "rpc_requests{refused} 2",
            "rpc_requests{invalid} 3",
        ]
    );
}

#[test]
fn whose_rate_it_was_is_counted() {
    let mut limits = Limits::default();
    limits.messages = Rate { per_second: 1, burst: 4 };
    limits.user_messages = Rate { per_second: 1, burst: 3 };
    limits.room_messages = Some(Rate { per_second: 1, burst: 1 });
    let world = World::with_tokens(|hub| hub.limits(limits));
    let ada = world.user("ada");
    let before = counted(&world);
    // Three go as far as the room; the fourth is above its user's, the fifth above its own; the eighth is one refusal too many.
    for _ in 0..9 {
        ada.says(r#"{"type":"message","room":"r","payload":1}"#);
    }
    assert_eq!(
        since(&world, &before),
        [
            "messages_in 8",
            "publishes 1",
            "errors{rate_limited} 6",
            "rate_limited{connection} 3",
            "rate_limited{user} 1",
            "rate_limited{room} 2",
            "closes{rate_ignored} 1",
        ]
    );
}

#[test]
fn who_came_and_who_was_closed_is_counted() {
    let mut limits = Limits::default();
    limits.connections_per_user_max = 1;
    limits.misuses = Rate { per_second: 1, burst: 1 };
    let world = World::with_tokens(|hub| {
        hub.limits(limits).allow_anonymous(true).on_connect(|context| match context.client_id() {
            "denied" => Err(Denied::new("no")),
            _ => Ok(()),
        })
    });
    let now = START_MS / 1000;
    let token = |exp: u64| jwt(&format!(r#"{{"sub":"eve","exp":{exp}}}"#));
    let _older = world.user_as("ada", "phone");
    let _newer = world.user_as("ada", "phone");
    world.with_token("ada-token", "laptop");
    world.anonymous("phone");
    world.anonymous("denied");
    let eve = world.with_token(&token(now + 1), "eve").greeted();
    eve.says(&format!(r#"{{"type":"auth","token":"{}"}}"#, token(now + 2)));
    eve.says(r#"{"type":"auth","token":"bob-token"}"#);
    let late = world.with_token("wrong", "late");
    late.says(&format!(r#"{{"type":"auth","token":"{}"}}"#, token(now)));
    world.passes(10_000);
    eve.wakes();
    late.wakes();
    // Who is closing already is not closed again.
    for _ in 0..2 {
        world.hub.disconnect("ada", "go");
    }
    let fool = world.visit(Visitor::default());
    fool.says("x").says("x");
    assert_eq!(
        counted(&world),
        [
            "messages_in 5",
            "errors{bad_json} 2",
            "errors{unauthorized} 2",
            "errors{forbidden} 1",
            "auth{ok} 3",
            "auth{renewed} 1",
            "auth{anonymous} 1",
            "auth{none_in_time} 1",
            "auth{other_user} 1",
            "auth{unknown} 1",
            "auth{expired} 1",
            "closes{client_id} 1",
            "closes{denied} 1",
            "closes{disconnected} 1",
            "closes{misuse} 1",
            "closes{no_token} 1",
            "closes{taken_over} 1",
            "closes{token_expired} 1",
            "closes{too_many_connections} 1",
        ]
    );
}
