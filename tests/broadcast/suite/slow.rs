//! Subscribers that do not read: what they get when they do, by their policy, and what the others notice of them, which is nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use framecast::{
    CloseCode, Config, Message,
    broadcast::{ConflateBy, Gap, Member, OverflowPolicy, Publish, Published, Subscription, Topics},
    proto::Cause,
};
use tokio::{io::AsyncReadExt, net::TcpStream, sync::mpsc};

use super::{
    peer::{CLOSE, PONG, Peer, TEXT, frame},
    server::{DEADLINE, On, Server, Setup, until},
};

/// A payload of this size, which begins with its number.
const BYTES: usize = 16 << 10;

fn numbered(number: u64) -> String {
    format!("{number:0BYTES$}")
}

fn told(gap: &Gap) -> Option<Message> {
    Some(Message::text(format!("gap {} {}", gap.from, gap.to)))
}

fn topics() -> Topics {
    Topics::builder().tell_gap(told).build()
}

/// Little room, so that it is used up soon; no pings.
fn config() -> Config {
    Config::builder()
        .outbox_bytes_max(256 << 10)
        .write_stall_after(Duration::from_secs(600))
        .ping_every(None)
        .build()
        .expect("valid")
}

async fn publish(topics: &Topics, number: u64) -> Published {
    let publish = Publish::new(numbered(number)).key(format!("key {}", number % 4));
    let publishing = topics.publish("room", publish).expect("there is room");
    assert_eq!(publishing.position().offset, number);
    tokio::time::timeout(DEADLINE, publishing).await.expect("in time")
}

/// A subscriber that reads nothing, and how many messages were published until it was over its bounds, and some more.
async fn overflown(server: &mut Server, policy: OverflowPolicy) -> (Peer<TcpStream>, Member, u64) {
    let (mut peer, member) = server.open_narrow().await;
    member.subscribe("room", Subscription::new().policy(policy)).expect("open");
    let topics = server.topics.clone();
    // On tokio the first one is by the connection's own task, which shares its socket from then on.
    publish(&topics, 1).await;
    assert_eq!(peer.next_text().await, numbered(1));
    let mut number = 1;
    let mut lost = 0;
    while lost < 40 {
        number += 1;
        let published = publish(&topics, number).await;
        assert_eq!(published.subscribers(), 1, "{number}");
        lost += u64::from(published.dropped + published.displaced);
        assert_eq!(member.lost(), lost);
    }
    (peer, member, number)
}

#[derive(Debug, PartialEq)]
enum Got {
    Message(u64),
    Gap(u64, u64),
}

/// What it gets from one number to another: everything, in order, either itself or by a gap.
async fn read(peer: &mut Peer<TcpStream>, first: u64, last: u64) -> Vec<Got> {
    let (mut all, mut next) = (Vec::new(), first);
    while next <= last {
        let text = peer.next_text().await;
        let got = match text.strip_prefix("gap ") {
            None => Got::Message(text.parse().expect("a number")),
            Some(gap) => {
                let (from, to) = gap.split_once(' ').expect("from and to");
                Got::Gap(from.parse().expect("a number"), to.parse().expect("a number"))
            }
        };
        let (from, to) = match got {
            Got::Message(number) => (number, number),
            Got::Gap(from, to) => (from, to),
        };
        assert_eq!(from, next, "{all:?}, then {got:?}");
        assert!(to >= from);
        next = to + 1;
        all.push(got);
    }
    assert_eq!(next, last + 1);
    all
}

/// What is lost in a row; it may be told in parts.
fn gaps(got: &[Got]) -> Vec<(u64, u64)> {
    let mut gaps: Vec<(u64, u64)> = Vec::new();
    for got in got {
        let Got::Gap(from, to) = *got else { continue };
        match gaps.last_mut() {
            Some(last) if last.1 + 1 == from => last.1 = to,
            _ => gaps.push((from, to)),
        }
    }
    gaps
}

fn lost(got: &[Got]) -> u64 {
    gaps(got).iter().map(|(from, to)| to - from + 1).sum()
}

