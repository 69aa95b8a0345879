//! Futures that are dropped half-way lose nothing and double nothing.

use std::sync::atomic::Ordering::SeqCst;

use framecast::{CloseCode, Config, Message, WebSocket};
use tokio::time::{Duration, timeout};

use crate::support::{PIPE, TEXT, accept, close, frame, once, run, run_over, settle};

/// DESIGN "Drivers" · catalogue: RT-11, RT-12
#[tokio::test]
async fn dropping_recv_at_every_poll_loses_no_message() {
    let (mut peer, running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        let mut got = Vec::new();
        loop {
            // Polled once, then dropped.
            match once(ws.recv()).await {
                Some(Some(message)) => got.push(message.as_text().expect("text").to_owned()),
                Some(None) => return got,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    gauge.read_bytes_max.store(1, SeqCst);
    gauge.stutters.store(true, SeqCst);
    for n in 0..50 {
        peer.text(&n.to_string()).await;
    }
    peer.send(&close(1000, "")).await;
    let (got, _) = running.await.expect("no panic");
    assert_eq!(got, (0..50).map(|n: i32| n.to_string()).collect::<Vec<_>>());
}

/// DESIGN "Drivers" · catalogue: RT-12
#[tokio::test]
async fn select_between_recv_and_other_things_loses_no_message() {
    let (mut ws, mut peer, gauge) = accept(Config::default()).await;
    gauge.read_bytes_max.store(3, SeqCst);
    let sending = tokio::spawn(async move {
        for n in 0..200 {
            peer.text(&n.to_string()).await;
            tokio::task::yield_now().await;
        }
        peer
    });
    let mut got = Vec::new();
    while got.len() < 200 {
        tokio::select! {
            message = ws.recv() => got.push(message.expect("open").as_text().expect("text").to_owned()),
            _ = ws_ticks() => {}
            () = std::future::ready(()) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(got, (0..200).map(|n: i32| n.to_string()).collect::<Vec<_>>());
    drop(sending.await);
}

async fn ws_ticks() {
    tokio::task::yield_now().await;
}

/// DESIGN "Drivers" · catalogue: RT-11, V-85
#[tokio::test]
async fn dropping_send_at_its_wait_queues_nothing_and_the_next_send_is_right() {
    let config = Config::builder().outbox_bytes_max(64).outbox_bytes_low(16).build().expect("valid");
    let (mut peer, running, gauge) = run_over(config, 64, async |ws: WebSocket| {
        let mut sent = Vec::new();
        for n in 0..300 {
            let text = format!("{n} {}", "x".repeat(n % 50));
            match once(ws.send(Message::text(text.clone()))).await {
                Some(result) => {
                    result.expect("open");
                    sent.push(text);
                }
                None => tokio::task::yield_now().await,
            }
        }
        sent
    })
    .await;
    gauge.write_bytes_max.store(1, SeqCst);
    gauge.stutters.store(true, SeqCst);
    let mut got = Vec::new();
    loop {
        match peer.next().await.expect("a Close before the end") {
            (TEXT, text) => got.push(String::from_utf8(text).expect("UTF-8")),
            (opcode, _) => break assert_eq!(opcode, 8),
        }
    }
    drop(peer);
    let (sent, _) = running.await.expect("no panic");
    assert!(sent.len() < 300, "some had to wait");
    assert_eq!(got, sent);
}

/// RFC 6455 §7.1 · catalogue: RT-11
#[tokio::test]
async fn dropping_close_after_one_poll_closes_all_the_same_and_once() {
    let (mut ws, mut peer, gauge) = accept(Config::default()).await;
    gauge.write_bytes_max.store(1, SeqCst);
    ws.send(Message::text("last")).await.expect("open");
    for _ in 0..5 {
        assert!(once(ws.close(CloseCode::AWAY, "bye")).await.is_none());
        settle().await;
    }
    assert_eq!(peer.next_text().await, "last");
    assert_eq!(peer.next_close().await, 1001);
    peer.send(&close(1001, "")).await;
    let info = ws.close(CloseCode::NORMAL, "").await.expect("a closed one is no error");
    assert_eq!((info.code, info.clean), (CloseCode::AWAY, true));
    assert_eq!(peer.rest().await, b"");
}

/// A close that is refused changes nothing · catalogue: CL-13
#[tokio::test]
async fn a_code_that_must_not_be_sent_is_refused_and_the_connection_goes_on() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    for code in [0, 999, 1005, 1006, 1015, 2000, 5000] {
        assert!(ws.close(CloseCode(code), "").await.is_err(), "{code}");
    }
    assert!(ws.close(CloseCode::NORMAL, &"x".repeat(124)).await.is_err());
    ws.send(Message::text("on")).await.expect("open");
    assert_eq!(peer.next_text().await, "on");
}

/// RFC 6455 §5.4 · catalogue: RT-11, DS-15, FT-15
#[tokio::test]
async fn a_byte_at_a_time_both_ways_arrives_whole() {
    let (mut peer, running, gauge) = run(Config::default(), crate::support::echo).await;
    for control in [&gauge.read_bytes_max, &gauge.write_bytes_max] {
        control.store(1, SeqCst);
    }
    gauge.stutters.store(true, SeqCst);
    for size in [0, 1, 125, 126, 127, 5000, 9000] {
        let text = "x".repeat(size);
        peer.text(&text).await;
        assert_eq!(peer.next_text().await, text);
    }
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
    assert_eq!(running.await.expect("no panic").0, 7);
}

/// DESIGN "Drivers": dropping the future drops the connection · catalogue: CL-44, RT-13
#[tokio::test]
async fn dropping_run_at_any_poll_ends_the_connection_and_tells_its_senders() {
    for polls in 0..40 {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let mut peer = crate::support::Peer::new(theirs);
        peer.send(&[crate::support::REQUEST, &frame(TEXT, b"hi")].concat()).await;
        let (hand_out, sender) = tokio::sync::oneshot::channel();
        {
            let acceptor = crate::support::acceptor(Config::default());
            let (tap, gauge) = crate::support::Tap::new(ours);
            gauge.stutters.store(true, SeqCst);
            gauge.read_bytes_max.store(16, SeqCst);
            let mut running = std::pin::pin!(acceptor.run(tap, async |ws: WebSocket| {
                let _ = hand_out.send(ws.sender());
                crate::support::echo(ws).await
            }));
            for _ in 0..polls {
                assert!(once(running.as_mut()).await.is_none());
            }
        }
        if let Ok(sender) = sender.await {
            let end = timeout(Duration::from_secs(5), sender.closed()).await.expect("told");
            assert!(!end.clean && !sender.is_open());
        }
        peer.rest().await;
    }
}
