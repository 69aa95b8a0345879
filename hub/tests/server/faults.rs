//! Peers that vanish, half or whole, wherever they are in what they were saying: nobody else notices, and the log is not theirs to fill.

use std::time::Duration;

use framecast_hub::Limits;
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

use crate::{log::Log, support::*};

/// An upgrade, a subscription, half a message.
fn story(running: &Running) -> Vec<u8> {
    let subscribe = frame(TEXT, br#"{"type":"subscribe","room":"r","presence":true}"#);
    let message = frame(TEXT, br#"{"type":"message","room":"r","payload":"hello"}"#);
    [&upgrade("/ws", running.addr, "")[..], &subscribe, &message].concat()
}

async fn is_as_before(running: &Running) {
    running.metric_becomes("framecast_connections", 0).await;
    running.metric_becomes("framecast_rooms", 0).await;
    assert_eq!(running.admin("GET /rooms", "").await.body, "{\"rooms\":[]}\n");
}

/// catalogue: FT-01, DS-04
#[tokio::test]
async fn a_reset_at_any_byte_ends_one_connection_and_is_not_worth_a_line() {
    let log = Log::at(LevelFilter::INFO);
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let story = story(&running);
    for length in 0..=story.len() {
        let mut peer = running.raw().await;
        peer.send(&story[..length]).await;
        if length % 3 == 0 {
            // Some are in the midst of being answered, some have been.
            tokio::task::yield_now().await;
        }
        peer.reset();
    }
    is_as_before(&running).await;
    assert_eq!(log.text(), "");
    running.enter("/ws").await;
}

/// catalogue: FT-03, FT-05
#[tokio::test]
async fn a_half_close_at_any_byte_ends_the_connection() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let story = story(&running);
    let mut peers = Vec::new();
    for length in (0..=story.len()).step_by(3) {
        let mut peer = running.raw().await;
        peer.send(&story[..length]).await;
        peer.half_close().await;
        peers.push(peer);
    }
    for mut peer in peers {
        timeout(SOON, peer.rest()).await.expect("it has an end");
    }
    is_as_before(&running).await;
}

/// While all of them are written to · catalogue: FT-02, FT-04
#[tokio::test]
async fn two_hundred_that_vanish_at_once_in_mid_broadcast_leave_within_a_second() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut peer = running.raw().await;
        peer.send(&story(&running)).await;
        peer.head().await;
        crowd.push(peer);
    }
    let mut stays = running.inside("r").await;
    let payload = format!("\"{}\"", "x".repeat(1000));
    for _ in 0..20 {
        running.admin("POST /broadcast/r", &payload).await;
    }
    let started = cpu_of_worker();
    crowd.into_iter().for_each(Peer::reset);
    running.admin("POST /broadcast/r", "\"the last\"").await;
    running.metric_becomes("framecast_connections", 1).await;
    let took = cpu_of_worker() - started;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let rooms = running.admin("GET /rooms", "").await.body;
    assert_eq!(rooms, "{\"rooms\":[{\"name\":\"r\",\"members\":1}]}\n", "each has left once");
    loop {
        if hear(&mut stays).await.contains("the last") {
            return;
        }
    }
}

/// One line a connection at most, and what a peer has said is not in it · catalogue: DS-51
#[tokio::test]
async fn no_flood_fills_the_log() {
    let log = Log::at(LevelFilter::INFO);
    let mut limits = Limits::default();
    limits.auth_within = Duration::from_millis(50);
    let running = Running::of(hub(|hub| hub.tokens(tokens()).limits(limits)), with_admin).await;
    let rubbish = |text: &str| frame(TEXT, text.as_bytes()).repeat(3000);
    let inputs = [
        b"\x1b[31mnot HTTP\r\n\r\n".to_vec(),
        upgrade("/ws/%1b%5b31m%0a?token=x", "elsewhere", "Origin: \x1b[31m\r\n"),
        upgrade("/ws", running.addr, "Origin: https://elsewhere.example\r\n"),
        request("POST /broadcast", running.addr, "", "{"),
        [upgrade("/ws", running.addr, ""), rubbish("{\n\u{1b}[31m")].concat(),
        [upgrade("/ws?token=ada-token", running.addr, ""), rubbish(r#"{"type":"ping"}"#)].concat(),
        [upgrade("/ws?token=ada-token", running.addr, ""), frame(3, b"").repeat(1000)].concat(),
        [upgrade("/ws?token=wrong", running.addr, ""), frame(TEXT, b"\xff")].concat(),
    ];
    for _ in 0..20 {
        for input in &inputs {
            let mut peer = running.raw().await;
            // It may be cut before it is done.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, input).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await;
            timeout(SOON, peer.rest()).await.expect("it has an end");
        }
    }
    running.metric_becomes("framecast_connections", 0).await;
    assert_eq!(log.text(), "", "nothing of it is news");
}
