//! What is kept of all clients together is bounded, and they are told when it is too much.

use framecast_hub::Limits;

use crate::support::World;

fn says(id: u32) -> String {
    format!(r#"{{"type":"message","id":{id},"room":"r","payload":1}}"#)
}

#[test]
fn the_ids_of_all_clients_have_a_limit_together() {
    let mut limits = Limits::default();
    limits.dedupe_ids_total_max = 50;
    let world = World::with(|hub| hub.limits(limits));
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").greeted());
    for id in 0..50 {
        ada.asks(&says(id));
    }
    assert_eq!(world.hub.counts().get("ids_forgotten", None), Some(0));
    for id in 0..20 {
        bob.asks(&says(id));
    }
    assert_eq!(world.hub.counts().get("ids_forgotten", None), Some(4), "bob's own, but for the last 16");
    assert_eq!(bob.asks(&says(4)), [r#"{"type":"ack","id":4,"offset":55}"#], "it is known");
    assert_eq!(ada.asks(&says(0)), [r#"{"type":"ack","id":0,"offset":1}"#], "nobody takes another's");
    assert_eq!(bob.asks(&says(3)), [r#"{"type":"ack","id":3,"offset":71}"#], "it was forgotten");
    // What is too old of others who are silent makes room for all.
    world.passes(120_000);
    for id in 100..150 {
        bob.asks(&says(id));
    }
    assert_eq!(world.hub.counts().get("ids_forgotten", None), Some(5));
}

#[test]
fn who_is_gone_is_remembered_for_the_window_and_no_longer() {
    let mut limits = Limits::default();
    limits.dedupe_ids_total_max = 50;
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").greeted();
    for id in 0..50 {
        ada.asks(&says(id));
    }
    ada.hangs_up();
    world.passes(120_000);
    // Whoever comes next has what is old forgotten.
    let bob = world.anonymous("bob").greeted();
    for id in 0..50 {
        bob.asks(&says(id));
    }
    assert_eq!(world.hub.counts().get("ids_forgotten", None), Some(0));
}

#[test]
fn what_waits_for_receipts_has_a_limit() {
    let mut limits = Limits::default();
    limits.receipts_bytes_max = 25_000;
    let world = World::with_tokens(|hub| hub.limits(limits));
    let (ada, bob) = (world.user("ada"), world.user("bob"));
    let direct = |id: u32| {
        let payload = "x".repeat(10_000);
        format!(r#"{{"type":"direct","id":{id},"to":"bob","receipt":true,"payload":"{payload}"}}"#)
    };
    for id in [1, 2] {
        assert_eq!(ada.asks(&direct(id)), [format!(r#"{{"type":"ack","id":{id},"recipients":1}}"#)]);
    }
    let refused = r#"{"type":"error","id":3,"code":"unavailable","message":"too much waits for receipts"}"#;
    assert_eq!(ada.asks(&direct(3)), [refused]);
    let heard = bob.hears();
    assert_eq!(heard.len(), 2, "what is refused is not sent");
    // Without a receipt, or to nobody, nothing waits.
    assert_eq!(
        ada.asks(&direct(4).replace(r#""receipt":true,"#, "")),
        [r#"{"type":"ack","id":4,"recipients":1}"#]
    );
    assert!(ada.asks(&direct(5).replace("bob", "eve")).concat().contains(r#""acked":0,"of":0"#));
    let id = heard[0].split(r#""id":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("it has one");
    bob.says(&format!(r#"{{"type":"ack","id":"{id}"}}"#));
    assert_eq!(ada.hears(), [r#"{"type":"receipt","id":1,"acked":1,"of":1}"#]);
    assert_eq!(ada.asks(&direct(3)), [r#"{"type":"ack","id":3,"recipients":1}"#], "it may be tried again");
    ada.hangs_up();
    let ada = world.user("ada");
    assert_eq!(ada.asks(&direct(6)), [r#"{"type":"ack","id":6,"recipients":1}"#]);
    assert_eq!(ada.asks(&direct(7)), [r#"{"type":"ack","id":7,"recipients":1}"#]);
}
