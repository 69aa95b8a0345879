//! What those see who watch.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test]
async fn a_match_from_its_first_line_to_a_restart() {
    let folder = Folder::new();
    let running = Running::start(&folder).await;
    let (status, created) = running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    let mut whole = json!({
        "id": 1, "home": "Ajax", "away": "Celtic", "score": { "home": 0, "away": 0 }, "seq": 0, "commentary": []
    });
    assert_eq!((status, &created), (201, &whole));

    let (mut ada, first) = running.watch("/ws/match/1").await;
    assert_eq!(first, json!({ "type": "match_data", "match": whole }));
    let kick_off = json!({ "seq": 1, "minute": 1, "text": "Kick-off" });
    let added = running.admin("POST /matches/1/commentary", r#"{"minute":1,"text":"Kick-off"}"#).await;
    assert_eq!(added, (201, kick_off.clone()));
    let goal = running.admin("PUT /matches/1/score", r#"{"home":1,"away":0}"#).await;
    assert_eq!(goal, (200, json!({ "seq": 2, "score": { "home": 1, "away": 0 } })));
    let line = json!({ "type": "commentary", "match_id": 1, "seq": 1, "minute": 1, "text": "Kick-off" });
    let score = json!({ "type": "score_update", "match_id": 1, "seq": 2, "score": { "home": 1, "away": 0 } });
    assert_eq!((told(&mut ada).await, told(&mut ada).await), (line, score));

    // Who comes later is told how it stands, and nobody else is told again.
    let (mut bob, first) = running.watch("/ws/match/1").await;
    whole["commentary"] = json!([kick_off]);
    (whole["seq"], whole["score"]["home"]) = (2.into(), 1.into());
    assert_eq!(first["match"], whole);
    running.admin("POST /matches/1/commentary", r#"{"text":"Full time"}"#).await;
    let full_time =
        json!({ "type": "commentary", "match_id": 1, "seq": 3, "minute": null, "text": "Full time" });
    assert_eq!((told(&mut ada).await, told(&mut bob).await), (full_time.clone(), full_time));
    running.stop().await;
    assert_eq!(closed(&mut ada).await.0, 1001);

    let running = Running::start(&folder).await;
    let (mut ada, first) = running.watch("/ws/match/1").await;
    let commentary = json!([kick_off, { "seq": 3, "minute": null, "text": "Full time" }]);
    (whole["seq"], whole["commentary"]) = (3.into(), commentary);
    assert_eq!(first["match"], whole);
    assert_eq!(running.admin("GET /matches/1", "").await, (200, whole));
    running.admin("POST /matches/1/commentary", r#"{"text":"Good night"}"#).await;
    assert_eq!(told(&mut ada).await["seq"], 4);
    let (_, second) = running.admin("POST /matches", r#"{"home":"Benfica","away":"PSV"}"#).await;
    assert_eq!(second["id"], 2);
    running.stop().await;
}

#[tokio::test]
async fn all_see_what_many_write_at_once_in_one_order_and_without_a_hole() {
    let folder = Folder::new();
    let running = Arc::new(Running::start(&folder).await);
    running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    let (mut ada, _) = running.watch("/ws/match/1").await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let running = running.clone();
        writers.spawn(async move {
            for line in 0..15 {
                let body = format!(r#"{{"text":"{writer}: {line}"}}"#);
                assert_eq!(running.admin("POST /matches/1/commentary", &body).await.0, 201);
            }
        });
    }
    // Whoever comes in the midst of it: what it was told first, and what it hears behind it, are all of it.
    let mut between = Vec::new();
    for _ in 0..20 {
        between.push(running.watch("/ws/match/1").await);
    }
    for (mut bob, first) in between {
        let mut next = first["match"]["seq"].as_u64().expect("it is a number") + 1;
        while next <= 60 {
            let seq = told(&mut bob).await["seq"].as_u64().expect("it is a number");
            // One that came between the board and its room is in both.
            assert!(seq == next || seq == next - 1, "{seq} comes in place of {next}");
            next = seq + 1;
        }
    }
    for seq in 1..=60 {
        assert_eq!(told(&mut ada).await["seq"], seq);
    }
    while let Some(written) = writers.join_next().await {
        written.expect("all is written");
    }
    let (_, last) = running.watch("/ws/match/1").await;
    let commentary = last["match"]["commentary"].as_array().expect("it is a list");
    assert_eq!(
        (commentary.len(), &commentary[0]["seq"], &commentary[49]["seq"]),
        (50, &11.into(), &60.into())
    );
}

#[tokio::test]
async fn all_scores_are_in_one_room() {
    let folder = Folder::new();
    let running = Running::start(&folder).await;
    running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    let mut ada = running.open("/ws").await;
    hear(&mut ada).await;
    say(&ada, r#"{"type":"subscribe","room":"scores"}"#).await;
    hear(&mut ada).await;
    let listed =
        json!({ "id": 1, "home": "Ajax", "away": "Celtic", "score": { "home": 0, "away": 0 }, "seq": 0 });
    assert_eq!(told(&mut ada).await, json!({ "type": "match_list", "matches": [listed] }));
    running.admin("POST /matches", r#"{"home":"Benfica","away":"PSV"}"#).await;
    running.admin("POST /matches/1/commentary", r#"{"text":"only for who watches it"}"#).await;
    running.admin("PUT /matches/1/score", r#"{"home":0,"away":1}"#).await;
    let created = told(&mut ada).await;
    assert_eq!((&created["type"], &created["match"]["id"]), (&"match_created".into(), &2.into()));
    let score = json!({ "type": "score_update", "match_id": 1, "seq": 2, "score": { "home": 0, "away": 1 } });
    assert_eq!(told(&mut ada).await, score);
    running.stop().await;
}

#[tokio::test]
async fn the_page_is_one_file() {
    let folder = Folder::new();
    let running = Running::start(&folder).await;
    let (status, page) = running.http("GET /", "", "").await;
    assert!(status == 200 && page.contains("<title>Live scores</title>"), "{status} {page}");
    assert!(!page.contains("//cdn") && !page.contains("https://"), "it names no other host");
    running.stop().await;
}
