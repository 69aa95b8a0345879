//! Client ids: whose they are, who takes over, who is a stranger.

use std::sync::{Arc, Mutex};

use framecast_hub::{Limits, Secret, Visitor};

use crate::support::World;

/// A welcome's secret.
fn resume(welcome: &str) -> String {
    let (_, rest) = welcome.split_once(r#""resume":""#).expect("there is a secret");
    rest[..32].to_owned()
}

fn coming_back(client_id: &str, resume: &str) -> Visitor {
    Visitor { client_id: Some(client_id.to_owned()), resume: Some(Secret::new(resume)), ..Visitor::default() }
}

#[test]
fn the_same_user_takes_over_its_client() {
    let world = World::with_tokens(|hub| hub);
    let (bob, older) = (world.user("bob"), world.user_as("ada", "phone"));
    let newer = world.user_as("ada", "phone");
    assert_eq!(older.is_closed_with(), Some((4009, "connected again elsewhere".to_owned())));
    // What is still on its way from the older one is nobody's.
    assert_eq!(older.asks(r#"{"type":"message","id":1,"room":"r","payload":1}"#), [] as [&str; 0]);
    older.hangs_up();
    assert_eq!(
        bob.asks(r#"{"type":"direct","id":1,"to":"ada","payload":1}"#),
        [r#"{"type":"ack","id":1,"recipients":1}"#]
    );
    assert_eq!(newer.hears().len(), 1);
    assert_eq!(world.hub.stats().total_connections, 2);
}

#[test]
fn a_stranger_is_closed_with_4003() {
    let world = World::with_tokens(|hub| hub.allow_anonymous(true));
    let ada = world.user_as("ada", "phone");
    let strangers = [
        world.with_token("bob-token", "phone"),
        world.anonymous("phone"),
        world.visit(coming_back("phone", "00000000000000000000000000000000")),
    ];
    for stranger in strangers {
        assert_eq!(stranger.is_closed_with(), Some((4003, "client_id is somebody else's".to_owned())));
        assert_eq!(stranger.hears(), [] as [&str; 0]);
    }
    // Not even after it has said who it is, nor when the owner is gone.
    let world = World::with_tokens(|hub| hub);
    let owner = world.user_as("ada", "phone");
    owner.hangs_up();
    let bob = world.anonymous("phone").greeted();
    bob.says(r#"{"type":"auth","token":"bob-token"}"#);
    assert_eq!(bob.is_closed_with().map(|(code, _)| code), Some(4003));
    assert_eq!(ada.is_closed_with(), None);
}

#[test]
fn nobodys_client_is_its_secrets() {
    let world = World::new();
    let first = world.anonymous("phone");
    let secret = resume(&first.hears()[0]);
    assert_eq!(world.anonymous("phone").is_closed_with().map(|(code, _)| code), Some(4003));
    for wrong in ["", &secret[1..], &format!("{secret}0"), "00000000000000000000000000000000"] {
        let stranger = world.visit(coming_back("phone", wrong));
        assert_eq!(stranger.is_closed_with().map(|(code, _)| code), Some(4003), "{wrong}");
    }
    let second = world.visit(coming_back("phone", &secret));
    assert_eq!(resume(&second.hears()[0]), secret, "it is that of the first welcome");
    assert_eq!(first.is_closed_with().map(|(code, _)| code), Some(4009));
    second.hangs_up();
    assert!(world.visit(coming_back("phone", &secret)).is_closed_with().is_none());
}

#[test]
fn an_id_is_free_again_after_a_while() {
    let world = World::new();
    let first = world.anonymous("phone").greeted();
    first.hangs_up();
    world.passes(Limits::default().client_kept.as_millis() as u64 - 1);
    assert_eq!(world.anonymous("phone").is_closed_with().map(|(code, _)| code), Some(4003));
    world.passes(1);
    assert_eq!(world.anonymous("phone").is_closed_with(), None);
}

/// catalogue: G-4
#[test]
fn clients_that_are_gone_are_not_kept_for_ever() {
    let mut limits = Limits::default();
    limits.clients_kept_max = 10;
    let world = World::with(|hub| hub.limits(limits));
    for number in 0..100 {
        world.anonymous(&format!("c{number}")).hangs_up();
    }
    assert_eq!(world.hub.stats().total_connections, 0);
    assert_eq!(world.anonymous("c50").is_closed_with(), None, "it was forgotten");
    assert_eq!(world.anonymous("c99").is_closed_with().map(|(code, _)| code), Some(4003));
}

#[test]
fn an_id_that_is_none_is_refused() {
    let world = World::new();
    for client_id in ["", "a\nb", "a\0b", &"x".repeat(65)] {
        let closed = world.anonymous(client_id).is_closed_with();
        assert_eq!(closed, Some((4003, "client_id is not valid".to_owned())), "{client_id:?}");
    }
    assert!(world.anonymous(&"é".repeat(64)).is_closed_with().is_none());
}

#[test]
fn a_client_that_takes_over_neither_joins_nor_leaves() {
    let world = World::with_tokens(|hub| hub);
    let bob = world.user("bob");
    bob.says(r#"{"type":"subscribe","room":"r","presence":true}"#).hears();
    let older = world.user_as("ada", "phone").inside(&["r"]);
    assert_eq!(bob.hears().len(), 1);
    let newer = world.user_as("ada", "phone").inside(&["r"]);
    older.hangs_up();
    assert_eq!(bob.hears(), [] as [&str; 0]);
    newer.hangs_up();
    assert_eq!(
        bob.hears(),
        [r#"{"type":"leave","room":"r","user_id":"ada","client_id":"phone","members":1}"#]
    );
}

/// catalogue: G-6
#[test]
fn each_who_was_let_in_is_told_gone_once() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let (came, went) = (log.clone(), log.clone());
    let world = World::with(|hub| {
        hub.on_connect(move |context| {
            came.lock().expect("nobody panics").push(format!("+{}", context.client_id()));
            Ok(())
        })
        .on_disconnect(move |context| {
            went.lock().expect("nobody panics").push(format!("-{}", context.client_id()))
        })
    });
    let ada = world.anonymous("ada").greeted();
    ada.hangs_up();
    ada.session.borrow_mut().end();
    drop(ada);
    assert_eq!(*log.lock().expect("nobody panics"), ["+ada", "-ada"]);
}

#[test]
fn a_user_can_be_sent_away() {
    let world = World::with_tokens(|hub| hub);
    let peers = [world.user_as("ada", "phone"), world.user_as("ada", "laptop"), world.user("bob")];
    assert_eq!(world.hub.disconnect("ada", "go"), 2);
    let closed: Vec<_> = peers.iter().map(|peer| peer.is_closed_with()).collect();
    let gone = Some((4003, "go".to_owned()));
    assert_eq!(closed, [gone.clone(), gone, None]);
}
