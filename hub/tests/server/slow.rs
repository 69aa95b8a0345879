//! Subscribers that do not read, by each policy: what they lose they are told, in its place, and nobody else waits for them.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use framecast::WebSocket;
use serde_json::value::RawValue;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::support::*;

/// More than their queue and the kernel hold together.
const PUBLISHED: u64 = 1000;
const PAYLOAD_BYTES: usize = 16 << 10;

/// Somebody in a room on such terms, who reads when it likes; the kernel does little for it.
async fn subscriber(running: &Running, terms: &str) -> Peer<TcpStream> {
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket.set_recv_buffer_size(32 << 10).expect("it can be set");
    let mut peer = Peer::new(socket.connect(running.addr).await.expect("it listens"));
    peer.send(&upgrade("/ws", running.addr, "")).await;
    peer.head().await;
    peer.next_text().await;
    peer.text(&format!(r#"{{"type":"subscribe","room":"r"{terms}}}"#)).await;
    assert!(peer.next_text().await.starts_with(r#"{"type":"subscribed""#));
    peer
}

/// Publishes, and has one who reads get all of it, each with one of these keys in turn.
async fn publish(running: &Running, reader: &mut WebSocket, keys: &[&str]) {
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES));
    let payload = RawValue::from_string(payload).expect("it is JSON");
    for (number, key) in (1..=PUBLISHED).zip(keys.iter().cycle()) {
        let before = Instant::now();
        let key = Some(*key).filter(|key| !key.is_empty());
        running.server.hub().publish("r", payload.clone(), key).expect("there is room");
        longest = longest.max(before.elapsed());
        assert_eq!(field(&hear(reader).await, "offset"), number.to_string(), "after {:?}", started.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "who publishes has waited for {longest:?}");
}

/// What comes, until all that was published was heard or told to be lost: each once. `Err` with the code of a Close.
async fn account(peer: &mut Peer<TcpStream>) -> Result<(Vec<u64>, Vec<RangeInclusive<u64>>), u16> {
    let mut known = vec![false; PUBLISHED as usize + 1];
    let (mut heard, mut gaps, mut count) = (Vec::new(), Vec::new(), 0);
    while count < PUBLISHED {
        let (opcode, payload) = timeout(SOON, peer.next()).await.expect("something comes").expect("a frame");
        if opcode == CLOSE {
            return Err(u16::from_be_bytes([payload[0], payload[1]]));
        }
        let text = String::from_utf8(payload).expect("it is text");
        let number = |name| field(&text, name).parse().expect("it is a number");
        let offsets = match field(&text, "type") {
            "message" => {
                heard.push(number("offset"));
                number("offset")..=number("offset")
            }
            "gap" => {
                assert_eq!((field(&text, "room"), field(&text, "reason")), ("r", "slow"), "{text}");
                gaps.push(number("from")..=number("to"));
                number("from")..=number("to")
            }
            _ => panic!("{text}"),
        };
        for offset in offsets {
            assert!(!std::mem::replace(&mut known[offset as usize], true), "{offset} for the second time");
            count += 1;
        }
    }
    Ok((heard, gaps))
}

async fn start() -> Running {
    Running::of(hub(|hub| hub), with_admin).await
}

/// catalogue: DS-30
#[tokio::test]
async fn disconnect_is_4008_once_its_queue_is_full() {
    for terms in ["", r#","policy":"disconnect""#] {
        let running = start().await;
        let (mut slow, mut reader) = (subscriber(&running, terms).await, running.inside("r").await);
        publish(&running, &mut reader, &[""]).await;
        assert_eq!(account(&mut slow).await, Err(4008));
        slow.send(&close(4008, "")).await;
        running.metric_becomes("framecast_connections", 1).await;
        // It may come back, and is told that the history does not reach back as far.
        let mut again = running.enter("/ws").await;
        let epoch = running.server.hub().topics().position("r").expect("it is known").epoch;
        let since = format!(r#"{{"epoch":{epoch},"offset":1}}"#);
        say(&again, &format!(r#"{{"type":"history","room":"r","since":{since}}}"#)).await;
        assert!(hear(&mut again).await.contains(r#""code":"history_gone""#));
    }
}

/// catalogue: DS-30
#[tokio::test]
async fn drop_oldest_keeps_the_newest_and_tells_of_the_rest() {
    let running = start().await;
    let terms = r#","policy":"drop_oldest""#;
    let (mut slow, mut reader) = (subscriber(&running, terms).await, running.inside("r").await);
    publish(&running, &mut reader, &[""]).await;
    let (heard, gaps) = account(&mut slow).await.expect("it is not closed");
    assert!(heard.is_sorted(), "{heard:?}");
    assert_eq!(heard.last(), Some(&PUBLISHED), "{gaps:?}");
    assert!(!gaps.is_empty() && heard.len() > 10, "{} of {PUBLISHED}, {gaps:?}", heard.len());
}

/// catalogue: DS-30
#[tokio::test]
async fn drop_newest_keeps_the_oldest_and_tells_of_the_rest() {
    let running = start().await;
    let terms = r#","policy":"drop_newest""#;
    let (mut slow, mut reader) = (subscriber(&running, terms).await, running.inside("r").await);
    publish(&running, &mut reader, &[""]).await;
    let (heard, gaps) = account(&mut slow).await.expect("it is not closed");
    let first = u64::try_from(heard.len()).expect("they are few");
    assert_eq!(heard, (1..=first).collect::<Vec<_>>(), "{gaps:?}");
    assert_eq!(gaps, [first + 1..=PUBLISHED]);
    // From here on it reads, and gets all.
    running.server.hub().publish("r", RawValue::NULL.to_owned(), None).expect("there is room");
    assert_eq!(field(&peer_text(&mut slow).await, "offset"), (PUBLISHED + 1).to_string());
}

/// catalogue: DS-30
#[tokio::test]
async fn conflate_keeps_the_newest_of_each_key_and_tells_of_the_rest() {
    for keys in [&["a", "b", "c", "d"][..], &[""]] {
        let running = start().await;
        let terms = r#","policy":"conflate""#;
        let (mut slow, mut reader) = (subscriber(&running, terms).await, running.inside("r").await);
        publish(&running, &mut reader, keys).await;
        let (heard, gaps) = account(&mut slow).await.expect("it is not closed");
        assert!(!gaps.is_empty());
        let mut newest = HashMap::new();
        for (number, key) in (1..=PUBLISHED).zip(keys.iter().cycle()) {
            newest.insert(key, number);
        }
        for (key, number) in newest {
            assert!(heard.contains(&number), "the newest of {key:?}: {gaps:?}");
        }
    }
}

/// Whoever is sent to without a room has the same limit · PROTOCOL, "Errors and closing"
#[tokio::test]
async fn direct_messages_beyond_the_queue_are_4008_too() {
    let running = Running::of(hub(|hub| hub.tokens(tokens())), with_admin).await;
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket.set_recv_buffer_size(32 << 10).expect("it can be set");
    let mut slow = Peer::new(socket.connect(running.addr).await.expect("it listens"));
    slow.send(&upgrade("/ws?token=ada-token", running.addr, "")).await;
    slow.head().await;
    slow.next_text().await;
    let payload = format!("\"{}\"", "x".repeat(200_000));
    for _ in 0..50 {
        assert_eq!(running.admin("POST /users/ada/messages", &payload).await.status, 200);
    }
    let code = loop {
        let (opcode, payload) = timeout(SOON, slow.next()).await.expect("something comes").expect("a frame");
        if opcode == CLOSE {
            break u16::from_be_bytes([payload[0], payload[1]]);
        }
    };
    assert_eq!(code, 4008);
}

async fn peer_text(peer: &mut Peer<TcpStream>) -> String {
    timeout(SOON, peer.next_text()).await.expect("something comes")
}
