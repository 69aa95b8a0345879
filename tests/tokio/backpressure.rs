//! What may wait, on the way out and on the way in, is bounded.

use framecast::{CloseCode, Config, Initiator, Message, SendError, WebSocket, proto::Cause};
use tokio::{
    io::AsyncWriteExt,
    time::{Duration, Instant, sleep, timeout},
};

use crate::support::{BINARY, TEXT, accept, accept_over, echo, frame, once, run_over, settle};

fn small() -> Config {
    Config::builder().outbox_bytes_max(1000).outbox_bytes_low(200).build().expect("valid")
}

fn message(bytes: usize) -> Message {
    Message::binary(vec![7; bytes])
}

/// catalogue: DS-30
#[tokio::test]
async fn send_waits_above_the_high_mark_and_goes_on_below_the_low_one() {
    let (ws, mut peer, gauge) = accept(small()).await;
    settle().await;
    gauge.block();
    for _ in 0..10 {
        ws.send(message(98)).await.expect("room");
    }
    assert_eq!(ws.stats().queued_bytes, 1000, "exactly the mark is admitted");
    let mut waiting = std::pin::pin!(ws.send(message(98)));
    assert!(once(waiting.as_mut()).await.is_none());
    gauge.unblock();
    timeout(Duration::from_secs(5), waiting).await.expect("room again").expect("open");
    for _ in 0..11 {
        assert_eq!(peer.next().await, Some((BINARY, vec![7; 98])));
    }
}

/// catalogue: DS-30
#[tokio::test]
async fn try_send_says_full_and_queues_nothing() {
    let (ws, mut peer, gauge) = accept(small()).await;
    settle().await;
    gauge.block();
    assert_eq!(ws.try_send(&[1_u8; 998 - 2][..]), Ok(()));
    assert_eq!(ws.try_send(&[2_u8; 100][..]), Err(SendError::Full));
    assert_eq!(ws.stats().queued_messages, 1);
    gauge.unblock();
    assert_eq!(peer.next().await.expect("a frame").1[0], 1);
    settle().await;
    assert_eq!(ws.try_send(&[3_u8; 100][..]), Ok(()));
    assert_eq!(peer.next().await.expect("a frame").1[0], 3);
}

/// DESIGN "The core"
#[tokio::test]
async fn a_message_above_the_mark_still_leaves() {
    let (ws, mut peer, _) = accept_over(small(), 1000).await;
    ws.send(message(100_000)).await.expect("the outbox is empty");
    let (sent, ()) = tokio::join!(ws.send(message(1)), async {
        assert_eq!(peer.next().await.expect("a frame").1.len(), 100_000);
    });
    sent.expect("open");
    assert_eq!(peer.next().await.expect("a frame").1.len(), 1);
}

/// A peer that does not read is cut, and its senders are told · catalogue: DS-23, DS-32, FT-07
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_cut_when_writing_stalls() {
    let (mut ws, mut peer, gauge) = accept(Config::default()).await;
    settle().await;
    gauge.block();
    let blocked = Instant::now();
    ws.send(message(1000)).await.expect("room");
    let sender = ws.sender();
    let waiting = tokio::spawn(async move { while sender.send(message(100_000)).await.is_ok() {} });
    let end = ws.closed().await;
    assert_eq!(end.cause, Cause::WriteStall);
    assert_eq!((end.code, end.initiator, end.clean), (CloseCode::ABNORMAL, Initiator::Local, false));
    assert!((10_000..10_100).contains(&blocked.elapsed().as_millis()), "{:?}", blocked.elapsed());
    assert_eq!(ws.recv().await, None);
    waiting.await.expect("told that it is closed");
    assert_eq!(peer.rest().await, b"");
}