/// Whatever its policy keeps is within the connection's bounds: so many messages wait at most.
const WAIT_MAX: u64 = (256 << 10) / BYTES as u64;

#[tokio::test]
async fn drop_newest_keeps_what_waited_and_tells_the_rest() {
    let mut server = Setup { config: config(), topics: topics(), ..Setup::default() }.start();
    let (mut peer, member, number) = overflown(&mut server, OverflowPolicy::DropNewest).await;
    let got = read(&mut peer, 2, number).await;
    // One gap, at the end: what waited was not touched.
    assert_eq!(gaps(&got), [(number - 39, number)]);
    publish(&server.topics.clone(), number + 1).await;
    assert_eq!(peer.next_text().await, numbered(number + 1));
    assert_eq!(member.lost(), 40);
}

#[tokio::test]
async fn drop_oldest_keeps_the_newest_and_tells_what_was_before_them() {
    let mut server = Setup { config: config(), topics: topics(), ..Setup::default() }.start();
    let (mut peer, member, number) = overflown(&mut server, OverflowPolicy::DropOldest).await;
    let got = read(&mut peer, 2, number).await;
    let [(from, to)] = gaps(&got)[..] else { panic!("{got:?}") };
    assert_eq!(to - from + 1, 40);
    assert!((1..=WAIT_MAX).contains(&(number - to)), "{to} of {number}");
    publish(&server.topics.clone(), number + 1).await;
    assert_eq!(peer.next_text().await, numbered(number + 1));
    assert_eq!(member.lost(), 40);
}

#[tokio::test]
async fn conflate_keeps_the_newest_of_each_key() {
    let mut server = Setup { config: config(), topics: topics(), ..Setup::default() }.start();
    let policy = OverflowPolicy::Conflate(ConflateBy::Key);
    let (mut peer, member, number) = overflown(&mut server, policy).await;
    let got = read(&mut peer, 2, number).await;
    let expected = [number - 3, number - 2, number - 1, number].map(Got::Message);
    assert!(got.ends_with(&expected), "{got:?}");
    let [(from, to)] = gaps(&got)[..] else { panic!("{got:?}") };
    assert_eq!((to, to - from + 1), (number - 4, 40));
    assert_eq!(member.lost(), 40);
}

#[tokio::test]
async fn conflate_by_topic_keeps_the_newest() {
    let mut server = Setup { config: config(), topics: topics(), ..Setup::default() }.start();
    let policy = OverflowPolicy::Conflate(ConflateBy::Topic);
    let (mut peer, member, number) = overflown(&mut server, policy).await;
    let got = read(&mut peer, 2, number).await;
    assert_eq!(got.last(), Some(&Got::Message(number)));
    assert_eq!(gaps(&got), [(number - 40, number - 1)]);
    assert_eq!(member.lost(), 40);
}

/// What a wildcard's subscriber loses of several topics is told of each.
#[tokio::test]
async fn a_wildcards_gaps_are_told_by_topic() {
    let tell = |gap: &Gap| Some(Message::text(format!("gap {} {} {}", gap.topic(), gap.from, gap.to)));
    let topics = Topics::builder().tell_gap(tell).build();
    let mut server = Setup { config: config(), topics, ..Setup::default() }.start();
    let topics = server.topics.clone();
    let (mut peer, member) = server.open_narrow().await;
    member.subscribe("room:*", Subscription::new().policy(OverflowPolicy::DropNewest)).expect("open");
    topics.publish("room:a", "room:a 1").expect("room").await;
    assert_eq!(peer.next_text().await, "room:a 1");
    topics.publish("room:b", "room:b 1").expect("room").await;
    let (mut lost, mut round) = (0, 1);
    while lost < 40 {
        round += 1;
        for topic in ["room:a", "room:b"] {
            let publish = Publish::new(format!("{topic} {round} {}", "x".repeat(BYTES)));
            lost += topics.publish(topic, publish).expect("room").await.dropped;
        }
    }
    topics.publish_to_all("the end").expect("room").await;
    let (mut next, mut gaps) = ([2u64, 1], Vec::new());
    loop {
        let text = peer.next_text().await;
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let (topic, from, to) = match words[0] {
            "the" => break,
            "gap" => (words[1], number(2), number(3)),
            topic => (topic, number(1), number(1)),
        };
        let next = &mut next[usize::from(topic == "room:b")];
        assert_eq!(from, *next, "{topic}");
        *next = to + 1;
        if words[0] == "gap" {
            gaps.push(to - from + 1);
        }
    }
    assert_eq!(next, [round + 1, round + 1]);
    // What is to all is of its own terms: it waits beside them.
    assert_eq!((gaps.len(), gaps.iter().sum::<u64>()), (2, u64::from(lost)));
}

