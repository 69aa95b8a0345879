//! Members that come and go, in every way, while it is published.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use framecast::{
    Message,
    broadcast::{Publish, Subscription, Topics},
};
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    peer::{BINARY, Peer, close, raw_frame},
    server::{DEADLINE, Server, Setup, until},
};

const TOPICS: [&str; 3] = ["room:a", "room:b", "other"];
const BYTES: usize = 3000;

/// A payload that no other message has: its topic, its number, and bytes that follow from both.
fn canary(topic: u8, number: u64) -> Vec<u8> {
    let mut state = (u64::from(topic) << 56 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut payload = [&[topic][..], &number.to_be_bytes()].concat();
    while payload.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        payload.extend(state.to_le_bytes());
    }
    payload
}

fn publish(topics: &Topics, topic: u8) {
    let make = |position: framecast::broadcast::Position| {
        Publish::new(Message::binary(canary(topic, position.offset)))
    };
    topics.publish_with(TOPICS[usize::from(topic)], make).expect("there is room");
}

/// What a reader has of each topic: the last number, 0 for none yet.
#[derive(Debug, Default)]
struct Seen([u64; TOPICS.len()]);

impl Seen {
    /// It is whole, of a topic that was asked for, and the next one there.
    fn check(&mut self, payload: &[u8], allowed: &[u8]) {
        let topic = payload[0];
        assert!(allowed.contains(&topic), "of topic {topic}");
        let number = u64::from_be_bytes(payload[1..9].try_into().expect("eight bytes"));
        assert!(payload == canary(topic, number), "a foreign byte in {number} of topic {topic}");
        let seen = &mut self.0[usize::from(topic)];
        assert!(*seen == 0 || number == *seen + 1, "{number} of topic {topic} behind {seen}");
        *seen = number;
    }
}

/// catalogue: FT-01, FT-02, FT-03, ZC-13, ZC-21, ZC-31
#[tokio::test]
async fn two_hundred_come_and_go_in_every_way_and_leave_nothing_behind() {
    const ROUNDS: usize = 10;
    const A_ROUND: usize = 20;
    let mut server = Server::start();
    let topics = server.topics.clone();
    let mut bystanders = JoinSet::new();
    let all_published = Arc::new(AtomicBool::new(false));
    let read = Arc::new(AtomicU64::new(0));
    for at in 0..3u8 {
        let (mut peer, member) = server.open().await;
        let name = ["room:a", "room:*", ">"][usize::from(at)];
        member.subscribe(name, Subscription::new()).expect("open");
        let allowed: &[u8] = [&[0][..], &[0, 1], &[0, 1, 2]][usize::from(at)];
        let read = read.clone();
        bystanders.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let (opcode, payload) = peer.next().await.expect("it is not the end");
                if opcode != BINARY {
                    assert_eq!(payload, b"the end");
                    return (peer, allowed, seen);
                }
                let first = seen.0[usize::from(payload[0])] == 0;
                seen.check(&payload, allowed);
                if at == 2 {
                    read.fetch_add(1, SeqCst);
                }
                assert!(!first || payload[8] == 1, "from the first on");
            }
        });
    }
    let publisher = {
        let (topics, all_published) = (topics.clone(), all_published.clone());
        thread::spawn(move || {
            let mut published = 0u64;
            while !all_published.load(SeqCst) {
                // No faster than the bystanders read.
                if published < read.load(SeqCst) + 50 {
                    publish(&topics, (published % 3) as u8);
                    published += 1;
                }
                thread::yield_now();
            }
        })
    };
    let mut random = Random(1);
    for _ in 0..ROUNDS {
        let mut leaving = JoinSet::new();
        for (at, (peer, member)) in server.open_many(A_ROUND).await.into_iter().enumerate() {
            // Others go meanwhile, and their sockets are used again.
            let names: &[&str] =
                [&["room:a"][..], &["room:b", "room:*"], &["room:a", ">"], &["other"]][at % 4];
            let allowed: &[u8] = [&[0][..], &[0, 1], &[0, 1, 2], &[2]][at % 4];
            for name in names {
                let subscription = Subscription::new().identity(format!("one of {}", at % 3));
                member.subscribe(name, subscription).expect("open");
            }
            leaving.spawn(go(peer, allowed, random.below(5), random.below(30)));
        }
        while let Some(left) = leaving.join_next().await {
            left.expect("nothing foreign");
        }
    }
    all_published.store(true, SeqCst);
    publisher.join().expect("no panic");
    topics.publish_to_all("the end").expect("room");
    let mut left = Vec::new();
    while let Some(bystander) = bystanders.join_next().await {
        let (peer, allowed, seen) = bystander.expect("it has all");
        for topic in allowed {
            let position = topics.position(TOPICS[usize::from(*topic)]).expect("published");
            assert_eq!(seen.0[usize::from(*topic)], position.offset);
        }
        left.push(peer);
    }
    until("they have left", || topics.members("room:a") == 1 && topics.members("room:b") == 0).await;
    assert_eq!(topics.list("", "", 10), [("room:a".into(), 1)]);
    assert!(TOPICS.iter().all(|topic| topics.presence(topic).is_empty()));
    for mut peer in left {
        peer.send(&close(1000, "")).await;
        assert_eq!(peer.next_close().await, 1000);
    }
    until("all have left", || topics.members("room:a") == 0).await;
    // Those of patterns, too, whom nothing else tells of.
    let by = std::time::Instant::now() + DEADLINE;
    while topics.publish("room:a", "nobody's").expect("room").await.subscribers() > 0 {
        assert!(std::time::Instant::now() < by);
    }
    assert_eq!(topics.list("", "", 10), []);
    server.shut_down();
    server.over().await;
}

