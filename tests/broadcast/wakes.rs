//! Who is woken on tokio: nobody, for what his socket takes at once.

use std::sync::atomic::Ordering::SeqCst;

use framecast::{
    Config,
    broadcast::{Subscription, Topics},
};

use tokio::time::timeout;

use crate::suite::{DEADLINE, Setup, close, until};

#[tokio::test]
async fn no_task_of_a_subscriber_is_woken_for_what_its_socket_takes() {
    const SUBSCRIBERS: usize = 20;
    const MESSAGES: usize = 100;
    let config = Config::builder().ping_every(None).build().expect("valid");
    let mut server = Setup { config, topics: Topics::new(), ..Setup::default() }.start();
    let topics = server.topics.clone();
    let mut opened = server.open_many(SUBSCRIBERS).await;
    for (peer, member) in &mut opened {
        member.subscribe("room", Subscription::new()).expect("open");
        // It shares its socket from the first on.
        topics.publish("room", "first").expect("room").await;
        assert_eq!(peer.next_text().await, "first");
    }
    // Those that came first got those of all others.
    for (at, (peer, _)) in opened.iter_mut().enumerate() {
        for _ in at + 1..SUBSCRIBERS {
            assert_eq!(peer.next_text().await, "first");
        }
    }
    let mut before = usize::MAX;
    until("they sleep", || std::mem::replace(&mut before, server.polls.load(SeqCst)) == before).await;
    for number in 0..MESSAGES {
        let published = topics.publish("room", number.to_string()).expect("room").await;
        assert_eq!(published.delivered as usize, SUBSCRIBERS, "{number}: {published:?}");
    }
    for (peer, _) in &mut opened {
        for number in 0..MESSAGES {
            assert_eq!(peer.next_text().await, number.to_string());
        }
    }
    assert_eq!(server.polls.load(SeqCst), before);
    // And it is they who are woken for what comes in.
    opened[0].0.text("hello").await;
    until("it was polled", || server.polls.load(SeqCst) > before).await;
}

/// Topics outlive a runtime, whoever publishes.
#[tokio::test]
async fn members_of_a_runtime_that_came_later_are_given_to_as_well() {
    let topics = Topics::new();
    for round in 0..3 {
        let mut server = Setup { topics: topics.clone(), ..Setup::default() }.start();
        let mut opened = server.open_many(5).await;
        for (_, member) in &opened {
            member.subscribe("room", Subscription::new()).expect("open");
        }
        let plain = topics.clone();
        std::thread::spawn(move || drop(plain.publish("room", "of a thread").expect("room")));
        for (peer, _) in &mut opened {
            assert_eq!(timeout(DEADLINE, peer.next_text()).await.as_deref(), Ok("of a thread"), "{round}");
        }
        topics.publish("room", "of another runtime").expect("room");
        for (mut peer, _) in opened {
            assert_eq!(timeout(DEADLINE, peer.next_text()).await.as_deref(), Ok("of another runtime"));
            peer.send(&close(1000, "")).await;
        }
        server.shut_down();
        server.over().await;
        until("they have left", || topics.members("room") == 0).await;
    }
}