#[tokio::test]
async fn disconnect_says_how_much_was_dropped_once_it_reads_on() {
    let mut server = Setup { config: config(), topics: topics(), ..Setup::default() }.start();
    let topics = server.topics.clone();
    let (mut peer, member) = server.open_narrow().await;
    let policy = OverflowPolicy::Disconnect(CloseCode(4008));
    member.subscribe("room", Subscription::new().policy(policy)).expect("open");
    let mut number = 0;
    loop {
        number += 1;
        let published = publish(&topics, number).await;
        assert_eq!(published.subscribers(), 1);
        if published.dropped > 0 {
            break;
        }
    }
    // It is closing, and gets no more.
    assert_eq!(publish(&topics, number + 1).await.dropped, 1);
    let mut received = 0;
    let close = loop {
        match peer.next().await.expect("a Close, and not the end") {
            (TEXT, payload) => {
                received += 1;
                assert_eq!(payload, numbered(received).as_bytes());
            }
            (CLOSE, payload) => break payload,
            other => panic!("{other:?}"),
        }
    };
    let lost = number - received;
    assert!((2..=WAIT_MAX + 1).contains(&lost), "{lost}");
    assert_eq!(
        close,
        [&4008u16.to_be_bytes()[..], format!("too slow: {lost} messages dropped").as_bytes()].concat()
    );
    assert_eq!(member.lost(), lost);
    peer.send(&super::peer::close(4008, "")).await;
    assert_eq!(peer.next().await, None);
    until("it has left", || topics.members("room") == 0).await;
}

#[tokio::test]
async fn who_is_disconnected_and_reads_nothing_at_all_is_cut() {
    let (tell, mut ends) = mpsc::unbounded_channel();
    let setup = Setup::default().does(move |on, _| {
        if let On::Close(info) = on {
            let _ = tell.send((info.code.0, info.clean));
        }
    });
    let config = Config::builder()
        .outbox_bytes_max(256 << 10)
        .close_within(Duration::from_millis(300))
        .linger_within(Duration::from_millis(100))
        .build()
        .expect("valid");
    let mut server = Setup { config, ..setup }.start();
    let topics = server.topics.clone();
    let (_peer, member) = server.open_narrow().await;
    member.subscribe("room", Subscription::new()).expect("open");
    let mut number = 1;
    while publish(&topics, number).await.dropped == 0 {
        number += 1;
    }
    let end = tokio::time::timeout(DEADLINE, ends.recv()).await.expect("in time").expect("it runs");
    assert_eq!(end, (1006, false));
    until("it has left", || topics.members("room") == 0).await;
}

