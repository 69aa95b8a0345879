//! Each route of the protocol's table: status, content type, and the body to the byte.

use framecast_hub::{Clock, Now};

use crate::support::*;

const JSON: Option<&str> = Some("application/json");
const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

#[tokio::test]
async fn what_is_for_everybody_is_answered_without_a_token() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let page = running.http("GET /", "", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.to_ascii_lowercase().starts_with("<!doctype html>"), "{}", page.body);
    let policy = page.header("content-security-policy").expect("it is there");
    assert!(
        policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe-"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for (line, wanted) in [
        ("GET /health", (200, TEXT, "ok\n")),
        ("GET /ready", (200, TEXT, "ready\n")),
        ("HEAD /health", (200, TEXT, "")),
        ("GET /nowhere", (404, TEXT, "Not Found\n")),
        ("POST /nowhere", (404, TEXT, "Not Found\n")),
        ("GET /ws/", (404, TEXT, "Not Found\n")),
        ("GET /ws/a/b", (404, TEXT, "Not Found\n")),
        ("GET /ws", (426, TEXT, "Upgrade Required\n")),
        ("GET /ws/me", (426, TEXT, "Upgrade Required\n")),
        ("POST /ws", (405, TEXT, "Method Not Allowed\n")),
        ("GET /ws/%zz", (400, TEXT, "Bad Request\n")),
        ("GET /ws/%ff", (400, TEXT, "Bad Request\n")),
    ] {
        assert_eq!(running.http(line, "", "").await.seen(), wanted, "{line}");
    }
    for line in ["POST /health", "DELETE /ready"] {
        assert_eq!(running.http(line, "", "").await.status, 405, "{line}");
    }
}

/// The page's files and the client, which applications may use from here; who has one already is not sent it again.
#[tokio::test]
async fn the_page_names_files_that_are_there_and_the_client_is_the_packages_own() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let page = running.http("GET /", "", "").await.body;
    for (path, media_type) in [
        ("page/style.css", "text/css; charset=utf-8"),
        ("page/app.js", "text/javascript; charset=utf-8"),
        ("page/icon.svg", "image/svg+xml"),
    ] {
        assert!(page.contains(&format!("\"{path}\"")), "{path}");
        let file = running.http(&format!("GET /{path}"), "", "").await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(media_type)), "{path}");
    }
    let client = running.http("GET /framecast.js", "", "").await;
    assert_eq!(client.body, include_str!("../../../client/js/framecast.js"));
    for (field, wanted) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(client.header(field), Some(wanted));
    }
    let etag = client.header("etag").expect("it is there");
    for (tags, status, body) in [
        (etag.to_owned(), 304, ""),
        (format!("\"old\", W/{etag}"), 304, ""),
        ("*".to_owned(), 304, ""),
        ("\"old\"".to_owned(), 200, client.body.as_str()),
    ] {
        let again = running.http("GET /framecast.js", &format!("If-None-Match: {tags}\r\n"), "").await;
        assert_eq!((again.status, again.body.as_str()), (status, body), "{tags}");
        assert_eq!(again.header("etag"), Some(etag), "{tags}");
    }
    assert_eq!(running.http("POST /framecast.js", "", "").await.status, 405);
}

