//! What one read brought is answered in one write, and what was sent leaves when its task next yields.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use framecast::{Config, Message, WebSocket};
use tokio::sync::oneshot;

use crate::support::{Gauge, Peer, TEXT, accept, frame, run, settle};

fn requests(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| frame(TEXT, format!("request {n:03} ....").as_bytes())).collect()
}

async fn expect_answers<S>(peer: &mut Peer<S>, count: usize)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    for n in 0..count {
        assert_eq!(peer.next_text().await, format!("request {n:03} ...."));
    }
}

/// Work that takes time and does not yield.
fn work() {
    static SINK: AtomicU64 = AtomicU64::new(0);
    let sum = (0..20_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n.wrapping_mul(0x9e37)));
    SINK.fetch_add(sum, SeqCst);
}

async fn echo_with_work(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        work();
        ws.send(message).await.expect("open");
        work();
    }
}

async fn thirty_two_in_one_write() {
    let (mut peer, running, gauge) = run(Config::default(), echo_with_work).await;
    for round in 1..=20 {
        peer.send(&requests(32)).await;
        expect_answers(&mut peer, 32).await;
        assert_eq!(gauge.writes(), round, "one write a round");
    }
    drop(peer);
    running.await.expect("no panic");
}

/// DESIGN "Drivers" · catalogue: RT-14
#[tokio::test]
async fn thirty_two_requests_of_one_read_are_answered_in_one_write_on_one_thread() {
    thirty_two_in_one_write().await;
}

/// DESIGN "Drivers" · catalogue: RT-14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_requests_of_one_read_are_answered_in_one_write_on_two_workers() {
    thirty_two_in_one_write().await;
}

/// DESIGN "Drivers": handlers under `LocalSet` need not be `Send` · catalogue: RT-14
#[tokio::test]
async fn thirty_two_requests_of_one_read_are_answered_in_one_write_on_a_local_set() {
    let local = tokio::task::LocalSet::new();
    local.run_until(thirty_two_in_one_write()).await;
}

/// DESIGN "Drivers"
#[tokio::test]
async fn a_large_answer_leaves_with_the_small_ones_in_one_write() {
    let (mut peer, _running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await {
            ws.send(Message::binary(vec![7; 20_000])).await.expect("open");
            ws.send(message).await.expect("open");
        }
    })
    .await;
    peer.send(&requests(4)).await;
    for n in 0..4 {
        assert_eq!(peer.next().await.expect("a frame").1, vec![7; 20_000]);
        assert_eq!(peer.next_text().await, format!("request {n:03} ...."));
    }
    assert_eq!(gauge.writes(), 1);
}

/// DESIGN "Drivers": what was sent leaves no later than when the task next yields.
async fn sent_before_a_wait_is_out_before_the_wait_is_over() {
    let (go_on, wait) = oneshot::channel::<()>();
    let (mut peer, running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        let mut count = 0;
        let mut wait = Some(wait);
        while let Some(message) = ws.recv().await {
            ws.send(message).await.expect("open");
            count += 1;
            // In the middle of the batch.
            if count == 10 {
                let _ = wait.take().expect("once").await;
            }
        }
        count
    })
    .await;
    peer.send(&requests(32)).await;
    for n in 0..10 {
        assert_eq!(peer.next_text().await, format!("request {n:03} ...."));
    }
    assert_eq!(gauge.writes(), 1);
    go_on.send(()).expect("the handler waits");
    for n in 10..32 {
        assert_eq!(peer.next_text().await, format!("request {n:03} ...."));
    }
    assert_eq!(gauge.writes(), 2);
    drop(peer);
    assert_eq!(running.await.expect("no panic").0, 32);
}

/// DESIGN "Drivers"
#[tokio::test]
async fn what_is_sent_before_a_wait_arrives_before_the_wait_is_over_on_one_thread() {
    sent_before_a_wait_is_out_before_the_wait_is_over().await;
}

/// DESIGN "Drivers"
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_before_a_wait_arrives_before_the_wait_is_over_on_two_workers() {
    sent_before_a_wait_is_out_before_the_wait_is_over().await;
}

/// DESIGN "Drivers"
#[tokio::test(start_paused = true)]
async fn what_is_sent_before_a_sleep_arrives_before_the_sleep_is_over() {
    let (mut peer, _running, _) = run(Config::default(), async |ws: WebSocket| {
        ws.send(Message::text("before")).await.expect("open");
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    })
    .await;
    let sent = tokio::time::Instant::now();
    assert_eq!(peer.next_text().await, "before");
    assert_eq!(sent.elapsed(), std::time::Duration::ZERO);
}

/// DESIGN "Drivers" · catalogue: SN-05
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tasks_messages_arrive_while_the_handler_waits_for_something_else() {
    let (hand_out, sender) = oneshot::channel();
    let (mut peer, _running, _) = run(Config::default(), async |ws: WebSocket| {
        hand_out.send(ws.sender()).expect("the test waits");
        std::future::pending::<()>().await;
    })
    .await;
    let sender = sender.await.expect("the handler runs");
    tokio::spawn(async move {
        for n in 0..1000 {
            sender.send(Message::text(format!("{n}"))).await.expect("open");
            tokio::task::yield_now().await;
        }
    });
    for n in 0..1000 {
        assert_eq!(peer.next_text().await, n.to_string());
    }
}

/// DESIGN "Drivers": a free `WebSocket` batches as well while its user is a spawned task
#[tokio::test]
async fn a_spawned_user_of_accept_answers_thirty_two_requests_in_two_writes_at_most() {
    let (ws, mut peer, gauge) = accept(Config::default()).await;
    tokio::spawn(echo_with_work(ws));
    settle().await;
    for round in 1..=20 {
        peer.send(&requests(32)).await;
        expect_answers(&mut peer, 32).await;
        assert!(gauge.writes() <= 2 * round, "{} writes in {round} rounds", gauge.writes());
    }
}

/// DESIGN "Drivers": nothing is written that was not sent, and a quiet connection is not polled
#[tokio::test]
async fn an_idle_connection_is_left_alone() {
    let (mut peer, _running, gauge) = run(Config::default(), echo_with_work).await;
    peer.send(&requests(1)).await;
    expect_answers(&mut peer, 1).await;
    settle().await;
    let before: (usize, &Gauge) = (gauge.polls(), &gauge);
    settle().await;
    assert_eq!(before.1.polls(), before.0);
}
