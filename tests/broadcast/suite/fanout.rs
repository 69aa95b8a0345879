//! Who gets what, and in which order.

use std::{collections::HashMap, thread};

use framecast::{
    Message,
    broadcast::{Member, Publish, Published, Subscription, TopicError},
};
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    peer::{Peer, TEXT, close, frame},
    server::{On, Server, Setup, until},
};

fn subscribe(member: &Member, names: &[&str]) {
    for name in names {
        member.subscribe(name, Subscription::new()).expect("open");
    }
}

/// Ends a connection in order.
async fn leave(mut peer: Peer<TcpStream>) {
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
}

/// catalogue: ZC-33
#[tokio::test]
async fn all_get_each_topic_in_one_order_whoever_publishes_and_once_whatever_matches() {
    const EACH: u64 = 150;
    const PUBLISHERS: u64 = 4;
    const TOPICS: [&str; 3] = ["room:a", "room:b", "else"];
    let publish = |topics: &framecast::broadcast::Topics, round: u64| {
        let topic = TOPICS[round as usize % TOPICS.len()];
        let told = topics.publish_with(topic, |position| {
            Publish::new(Message::text(format!("{topic} {}", position.offset)))
        });
        told.expect("there is room");
    };
    // Ours too publishes, from its callback.
    let setup = Setup::default().does(move |on, at| {
        if let On::Message(round) = on {
            publish(at.topics, round.parse().expect("a number"));
        }
    });
    let mut server = setup.start();
    let wanted: [&[&str]; 4] = [&["room:a"], &["room:a", "room:b"], &["room:*"], &[">", "room:a", "room:*"]];
    let counts: [&[&str]; 4] = [&["room:a"], &["room:a", "room:b"], &["room:a", "room:b"], &TOPICS];
    let mut readers = JoinSet::new();
    for at in 0..24 {
        let (mut peer, member) = server.open().await;
        subscribe(&member, wanted[at % 4]);
        let topics = counts[at % 4];
        readers.spawn(async move {
            let mut next: HashMap<String, u64> = HashMap::new();
            loop {
                let text = peer.next_text().await;
                if text == "the end" {
                    break;
                }
                let (topic, offset) = text.split_once(' ').expect("topic and offset");
                let next = next.entry(topic.to_owned()).or_insert(1);
                assert_eq!(offset.parse(), Ok(*next), "{topic}");
                *next += 1;
            }
            let got: u64 = next.values().map(|next| next - 1).sum();
            assert_eq!(next.len(), topics.len(), "{next:?}");
            assert_eq!(got, topics.len() as u64 * EACH * PUBLISHERS / 3);
        });
    }
    let (mut publisher, _) = server.open().await;
    let topics = server.topics.clone();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let topics = topics.clone();
            thread::spawn(move || (0..EACH).for_each(|round| publish(&topics, round)))
        })
        .collect();
    let task = {
        let topics = topics.clone();
        tokio::spawn(async move {
            for round in 0..EACH {
                publish(&topics, round);
                tokio::task::yield_now().await;
            }
        })
    };
    let rounds: Vec<u8> = (0..EACH).flat_map(|round| frame(TEXT, round.to_string().as_bytes())).collect();
    publisher.send(&rounds).await;
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    task.await.expect("no panic");
    let all = EACH * PUBLISHERS / 3;
    until("the callbacks have published", || {
        TOPICS.iter().all(|topic| topics.position(topic).is_some_and(|position| position.offset == all))
    })
    .await;
    topics.publish_to_all("the end").expect("there is room");
    while let Some(read) = readers.join_next().await {
        read.expect("as it should be");
    }
}

#[tokio::test]
async fn to_all_is_to_all_and_whoever_is_excepted_is_left_out() {
    let mut server = Server::start();
    let mut opened = server.open_many(7).await;
    let topics = server.topics.clone();
    opened[..4].iter().for_each(|(_, member)| subscribe(member, &["room"]));
    let told = |published: Published| (published.subscribers(), published.dropped, published.displaced);

    assert_eq!(told(topics.publish_to_all("one").expect("room").await), (7, 0, 0));
    let but = opened[2].1.clone();
    let publish = Publish::new("two").except(&but);
    assert_eq!(told(topics.publish_to_all(publish.clone()).expect("room").await), (6, 0, 0));
    assert_eq!(told(topics.publish("room", publish).expect("room").await), (3, 0, 0));
    assert_eq!(told(topics.publish("nobody's", "three").expect("room").await), (0, 0, 0));
    assert_eq!(told(topics.publish_to_all("four").expect("room").await), (7, 0, 0));
    for (at, (peer, _)) in opened.iter_mut().enumerate() {
        let expected: &[&str] = match at {
            2 => &["one", "four"],
            0..4 => &["one", "two", "two", "four"],
            _ => &["one", "two", "four"],
        };
        for expected in expected {
            assert_eq!(peer.next_text().await, *expected, "{at}");
        }
    }
}

