//! Who somebody is: the welcome, `auth`, expiry, renewal.

use framecast_hub::{Denied, Visitor};

use crate::support::{START_MS, World, jwt};

/// The second of `START_MS`.
const NOW: u64 = START_MS / 1000;

#[test]
fn the_first_message_is_the_welcome() {
    let world = World::with_tokens(|hub| hub);
    assert_eq!(
        world.with_token("ada-token", "phone").hears(),
        [format!(
            r#"{{"type":"connection_established","client_id":"phone","user_id":"ada","ping_interval":20,"dedupe_window":120,"resume":"00000000000000000000000000000002","server":"framecast/{}","ts":1730000000123}}"#,
            env!("CARGO_PKG_VERSION")
        )]
    );
    let world = World::new();
    let heard = world.visit(Visitor::default()).hears();
    assert!(heard[0].starts_with(
        r#"{"type":"connection_established","client_id":"c-00000000000000000002","user_id":null,"#
    ));
}

#[test]
fn who_has_no_token_has_ten_seconds_to_send_one() {
    let world = World::with_tokens(|hub| hub);
    let ada = world.anonymous("phone");
    let heard = ada.hears();
    assert_eq!(heard.len(), 1);
    assert!(
        heard[0].contains(r#""client_id":"phone","user_id":null,"#) && heard[0].contains(r#""resume":null"#)
    );
    for said in [
        r#"{"type":"subscribe","id":1,"room":"r"}"#,
        r#"{"type":"message","id":1,"room":"r","payload":1}"#,
        r#"{"type":"direct","id":1,"to":"bob","payload":1}"#,
        r#"{"type":"presence","id":1,"room":"r"}"#,
        r#"{"type":"history","id":1,"room":"r"}"#,
    ] {
        assert_eq!(
            ada.asks(said),
            [r#"{"type":"error","id":1,"code":"unauthorized","message":"send `auth` first"}"#]
        );
    }
    assert_eq!(ada.asks(r#"{"type":"ping"}"#), [r#"{"type":"pong","ts":1730000000123}"#]);
    world.passes(9_999);
    assert_eq!(ada.wakes().is_closed_with(), None);
    assert_eq!(
        ada.asks(r#"{"type":"auth","id":2,"token":"ada-token"}"#),
        [r#"{"type":"authenticated","id":2,"user_id":"ada","expires_at":null}"#]
    );
    world.passes(100_000);
    assert_eq!(ada.wakes().is_closed_with(), None);
    assert!(ada.asks(r#"{"type":"subscribe","room":"r"}"#)[0].contains("subscribed"));
}

#[test]
fn who_sends_none_is_closed_with_4001() {
    let world = World::with_tokens(|hub| hub);
    let eve = world.anonymous("eve").greeted();
    assert_eq!(eve.session.borrow().poll_timeout().map(|at| (at - world.now()).as_secs()), Some(10));
    world.passes(10_000);
    assert_eq!(eve.wakes().is_closed_with(), Some((4001, "no valid token in time".to_owned())));
    assert_eq!(eve.session.borrow().poll_timeout(), None);
    assert_eq!(world.hub.stats().total_connections, 0);
}

#[test]
fn a_bad_token_is_told_and_may_be_made_good() {
    let world = World::with_tokens(|hub| hub.allow_anonymous(true));
    let expired = jwt(&format!(r#"{{"sub":"ada","exp":{NOW}}}"#));
    for (token, message) in [
        ("wrong", "the token is not known"),
        (&*expired, "the token has expired"),
        (&expired[..expired.len() - 3], "the token's signature is wrong"),
    ] {
        let ada = world.with_token(token, "ada");
        let error = format!(r#"{{"type":"error","id":null,"code":"unauthorized","message":"{message}"}}"#);
        assert_eq!(ada.hears()[1..].concat(), error, "it is not taken for nobody");
        let heard = ada.asks(&format!(r#"{{"type":"auth","token":"{token}"}}"#));
        assert_eq!(heard, [error]);
        assert!(!heard[0].contains(token), "a token is not shown");
        assert!(ada.asks(r#"{"type":"auth","token":"ada-token"}"#)[0].contains("authenticated"));
        world.passes(20_000);
    }
}

#[test]
fn a_token_ends_the_connection_when_it_expires() {
    let world = World::with_tokens(|hub| hub);
    let ada = world.with_token(&jwt(&format!(r#"{{"sub":"ada","exp":{}}}"#, NOW + 60)), "ada").greeted();
    world.passes(59_876);
    assert_eq!(ada.wakes().is_closed_with(), None);
    world.passes(1);
    assert_eq!(ada.wakes().is_closed_with(), Some((4001, "the token has expired".to_owned())));
    assert_eq!(ada.asks(r#"{"type":"ping"}"#), [] as [&str; 0]);
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let world = World::with_tokens(|hub| hub);
    let token = |exp: u64| jwt(&format!(r#"{{"sub":"ada","exp":{exp}}}"#));
    let ada = world.with_token(&token(NOW + 60), "ada").greeted();
    assert_eq!(
        ada.asks(&format!(r#"{{"type":"auth","id":"r","token":"{}"}}"#, token(NOW + 120))),
        [format!(
            r#"{{"type":"authenticated","id":"r","user_id":"ada","expires_at":{}}}"#,
            (NOW + 120) * 1000
        )]
    );
    world.passes(61_000);
    assert_eq!(ada.wakes().is_closed_with(), None);
    // What does not hold is refused, and what was there stays.
    assert!(ada.asks(&format!(r#"{{"type":"auth","token":"{}"}}"#, token(NOW)))[0].contains("unauthorized"));
    world.passes(60_000);
    assert_eq!(ada.wakes().is_closed_with().map(|(code, _)| code), Some(4001));
}

#[test]
fn users_are_not_swapped() {
    let world = World::with_tokens(|hub| hub);
    let ada = world.user("ada");
    assert_eq!(
        ada.asks(r#"{"type":"auth","id":1,"token":"bob-token"}"#),
        [
            r#"{"type":"error","id":1,"code":"forbidden","message":"the token is another user's: connect anew"}"#
        ]
    );
    assert_eq!(
        ada.session.borrow().context().and_then(|context| context.user_id().map(str::to_owned)),
        Some("ada".to_owned())
    );
}

#[test]
fn who_was_nobody_may_say_who_it_is() {
    let world = World::with_tokens(|hub| hub.allow_anonymous(true));
    let (ada, bob) = (world.anonymous("phone").greeted(), world.user("bob"));
    assert!(ada.asks(r#"{"type":"auth","token":"ada-token"}"#)[0].contains(r#""user_id":"ada""#));
    bob.says(r#"{"type":"direct","to":"ada","payload":1}"#);
    assert_eq!(ada.hears().len(), 1);
    // Its id is the user's from now on.
    let eve = world.anonymous("phone");
    assert_eq!(eve.is_closed_with(), Some((4003, "client_id is somebody else's".to_owned())));
}

#[test]
fn rights_are_those_of_the_newest_token() {
    let world = World::with_tokens(|hub| hub);
    let token = |rooms: &str| jwt(&format!(r#"{{"sub":"ada","sub_rooms":{rooms},"pub_rooms":["a"]}}"#));
    let ada = world.with_token(&token(r#"["a","b","c:*"]"#), "ada").inside(&["a", "b", "c:*"]);
    assert!(ada.asks(r#"{"type":"subscribe","room":"d"}"#)[0].contains("forbidden"));
    assert!(ada.asks(r#"{"type":"message","id":1,"room":"b","payload":1}"#)[0].contains("forbidden"));
    let mut heard = ada.asks(&format!(r#"{{"type":"auth","token":"{}"}}"#, token(r#"["a","d","c:1"]"#)));
    heard[1..].sort();
    assert_eq!(
        heard[1..],
        [r#"{"type":"unsubscribed","room":"b"}"#, r#"{"type":"unsubscribed","room":"c:*"}"#]
    );
    for room in ["b", "c:1", "c:2"] {
        let payload = serde_json::value::RawValue::from_string("1".to_owned()).expect("it is JSON");
        world.hub.publish(room, payload, None).expect("there is room");
        assert_eq!(ada.hears(), [] as [&str; 0], "{room} is over");
    }
    assert!(ada.asks(r#"{"type":"subscribe","room":"d"}"#)[0].contains("subscribed"));
}

#[test]
fn the_application_may_say_no() {
    let world = World::with_tokens(|hub| {
        hub.on_connect(|context| match context.user_id() {
            Some("bob") => Err(Denied::new("not you")),
            _ => Ok(()),
        })
    });
    let bob = world.with_token("bob-token", "bob");
    assert_eq!((bob.hears().len(), bob.is_closed_with()), (0, Some((4003, "not you".to_owned()))));
    let later = world.anonymous("later").greeted();
    later.says(r#"{"type":"auth","token":"bob-token"}"#);
    assert_eq!(later.is_closed_with(), Some((4003, "not you".to_owned())));
    assert_eq!(world.hub.stats().total_connections, 0);
}

#[test]
fn debug_shows_no_secret() {
    let world = World::with_tokens(|hub| hub);
    let ada = world.with_token("ada-token", "ada").greeted();
    let eve = world.with_token("eve-token", "eve").greeted();
    for shown in [
        format!("{:?}", world.hub),
        format!("{:?}", ada.session.borrow()),
        format!("{:?}", eve.session.borrow()),
    ] {
        for secret in ["ada-token", "eve-token", "0123456789abcdef", "00000000000000000000000000000002"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}
