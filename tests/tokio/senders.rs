//! Many tasks send to one connection.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    task::{Context, Wake, Waker},
};

use framecast::{Config, Message, SendError, WebSocket};
use tokio::sync::oneshot;

use crate::support::{accept, accept_over, echo, run, settle, watchdog};

const SENDERS: usize = 64;
const MESSAGES: usize = 100;

/// RFC 6455 §5.4 · catalogue: SN-05, RT-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_senders_on_two_workers_arrive_whole_once_and_each_in_order() {
    // A narrow pipe and a low mark, so that senders wait and are woken all the time.
    let config = Config::builder().outbox_bytes_max(4 << 10).outbox_bytes_low(1 << 10);
    let (ws, mut peer, gauge) = accept_over(config.build().expect("valid"), 2000).await;
    gauge.write_bytes_max.store(777, SeqCst);
    for id in 0..SENDERS {
        let sender = ws.sender();
        tokio::spawn(async move {
            for n in 0..MESSAGES {
                let padding = "x".repeat((id * 37 + n * 11) % 400);
                sender.send(Message::text(format!("{id} {n} {padding}"))).await.expect("open");
                if n % 16 == id % 16 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let mut next: HashMap<usize, usize> = HashMap::new();
    for _ in 0..SENDERS * MESSAGES {
        let text = peer.next_text().await;
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (id, n) = (number(), number());
        assert_eq!(text.len() - format!("{id} {n} ").len(), (id * 37 + n * 11) % 400);
        let expected = next.entry(id).or_insert(0);
        assert_eq!(n, *expected, "sender {id}");
        *expected += 1;
    }
    assert_eq!(ws.stats().messages_sent, (SENDERS * MESSAGES) as u64);
    assert_eq!(ws.stats().queued_messages, 0);
}

/// A message that another thread queued while the pump was reading lay there until something else woke the pump: the next
/// ping, 20 s later · catalogue: RT-10, SN-05
#[tokio::test(start_paused = true)]
async fn a_message_sent_while_the_pump_reads_leaves_at_once() {
    let (ws, mut peer, gauge) = accept(Config::default()).await;
    settle().await;
    let sender = ws.sender();
    gauge.on_read(move || sender.try_send("meanwhile").expect("room"));
    // Wakes the pump, which writes, then reads.
    ws.try_send("first").expect("room");
    let sent = tokio::time::Instant::now();
    assert_eq!(peer.next_text().await, "first");
    assert_eq!(peer.next_text().await, "meanwhile");
    assert!(sent.elapsed().is_zero(), "{:?}", sent.elapsed());
}

/// The same for a Close of another thread's · catalogue: RT-10
#[tokio::test(start_paused = true)]
async fn a_close_while_the_pump_reads_leaves_at_once() {
    let (hand_out, sender) = oneshot::channel();
    let (mut peer, _running, gauge) = run(Config::default(), async |ws: WebSocket| {
        hand_out.send(ws.sender()).expect("the test waits");
        ws.closed().await
    })
    .await;
    let sender = sender.await.expect("the handler runs");
    let closer = sender.clone();
    gauge.on_read(move || closer.close(framecast::CloseCode::AWAY, "").expect("open"));
    sender.try_send("first").expect("room");
    let sent = tokio::time::Instant::now();
    assert_eq!(peer.next_text().await, "first");
    assert_eq!(peer.next_close().await, 1001);
    assert!(sent.elapsed().is_zero(), "{:?}", sent.elapsed());
}

/// catalogue: RT-10, SN-05
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_at_a_time_from_another_thread_never_stalls() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<u32>();
    let sender = ws.sender();
    let reader = tokio::spawn(async move { while ws.recv().await.is_some() {} });
    // A thread that is no worker of the runtime.
    let thread = std::thread::spawn(move || {
        while let Some(n) = asked.blocking_recv() {
            sender.try_send(&*n.to_string()).expect("room");
        }
    });
    for n in 0..5000 {
        ask.send(n).expect("the thread lives");
        // What the peer sends makes the pump read at about the same time.
        peer.text("noise").await;
        assert_eq!(peer.next_text().await, n.to_string());
    }
    drop(ask);
    thread.join().expect("no panic");
    drop(peer);
    reader.await.expect("no panic");
}

/// catalogue: CL-24
#[tokio::test]
async fn a_sender_outlives_its_connection_and_says_closed() {
    let (mut peer, running, _) = run(Config::default(), async |ws: WebSocket| ws.sender()).await;
    assert_eq!(peer.next_close().await, 1000);
    peer.send(&crate::support::close(1000, "")).await;
    let (sender, info) = running.await.expect("no panic");
    assert!(!sender.is_open());
    assert_eq!(sender.send(Message::text("late")).await, Err(SendError::Closed));
    assert_eq!(sender.try_send("late"), Err(SendError::Closed));
    assert_eq!(sender.ping(b"late"), Err(SendError::Closed));
    assert_eq!(sender.close(framecast::CloseCode::NORMAL, ""), Err(SendError::Closed));
    assert_eq!(sender.closed().await, info);
    sender.flush().await;
    assert_eq!(peer.rest().await, b"", "nothing after Close");
}

/// DESIGN "Drivers"
#[tokio::test]
async fn a_sender_does_not_keep_the_connection_open() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    let (ws, mut other, _) = accept(Config::default()).await;
    let sender = ws.sender();
    drop(ws);
    assert_eq!(other.next_close().await, 1000);
    drop(sender);
    peer.half_close().await;
    running.await.expect("no panic");
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// Each task that once waited for the end, or for room, left its waker (and by it, its own memory) in the connection until
/// the connection ended · catalogue: RT-11, G-4
#[tokio::test]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let config = Config::builder().outbox_bytes_max(100).outbox_bytes_low(0).build().expect("valid");
    let (ws, _peer, gauge) = accept(config).await;
    settle().await;
    gauge.block();
    ws.try_send(&[0_u8; 90][..]).expect("room");
    let sender = ws.sender();
    let tasks: Vec<Arc<Nothing>> = (0..1000).map(|_| Arc::new(Nothing)).collect();
    for task in &tasks {
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);
        let waits: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 3] = [
            Box::pin(async { drop(sender.closed().await) }),
            Box::pin(async { assert!(sender.send(Message::binary(vec![0; 90])).await.is_ok()) }),
            Box::pin(sender.flush()),
        ];
        for mut wait in waits {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
    }
    let held = tasks.iter().filter(|task| Arc::strong_count(task) > 1).count();
    assert_eq!(held, 0, "wakers of tasks that wait no more");
}