/// Fifty who read get each message in time, beside some of each policy that do not · catalogue: DS-30
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn readers_notice_nothing_of_those_who_do_not_read() {
    const READERS: usize = 50;
    const MESSAGES: u64 = 500;
    let mut server = Setup { config: config(), topics: topics(), ..Setup::default() }.start();
    let topics = server.topics.clone();
    let policies = [
        OverflowPolicy::Disconnect(CloseCode::POLICY),
        OverflowPolicy::DropNewest,
        OverflowPolicy::DropOldest,
        OverflowPolicy::Conflate(ConflateBy::Key),
        OverflowPolicy::Conflate(ConflateBy::Topic),
    ];
    let mut silent = Vec::new();
    for policy in policies {
        let (peer, member) = server.open_narrow().await;
        member.subscribe("room", Subscription::new().policy(policy)).expect("open");
        silent.push((peer, member));
    }
    let received = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    for (peer, member) in server.open_many(READERS).await {
        member.subscribe("room", Subscription::new()).expect("open");
        let (received, mut stream) = (received.clone(), peer.stream);
        readers.push(tokio::spawn(async move {
            let mut frame = vec![0; 4 + BYTES];
            for number in 1..=MESSAGES {
                stream.read_exact(&mut frame).await.expect("open");
                assert!(frame[..4] == [0x81, 126, 0x40, 0] && frame.ends_with(number.to_string().as_bytes()));
                received.fetch_add(1, SeqCst);
            }
            stream
        }));
    }
    let (mut slowest, mut blocked) = (Duration::ZERO, Duration::ZERO);
    for number in 1..=MESSAGES {
        let began = Instant::now();
        let publish_it = Publish::new(numbered(number)).key(format!("key {}", number % 4));
        let publishing = topics.publish("room", publish_it).expect("there is room");
        blocked = blocked.max(began.elapsed());
        publishing.await;
        let all = READERS * number as usize;
        while received.load(SeqCst) < all {
            assert!(began.elapsed() < DEADLINE, "{number}");
            tokio::task::yield_now().await;
        }
        slowest = slowest.max(began.elapsed());
    }
    println!("all had it within {slowest:?}; a publish took {blocked:?} at most");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(blocked < Duration::from_secs(1), "{blocked:?}");
    for reader in readers {
        reader.await.expect("all came");
    }
    let lost: Vec<u64> = silent.iter().map(|(_, member)| member.lost()).collect();
    assert!(lost.iter().all(|lost| *lost > 0), "all of them were too slow: {lost:?}");
    // Those who were not disconnected get on.
    for (peer, member) in &mut silent[1..] {
        let got = read(peer, 1, MESSAGES).await;
        assert_eq!(self::lost(&got), member.lost());
    }
}

/// It says all the time that it is there, and takes nothing · catalogue: DS-23, DS-32
#[tokio::test]
async fn who_takes_nothing_is_cut_by_its_stall_whatever_it_says() {
    let (tell, mut ends) = mpsc::unbounded_channel();
    let setup = Setup::default().does(move |on, _| {
        if let On::Close(info) = on {
            let _ = tell.send((info.code.0, info.cause.clone()));
        }
    });
    let config = Config::builder()
        .outbox_bytes_max(256 << 10)
        .write_stall_after(Duration::from_millis(800))
        .ping_every(None)
        .build()
        .expect("valid");
    let mut server = Setup { config, ..setup }.start();
    let topics = server.topics.clone();
    let (peer, member) = server.open_narrow().await;
    let policy = OverflowPolicy::Conflate(ConflateBy::Topic);
    member.subscribe("room", Subscription::new().policy(policy)).expect("open");
    let (mut reader, mut writer) = peer.stream.into_split();
    let answering = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while writer.write_all(&frame(PONG, b"here")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut number = 0;
    while member.lost() < 20 {
        number += 1;
        publish(&topics, number).await;
    }
    let behind = Instant::now();
    // More comes for it all the time, which is no progress.
    let end = loop {
        number += 1;
        publish(&topics, number).await;
        if let Ok(end) = tokio::time::timeout(Duration::from_millis(20), ends.recv()).await {
            break end.expect("it runs");
        }
        assert!(behind.elapsed() < DEADLINE);
    };
    assert!(matches!(end, (1006, Cause::WriteStall)), "{end:?}");
    println!("cut {:?} after it fell behind: {end:?}", behind.elapsed());
    assert!(behind.elapsed() < Duration::from_secs(5));
    until("it has left", || topics.members("room") == 0).await;
    answering.abort();
    while reader.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {}
}
