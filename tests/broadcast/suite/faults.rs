//! What is not ours and goes wrong: callbacks that panic, runtimes that end, publishers that have no measure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use framecast::{
    Config, Message,
    broadcast::{Position, Publish, Subscription, Topics},
};
use tokio::{task::JoinSet, time::timeout};

use super::{
    peer::{BINARY, close, frame},
    server::{DEADLINE, Engine, On, Server, Setup, until},
};
use crate::ENGINE;

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
            runtime.block_on(async { drop(topics.publish("room", round.to_string()).expect("room")) });
        });
        publisher.join().expect("no panic");
        let text = timeout(DEADLINE, peer.next_text()).await;
        assert_eq!(text.expect("in time"), round.to_string());
    }
}

/// As much as a loop reads in one turn, of all its connections, it publishes: nobody is refused for what the loop itself has not
/// given away yet.
#[tokio::test]
async fn many_peers_that_publish_at_once_find_room() {
    if ENGINE == Engine::Tokio {
        // A task waits for room, and others have their turn meanwhile; a callback cannot.
        return;
    }
    const PUBLISHERS: usize = 12;
    const EACH: usize = 20_000;
    let full = Arc::new(AtomicUsize::new(0));
    let (count, tiny) = (full.clone(), Publish::new(Message::binary("")));
    let setup = Setup { threads: 1, ..Setup::default() }.does(move |on, at| {
        if let On::Message(_) = on
            && at.topics.publish("room", tiny.clone()).is_err()
        {
            count.fetch_add(1, SeqCst);
        }
    });
    let config = Config::builder().outbox_messages_max(1 << 20).build().expect("valid");
    let mut server = Setup { config, ..setup }.start();
    let (mut subscriber, member) = server.open().await;
    member.subscribe("room:*", Subscription::new()).expect("open");
    member.subscribe("room", Subscription::new()).expect("open");
    let all = frame(1, b"").repeat(EACH);
    let mut sending = JoinSet::new();
    for (mut peer, _) in server.open_many(PUBLISHERS).await {
        let all = all.clone();
        sending.spawn(async move {
            peer.send(&all).await;
            peer
        });
    }
    for _ in 0..PUBLISHERS * EACH {
        assert_eq!(subscriber.next().await, Some((BINARY, vec![])));
    }
    while let Some(sent) = sending.join_next().await {
        sent.expect("all is sent");
    }
    assert_eq!(full.load(SeqCst), 0, "refused");
}
