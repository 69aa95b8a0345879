//! As `Stream` and `Sink`, through futures-util.

use framecast::{Config, Message, SendError, WebSocket};
use futures_util::{SinkExt, StreamExt, future::poll_fn};

use crate::support::{accept, close, run, settle};

/// DESIGN "Drivers"
#[tokio::test]
async fn forward_echoes_and_closes_with_1000_at_the_end() {
    let (mut peer, running, _) = run(Config::default(), async |ws: WebSocket| {
        let (sink, stream) = ws.split();
        stream.map(Ok).forward(sink).await
    })
    .await;
    for n in 0..100 {
        peer.text(&n.to_string()).await;
    }
    for n in 0..100 {
        assert_eq!(peer.next_text().await, n.to_string());
    }
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
    let (result, end) = running.await.expect("no panic");
    assert!(matches!(result, Ok(()) | Err(SendError::Closed)), "{result:?}");
    assert!(end.clean);
}

/// DESIGN "Drivers" · catalogue: RT-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split_halves_work_in_two_tasks() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    let (mut sink, mut stream) = ws.split();
    let writing = tokio::spawn(async move {
        for n in 0..500 {
            sink.send(Message::text(n.to_string())).await.expect("open");
        }
        sink
    });
    let reading = tokio::spawn(async move {
        for n in 0..500 {
            assert_eq!(stream.next().await.expect("open").as_text(), Some(&*n.to_string()));
        }
        stream
    });
    for n in 0..500 {
        peer.text(&n.to_string()).await;
        assert_eq!(peer.next_text().await, n.to_string());
    }
    let (mut sink, mut stream) = (writing.await.expect("no panic"), reading.await.expect("no panic"));
    let closing = tokio::spawn(async move { sink.close().await });
    assert_eq!(peer.next_close().await, 1000);
    peer.send(&close(1000, "")).await;
    closing.await.expect("no panic").expect("closed");
    assert!(stream.next().await.is_none());
}

/// What `start_send` takes while the outbox is full is held, and `poll_ready` waits for it
#[tokio::test]
async fn what_the_sink_takes_while_full_is_sent_in_order() {
    let config = Config::builder().outbox_bytes_max(50).outbox_bytes_low(10).build().expect("valid");
    let (mut ws, mut peer, gauge) = accept(config).await;
    settle().await;
    gauge.block();
    ws.feed(Message::text("a".repeat(40))).await.expect("room");
    ws.feed(Message::text("b".repeat(40))).await.expect("held");
    let mut ready = std::pin::pin!(poll_fn(|cx| ws.poll_ready_unpin(cx)));
    assert!(crate::support::once(ready.as_mut()).await.is_none());
    gauge.unblock();
    ready.await.expect("open");
    ws.flush().await.expect("open");
    assert_eq!(peer.next_text().await, "a".repeat(40));
    assert_eq!(peer.next_text().await, "b".repeat(40));
}
