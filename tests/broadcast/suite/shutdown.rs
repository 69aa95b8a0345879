//! A server that stops in order gives away what it has, first.

use std::time::{Duration, Instant};

use framecast::{Config, broadcast::Subscription};

use super::{
    peer::close,
    server::{Server, Setup},
};

const MESSAGES: usize = 100;

/// What waits for a connection leaves before its Close does.
#[tokio::test]
async fn what_was_counted_comes_before_the_1001() {
    let mut server = Server::start();
    let topics = server.topics.clone();
    let opened = server.open_many(10).await;
    for (_, member) in &opened {
        member.subscribe("room", Subscription::new()).expect("open");
    }
    let mut last = None;
    for number in 0..MESSAGES {
        last = Some(topics.publish("room", format!("{number:01000}")).expect("room"));
    }
    let published = last.expect("some").await;
    assert_eq!((published.subscribers(), published.dropped), (10, 0));
    server.shut_down();
    for (mut peer, _) in opened {
        for number in 0..MESSAGES {
            assert_eq!(peer.next_text().await, format!("{number:01000}"));
        }
        assert_eq!(peer.next_close().await, 1001);
        peer.send(&close(1001, "")).await;
    }
    server.over().await;
}

/// What was published before the server was told to stop comes as well, though nobody had counted it.
#[tokio::test]
async fn what_was_published_before_comes_before_the_1001() {
    for _ in 0..10 {
        let mut server = Server::start();
        let topics = server.topics.clone();
        let opened = server.open_many(4).await;
        for (_, member) in &opened {
            member.subscribe("room", Subscription::new()).expect("open");
        }
        for number in 0..MESSAGES {
            topics.publish("room", number.to_string()).expect("room");
        }
        server.shut_down();
        for (mut peer, _) in opened {
            for number in 0..MESSAGES {
                assert_eq!(peer.next_text().await, number.to_string());
            }
            assert_eq!(peer.next_close().await, 1001);
            peer.send(&close(1001, "")).await;
        }
        server.over().await;
    }
}

/// Who was far behind reads on, and gets all of it; who waits for its rate waits no more.
#[tokio::test]
async fn what_waits_for_slow_ones_comes_before_the_1001() {
    let mut server = Server::start();
    let topics = server.topics.clone();
    let (mut slow, member) = server.open_narrow().await;
    member.subscribe("room", Subscription::new()).expect("open");
    let (mut rated, member) = server.open().await;
    let rare = Subscription::new().at_most_every(Duration::from_secs(600));
    member.subscribe("rare", rare).expect("open");
    topics.publish("rare", "one").expect("room").await;
    assert_eq!(topics.publish("rare", "two").expect("room").await.queued, 1);
    let text = |number: usize| format!("{number:016384}");
    let (mut number, mut waiting) = (0, 0);
    while waiting < 20 {
        let published = topics.publish("room", text(number)).expect("room").await;
        assert_eq!(published.dropped, 0);
        waiting += published.queued;
        number += 1;
    }
    server.shut_down();
    for expected in ["one", "two"] {
        assert_eq!(rated.next_text().await, expected);
    }
    assert_eq!(rated.next_close().await, 1001);
    rated.send(&close(1001, "")).await;
    drop(rated);
    for expected in 0..number {
        assert_eq!(slow.next_text().await, text(expected));
    }
    assert_eq!(slow.next_close().await, 1001);
    slow.send(&close(1001, "")).await;
    drop(slow);
    server.over().await;
}

#[tokio::test]
async fn who_reads_nothing_holds_up_no_shutdown() {
    let config = Config::builder()
        .close_within(Duration::from_millis(600))
        .linger_within(Duration::from_millis(300))
        .build()
        .expect("valid");
    let mut server = Setup { config, ..Setup::default() }.start();
    let topics = server.topics.clone();
    let (_slow, member) = server.open_narrow().await;
    member.subscribe("room", Subscription::new()).expect("open");
    let mut waiting = 0;
    while waiting < 20 {
        waiting += topics.publish("room", "x".repeat(16 << 10)).expect("room").await.queued;
    }
    let (mut other, _) = server.open().await;
    let began = Instant::now();
    server.shut_down();
    assert_eq!(other.next_close().await, 1001);
    other.send(&close(1001, "")).await;
    server.over().await;
    assert!((Duration::from_millis(600)..Duration::from_secs(5)).contains(&began.elapsed()), "{began:?}");
    super::server::until("it has left", || topics.members("room") == 0).await;
}
