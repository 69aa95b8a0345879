//! A ping of the application's is answered, or the connection ends.

use framecast::{CloseCode, Config, SendError, Sender, WebSocket};
use tokio::{
    io::DuplexStream,
    task::JoinHandle,
    time::{Duration, sleep, timeout},
};

use crate::support::{BINARY, CLOSE, PING, PONG, Peer, TEXT, accept, close, frame, once, run, settle};

/// A connection by `run` and one by `accept`, each with a peer and a sender; the task holds the socket until the end.
async fn both() -> [(Sender, Peer<DuplexStream>, JoinHandle<()>); 2] {
    let (told, sender) = tokio::sync::oneshot::channel();
    let (peer, running, _) = run(Config::default(), async move |ws: WebSocket| {
        told.send(ws.sender()).expect("the test waits");
        ws.closed().await;
    })
    .await;
    let running = tokio::spawn(async move { drop(running.await.expect("no panic")) });
    let by_run = (sender.await.expect("the handler runs"), peer, running);
    let (ws, peer, _) = accept(Config::default()).await;
    let by_accept = (ws.sender(), peer, tokio::spawn(async move { drop(ws.closed().await) }));
    [by_run, by_accept]
}

async fn next_ping(peer: &mut Peer<DuplexStream>) -> Vec<u8> {
    let (opcode, payload) = peer.next().await.expect("a ping");
    assert_eq!(opcode, PING);
    payload
}

/// RFC 6455 §5.5.3
#[tokio::test(start_paused = true)]
async fn a_round_trip_takes_as_long_as_the_pong() {
    for (sender, mut peer, _holding) in both().await {
        let asking = tokio::spawn({
            let sender = sender.clone();
            async move { sender.round_trip(b"mine").await }
        });
        assert_eq!(next_ping(&mut peer).await, b"mine");
        sleep(Duration::from_millis(300)).await;
        // Neither another's pong, nor a message, nor a ping of the same payload is the answer.
        let noise =
            [frame(PONG, b"other"), frame(TEXT, b"mine"), frame(BINARY, b"mine"), frame(PING, b"mine")];
        peer.send(&noise.concat()).await;
        assert_eq!(peer.next().await, Some((PONG, b"mine".to_vec())));
        assert!(!asking.is_finished());
        peer.send(&frame(PONG, b"mine")).await;
        assert_eq!(asking.await.expect("no panic"), Ok(Duration::from_millis(300)));
    }
}

/// RFC 6455 §5.5.3
#[tokio::test(start_paused = true)]
async fn pongs_find_their_pings_in_any_order_and_equal_ones_in_theirs() {
    for (sender, mut peer, _holding) in both().await {
        let mut asking = Vec::new();
        for payload in [&b"a"[..], b"b", b"b", b""] {
            let sender = sender.clone();
            asking.push(tokio::spawn(async move { sender.round_trip(payload).await }));
            assert_eq!(next_ping(&mut peer).await, payload);
            sleep(Duration::from_secs(1)).await;
        }
        // Four, three, two and one second after they were asked.
        for payload in [&b""[..], b"b", b"a", b"b"] {
            peer.send(&frame(PONG, payload)).await;
            settle().await;
            sleep(Duration::from_millis(10)).await;
        }
        let mut took = Vec::new();
        for asked in asking {
            took.push(asked.await.expect("no panic").expect("answered").as_millis());
        }
        assert_eq!(took, [4020, 3010, 2030, 1000]);
    }
}

/// RFC 6455 §5.5.3, §7.1.5
#[tokio::test]
async fn a_connection_that_ends_before_the_pong_is_closed() {
    for (sender, mut peer, holding) in both().await {
        let mut asking = tokio::spawn({
            let sender = sender.clone();
            async move { sender.round_trip(b"mine").await }
        });
        next_ping(&mut peer).await;
        peer.send(&close(1000, "")).await;
        let ended = timeout(Duration::from_secs(5), &mut asking).await.expect("told").expect("no panic");
        assert_eq!(ended, Err(SendError::Closed));
        assert_eq!(peer.next().await.map(|(opcode, _)| opcode), Some(CLOSE));
        holding.await.expect("no panic");
        assert_eq!(sender.round_trip(b"late").await, Err(SendError::Closed));
    }
}

/// RFC 6455 §7.1.1: pongs still come between our Close and the peer's.
#[tokio::test]
async fn a_pong_that_comes_after_our_close_is_an_answer() {
    for (sender, mut peer, _holding) in both().await {
        let asking = tokio::spawn({
            let sender = sender.clone();
            async move { sender.round_trip(b"mine").await }
        });
        next_ping(&mut peer).await;
        sender.close(CloseCode::NORMAL, "").expect("open");
        assert_eq!(peer.next_close().await, 1000);
        peer.send(&[frame(PONG, b"mine"), close(1000, "")].concat()).await;
        assert!(asking.await.expect("no panic").is_ok());
    }
}

/// RFC 6455 §5.5
#[tokio::test]
async fn a_payload_above_125_bytes_is_refused() {
    for (sender, mut peer, _holding) in both().await {
        assert_eq!(sender.round_trip(&[0; 126]).await, Err(SendError::PayloadTooLong { bytes: 126 }));
        let asking = tokio::spawn(async move { sender.round_trip(&[7; 125]).await });
        assert_eq!(next_ping(&mut peer).await, [7; 125]);
        peer.send(&frame(PONG, &[7; 125])).await;
        assert!(asking.await.expect("no panic").is_ok());
    }
}

/// A wait that is given up takes nobody's pong · catalogue: RT-12
#[tokio::test(start_paused = true)]
async fn a_round_trip_that_is_dropped_is_forgotten() {
    for (sender, mut peer, _holding) in both().await {
        assert!(once(sender.round_trip(b"mine")).await.is_none());
        assert_eq!(next_ping(&mut peer).await, b"mine");
        sleep(Duration::from_secs(2)).await;
        let asking = tokio::spawn(async move { sender.round_trip(b"mine").await });
        assert_eq!(next_ping(&mut peer).await, b"mine");
        sleep(Duration::from_secs(1)).await;
        peer.send(&frame(PONG, b"mine")).await;
        assert_eq!(asking.await.expect("no panic"), Ok(Duration::from_secs(1)));
    }
}

/// There is room for one ping at a time; the others wait for it, and not in vain.
#[tokio::test]
async fn round_trips_that_begin_together_are_all_asked() {
    for (sender, mut peer, _holding) in both().await {
        let asking = tokio::spawn(async move {
            tokio::join!(sender.round_trip(b"a"), sender.round_trip(b"b"), sender.round_trip(b"c"))
        });
        for _ in 0..3 {
            let payload = next_ping(&mut peer).await;
            peer.send(&frame(PONG, &payload)).await;
        }
        let (a, b, c) = asking.await.expect("no panic");
        assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    }
}
