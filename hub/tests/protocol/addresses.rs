//! What one address may have of the hub, by however many connections.

use framecast_hub::{Limits, Visitor};

use crate::support::{Peer, World};

fn world(rooms_per_address_max: usize) -> World {
    let mut limits = Limits::default();
    limits.rooms_per_address_max = rooms_per_address_max;
    World::with(|hub| hub.limits(limits))
}

fn from<'w>(world: &'w World, address: &str) -> Peer<'w> {
    let address = Some(address.parse().expect("it is an address"));
    world.visit(Visitor { address, ..Visitor::default() }).greeted()
}

fn enters(peer: &Peer<'_>, room: &str) -> bool {
    let heard = peer.asks(&format!(r#"{{"type":"subscribe","id":1,"room":"{room}"}}"#));
    let refused =
        r#"{"type":"error","id":1,"code":"too_many_rooms","message":"an address has 3 rooms at most"}"#;
    assert!(heard[0] == refused || heard[0].contains("subscribed"), "{heard:?}");
    heard[0] != refused
}

/// catalogue: DS-40
#[test]
fn an_address_has_so_many_rooms_by_all_its_connections() {
    let world = world(3);
    let (one, two) = (from(&world, "2001:db8::1"), from(&world, "2001:db8::2"));
    assert!(enters(&one, "a") && enters(&one, "b") && enters(&two, "c"));
    assert!(!enters(&one, "d") && !enters(&two, "d"));
    assert_eq!(world.hub.topics().members("d"), 0);
    assert_eq!(world.hub.counts().get("joins_refused", Some("too_many_rooms")), Some(2));
    // What it has, all of its connections may be in, and as often as they like; wildcards are no rooms.
    assert!(enters(&two, "a") && enters(&two, "a") && enters(&two, "x:*"));
    assert!(enters(&from(&world, "2001:db8:0:1::1"), "d"), "another address");
    assert!(enters(&world.anonymous("ada").greeted(), "e"), "nobody knows whose it is");
    // One of two has left, and then the other one.
    one.asks(r#"{"type":"unsubscribe","room":"a"}"#);
    assert!(!enters(&one, "d"));
    two.asks(r#"{"type":"unsubscribe","room":"a"}"#);
    assert!(enters(&one, "d") && !enters(&one, "a"));
    two.hangs_up();
    assert!(enters(&one, "a") && !enters(&one, "c"));
}

#[test]
fn what_was_refused_is_not_had() {
    let mut limits = Limits::default();
    (limits.rooms_per_address_max, limits.rooms_max) = (3, 1);
    let world = World::with(|hub| hub.limits(limits));
    let one = from(&world, "192.0.2.1");
    assert!(enters(&one, "a"));
    for room in ["b", "c", "d"] {
        let heard = one.asks(&format!(r#"{{"type":"subscribe","room":"{room}"}}"#));
        assert!(heard[0].contains("a connection has 1 rooms at most"), "{heard:?}");
    }
    assert!(enters(&from(&world, "192.0.2.1"), "e") && enters(&from(&world, "192.0.2.1"), "f"));
}
