//! What is refused, by which status, code and reason.

use std::time::Duration;

use framecast_hub::Tokens;
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn an_unknown_match_is_closed_with_1008() {
    let folder = Folder::new();
    let running = Running::start(&folder).await;
    running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    for path in ["/ws/match/2", "/ws/match/01", "/ws/match/-1", "/ws/match/one"] {
        let mut eve = running.open(path).await;
        assert_eq!(hear(&mut eve).await["type"], "connection_established", "{path}");
        assert_eq!(closed(&mut eve).await, (1008, "unknown match".to_owned()), "{path}");
    }
    let mut eve = running.open("/ws").await;
    hear(&mut eve).await;
    say(&eve, r#"{"type":"subscribe","room":"match:2"}"#).await;
    assert_eq!(closed(&mut eve).await, (1008, "unknown match".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn who_has_no_token_where_one_is_asked_for_is_closed_with_4001() {
    let folder = Folder::new();
    let tokens = Tokens::new().with_file("ada-token ada\n").expect("it is a file");
    let running = Running::with(&folder, tokens, Duration::from_millis(100)).await;
    running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    for path in ["/ws/match/1", "/ws/match/2"] {
        let mut eve = running.open(path).await;
        assert_eq!(hear(&mut eve).await["type"], "connection_established");
        assert_eq!(closed(&mut eve).await, (4001, "no valid token in time".to_owned()), "{path}");
    }
    let (_, first) = running.watch("/ws/match/1?token=ada-token").await;
    assert_eq!(first["type"], "match_data");
    running.stop().await;
}

#[tokio::test]
async fn those_who_watch_only_watch() {
    let folder = Folder::new();
    let running = Running::start(&folder).await;
    running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    let (mut ada, _) = running.watch("/ws/match/1").await;
    say(&ada, r#"{"type":"message","id":1,"room":"match:1","payload":{"type":"score_update"}}"#).await;
    let refused = json!({ "type": "error", "id": 1, "code": "forbidden", "message": "this room may not be published to" });
    assert_eq!(hear(&mut ada).await, refused);
    for line in [
        "POST /matches",
        "GET /matches",
        "GET /matches/1",
        "POST /matches/1/commentary",
        "PUT /matches/1/score",
    ] {
        assert_eq!(running.http(line, "", "{}").await.0, 401, "{line}");
    }
    let page = format!("Authorization: Bearer {ADMIN}\r\nOrigin: https://elsewhere.example\r\n");
    assert_eq!(running.http("POST /matches", &page, "{}").await.0, 403, "no page of elsewhere");
    running.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_named_and_changes_nothing() {
    let folder = Folder::new();
    let running = Running::start(&folder).await;
    running.admin("POST /matches", r#"{"home":"Ajax","away":"Celtic"}"#).await;
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(501));
    let larger = format!(r#"{{"text":"{}"}}"#, "x".repeat(16 << 10));
    for (line, body, status, code, message) in [
        ("POST /matches", "{", 400, "bad_json", "EOF while parsing an object at line 1 column 1"),
        ("POST /matches", "", 400, "bad_json", "EOF while parsing a value at line 1 column 0"),
        ("POST /matches", r#"{"home":"A"}"#, 400, "bad_request", "missing field `away` at line 1 column 12"),
        (
            "POST /matches",
            r#"{"home":"","away":"B"}"#,
            400,
            "bad_request",
            "`home` has 1 to 80 characters, none of them a control character",
        ),
        (
            "POST /matches/1/commentary",
            r#"{"text":"a\nb"}"#,
            400,
            "bad_request",
            "`text` has 1 to 500 characters, none of them a control character",
        ),
        (
            "POST /matches/1/commentary",
            &long,
            400,
            "bad_request",
            "`text` has 1 to 500 characters, none of them a control character",
        ),
        ("POST /matches/1/commentary", &larger, 413, "too_large", "a body has 16384 bytes at most"),
        (
            "POST /matches/1/commentary",
            r#"{"minute":201,"text":"x"}"#,
            400,
            "bad_request",
            "`minute` is 200 at most",
        ),
        (
            "PUT /matches/1/score",
            r#"{"home":1000,"away":0}"#,
            400,
            "bad_request",
            "a side has 999 goals at most",
        ),
        (
            "PUT /matches/1/score",
            r#"{"home":1,"away":0,"by":"x"}"#,
            400,
            "bad_request",
            "unknown field `by`, expected `home` or `away` at line 1 column 23",
        ),
        ("POST /matches/2/commentary", r#"{"text":"x"}"#, 404, "not_found", "unknown match"),
        (
            "PUT /matches/18446744073709551615/score",
            r#"{"home":1,"away":0}"#,
            404,
            "not_found",
            "unknown match",
        ),
        ("GET /matches/one", "", 404, "not_found", "unknown match"),
    ] {
        let wanted = (status, json!({ "code": code, "message": message }));
        assert_eq!(running.admin(line, body).await, wanted, "{line} {body}");
    }
    let (_, unchanged) = running.admin("GET /matches/1", "").await;
    assert_eq!((&unchanged["seq"], &unchanged["score"]["home"]), (&0.into(), &0.into()));
    running.stop().await;
}