/// The same numbers each time: Knuth's, of which the upper half is good.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % end
    }
}

/// Reads so much, then goes in one of the ways.
async fn go(mut peer: Peer<TcpStream>, allowed: &[u8], way: u32, reads: u32) {
    let mut seen = Seen::default();
    for _ in 0..reads {
        let (_, payload) = peer.next().await.expect("it goes on");
        seen.check(&payload, allowed);
    }
    match way {
        0 => peer.reset(),
        1 => drop(peer),
        2 => {
            peer.half_close().await;
            // What was queued may come.
            while let Some((BINARY, payload)) = peer.next_or_torn().await {
                seen.check(&payload, allowed);
            }
        }
        3 => {
            // In the midst of a frame of its own.
            peer.send(&raw_frame(0x82, &[0; 100], Some([0; 4]))[..50]).await;
            peer.reset();
        }
        _ => {
            peer.send(&close(1000, "")).await;
            while let Some((BINARY, payload)) = peer.next().await {
                seen.check(&payload, allowed);
            }
        }
    }
}

/// A member that is gone without its socket's knowing is no obstacle to those behind it · catalogue: FT-02
#[tokio::test]
async fn a_reset_in_the_midst_of_a_delivery_is_one_end_and_no_others() {
    let mut server = Setup { threads: 1, ..Setup::default() }.start();
    let topics = server.topics.clone();
    let (mut bystander, member) = server.open().await;
    member.subscribe("room", Subscription::new()).expect("open");
    for round in 0..30 {
        let opened = server.open_many(4).await;
        for (_, member) in &opened {
            member.subscribe("room", Subscription::new()).expect("open");
        }
        for (peer, _) in opened {
            topics.publish("room", Message::binary(canary(0, round))).expect("room");
            peer.reset();
            topics.publish("room", Message::binary(canary(1, round))).expect("room");
        }
        for _ in 0..4 {
            assert_eq!(bystander.next().await, Some((BINARY, canary(0, round))));
            assert_eq!(bystander.next().await, Some((BINARY, canary(1, round))));
        }
        until("they have left", || topics.members("room") == 1).await;
        assert_eq!(topics.publish("room", Message::binary(vec![])).expect("room").await.subscribers(), 1);
        assert_eq!(bystander.next().await, Some((BINARY, vec![])));
    }
}
