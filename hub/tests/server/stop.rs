//! The end of a server: who is connected is told when to come back, and gets what was there for it first.

use std::time::Duration;

use framecast::{CloseCode, Message};
use framecast_hub::{Limits, Server, Stop};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

const WINDOW: Duration = Duration::from_secs(2);

/// Much less than it would take if anybody were waited for in vain.
const AT_ONCE: Duration = Duration::from_secs(2);

fn retry_after(reason: &str) -> Duration {
    let millis = reason.strip_prefix("retry_after_ms=").and_then(|millis| millis.parse().ok());
    Duration::from_millis(millis.unwrap_or_else(|| panic!("{reason}")))
}

/// By the clock of the runtime, which stands while anybody works
#[tokio::test(start_paused = true)]
async fn a_drain_spreads_closes_over_its_window_the_oldest_first() {
    let mut running = Running::of(hub(|hub| hub), with_admin).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(running.enter("/ws").await);
    }
    let started = Instant::now();
    running.stop(Stop::Drain(WINDOW));
    let closing = clients.into_iter().map(|mut ws| {
        tokio::spawn(async move {
            let (code, reason) = closed(&mut ws).await;
            (started.elapsed(), code, reason)
        })
    });
    let closing: Vec<_> = closing.collect();

    // Meanwhile nobody new is let in, and whoever asks is told.
    running.metric_becomes("framecast_draining", 1).await;
    let ready = running.http("GET /ready", "", "").await;
    assert_eq!(ready.seen(), (503, Some("text/plain; charset=utf-8"), "draining\n"));
    assert_eq!(running.http("GET /health", "", "").await.status, 200);
    let refused = running.send(&upgrade("/ws", running.addr, "")).await;
    assert_eq!((refused.status, refused.body.as_str()), (503, "Service Unavailable\n"));
    assert!(refused.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{refused:?}");
    assert_eq!(running.metric("framecast_refused_total{reason=\"draining\"}").await, 1);

    let (mut last, mut told) = (Duration::ZERO, Vec::new());
    for (number, closing) in (0..).zip(closing) {
        let (at, code, reason) = closing.await.expect("it is closed");
        let due = WINDOW * number / 20;
        assert_eq!(code, CloseCode(1012));
        assert!(
            at >= last && at + Duration::from_millis(5) >= due,
            "number {number} at {at:?}, after {last:?}"
        );
        assert!(at < due + Duration::from_millis(50), "number {number} at {at:?}");
        // Until the last one is closed, and half a second for the next process to be there.
        let left = WINDOW * (19 - number) / 20 + Duration::from_millis(500);
        let after = retry_after(&reason);
        assert!(after + Duration::from_millis(1) >= left, "back in {after:?}, with {left:?} left");
        assert!(after <= left + left.max(Duration::from_secs(1)), "back in {after:?}");
        told.push(after + due);
        last = at;
    }
    assert!(last >= WINDOW * 19 / 20, "the last one at {last:?}");
    told.sort_unstable();
    assert!(told[19] - told[0] > Duration::from_millis(200), "they come back all at once: {told:?}");
    running.ended().await;
    assert!(started.elapsed() < WINDOW + AT_ONCE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_drain_closes_one_client_at_once_and_with_none_is_over() {
    for clients in [1, 0] {
        let mut running = Running::start().await;
        let client = if clients == 1 { Some(running.enter("/ws").await) } else { None };
        let started = Instant::now();
        running.stop(Stop::Drain(Duration::from_secs(60)));
        if let Some(mut ws) = client {
            let (code, reason) = closed(&mut ws).await;
            assert_eq!(code, CloseCode(1012));
            let after = retry_after(&reason).as_millis();
            assert!((500..1500).contains(&after), "nobody else has to be closed: {reason}");
        }
        running.ended().await;
        assert!(started.elapsed() < AT_ONCE, "{clients}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_stop_for_good_is_1001_for_all_at_once() {
    let mut running = Running::start().await;
    let mut clients = [running.enter("/ws").await, running.inside("r").await];
    let started = Instant::now();
    running.stop(Stop::Now);
    for ws in &mut clients {
        assert_eq!(closed(ws).await, (CloseCode(1001), String::new()));
    }
    running.ended().await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    assert!(tokio::net::TcpStream::connect(running.addr).await.is_err(), "nobody listens any more");
}

/// Those who keep a connection open without a word are not waited for.
#[tokio::test]
async fn connections_that_ask_for_nothing_hold_up_no_end() {
    let mut running = Running::start().await;
    let mut silent = running.raw().await;
    let mut idle = running.raw().await;
    idle.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status(&idle.head().await), 200);
    // All of them are known.
    running.http("GET /health", "", "").await;
    let started = Instant::now();
    running.stop(Stop::Now);
    running.ended().await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    assert_eq!((silent.rest().await, idle.rest().await), (vec![], b"ok\n".to_vec()));
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_still() {
    let mut running = Running::of(hub(|hub| hub), with_admin).await;
    let mut peer = running.raw().await;
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n");
    peer.send(format!("{head}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n").as_bytes()).await;
    // By which it is known that the body is waited for.
    assert_eq!(status(&peer.head().await), 100);
    running.stop(Stop::Now);
    sleep(Duration::from_millis(50)).await;
    peer.send(b"null").await;
    let answer = Answer::new(&peer.rest().await);
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"status\":\"sent\",\"recipients\":0}\n"));
    running.ended().await;
}

#[tokio::test]
async fn what_is_queued_comes_before_the_close() {
    for (stop, code) in [(Stop::Drain(Duration::from_millis(100)), 1012), (Stop::Now, 1001)] {
        let mut running = Running::start().await;
        let mut clients = [running.inside("r").await, running.inside("r").await];
        let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(1000))).expect("it is JSON");
        for _ in 0..500 {
            running.server.hub().publish("r", payload.clone(), None).expect("there is room");
        }
        running.stop(stop);
        for ws in &mut clients {
            for offset in 1..=500 {
                assert_eq!(field(&hear(ws).await, "offset"), offset.to_string());
            }
            assert_eq!(closed(ws).await.0, CloseCode(code));
        }
        running.ended().await;
    }
}