/// The fd of a peer that was cut stayed open for as long as the handler had other things to do · catalogue: CL-30, CL-44
#[tokio::test(start_paused = true)]
async fn a_peer_that_was_cut_sees_the_end_while_the_handler_goes_on() {
    let (mut peer, running, gauge) = run_over(Config::default(), 1 << 16, async |ws: WebSocket| {
        ws.send(Message::text("x")).await.expect("room");
        ws.closed().await;
        sleep(Duration::from_secs(3600)).await;
    })
    .await;
    gauge.block();
    peer.text("x").await;
    let started = Instant::now();
    peer.rest().await;
    assert!(started.elapsed() < Duration::from_secs(3000), "{:?}", started.elapsed());
    running.await.expect("no panic");
}

/// Unread messages stop the reading; nobody is cut for what we do not read; it goes on · catalogue: DS-30, FT-10
#[tokio::test(start_paused = true)]
async fn sixteen_unread_messages_stop_reading_and_nobody_is_blamed() {
    let (mut ws, mut peer, gauge) = accept_over(Config::default(), 1000).await;
    gauge.read_bytes_max.store(102 + 6, std::sync::atomic::Ordering::SeqCst);
    let one = frame(BINARY, &[7; 102]);
    // 16 wait in the inbox, about nine in the pipe.
    let sending = async {
        for sent in 0..100 {
            if once(peer.stream.write_all(&one)).await.is_none() {
                settle().await;
                return sent;
            }
            settle().await;
        }
        100
    };
    let sent = sending.await;
    assert!((16..=26).contains(&sent), "{sent} were taken");
    // Longer than a ping and its pong may take: the pong cannot be seen behind what we do not read.
    sleep(Duration::from_secs(600)).await;
    assert!(ws.sender().is_open());
    for _ in 0..sent {
        assert_eq!(ws.recv().await.expect("open").len(), 102);
    }
    // The peer reads our ping and answers, in time from now on. One of its frames was half-written.
    assert!(ws.sender().is_open());
    assert!(timeout(Duration::from_secs(15), ws.recv()).await.is_err(), "still open");
}

/// catalogue: DS-30
#[tokio::test]
async fn a_mebibyte_unread_stops_reading_and_reading_goes_on_after_it() {
    let (mut ws, peer, _) = accept_over(Config::default(), 64 << 10).await;
    let sending = tokio::spawn(async move {
        let mut peer = peer;
        for _ in 0..12 {
            peer.send(&frame(BINARY, &vec![7; 300_000])).await;
        }
        peer
    });
    for _ in 0..50 {
        settle().await;
    }
    assert!(!sending.is_finished());
    let held = ws.stats().messages_received;
    assert!((4..=5).contains(&held), "{held} messages of 300 kB");
    for _ in 0..12 {
        assert_eq!(ws.recv().await.expect("open").len(), 300_000);
    }
    sending.await.expect("no panic");
}

/// The peer of a full inbox was never read again, if the inbox was emptied while the pump looked at the socket
/// · catalogue: RT-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_inbox_that_is_emptied_by_another_thread_never_stalls() {
    let (mut ws, peer, _) = accept_over(Config::default(), 2000).await;
    let sending = tokio::spawn(async move {
        let mut peer = peer;
        for n in 0..20_000 {
            peer.text(&n.to_string()).await;
        }
        peer
    });
    for n in 0..20_000 {
        assert_eq!(ws.recv().await.expect("open").as_text(), Some(&*n.to_string()));
    }
    sending.await.expect("no panic");
}

/// An echo that does not get its answers out takes no more questions · catalogue: DS-20
#[tokio::test]
async fn an_echo_whose_peer_does_not_read_stops_reading() {
    let config = Config::builder().outbox_bytes_max(10_000).outbox_bytes_low(1000).build().expect("valid");
    let (mut peer, _running, gauge) = run_over(config, 10_000, echo).await;
    gauge.block();
    let one = frame(TEXT, &[b'x'; 500]);
    let mut sent = 0;
    while sent < 1000 && timeout(Duration::from_millis(200), peer.stream.write_all(&one)).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "{sent} messages of 500 bytes");
}
