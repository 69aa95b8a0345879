//! What is sent to break something: it is answered, and nothing grows.

use framecast_hub::{Limits, Rate};

use crate::support::World;

fn unlimited() -> Limits {
    let mut limits = Limits::default();
    let rate = Rate { per_second: 1_000_000_000, burst: 1_000_000_000 };
    (limits.messages, limits.bytes, limits.misuses) = (rate, rate, rate);
    limits
}

/// catalogue: DS-16
#[test]
fn deep_json_is_refused_wherever_it_is() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    let deep = "[".repeat(100_000);
    for said in [
        format!(r#"{{"type":"message","room":"r","payload":{deep}"#),
        format!(r#"{{"type":"ping","other":{deep}"#),
        format!(r#"{{"type":"ping","id":{}"#, r#"{"a":"#.repeat(100_000)),
    ] {
        assert_eq!(
            ada.asks(&said),
            [r#"{"type":"error","id":null,"code":"too_large","message":"nested deeper than 128"}"#]
        );
    }
    assert!(ada.asks(&deep)[0].contains("-32600"));
}

#[test]
fn two_of_a_field_are_refused_and_not_chosen_from() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for said in [
        r#"{"type":"message","room":"a","room":"b","payload":1}"#,
        r#"{"type":"ping","type":"auth"}"#,
        r#"{"type":"message","room":"a","payload":1,"payload":2}"#,
        r#"{"type":"message","room":"a","payload":1,"p\u0061yload":2}"#,
        r#"{"id":1,"id":2,"type":"ping"}"#,
    ] {
        let heard = ada.asks(said);
        assert!(
            heard[0].starts_with(r#"{"type":"error","id":null,"code":"bad_request""#),
            "{said} {heard:?}"
        );
    }
    assert!(world.hub.topics().is_empty());
    assert!(
        ada.asks(r#"{"type":"ping","x":1,"x":2}"#)[0].contains("pong"),
        "what is ignored is ignored twice"
    );
}

#[test]
fn a_huge_id_is_not_echoed() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for id in [
        format!("\"{}\"", "x".repeat(500_000)),
        "9".repeat(500_000),
        format!("[{}]", "1,".repeat(1000) + "1"),
    ] {
        let heard = ada.asks(&format!(r#"{{"type":"ping","id":{id}}}"#));
        assert!(heard[0].len() < 200 && heard[0].contains("bad_request"), "{:.100}", heard[0]);
    }
}

/// catalogue: DS-41, DS-42
#[test]
fn a_million_names_of_rooms_leave_no_more_than_there_may_be() {
    let mut limits = unlimited();
    limits.rooms_total_max = 1_000;
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").inside(&["mine"]);
    let count = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
    for number in 0..count {
        ada.says(&format!(r#"{{"type":"message","room":"r{number}","payload":1}}"#));
        if number % 1000 == 0 {
            assert_eq!(ada.hears(), [] as [&str; 0]);
        }
    }
    assert!(world.hub.topics().len() <= 1_000);
    assert_eq!(world.hub.topics().members("mine"), 1);
    for number in 0..1000 {
        ada.says(&format!(r#"{{"type":"subscribe","room":"s{number}"}}"#));
    }
    assert_eq!(ada.hears().iter().filter(|heard| heard.contains("too_many_rooms")).count(), 1000 - 127);
    ada.hangs_up();
    assert_eq!(world.hub.stats().total_rooms, 0);
}

/// catalogue: DS-41
#[test]
fn coming_and_going_leaves_nothing() {
    let world = World::with(|hub| hub.limits(unlimited()));
    let ada = world.anonymous("ada").greeted();
    for _ in 0..2_000 {
        ada.says(r#"{"type":"subscribe","room":"r","presence":true}"#);
        ada.says(r#"{"type":"unsubscribe","room":"r"}"#);
        ada.hears();
    }
    assert_eq!(world.hub.topics().members("r"), 0);
    assert!(world.hub.topics().presence("r").is_empty());
}

/// catalogue: DS-46
#[test]
fn a_storm_of_ids_is_held_to_a_number() {
    let mut limits = unlimited();
    limits.dedupe_ids_max = 100;
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").greeted();
    for id in 0..10_000 {
        ada.says(&format!(r#"{{"type":"message","id":{id},"room":"r","payload":1}}"#));
    }
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"message","id":9999,"room":"r","payload":1}"#),
        [r#"{"type":"ack","id":9999,"offset":10000}"#]
    );
    assert_eq!(
        ada.asks(r#"{"type":"message","id":1,"room":"r","payload":1}"#),
        [r#"{"type":"ack","id":1,"offset":10001}"#]
    );
}

/// Whatever bytes of the grammar in whatever order: an answer or none, and never a panic.
#[test]
fn noise_is_answered() {
    let world = World::with(|hub| hub.limits(unlimited()).method("m", |_, _| async { Ok(()) }));
    let ada = world.anonymous("ada").greeted();
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"type\"",
        "\"subscribe\"",
        "\"message\"",
        "\"room\"",
        "\"r\"",
        "\"payload\"",
        "1",
        "null",
        "\"id\"",
        "\"jsonrpc\"",
        "\"2.0\"",
        "\"method\"",
        "\"m\"",
        "\"\\u0000\"",
        "\"since\"",
        "-",
        "1e9",
        " ",
        "\\",
        "\"",
        "é",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..20_000 {
        let mut said = String::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            said.push_str(pieces[(state % pieces.len() as u64) as usize]);
        }
        for heard in ada.asks(&said) {
            assert!(serde_json::from_str::<serde_json::Value>(&heard).is_ok(), "{said} {heard}");
        }
    }
    assert_eq!(ada.is_closed_with(), None);
}