/// It has its time to close, and no more · catalogue: DS-30
#[tokio::test]
async fn a_client_that_never_reads_holds_the_end_up_for_its_time_to_close_alone() {
    let within = Duration::from_millis(300);
    for stop in [Stop::Drain(Duration::ZERO), Stop::Now] {
        let engine = Server::engine().close_within(within).linger_within(within).build().expect("it can be");
        let mut running = Running::of(hub(|hub| hub), |server| server.engine(engine)).await;
        let mut peer = running.raw().await;
        peer.send(&upgrade("/ws", running.addr, "")).await;
        peer.head().await;
        peer.text(r#"{"type":"subscribe","room":"r"}"#).await;
        running.server.hub().topics();
        while running.server.hub().topics().members("r") == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(100_000))).expect("it is JSON");
        // As much as may wait for it: it is not closed for being too slow.
        for _ in 0..10 {
            running.server.hub().publish("r", payload.clone(), None).expect("there is room");
        }
        let started = Instant::now();
        running.stop(stop);
        running.ended().await;
        assert!(started.elapsed() < within * 4 + AT_ONCE, "{stop:?}: {:?}", started.elapsed());
    }
}

/// Never in doubt: history that went with the old process is not recovered, and that is said.
#[tokio::test]
async fn who_comes_back_to_a_new_hub_is_told_that_nothing_was_recovered() {
    let subscribe = async |ws: &mut framecast::WebSocket, since: &str| {
        say(ws, &format!(r#"{{"type":"subscribe","room":"r"{since}}}"#)).await;
        hear(ws).await
    };
    let mut running = Running::start().await;
    let mut ws = running.inside("r").await;
    say(&ws, r#"{"type":"message","room":"r","payload":1}"#).await;
    let heard = hear(&mut ws).await;
    let (epoch, offset) = (field(&heard, "epoch").to_owned(), field(&heard, "offset").to_owned());
    let since = format!(r#","since":{{"epoch":{epoch},"offset":{offset}}}"#);
    let mut again = running.enter("/ws").await;
    let subscribed = subscribe(&mut again, &since).await;
    assert!(subscribed.ends_with(r#""recovered":true}"#), "on the old one: {subscribed}");
    running.stop(Stop::Drain(Duration::ZERO));
    assert_eq!(closed(&mut ws).await.0, CloseCode(1012));

    let next = Running::of(hub(|hub| hub.limits(Limits::default())), |server| server).await;
    for published in 0..2 {
        let mut ws = next.enter("/ws").await;
        let subscribed = subscribe(&mut ws, &since).await;
        assert!(subscribed.ends_with(r#""recovered":false}"#), "{subscribed}");
        assert_ne!(field(&subscribed, "epoch"), epoch);
        // Nor by chance, when the new room has come as far as the old one.
        ws.send(Message::text(r#"{"type":"message","room":"r","payload":2}"#)).await.expect("it is open");
        assert_eq!(field(&hear(&mut ws).await, "offset"), (published + 1).to_string());
    }
    timeout(SOON, running.ended()).await.expect("it ends");
}
