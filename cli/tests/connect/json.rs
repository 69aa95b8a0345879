//! `--json`: an object a line for every event.

use framecast::{CloseCode, Message, Refusal, WebSocket};
use serde_json::{Value, json};

use crate::{
    command::{Ran, Running, connect},
    server::{asked, echoing, open},
};

fn events(run: &Ran) -> Vec<Value> {
    let text = str::from_utf8(&run.stdout).expect("UTF-8");
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn every_event_is_an_object_a_line() {
    let url = open(async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await {
            if message.as_text() == Some("end") {
                let _ = ws.send(Message::binary(&b"\x00\xff\xfe"[..])).await;
                let _ = ws.close(CloseCode::POLICY, "why \"so\"").await;
                return;
            }
            let _ = ws.send(message).await;
        }
    });
    let run =
        connect(&["--json", "--subprotocol", "none", "--subprotocol", "chat", &url], "a\u{1b}\"é\nend\n");
    assert_eq!(run.status, Some(5));
    assert_eq!(run.stderr, "framecast: closed with 1008: why \"so\"\n");
    assert_eq!(
        events(&run),
        [
            json!({"event": "open", "subprotocol": "chat"}),
            json!({"event": "message", "type": "text", "data": "a\u{1b}\"é"}),
            json!({"event": "message", "type": "binary", "data": "AP/+"}),
            json!({"event": "close", "code": 1008, "reason": "why \"so\"", "clean": true}),
        ]
    );
}

#[test]
fn a_pong_has_its_round_trip() {
    let run = connect(&["--json", &echoing()], "/ping hi\n");
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    let mut events = events(&run);
    let took = events[1]["round_trip_ms"].take().as_f64().expect("milliseconds");
    assert!((0.0..60_000.0).contains(&took), "{took}");
    assert_eq!(
        events,
        [
            json!({"event": "open", "subprotocol": null}),
            json!({"event": "pong", "payload": "hi", "round_trip_ms": null}),
            json!({"event": "close", "code": 1000, "reason": "", "clean": true}),
        ]
    );
}

#[test]
fn what_goes_wrong_is_an_error() {
    let url = asked(async |incoming| {
        drop(incoming.refuse(Refusal::forbidden()).await);
    });
    let run = connect(&["--json", &url], "");
    assert_eq!(run.status, Some(4));
    let message = run.stderr.trim_end().strip_prefix("framecast: ").expect("ours");
    assert_eq!(events(&run), [json!({"event": "error", "message": message, "status": 403})]);

    let run = connect(&["--json", "ws://nowhere.invalid/"], "");
    assert_eq!(run.status, Some(3));
    let message = run.stderr.trim_end().strip_prefix("framecast: ").expect("ours");
    assert_eq!(events(&run), [json!({"event": "error", "message": message})]);

    let run = connect(&["--json", &echoing()], "/close x\n");
    assert_eq!(run.status, Some(2));
    let message = "close code \"x\" is no number, as in /close 1000 bye";
    assert_eq!(events(&run)[1], json!({"event": "error", "message": message}));
}

#[test]
fn events_come_as_they_happen() {
    let mut running = Running::start(&["--json", &echoing()]);
    assert_eq!(running.line(), "{\"event\":\"open\",\"subprotocol\":null}\n");
    running.types("now\n");
    assert_eq!(running.line(), "{\"event\":\"message\",\"type\":\"text\",\"data\":\"now\"}\n");
    assert_eq!(running.finish().status, Some(0));
}
