//! What is not ours and goes wrong: callbacks that panic, runtimes that end, publishers that have no measure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use framecast::broadcast::{Position, Subscription, Topics};
use tokio::time::timeout;

use super::{
    peer::close,
    server::{DEADLINE, Server, Setup, until},
};

/// What is told runs on a shard's thread, as much as it is somebody else's code: a panic of it is the end of nothing.
#[tokio::test]
async fn a_panic_in_what_is_told_harms_nobody() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let topics = Topics::builder()
        .tell_gap(move |_| {
            counted.fetch_add(1, SeqCst);
            panic!("as the test wants")
        })
        .tell_presence(|_| panic!("as the test wants"))
        .build();
    let mut server = Setup { topics, threads: 1, ..Setup::default() }.start();
    let (mut peer, member) = server.open().await;
    let topics = server.topics.clone();
    let watched = Subscription::new().identity("somebody").watch_presence(true);
    member.subscribe("watched", watched).expect("open");
    let (mut other, another) = server.open().await;
    another.subscribe("watched", Subscription::new().identity("another")).expect("open");
    assert_eq!(topics.members("watched"), 2);
    for round in 0..10 {
        let publishing = topics.publish("watched", format!("{round} one")).expect("room");
        publishing.then(|_| panic!("as the test wants"));
        topics.publish("watched", format!("{round} two")).expect("room");
        let position = topics.position("watched").expect("known");
        let lost = Position { offset: position.offset + 1, ..position };
        topics.lost("watched", lost, lost.offset).expect("a name");
        topics.publish("watched", format!("{round} three")).expect("room");
        for number in ["one", "two", "three"] {
            for peer in [&mut peer, &mut other] {
                assert_eq!(peer.next_text().await, format!("{round} {number}"));
            }
        }
    }
    assert_eq!(calls.load(SeqCst), 20);
    // Whoever leaves is gone, though nobody could be told.
    other.send(&close(1000, "")).await;
    assert_eq!(other.next_close().await, 1000);
    until("it has left", || topics.members("watched") == 1).await;
    assert_eq!(topics.presence("watched").len(), 1);
    topics.publish("watched", "the end").expect("room");
    assert_eq!(peer.next_text().await, "the end");
}

/// A runtime that ends at once, or that cannot do what the members' one can, is no reason not to deliver.
#[tokio::test]
async fn whoever_publishes_need_not_stay_nor_have_a_runtime_that_works() {
    let mut server = Server::start();
    let (mut peer, member) = server.open().await;
    member.subscribe("room", Subscription::new()).expect("open");
    for round in 0..20 {
        let topics = server.topics.clone();
        let publisher = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async { topics.publish("room", round.to_string()).expect("room") });
        });
        publisher.join().expect("no panic");
        let text = timeout(DEADLINE, peer.next_text()).await;
        assert_eq!(text.expect("in time"), round.to_string());
    }
}
