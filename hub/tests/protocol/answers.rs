//! What a client may have answered is bounded: one answer, a batch of them, and as much a second as it may send.

use framecast_hub::{Limits, Rate};
use serde_json::{Value, value::RawValue};

use crate::support::{Peer, World};

const MIB: usize = 1 << 20;

/// Of payloads of so many bytes.
fn fill(world: &World, room: &str, messages: usize, bytes: usize) {
    for _ in 0..messages {
        let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).expect("it is JSON");
        world.hub.publish(room, payload, None).expect("it is the server's");
    }
}

fn answer(peer: &Peer<'_>, said: &str) -> (usize, Value) {
    let heard = peer.asks(said);
    assert_eq!(heard.len(), 1);
    (heard[0].len(), serde_json::from_str(&heard[0]).expect("it is JSON"))
}

fn offsets(history: &Value) -> Vec<u64> {
    let messages = history["messages"].as_array().expect("they are a list");
    messages.iter().filter_map(|message| message["offset"].as_u64()).collect()
}

fn call(method: &str, id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"room":"r"}},"id":{id}}}"#)
}

#[test]
fn a_history_stops_before_it_is_too_large_and_goes_on_from_there() {
    let mut limits = Limits::default();
    limits.answer_bytes_max = 350_000;
    let world = World::with(|hub| hub.limits(limits));
    fill(&world, "r", 9, 100_000);
    let ada = world.anonymous("ada").greeted();
    let epoch = world.hub.topics().position("r").expect("it is known").epoch;
    let mut since = 0;
    for expected in [[1, 2, 3], [4, 5, 6], [7, 8, 9]] {
        let place = format!(r#"{{"epoch":{epoch},"offset":{since}}}"#);
        let (len, page) = answer(&ada, &format!(r#"{{"type":"history","room":"r","since":{place}}}"#));
        assert!(len <= 350_000, "{len}");
        // The room's own place says that there is more.
        assert_eq!((offsets(&page), page["offset"].as_u64()), (expected.to_vec(), Some(9)));
        since = expected[2];
    }
    let (_, newest) = answer(&ada, r#"{"type":"history","room":"r"}"#);
    assert_eq!(offsets(&newest), [7, 8, 9]);
    let (len, called) = answer(&ada, &call("history", 1));
    assert_eq!(offsets(&called["result"]), [7, 8, 9]);
    assert!(len <= 350_000, "{len}");
}

#[test]
fn a_history_has_one_message_in_any_case() {
    let mut limits = Limits::default();
    limits.answer_bytes_max = 1000;
    let world = World::with(|hub| hub.limits(limits));
    fill(&world, "r", 2, 5000);
    let ada = world.anonymous("ada").greeted();
    assert_eq!(offsets(&answer(&ada, r#"{"type":"history","room":"r"}"#).1), [2]);
}

#[test]
fn more_people_than_an_answer_holds_are_too_many() {
    let mut limits = Limits::default();
    limits.answer_bytes_max = 80;
    let world = World::with_tokens(|hub| hub.limits(limits));
    let ada = world.user("ada").inside(&["r"]);
    assert_eq!(
        ada.asks(r#"{"type":"presence","room":"r"}"#),
        [r#"{"type":"presence","room":"r","users":[{"user_id":"ada","connections":1}]}"#]
    );
    let _bob = world.user("bob").inside(&["r"]);
    assert_eq!(
        ada.asks(r#"{"type":"presence","id":1,"room":"r"}"#),
        [
            r#"{"type":"error","id":1,"code":"too_large","message":"more people are there than an answer holds"}"#
        ]
    );
    assert!(ada.asks(&call("presence", 2))[0].contains(r#""data":{"code":"too_large"}"#));
}

#[test]
fn a_batch_is_answered_with_as_much_as_one_answer_holds() {
    let world = World::new();
    fill(&world, "r", 5, 100_000);
    let ada = world.anonymous("ada").greeted();
    let mut calls: Vec<_> = (0..98).map(|id| call("history", id)).collect();
    // Who publishes learns what became of it, as nothing else would say.
    calls
        .push(r#"{"jsonrpc":"2.0","method":"publish","params":{"room":"s","payload":1},"id":98}"#.to_owned());
    calls.push(call("history", 99));
    let (len, answers) = answer(&ada, &format!("[{}]", calls.join(",")));
    assert!((MIB - 60_000..MIB + 100 * 200).contains(&len), "{len}");
    let answers = answers.as_array().expect("it is a list");
    assert_eq!(answers.len(), 100);
    for answer in answers {
        match answer["id"].as_u64().expect("it is one of ours") {
            0 | 1 => assert_eq!(offsets(&answer["result"]).len(), 5),
            98 => assert_eq!(answer["result"]["offset"].as_u64(), Some(1)),
            _ => assert_eq!(
                answer["error"].to_string(),
                r#"{"code":-32000,"data":{"code":"too_large"},"message":"the batch's answers are too large together"}"#
            ),
        }
    }
}

/// Of the application's methods as well, whatever they are.
#[test]
fn the_applications_answers_count_in_a_batch() {
    let world = World::with(|hub| hub.method("much", |_, _| async { Ok("x".repeat(400_000)) }));
    let ada = world.anonymous("ada").greeted();
    let calls: Vec<_> = (0..10).map(|id| call("much", id)).collect();
    let (len, _) = answer(&ada, &format!("[{}]", calls.join(",")));
    assert!((800_000..820_000).contains(&len), "{len}");
}

#[test]
fn what_is_answered_counts_as_what_is_sent() {
    let world = World::new();
    fill(&world, "r", 10, 100_000);
    let ada = world.anonymous("ada").greeted();
    let history = r#"{"type":"history","id":1,"room":"r"}"#;
    for _ in 0..2 {
        assert!(ada.asks(history)[0].len() > 1_000_000);
    }
    for _ in 0..50 {
        let heard = ada.asks(history);
        assert!(heard[0].starts_with(r#"{"type":"error","id":1,"code":"rate_limited""#), "{heard:?}");
    }
    assert_eq!(ada.is_closed_with(), None);
    assert!(ada.asks(&call("history", 2))[0].contains(r#""data":{"code":"rate_limited""#));
    world.passes(1_000);
    assert!(ada.asks(history)[0].len() > 1_000_000);
    assert!(ada.asks(history)[0].contains("rate_limited"));
}

#[test]
fn a_users_connections_share_what_they_are_answered() {
    let mut limits = Limits::default();
    limits.user_bytes = Rate { per_second: 1000, burst: 1_100_000 };
    let world = World::with_tokens(|hub| hub.limits(limits));
    fill(&world, "r", 10, 100_000);
    let (phone, laptop) = (world.user_as("ada", "phone"), world.user_as("ada", "laptop"));
    let history = r#"{"type":"history","room":"r"}"#;
    assert!(phone.asks(history)[0].len() > 1_000_000);
    assert!(laptop.asks(history)[0].contains("rate_limited"));
}

/// A notification is not answered: nothing is fetched, written or counted for it.
#[test]
fn what_nobody_would_hear_is_not_computed() {
    let world = World::new();
    fill(&world, "r", 10, 100_000);
    let ada = world.anonymous("ada").greeted();
    let notification = r#"{"jsonrpc":"2.0","method":"history","params":{"room":"r"}}"#;
    let batch = format!("[{}]", vec![notification; 100].join(","));
    assert_eq!(ada.asks(&batch), [] as [&str; 0]);
    assert!(ada.asks(r#"{"type":"history","room":"r"}"#)[0].len() > 1_000_000);
}