/// catalogue: ZC-34
#[tokio::test]
async fn what_is_published_after_subscribing_is_received_and_after_unsubscribing_is_not() {
    const ROUNDS: usize = 200;
    let mut server = Server::start();
    let mut threads = Vec::new();
    let mut peers = Vec::new();
    for (at, (peer, member)) in server.open_many(6).await.into_iter().enumerate() {
        let topics = server.topics.clone();
        // All of one topic: who comes and goes meanwhile changes nothing for the others.
        let name = if at % 3 == 2 { "room:*" } else { "room:1" };
        threads.push(thread::spawn(move || {
            for round in 0..ROUNDS {
                member.subscribe(name, Subscription::new()).expect("open");
                topics.publish("room:1", format!("{at} {round}")).expect("there is room");
                assert!(member.unsubscribe(name));
                topics.publish("room:1", format!("{at} lost")).expect("there is room");
            }
        }));
        peers.push((at, peer));
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    server.topics.publish_to_all("the end").expect("there is room");
    for (at, mut peer) in peers {
        let mut round = 0;
        loop {
            let text = peer.next_text().await;
            match text.split_once(' ').expect("two words") {
                ("the", "end") => break,
                (own, number) if own == at.to_string() => {
                    assert_eq!(number.parse(), Ok(round), "{text}");
                    round += 1;
                }
                _ => {}
            }
        }
        assert_eq!(round, ROUNDS);
    }
}

/// catalogue: ZC-30
#[tokio::test]
async fn subscribing_twice_is_subscribing_once() {
    let mut server = Server::start();
    let (mut peer, member) = server.open().await;
    subscribe(&member, &["room", "room", "room:*", "room:*"]);
    let topics = server.topics.clone();
    assert_eq!((topics.members("room"), member.subscriptions().len()), (1, 2));
    topics.publish("room", "one").expect("room");
    topics.publish("room:1", "two").expect("room");
    assert!(member.unsubscribe("room") && !member.unsubscribe("room"));
    assert!(member.unsubscribe("room:*") && !member.unsubscribe("room:*"));
    topics.publish("room", "lost").expect("room");
    topics.publish("room:1", "lost").expect("room");
    subscribe(&member, &["room", "room"]);
    topics.publish("room", "three").expect("room");
    for expected in ["one", "two", "three"] {
        assert_eq!(peer.next_text().await, expected);
    }
    leave(peer).await;
    until("it has left", || topics.members("room") == 0).await;
    assert_eq!(topics.list("", "", 10), []);
}

/// catalogue: ZC-35, ZC-37
#[tokio::test]
async fn who_has_left_subscribes_to_nothing_and_nobody_inherits_what_it_had() {
    let mut server = Setup { threads: 1, ..Setup::default() }.start();
    let topics = server.topics.clone();
    for round in 0..20 {
        let (peer, old) = server.open().await;
        subscribe(&old, &["room", "room:*"]);
        // Published while it goes, too.
        let publishing = topics.publish("room", "for the old one").expect("room");
        match round % 2 {
            0 => leave_whatever_comes(peer).await,
            _ => peer.reset(),
        }
        publishing.await;
        until("it has left", || topics.members("room") == 0).await;
        // On the reactor it has the old one's place.
        let (mut peer, new) = server.open().await;
        assert_eq!(old.subscribe("room", Subscription::new()).err(), Some(TopicError::Closed));
        assert!(!old.unsubscribe("room") && old.subscriptions().is_empty());
        assert_eq!(topics.members("room"), 0);
        assert_eq!(topics.publish("room", "nobody's").expect("room").await.subscribers(), 0);
        subscribe(&new, &["room:1"]);
        assert_eq!(topics.publish("room:1", "for the new one").expect("room").await.subscribers(), 1);
        assert_eq!(peer.next_text().await, "for the new one");
        leave(peer).await;
        until("it has left", || topics.members("room:1") == 0).await;
    }
    assert_eq!(topics.list("", "", 10), []);
}

async fn leave_whatever_comes(mut peer: Peer<TcpStream>) {
    peer.send(&close(1000, "")).await;
    peer.rest().await;
}
