//! How a connection ends: what the peer sees, and what the application is told, once.

use std::{io, sync::atomic::Ordering::SeqCst};

use framecast::{CloseCode, CloseInfo, Config, Initiator, Message, SendError, WebSocket, proto::Cause};
use tokio::{
    io::AsyncWriteExt,
    time::{Duration, Instant, sleep, timeout},
};

use crate::support::{
    BINARY, CLOSE, TEXT, accept, close, close_payload, connect, echo, frame, once, run, settle, watchdog,
};

fn told(end: &CloseInfo) -> (u16, &str, Initiator, bool) {
    (end.code.0, &end.reason, end.initiator, end.clean)
}

// ---- CloseInfo, for each kind of end

/// catalogue: CL-30, G-10
#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_ends_after_five_seconds() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let started = Instant::now();
    let end = ws.close(CloseCode::NORMAL, "").await.expect("valid");
    assert!((5000..5100).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!(
        (told(&end), end.cause.clone()),
        ((1006, "", Initiator::Local, false), Cause::CloseUnanswered)
    );
    assert_eq!(peer.next_close().await, 1000);
    assert_eq!(peer.rest().await, b"", "the end of TCP");
}

/// The deadline is absolute · catalogue: CL-33
#[tokio::test(start_paused = true)]
async fn bytes_that_drip_in_after_our_close_do_not_put_off_the_end() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let started = Instant::now();
    let drip = async {
        for byte in frame(BINARY, &[0; 1000]) {
            sleep(Duration::from_secs(1)).await;
            if peer.stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    let (end, ()) = tokio::join!(ws.close(CloseCode::NORMAL, ""), drip);
    assert_eq!(end.expect("valid").cause, Cause::CloseUnanswered);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// A client waits for the server to end TCP, and not for ever · RFC 6455 §7.1.1 · catalogue: CL-31
#[tokio::test(start_paused = true)]
async fn a_client_ends_tcp_itself_if_the_server_does_not() {
    let (mut ws, mut peer) = connect(Config::default(), b"").await;
    let started = Instant::now();
    let closing = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
    assert_eq!(peer.next_close().await, 1000);
    let answer = peer.frame(CLOSE, &close_payload(1000, ""));
    peer.send(&answer).await;
    assert!(closing.await.expect("no panic").expect("valid").clean);
    assert!(started.elapsed().is_zero(), "the application is not kept waiting");
    assert_eq!(peer.rest().await, b"");
    assert!((2000..2100).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

/// catalogue: CL-32
#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_and_vanishes_holds_nothing() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&close(1000, "")).await;
    // The pipe stays open: nothing more comes, and no end.
    let (_, end) = timeout(Duration::from_secs(8), running).await.expect("in time").expect("no panic");
    assert_eq!(told(&end), (1000, "", Initiator::Peer, true));
    drop(peer);
}

/// catalogue: CL-34, CL-42
#[tokio::test(start_paused = true)]
async fn a_flood_after_our_close_is_read_no_further_than_the_bound() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let closing = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
    assert_eq!(peer.next_close().await, 1000);
    let flood = frame(BINARY, &[0; 10_000]);
    let mut sent = 0;
    while timeout(Duration::from_secs(60), peer.stream.write_all(&flood)).await.is_ok_and(|sent| sent.is_ok())
    {
        sent += flood.len();
    }
    // The pipe holds as much again.
    assert!(sent <= (256 << 10) + 2 * crate::support::PIPE, "{sent} bytes");
    let end = closing.await.expect("no panic").expect("valid");
    assert_eq!(end.cause, Cause::CloseUnanswered);
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_dropped_websocket_closes_with_1000_behind_what_it_sent() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    let sender = ws.sender();
    ws.send(Message::text("last")).await.expect("open");
    drop(ws);
    assert_eq!(sender.try_send("later"), Err(SendError::Closed));
    assert_eq!(peer.next_text().await, "last");
    assert_eq!(peer.next_close().await, 1000);
    peer.send(&close(1000, "")).await;
    assert_eq!(told(&sender.closed().await), (1000, "", Initiator::Local, true));
    assert_eq!(peer.rest().await, b"");
}

/// A handler that panicked before it made its future was told to the peer by a reset · RFC 6455 §7.4.1 · catalogue: HS-56
#[tokio::test]
async fn a_panic_before_the_handlers_first_poll_is_told_as_1011() {
    let (mut peer, running, _) = run(Config::default(), |ws: WebSocket| {
        assert!(ws.subprotocol().is_some(), "as the test wants");
        echo(ws)
    })
    .await;
    assert_eq!(peer.next_close().await, 1011);
    peer.send(&close(1011, "")).await;
    assert!(running.await.expect_err("the panic goes on").is_panic());
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_panic_of_a_handler_that_gave_its_websocket_away_is_told_as_1011() {
    let (give, given) = tokio::sync::oneshot::channel();
    let (mut peer, running, _) = run(Config::default(), async |ws: WebSocket| {
        drop(give.send(ws));
        tokio::task::yield_now().await;
        panic!("as the test wants");
    })
    .await;
    let ws = given.await.expect("given");
    assert_eq!(peer.next_close().await, 1011);
    peer.send(&close(1011, "")).await;
    assert!(running.await.expect_err("the panic goes on").is_panic());
    assert_eq!(ws.try_send("late"), Err(SendError::Closed));
}

/// The end is told once our Close has left, and says then that it was clean · RFC 6455 §7.1.4
#[tokio::test]
async fn the_end_is_told_when_our_answer_has_left_and_not_before() {
    let (mut ws, mut peer, gauge) = accept(Config::default()).await;
    settle().await;
    gauge.block();
    peer.send(&close(1000, "")).await;
    assert_eq!(ws.recv().await, None);
    let mut closed = std::pin::pin!(ws.closed());
    for _ in 0..3 {
        settle().await;
        assert!(once(closed.as_mut()).await.is_none());
    }
    gauge.unblock();
    assert!(closed.await.clean);
    assert_eq!(peer.next_close().await, 1000);
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_panic_of_a_spawned_user_is_told_as_1011() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    let user = tokio::spawn(async move {
        let _ws = ws;
        panic!("as the test wants");
    });
    assert!(user.await.is_err());
    assert_eq!(peer.next_close().await, 1011);
}

/// catalogue: RT-13
#[test]
fn senders_learn_that_their_runtime_was_shut_down() {
    watchdog();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (ws, _peer, _) = runtime.block_on(accept(Config::default()));
    let (_peer2, _running, _) = runtime.block_on(run(Config::default(), echo));
    let sender = ws.sender();
    let (tell, told_to_wait) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let other = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        other.block_on(async {
            let mut closed = std::pin::pin!(sender.closed());
            assert!(once(closed.as_mut()).await.is_none());
            tell.send(()).expect("the test waits");
            closed.await
        })
    });
    told_to_wait.recv().expect("it waits");
    runtime.shutdown_timeout(Duration::from_secs(5));
    let end = waiting.join().expect("no panic");
    assert_eq!(told(&end), (1006, "", Initiator::Transport, false));
    assert_eq!(ws.try_send("late"), Err(SendError::Closed));
}

/// Data first, then the end: a write that fails does not hide what the peer had sent · catalogue: RT-03, FT-02
#[tokio::test]
async fn what_came_before_a_failed_write_is_received_and_the_peers_close_told() {
    let (mut peer, running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        let mut got = Vec::new();
        ws.recv().await;
        ws.send(Message::text("fails")).await.expect("open");
        while let Some(message) = ws.recv().await {
            got.push(message.as_text().expect("text").to_owned());
        }
        got
    })
    .await;
    gauge.read_bytes_max.store(frame(TEXT, b"go").len(), SeqCst);
    gauge.fail_writes(io::ErrorKind::BrokenPipe);
    peer.send(&[frame(TEXT, b"go"), frame(TEXT, b"one"), frame(TEXT, b"two"), close(1001, "gone")].concat())
        .await;
    drop(peer);
    let (got, end) = running.await.expect("no panic");
    assert_eq!(got, ["one", "two"]);
    assert_eq!(told(&end), (1001, "gone", Initiator::Peer, false));
}