#[tokio::test]
async fn the_admin_sees_rooms_and_stats() {
    let now = Now { instant: std::time::Instant::now(), unix_ms: 1_730_000_000_123 };
    let running = Running::of(hub(|hub| hub.clock(Clock::new(move || now))), with_admin).await;
    let stats =
        |more: &str| format!(r#"{{{more},"messages_out":0,"dropped":0,"uptime_s":0,"broker":null}}{}"#, "\n");
    let empty = stats(r#""total_connections":0,"total_rooms":0,"messages_in":0"#);
    assert_eq!(running.admin("GET /stats", "").await.seen(), (200, JSON, empty.as_str()));
    assert_eq!(running.admin("GET /rooms", "").await.seen(), (200, JSON, "{\"rooms\":[]}\n"));
    let _ada = running.inside("match:42").await;
    let _bob = running.inside("match:42").await;
    let rooms = "{\"rooms\":[{\"name\":\"match:42\",\"members\":2}]}\n";
    assert_eq!(running.admin("GET /rooms", "").await.seen(), (200, JSON, rooms));
    let some = stats(r#""total_connections":2,"total_rooms":1,"messages_in":2"#);
    assert_eq!(running.admin("GET /stats", "").await.seen(), (200, JSON, some.as_str()));
}

#[tokio::test]
async fn rooms_are_given_by_pages_of_their_names() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let ws = running.enter("/ws").await;
    for room in ["b:2", "a:1", "b:10", "caf\u{e9}", "b:1", "c d&e"] {
        say(&ws, &format!(r#"{{"type":"subscribe","room":"{room}"}}"#)).await;
    }
    running.metric_becomes("framecast_rooms", 6).await;
    for (query, wanted) in [
        ("", &["a:1", "b:1", "b:10", "b:2", "c d&e", "caf\u{e9}"][..]),
        ("?limit=2", &["a:1", "b:1"]),
        ("?limit=2&after=b:1", &["b:10", "b:2"]),
        ("?after=b%3A2", &["c d&e", "caf\u{e9}"]),
        ("?after=b:100", &["b:2", "c d&e", "caf\u{e9}"]),
        ("?after=zzz", &[]),
        ("?prefix=b:1", &["b:1", "b:10"]),
        ("?prefix=b:&after=b:1&limit=1", &["b:10"]),
        ("?prefix=c%20d%26", &["c d&e"]),
        ("?prefix=c+d", &["c d&e"]),
        ("?prefix=caf%C3%A9", &["caf\u{e9}"]),
        ("?limit=0", &[]),
        ("?limit=1000000", &["a:1", "b:1", "b:10", "b:2", "c d&e", "caf\u{e9}"]),
        ("?unknown=1&limit=1", &["a:1"]),
    ] {
        let rooms = wanted.iter().map(|name| format!(r#"{{"name":"{name}","members":1}}"#));
        let body = format!("{{\"rooms\":[{}]}}\n", rooms.collect::<Vec<_>>().join(","));
        let answer = running.admin(&format!("GET /rooms{query}"), "").await;
        assert_eq!(answer.seen(), (200, JSON, body.as_str()), "{query}");
    }
    for query in ["?limit=", "?limit=-1", "?limit=x", "?limit=99999999999999999999999", "?limit=1&limit=2"] {
        assert_eq!(running.admin(&format!("GET /rooms{query}"), "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_connection_and_says_how_many() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let mut somebody = [running.enter("/ws").await, running.inside("r").await];
    let answer = running.admin("POST /broadcast", r#"{"maintenance":"at noon"}"#).await;
    assert_eq!(answer.seen(), (200, JSON, "{\"status\":\"sent\",\"recipients\":2}\n"));
    for ws in &mut somebody {
        let heard = hear(ws).await;
        let ts = field(&heard, "ts");
        let wanted = format!(r#"{{"type":"broadcast","payload":{{"maintenance":"at noon"}},"ts":{ts}}}"#);
        assert_eq!(heard, wanted);
    }
}

#[tokio::test]
async fn a_post_to_a_room_reaches_its_subscribers_and_tells_its_place() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let (mut inside, mut elsewhere) = (running.inside("match:42").await, running.inside("other").await);
    for offset in 1..4 {
        let answer = running.admin("POST /broadcast/match:42", r#"{"score":"2-1"}"#).await;
        let epoch = field(&answer.body, "epoch");
        let wanted = format!(
            "{{\"status\":\"sent\",\"room\":\"match:42\",\"epoch\":{epoch},\"offset\":{offset},\"recipients\":1}}\n"
        );
        assert_eq!(answer.seen(), (200, JSON, wanted.as_str()));
        let heard = hear(&mut inside).await;
        let ts = field(&heard, "ts");
        let wanted = format!(
            r#"{{"type":"message","room":"match:42","payload":{{"score":"2-1"}},"user_id":null,"client_id":null,"epoch":{epoch},"offset":{offset},"ts":{ts}}}"#
        );
        assert_eq!(heard, wanted);
    }
    say(&elsewhere, r#"{"type":"ping"}"#).await;
    assert!(hear(&mut elsewhere).await.starts_with(r#"{"type":"pong""#), "and nothing before it");
}

/// catalogue: DS-42
#[tokio::test]
async fn room_names_in_paths_are_percent_decoded_once_and_checked() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    for (path, room) in [
        ("match%3A42%20caf%C3%A9", "match:42 caf\u{e9}"),
        ("a%2Fb", "a/b"),
        ("%2e%2e%2fetc", "../etc"),
        ("100%2525", "100%25"),
        ("a+b", "a+b"),
    ] {
        let mut ws = running.inside(room).await;
        let answer = running.admin(&format!("POST /broadcast/{path}"), "1").await;
        assert_eq!((answer.status, field(&answer.body, "room")), (200, room), "{path}");
        assert_eq!(field(&hear(&mut ws).await, "room"), room);
    }
    let long = "x".repeat(256);
    for path in ["%00", "a%0d%0ab", "%7f", "match:*", "match:%3E", "%2a", &long] {
        let answer = running.admin(&format!("POST /broadcast/{path}"), "1").await;
        assert_eq!((answer.status, answer.header("content-type")), (400, JSON), "{path}: {answer:?}");
        assert!(answer.body.starts_with(r#"{"code":"bad_request","message":""#), "{path}: {answer:?}");
    }
    for path in ["%ff", "%c0%80"] {
        assert_eq!(running.admin(&format!("POST /broadcast/{path}"), "1").await.status, 400, "{path}");
    }
    let wildcard = running.admin("POST /broadcast/a:*", "1").await;
    let wanted = "{\"code\":\"bad_request\",\"message\":\"a wildcard is for subscribers only\"}\n";
    assert_eq!(wildcard.seen(), (400, JSON, wanted));
}

#[tokio::test]
async fn a_user_is_sent_to_and_disconnected_on_all_of_its_connections() {
    let running = Running::of(hub(|hub| hub.tokens(tokens())), with_admin).await;
    let mut ada = [running.enter("/ws?token=ada-token").await, running.enter("/ws?token=ada-token").await];
    let mut bob = running.enter("/ws?token=bob-token").await;
    let answer = running.admin("POST /users/ada/messages", r#"["for","you"]"#).await;
    let wanted = "{\"status\":\"sent\",\"user_id\":\"ada\",\"recipients\":2}\n";
    assert_eq!(answer.seen(), (200, JSON, wanted));
    for ws in &mut ada {
        let heard = hear(ws).await;
        let (id, ts) = (field(&heard, "id"), field(&heard, "ts"));
        let wanted =
            format!(r#"{{"type":"direct","id":"{id}","user_id":null,"payload":["for","you"],"ts":{ts}}}"#);
        assert_eq!(heard, wanted);
    }
    let answer = running.admin("DELETE /users/ada", "").await;
    let wanted = "{\"status\":\"disconnected\",\"user_id\":\"ada\",\"connections\":2}\n";
    assert_eq!(answer.seen(), (200, JSON, wanted));
    for ws in &mut ada {
        let reason = "disconnected by the server's admin".to_owned();
        assert_eq!(closed(ws).await, (framecast::CloseCode(4003), reason));
    }
    for (line, body, wanted) in [
        ("DELETE /users/nobody", "", r#"{"status":"disconnected","user_id":"nobody","connections":0}"#),
        ("POST /users/b%C3%B6b/messages", "1", r#"{"status":"sent","user_id":"böb","recipients":0}"#),
    ] {
        assert_eq!(running.admin(line, body).await.seen(), (200, JSON, format!("{wanted}\n").as_str()));
    }
    say(&bob, r#"{"type":"ping"}"#).await;
    assert!(hear(&mut bob).await.starts_with(r#"{"type":"pong""#), "nobody else is concerned");
}
