//! Binary messages: relayed as they came, and no half of one.

use framecast::Message;

use crate::support::{Peer, World};

fn bytes(peer: &Peer<'_>, world: &World) -> Vec<Vec<u8>> {
    peer.local.take(world.now()).iter().map(|message| message.payload().to_vec()).collect()
}

#[test]
fn bytes_go_to_the_room_as_they_came() {
    let world = World::new();
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").greeted());
    for peer in [&ada, &bob] {
        peer.says(r#"{"type":"subscribe","room":"r"}"#).hears();
    }
    let message = [&b"\x00\x01r"[..], &[0, 255, 128]].concat();
    ada.sends(Message::binary(message.clone()));
    assert_eq!(bytes(&bob, &world).concat(), message);
    assert_eq!(bytes(&ada, &world), [message]);
    assert_eq!(world.hub.topics().position("r").map(|position| position.offset), Some(1));
    // In a history they have their place, and their length.
    assert_eq!(
        ada.asks(r#"{"type":"history","room":"r"}"#),
        [
            r#"{"type":"history","room":"r","epoch":7,"offset":1,"messages":[{"type":"binary","room":"r","bytes":6,"epoch":7,"offset":1}]}"#
        ]
    );
}

/// catalogue: DS-16
#[test]
fn half_a_binary_message_is_an_error_and_goes_nowhere() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for broken in [
        &b""[..],
        b"\x00",
        b"\x00\x00abc",
        b"\x00\x05abc",
        b"\xff\xffabc",
        b"\x00\x02\xc3\x28x",
        b"\x00\x01*",
        b"\x00\x02\x00ax",
    ] {
        ada.sends(Message::binary(broken.to_vec()));
        let heard = ada.hears();
        assert!(
            heard[0].starts_with(r#"{"type":"error","id":null,"code":"bad_request","#),
            "{broken:?} {heard:?}"
        );
    }
    assert!(world.hub.topics().is_empty());
}