/// catalogue: FT-02, FT-16
#[tokio::test]
async fn a_write_that_fails_with_nothing_to_read_is_told_as_1006() {
    let (ws, _peer, gauge) = accept(Config::default()).await;
    gauge.fail_writes(io::ErrorKind::BrokenPipe);
    ws.send(Message::text("x")).await.expect("open");
    let end = ws.closed().await;
    assert_eq!(told(&end), (1006, "", Initiator::Transport, false));
    assert_eq!(end.cause, Cause::Transport(io::ErrorKind::BrokenPipe));
    assert_eq!(ws.send(Message::text("x")).await, Err(SendError::Closed));
}

/// RFC 6455 §5.5.1 · catalogue: CL-24
#[tokio::test]
async fn what_came_before_a_close_is_answered_before_ours() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), close(1000, "")].concat()).await;
    assert_eq!(peer.next_text().await, "one");
    assert_eq!(peer.next_text().await, "two");
    assert_eq!(peer.next_close().await, 1000);
    drop(peer);
    assert_eq!(running.await.expect("no panic").0, 2);
}

/// RFC 6455 §7.1.1
#[tokio::test]
async fn recv_gives_everything_before_the_end_then_none_for_ever() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), close(1000, "")].concat()).await;
    peer.half_close().await;
    settle().await;
    assert_eq!(ws.recv().await, Some(Message::text("one")));
    assert_eq!(ws.recv().await, Some(Message::text("two")));
    assert_eq!(ws.recv().await, None);
    assert_eq!(ws.recv().await, None);
    let end = ws.closed().await;
    assert_eq!((ws.closed().await, ws.sender().closed().await), (end.clone(), end), "one end, however often");
}

// ---- half-close, without spinning

/// catalogue: CL-05, FT-03, FT-05, V-86
#[tokio::test(start_paused = true)]
async fn a_half_close_in_any_state_does_not_spin() {
    for state in ["open", "mid-message", "closing", "blocked", "peer closed"] {
        let (mut peer, running, gauge) = run(Config::default(), async move |mut ws: WebSocket| {
            match state {
                "closing" => drop(ws.close(CloseCode::AWAY, "").await),
                "blocked" => {
                    ws.recv().await;
                    ws.send(Message::binary(vec![0; 1000])).await.expect("open");
                    ws.closed().await;
                }
                _ => while ws.recv().await.is_some() {},
            }
            sleep(Duration::from_secs(100)).await;
        })
        .await;
        if state == "blocked" {
            gauge.block();
            peer.text("send").await;
        }
        settle().await;
        match state {
            "mid-message" => peer.send(&frame(TEXT, b"half")[..7]).await,
            "peer closed" => peer.send(&close(1000, "")).await,
            _ => {}
        }
        peer.half_close().await;
        settle().await;
        let before = gauge.polls();
        sleep(Duration::from_secs(50)).await;
        assert!(gauge.polls() - before < 10, "{state}: {} polls", gauge.polls() - before);
        running.await.expect("no panic");
    }
}