/// A handler that waited for `flush` while the socket took nothing was polled without end · catalogue: G-5
#[tokio::test]
async fn waiting_for_a_flush_that_the_peer_holds_up_does_not_spin() {
    watchdog();
    let (mut peer, _running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        ws.recv().await;
        ws.send(Message::text("held up")).await.expect("open");
        ws.sender().flush().await;
        ws.send(Message::text("flushed")).await.expect("open");
        ws.recv().await;
    })
    .await;
    settle().await;
    gauge.block();
    peer.text("go").await;
    settle().await;
    let before = gauge.polls();
    settle().await;
    assert!(gauge.polls() - before < 10, "{} polls", gauge.polls() - before);
    gauge.unblock();
    assert_eq!(peer.next_text().await, "held up");
    assert_eq!(peer.next_text().await, "flushed");
}

/// The same for a message that has to wait though less than the low-water mark is queued · catalogue: G-5
#[tokio::test]
async fn waiting_for_room_that_the_peer_holds_up_does_not_spin() {
    let (mut peer, _running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        ws.recv().await;
        ws.send(Message::binary(vec![1; 60_000])).await.expect("open");
        ws.send(Message::binary(vec![2; 1 << 20])).await.expect("open");
        ws.recv().await;
    })
    .await;
    settle().await;
    gauge.block();
    peer.text("go").await;
    settle().await;
    let before = gauge.polls();
    settle().await;
    assert!(gauge.polls() - before < 10, "{} polls", gauge.polls() - before);
    gauge.unblock();
    assert_eq!(peer.next().await.expect("a frame").1.len(), 60_000);
    assert_eq!(peer.next().await.expect("a frame").1.len(), 1 << 20);
}
